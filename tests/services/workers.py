"""Services for tests that start them on other nodes."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import trio

from tests.kernel.nodes import Echo as Borrowed
from trionet import Service, command, value

NUMBER = 5
Imported = Borrowed


class WorkerApi(Service):
    """What a worker does."""

    @command
    @abstractmethod
    async def double(self, number: int) -> int: ...


class Worker(WorkerApi):
    """Starts well."""

    def __init__(self, size: int, *, unit: str = "m") -> None:
        self.size = size
        self.unit = unit

    @command
    async def double(self, number: int) -> int:
        return 2 * number

    @command
    def describe(self) -> str:
        return f"{self.size} {self.unit} on harbor {self.node.harbor}"

    def debug_info(self) -> object:
        return {"size": self.size, "handle": self.handle}


class Plain(Service):
    """Needs no arguments."""


@value
class NoWorkshop(Exception):
    """A declared exception."""


class Failing(Service):
    """Its setup raises."""

    async def setup(self) -> None:
        await trio.sleep(0.1)
        raise NoWorkshop("the roof is leaking")


class Hanging(Service):
    """Its setup never ends."""

    ended: ClassVar[list[str]] = []

    async def setup(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.ended.append("setup")


class Secretive(Service):
    """Tells nothing, and fails to."""

    def debug_info(self) -> object:
        raise ValueError("no comment")


class Narrow(Service, concurrency=1):
    """One slot."""

    @command
    async def hold(self, seconds: float) -> None:
        await trio.sleep(seconds)


def no_class() -> None:
    """No class at all."""


class NoService:
    """A class, but of no service."""
