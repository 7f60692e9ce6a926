"""The services that the type tests are about: an interface class, what implements it, and another."""

from __future__ import annotations

from abc import abstractmethod

from trionet import Service, command


class CounterApi(Service):
    """An interface: commands without bodies."""

    @command
    @abstractmethod
    async def add(self, amount: int) -> int: ...

    @command
    @abstractmethod
    def describe(self, *, long: bool = False) -> str: ...


class Counter(CounterApi, concurrency=1):
    """A service with a state, and with one command that its interface does not have."""

    def __init__(self, total: int, name: str = "counter") -> None:
        self.total = total
        self.name = name

    @command
    async def add(self, amount: int) -> int:
        self.total += amount
        return self.total

    @command
    def describe(self, *, long: bool = False) -> str:
        return f"the {self.name}" if long else self.name

    @command(shielded=True, deadline=5)
    async def reset(self) -> None:
        self.total = 0


class Clock(Service):
    """A service whose constructor needs nothing."""

    @command
    async def now(self) -> float:
        return 0.0

    @command(deadline=1.0)
    def zone(self) -> str:
        return "UTC"
