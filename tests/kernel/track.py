"""What the tests of direct calls share: services that write down in which task their handlers run.

A runner does what its message says, as a puppet does, and its coroutines are inline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from tests.kernel.stage import Stage
from trionet import Node, Reply, Service, command, current_request, defer, spec

#: A test of what is so on the direct path only.
direct_only = pytest.mark.one_path


class Track(Stage):
    """A stage that knows who ran the handlers.

    Attributes:
        tasks: the task of each handler that began, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[trio.lowlevel.Task] = []

    def here(self) -> list[bool]:
        """Tell of each handler that began since the last time whether it ran in the current task."""
        current = trio.lowlevel.current_task()
        found, self.tasks = [task is current for task in self.tasks], []
        return found


#: What a runner does.
Act = Callable[["Runner"], Any]


def nothing(_: object) -> None:
    """Do nothing."""


class Runner(Service):
    """A service whose plain functions and inline coroutines do what the message says."""

    def __init__(self, track: Track, act: Act = nothing) -> None:
        self.track = track
        self.act = act

    @command
    def note(self, word: Any) -> Any:
        """Write a word."""
        self.track.tasks.append(trio.lowlevel.current_task())
        self.track.log.append(str(word))
        return word

    @command
    def do(self) -> Any:
        """Do what the test has brought along."""
        self.track.tasks.append(trio.lowlevel.current_task())
        return self.act(self)

    @command
    def fail(self, error: str) -> None:
        """Raise."""
        raise {"ValueError": ValueError, "StopIteration": StopIteration, "TypeError": TypeError}[error]("no")

    @command
    def later(self, key: str) -> str:
        """Defer the reply."""
        self.track.kept[key] = defer()
        return "ignored"

    @command
    def deadline(self) -> float:
        """When the caller's time is over."""
        return current_request().deadline

    @command(inline=True)
    async def step(self, word: str) -> str:
        """Write a word without waiting."""
        self.track.tasks.append(trio.lowlevel.current_task())
        self.track.log.append(word)
        return word

    @command(inline=True)
    async def hold(self, key: str) -> str:
        """Wait at a gate; tell how the wait began and ended."""
        self.track.tasks.append(trio.lowlevel.current_task())
        return await self._wait(key)

    @command(inline=True)
    async def hold_apart(self, key: str) -> None:
        """The same, in a task of its own."""
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            nursery.start_soon(self._wait, key)

    @command(inline=True)
    async def hold_shielded(self, key: str) -> str:
        """The same; whoever cancels it has to wait."""
        with trio.CancelScope(shield=True):
            await self._wait(key)
        return key

    @command(inline=True)
    async def insist(self, key: str) -> str:
        """Wait, and return when cancelled."""
        try:
            await self._wait(key)
        except trio.Cancelled:
            return "in spite of it"
        return key

    @command(inline=True)
    async def hold_after_deferring(self, key: str) -> None:
        """Defer the reply, and wait."""
        self.track.kept[key] = defer()
        await self._wait(key)

    @command(inline=True)
    async def relay(self, target: Any, name: str, *args: Any) -> Any:
        """Call another service, and hand on the result."""
        self.track.tasks.append(trio.lowlevel.current_task())
        return await self.call(target, name, *args)

    @command
    async def ask(self, target: Any, name: str, *args: Any) -> Any:
        """The same, never inline."""
        return await self.call(target, name, *args)

    async def _wait(self, key: str) -> str:
        self.track.log.append(f"{key} begins")
        try:
            await self.track.gate(key).wait()
        except trio.Cancelled:
            self.track.log.append(f"{key} cancelled")
            raise
        self.track.log.append(f"{key} ends")
        return key

    async def teardown(self) -> None:
        """Tell that it comes last."""
        self.track.log.append("torn down")


class Serial(Runner, concurrency=1):
    """One handler at a time."""


async def run_on(node: Node, track: Track, act: Act = nothing, *, kind: type[Runner] = Runner) -> Runner:
    """Start a runner."""
    return await node.start(spec(kind, track, act))


def take(track: Track, key: str) -> Reply:
    """A reply that was deferred."""
    return track.kept.pop(key)
