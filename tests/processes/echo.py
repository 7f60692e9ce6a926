"""The service that the child processes of these tests run, each with ``trionet run``."""

from __future__ import annotations

import trio

from trionet import NameRemoved, Service, command


class Echo(Service):
    """Answers, at once or never, and knows when its handlers were cancelled."""

    def __init__(self) -> None:
        self._begun = 0
        self._cancelled = 0
        self._changed = trio.Event()
        self._notes: list[str] = []

    def _count(self, begun: int, cancelled: int) -> None:
        self._begun += begun
        self._cancelled += cancelled
        self._changed.set()
        self._changed = trio.Event()

    @command
    def echo(self, item: object) -> object:
        """Send it back."""
        return item

    @command
    def note(self, text: str) -> None:
        """Take note."""
        self._notes.append(text)

    @command
    def notes(self) -> list[str]:
        """What was noted."""
        return self._notes

    @command
    async def never(self) -> None:
        """Wait until cancelled."""
        self._count(1, 0)
        try:
            await trio.sleep_forever()
        finally:
            self._count(0, 1)

    @command
    async def never_via(self, other: Echo) -> None:
        """Wait for another one that never answers."""
        await other.never()

    @command
    async def wait_begun(self, handlers: int) -> None:
        """Wait until so many handlers wait or have waited."""
        while self._begun < handlers:
            await self._changed.wait()

    @command
    async def wait_cancelled(self, handlers: int) -> None:
        """Wait until so many handlers have been cancelled."""
        while self._cancelled < handlers:
            await self._changed.wait()

    @command
    async def names(self, *expected: str) -> dict[str, object]:
        """Wait until these names are known on this node; returns all global ones that are."""
        for name in expected:
            await self.node.wait_for_name(name)
        return {name: each for name, each in self.node.names().items() if not name.startswith(".")}


class Patient(Service):
    """Finishes what it has begun, and has a last word."""

    async def teardown(self) -> None:
        """Tell a service on another node, and do not ask whether that was heard."""
        await self.node.ref("listener", Echo).note.send("farewell")

    @command
    def ready(self) -> bool:
        """Say so."""
        return True

    @command
    async def until_leaving(self) -> str:
        """Answer once the node begins to stop: then it gives up its names."""
        async with self.node.cluster.events() as events:
            async for event in events:
                if isinstance(event, NameRemoved) and event.handle == self.handle:
                    return "stopping"
        raise AssertionError("the stream of events never ends")


class Stubborn(Service):
    """Does not want to end."""

    async def teardown(self) -> None:
        """Wait until cut off."""
        await trio.sleep_forever()
