"""A service whose streams do what the message says, for the tests of streams."""

from __future__ import annotations

import types
from collections.abc import AsyncIterator
from typing import Any

import trio

from tests.kernel.stage import Stage
from trionet import Service, command, stream


class Fountain(Service):
    """Writes on a stage how its streams begin and end."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @stream
    async def count(self, end: int, begin: int = 0) -> AsyncIterator[int]:
        """Yield numbers, and never wait."""
        self.stage.log.append("begins")
        try:
            for number in range(begin, end):
                yield number
        except trio.Cancelled:
            self.stage.log.append("cancelled")
            raise
        finally:
            self.stage.log.append("ends")

    @stream
    async def give(self, *items: Any) -> AsyncIterator[Any]:
        """Yield what came."""
        for item in items:
            yield item

    @stream
    async def at_gates(self, *keys: str) -> AsyncIterator[str]:
        """Yield each key when its gate is opened."""
        self.stage.log.append("begins")
        try:
            for key in keys:
                await self.stage.gate(key).wait()
                yield key
        except trio.Cancelled:
            self.stage.log.append("cancelled")
            raise
        finally:
            self.stage.log.append("ends")

    @stream(endless=True)
    async def forever(self) -> AsyncIterator[int]:
        """Yield one number and wait for ever."""
        yield 1
        try:
            await trio.sleep_forever()
        finally:
            self.stage.log.append("ends")

    @stream
    async def fail(self, error: Exception | None, after: int, *, wait: bool = False) -> AsyncIterator[int]:
        """Raise after some items."""
        for number in range(after):
            yield number
        if wait:
            await trio.sleep(1)
        raise error or ValueError("of no class that travels")

    @stream
    async def clean_up(self, seconds: float, raising: bool = False) -> AsyncIterator[int]:
        """Take some time to end."""
        try:
            yield 1
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(seconds)
            self.stage.log.append("cleaned up")
            if raising:
                raise KeyError("instead")

    @stream
    async def relay(self, target: Any, name: str, *args: Any) -> AsyncIterator[Any]:
        """Yield what another stream gives."""
        async with self.stream(target, name, *args) as items:
            async for item in items:
                yield item

    @stream
    async def ask(self, target: Any, name: str, *args: Any) -> AsyncIterator[Any]:
        """Yield what a command returns."""
        yield await self.call(target, name, *args)

    @command
    async def note(self, word: str) -> str:
        """Write a word."""
        self.stage.log.append(word)
        return word

    @command
    async def collect(self, target: Any, name: str, *args: Any) -> list[Any]:
        """Return all items of a stream."""
        async with self.stream(target, name, *args) as items:
            return [item async for item in items]

    @command
    async def take_then_call(
        self, taken: int, rest: float, target: Any, name: str, args: list[Any], other: str, *others: Any
    ) -> Any:
        """Take some items of a stream, rest for some seconds, and call while it is open."""
        async with self.stream(target, name, *args) as items:
            for _ in range(taken):
                await items.receive()
            await trio.sleep(rest)
            return await self.call(target, other, *others)


def fountain(**options: Any) -> type[Fountain]:
    """A class of fountains with options of the class statement."""
    body = {"__module__": __name__, "__doc__": "A fountain."}
    made: type[Fountain] = types.new_class("Fountain", (Fountain,), options, lambda names: names.update(body))
    return made
