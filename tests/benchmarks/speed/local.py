"""W1 to W4 on one node of trionet."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from tests.benchmarks.speed.timing import Stopwatch, latencies, resident
from tests.benchmarks.speed.workload import Figures
from trionet import Node, NodeConfig, Service, command, open_node, spec


class Idle(Service):
    """Lives, and that is all."""


async def start_idle(node: Node, services: int) -> None:
    """Start services that nobody uses."""
    for _ in range(services):
        await node.start(Idle)


@asynccontextmanager
async def open_busy(others: int) -> AsyncIterator[Node]:
    """Open a node on which other services live already."""
    async with open_node(NodeConfig(stop_grace=600.0)) as node:
        await start_idle(node, others)
        yield node


# --- W1 ----------------------------------------------------------------------------------------------


class Tally:
    """Counts messages of one sender, and tells when all were handled in their order."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.seen = 0
        self.done = trio.Event()

    def expect_more(self, more: int) -> int:
        """Expect more messages; returns the number of the first of them."""
        self.expected += more
        self.done = trio.Event()
        return self.seen

    def count(self, number: int) -> None:
        """One more was handled."""
        if number != self.seen:
            raise AssertionError(f"message {number} was handled as number {self.seen}")
        self.seen += 1
        if self.seen == self.expected:
            self.done.set()


class Counter(Service):
    """Counts what it gets."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    @command
    def plain(self, number: int) -> None:
        """Count."""
        self.tally.count(number)

    @command
    async def coroutine(self, number: int) -> None:
        """Count, in a handler that could wait but does not."""
        self.tally.count(number)


class Sender(Service):
    """Sends to another service."""

    def __init__(self, target: Counter) -> None:
        self.target = target

    @command
    async def plain(self, size: int) -> None:
        """Send so many messages to a plain command."""
        target = self.target
        for number in range(size):
            await target.plain.send(number)

    @command
    async def coroutine(self, size: int) -> None:
        """Send so many messages to an async command."""
        target = self.target
        for number in range(size):
            await target.coroutine.send(number)


async def _one_way(node: Node, size: int, way: str) -> Figures:
    tally = Tally(size)
    counter = await node.start(spec(Counter, tally))
    sender = await node.start(spec(Sender, counter))
    watch = Stopwatch()
    await node.call(sender, way, size)
    await tally.done.wait()
    figures = watch.figures(size)
    if tally.seen != size:
        raise AssertionError(f"{tally.seen} of {size} messages were handled")
    return figures


async def one_way(size: int, way: str, others: int = 0) -> Figures:
    """One service sends to another, until all are handled."""
    async with open_busy(others) as node:
        await _one_way(node, size // 10, way)
        return await _one_way(node, size, way)


# --- W2, W3 ------------------------------------------------------------------------------------------


class Echo(Service):
    """Answers."""

    @command
    def plain(self, item: Any) -> Any:
        """Send it back."""
        return item

    @command
    async def coroutine(self, item: Any) -> Any:
        """Send it back, in a handler that could wait but does not."""
        return item


async def ask_plain(target: Echo, rounds: int) -> list[float]:
    """Call in sequence; returns the moments between the calls."""
    stamps = [time.perf_counter()]
    for number in range(rounds):
        if await target.plain(number) != number:
            raise AssertionError("a wrong answer")
        stamps.append(time.perf_counter())
    return stamps


async def ask_coroutine(target: Echo, rounds: int) -> list[float]:
    """As :func:`ask_plain`, the async command."""
    stamps = [time.perf_counter()]
    for number in range(rounds):
        if await target.coroutine(number) != number:
            raise AssertionError("a wrong answer")
        stamps.append(time.perf_counter())
    return stamps


ASK = {"plain": ask_plain, "coroutine": ask_coroutine}


class Caller(Service):
    """Calls another service; the moments between the calls go into a list."""

    def __init__(self, target: Echo, stamps: list[float]) -> None:
        self.target = target
        self.stamps = stamps

    @command
    async def ask(self, rounds: int, way: str) -> None:
        """Call in sequence."""
        self.stamps[:] = await ASK[way](self.target, rounds)


async def call(size: int, way: str, others: int = 0, echo: type[Echo] = Echo) -> Figures:
    """One service calls another in sequence."""
    stamps: list[float] = []
    async with open_busy(others) as node:
        caller = await node.start(spec(Caller, await node.start(echo), stamps))
        await caller.ask(size // 10, way)
        watch = Stopwatch()
        await caller.ask(size, way)
        return watch.figures(size) | latencies(stamps)


async def call_from_main(size: int, way: str) -> Figures:
    """Code outside any service calls a service in sequence."""
    async with open_node() as node:
        echo = await node.start(Echo)
        await ASK[way](echo, size // 10)
        watch = Stopwatch()
        stamps = await ASK[way](echo, size)
        return watch.figures(size) | latencies(stamps)


async def _ask_all(callers: list[Caller], size: int, way: str) -> Figures:
    watch = Stopwatch()
    async with trio.open_nursery() as nursery:
        for caller in callers:
            nursery.start_soon(caller.ask, size // len(callers), way)
    return watch.figures(size // len(callers) * len(callers))


async def calls(size: int, concurrent: int, way: str, others: int = 0, echo: type[Echo] = Echo) -> Figures:
    """Many services call one, concurrently."""
    async with open_busy(others) as node:
        target = await node.start(echo)
        callers = [await node.start(spec(Caller, target, [])) for _ in range(concurrent)]
        await _ask_all(callers, size // 10, way)
        return await _ask_all(callers, size, way)


# --- W4 ----------------------------------------------------------------------------------------------


async def _lives(node: Node, size: int) -> Figures:
    before = node.statistics().services
    whole = Stopwatch()
    services = [await node.start(Echo) for _ in range(size)]
    start = size / whole.seconds()
    if node.statistics().services != before + size:
        raise AssertionError("not all services live")
    watch = Stopwatch()
    for service in services:
        await node.stop(service)
    figures = whole.figures(size) | {"start": start, "stop": size / watch.seconds()}
    if node.statistics().services != before:
        raise AssertionError("not all services have ended")
    return figures


async def lives(size: int, others: int = 0) -> Figures:
    """Start services one after the other, and stop them likewise."""
    async with open_busy(others) as node:
        await _lives(node, size // 10)
        return await _lives(node, size)


async def memory(size: int) -> Figures:
    """Memory of an idle service."""
    async with open_node() as node:
        before = resident()
        services = [await node.start(Echo) for _ in range(size)]
        held = resident() - before
        if await services[-1].plain(size) != size:
            raise AssertionError("a wrong answer")
    return {"memory": held / size / 1024}
