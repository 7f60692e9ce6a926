"""What the tests of direct calls share: services that write down how their handlers began.

A runner does what its message says, as a puppet does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import trio

from tests.kernel.stage import Stage, actor_of
from trionet import Node, Reply, Service, command, current_request, defer, spec
from trionet.kernel.direct import begin_here

#: A test of what is so on the direct path only.
direct_only = pytest.mark.one_path


class Track(Stage):
    """A stage that knows how the handlers began.

    Attributes:
        began: of each handler that began, in order: whether that was before its sender went on.
        tasks: the task of each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[trio.lowlevel.Task] = []
        self.began: list[bool] = []

    def begins(self) -> None:
        """A handler begins."""
        frame = inspect.currentframe()
        while frame is not None and frame.f_code is not begin_here.__code__:
            frame = frame.f_back
        self.began.append(frame is not None)
        self.tasks.append(trio.lowlevel.current_task())

    def here(self) -> list[bool]:
        """Tell of each handler that began since the last time whether that was before its sender went on."""
        found, self.began, self.tasks = self.began, [], []
        return found


#: What a runner does.
Act = Callable[["Runner"], Any]


def nothing(_: object) -> None:
    """Do nothing."""


class Runner(Service):
    """A service whose plain functions and coroutines do what the message says."""

    def __init__(self, track: Track, act: Act = nothing) -> None:
        self.track = track
        self.act = act

    @command
    def note(self, word: Any) -> Any:
        """Write a word."""
        self.track.begins()
        self.track.log.append(str(word))
        return word

    @command
    def do(self) -> Any:
        """Do what the test has brought along."""
        self.track.begins()
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

    @command
    async def step(self, word: str) -> str:
        """Write a word without waiting."""
        self.track.begins()
        self.track.log.append(word)
        return word

    @command
    async def hold(self, key: str) -> str:
        """Wait at a gate; tell how the wait began and ended."""
        self.track.begins()
        return await self._wait(key)

    @command
    async def hold_apart(self, key: str) -> None:
        """The same, in a task of its own."""
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            nursery.start_soon(self._wait, key)

    @command
    async def hold_shielded(self, key: str) -> str:
        """The same; whoever cancels it has to wait."""
        with trio.CancelScope(shield=True):
            await self._wait(key)
        return key

    @command
    async def insist(self, key: str) -> str:
        """Wait, and return when cancelled."""
        try:
            await self._wait(key)
        except trio.Cancelled:
            return "in spite of it"
        return key

    @command
    async def hold_after_deferring(self, key: str) -> None:
        """Defer the reply, and wait."""
        self.track.kept[key] = defer()
        await self._wait(key)

    @command
    async def relay(self, target: Any, name: str, *args: Any) -> Any:
        """Call another service, and hand on the result."""
        self.track.begins()
        return await self.call(target, name, *args)

    @command
    async def warm_up(self) -> None:
        """Have a task of the pool that can be lent."""

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
    runner = await node.start(spec(kind, track, act))
    await runner.warm_up()
    actor = actor_of(node, runner)
    actor.messages, actor.cpu_time = 0, 0.0
    return runner


def take(track: Track, key: str) -> Reply:
    """A reply that was deferred."""
    return track.kept.pop(key)
