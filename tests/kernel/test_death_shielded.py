"""A service that fails while its handlers shield themselves is closed at once all the same (C8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kernel.lives import Log, actor_of, note, taken
from trionet import Handle, Node, NoSuchService, Service, StartFailed, command, spec
from trionet.testing import Hold, exits, fail_service


class Stubborn(Service, concurrency=2):
    """Its handlers do not end before they are let; a helper task raises when it is told to."""

    def __init__(self, hold: Hold, fail: trio.Event) -> None:
        self.hold = hold
        self.fail = fail

    async def setup(self) -> None:
        self.nursery.start_soon(self._fail)

    async def _fail(self) -> None:
        await self.fail.wait()
        raise LookupError("broken")

    @command
    async def shield(self) -> str:
        with trio.CancelScope(shield=True):
            await self.hold.here()
        return "shielded"

    @command
    async def clean_up(self) -> str:
        try:
            await trio.sleep_forever()
        finally:
            await self.shield()

    @command
    async def shield_coroutine(self) -> str:
        return await self.shield()


class Late(Stubborn):
    """Starts its helper in the handler that shields itself."""

    async def setup(self) -> None: ...

    @command
    async def shield(self) -> str:
        self.nursery.start_soon(self._fail)
        return await super().shield()


class Parent(Stubborn):
    """Has no helper, and a child; its own task is in the handler."""

    async def setup(self) -> None:
        self.child = await self.start(spec(Stubborn, Hold(), self.fail))


class Loser(Stubborn):
    """Fails when it is told that it lost a name."""

    async def setup(self) -> None: ...

    async def name_lost(self, name: str, owner: Handle | None) -> None:
        raise LookupError("broken")


async def fail(node: Node, stubborn: Stubborn, how: str, event: trio.Event) -> None:
    """Let the service fail."""
    if how == "event":
        event.set()
    elif how == "test":
        with trio.move_on_after(0):
            await fail_service(node, stubborn, LookupError("broken"))
    else:
        node.name_lost("another", actor_of(node, stubborn).handle, None)


@asynccontextmanager
async def released(hold: Hold) -> AsyncIterator[trio.Nursery]:
    """A nursery at whose end nobody is held any more, whatever the test has found."""
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        finally:
            hold.release()


@pytest.mark.parametrize(
    ("kind", "how"),
    [(Stubborn, "event"), (Stubborn, "test"), (Late, "event"), (Parent, "event"), (Loser, "name")],
)
@pytest.mark.parametrize("handlers", [["shield"], ["clean_up"], ["shield_coroutine"], ["shield", "clean_up"]])
async def test_c8_names_go_at_once_and_the_queue_fails(
    node: Node, kind: type[Stubborn], how: str, handlers: list[str]
) -> None:
    """Whatever its tasks are in: handlers that shield themselves, that clean up for long, or of callers."""
    log: Log = []
    hold, event = Hold(), trio.Event()
    stubborn = await node.start(spec(kind, hold, event), name="stubborn")
    await node.register(".stubborn", stubborn)
    async with released(hold) as nursery:
        for name in handlers:
            nursery.start_soon(note, log, name, node.call("stubborn", name))
            await wait_all_tasks_blocked()
        while node.service_statistics(stubborn).running < 2:
            nursery.start_soon(note, log, "shield", stubborn.shield())
            await wait_all_tasks_blocked()
        nursery.start_soon(note, log, "queued", stubborn.shield())
        await wait_all_tasks_blocked()
        assert taken(log) == []
        await fail(node, stubborn, how, event)
        await wait_all_tasks_blocked()
        assert taken(log) == ["queued: ServiceExited, executed False"]
        assert node.names() == {}
        with pytest.raises(NoSuchService):
            await node.call("stubborn", "shield")
        assert node.service_statistics(actor_of(node, stubborn).handle).running == 2
    await wait_all_tasks_blocked()
    assert len(log) == 2
    assert exits(node)[-1].reason == "failed"


@pytest.mark.parametrize("name", [".slow", "slow"])
async def test_c8_a_helper_that_fails_while_setup_shields_itself(node: Node, name: str) -> None:
    """The start fails when setup has ended; nobody ever sees the name."""
    hold, event = Hold(), trio.Event()

    class Slow(Stubborn):
        async def setup(self) -> None:
            await super().setup()
            await self.shield()

    async with released(hold) as nursery:

        async def start() -> None:
            with pytest.raises(StartFailed, match="LookupError: broken"):
                await node.start(spec(Slow, hold, event), name=name)

        nursery.start_soon(start)
        await hold.wait_held()
        event.set()
        await wait_all_tasks_blocked()
        assert node.names() == {}
    assert node.names() == {}
    assert node.services() == ()


class Curious(Service):
    """Looks at its nursery, and starts nothing."""

    @command
    def look(self) -> int:
        return len(self.nursery.child_tasks)


async def test_c8_the_guard_of_helpers_is_no_helper(node: Node) -> None:
    """There is one from the first look at the nursery on; it is not counted, and has nothing to do."""
    curious = await node.start(Curious)
    for _ in range(3):
        assert await curious.look() == 1
    assert node.service_statistics(curious).tasks == 0
    assert not actor_of(node, curious).has_things_to_do()
