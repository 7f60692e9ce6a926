"""What the tests of life and death share: services that write down what happens to them."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import trio

from trionet import CallError, Node, Service, command
from trionet.kernel.actor import Actor
from trionet.testing import Hold

Log = list[str]


async def note(log: Log, key: str, waiting: Awaitable[Any]) -> None:
    """Write down how a call ended."""
    try:
        result = await waiting
    except CallError as error:
        log.append(f"{key}: {type(error).__name__}, executed {error.executed}")
    except trio.Cancelled:
        log.append(f"{key}: cancelled")
        raise
    else:
        log.append(f"{key}: {result!r}")


def taken(log: Log) -> Log:
    """What was written since the last look."""
    new = log.copy()
    log.clear()
    return new


def actor_of(node: Node, reference: Any) -> Actor:
    """The inner side of a service."""
    actor = node.locate(reference._target)
    assert isinstance(actor, Actor)
    return actor


class Quiet(Service):
    """Does nothing, and answers."""

    @command
    def answer(self) -> int:
        return 42


class Failing(Service):
    """Fails when it is told to: in its own task, or in a handler only."""

    def __init__(self, log: Log | None = None, key: str = "failing") -> None:
        self.written = [] if log is None else log
        self.key = key

    async def setup(self) -> None:
        self.written.append(f"{self.key} set up")

    async def teardown(self) -> None:
        self.written.append(f"{self.key} torn down")

    @command
    def fail_in_task(self) -> None:
        self.nursery.start_soon(self._fail)

    @command
    def fail_in_handler(self) -> None:
        raise KeyError("in the handler")

    @command
    async def end(self) -> str:
        await self.stop()
        return "ending"

    @command
    def identity(self) -> str:
        return str(self.handle)

    async def _fail(self) -> None:
        raise KeyError("in the task")


class Worker(Service):
    """Its handlers, a helper task and its teardown are held and write down what happens to them."""

    def __init__(self, log: Log, hold: Hold | None = None, key: str = "worker") -> None:
        self.written = log
        self.hold = Hold() if hold is None else hold
        self.key = key

    async def setup(self) -> None:
        self.nursery.start_soon(self._help)

    async def teardown(self) -> None:
        self.written.append(f"{self.key} torn down")

    @command
    async def work(self, word: str) -> str:
        self.written.append(f"{self.key} {word} begins")
        try:
            await self.hold.here()
        except trio.Cancelled:
            self.written.append(f"{self.key} {word} cancelled")
            raise
        self.written.append(f"{self.key} {word} ends")
        return word

    @command
    async def ask(self, target: Any, word: str) -> str:
        """Call another service."""
        self.written.append(f"{self.key} asks")
        result: str = await self.call(target, "work", word)
        return result

    async def _help(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.written.append(f"{self.key} helper ends")
