"""Xoscar, actors on asyncio: W1 to W7.

Run as a module it is the other process: ``python -m tests.benchmarks.speed.peers.with_xoscar ADDRESS``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import xoscar

from tests.benchmarks.speed.far import end_when_alone, far_of_peer
from tests.benchmarks.speed.timing import Stopwatch, latencies, resident
from tests.benchmarks.speed.workload import Figures
from tests.ports import free_address


class Target(xoscar.Actor):
    """Answers, and counts what it gets."""

    def __init__(self) -> None:
        self._seen = 0

    def echo(self, item: Any) -> Any:
        """Send it back."""
        return item

    def hit(self, item: Any) -> None:
        """Count."""
        self._seen += 1

    def seen(self) -> int:
        """How many were counted."""
        return self._seen


class Source(xoscar.Actor):
    """Calls and sends; the moments between its calls are what it returns."""

    def __init__(self, target: Any, item: Any) -> None:
        self._target = target
        self._item = item

    async def ask(self, rounds: int) -> list[float]:
        """Call in sequence."""
        target, item = self._target, self._item
        stamps = [time.perf_counter()]
        for _ in range(rounds):
            if await target.echo(item) != item:
                raise AssertionError("a wrong answer")
            stamps.append(time.perf_counter())
        return stamps

    async def flood(self, size: int) -> None:
        """Send so many messages."""
        target, item = self._target, self._item
        for _ in range(size):
            await target.hit.tell(item)


@asynccontextmanager
async def _pool(address: str = "") -> AsyncIterator[str]:
    pool = await xoscar.create_actor_pool(address or free_address(), n_process=0)
    async with pool:
        yield pool.external_address


@asynccontextmanager
async def _stage(item: Any, sources: int, other: str = "") -> AsyncIterator[tuple[Any, list[Any]]]:
    """A target, in the other process if it is told which, and so many sources here."""
    async with _pool() as address:
        if other:
            target = await xoscar.actor_ref(address=other, uid="far")
        else:
            target = await xoscar.create_actor(Target, address=address)
        made = [await xoscar.create_actor(Source, target, item, address=address) for _ in range(sources)]
        yield target, made


async def _call(size: int, item: Any, other: str) -> Figures:
    async with _stage(item, 1, other) as (_, (source,)):
        await source.ask(size // 10)
        watch = Stopwatch()
        stamps = await source.ask(size)
        return watch.figures(size) | latencies(stamps)


async def _calls(size: int, item: Any, concurrent: int, other: str) -> Figures:
    async with _stage(item, concurrent, other) as (_, sources):
        each = size // concurrent
        await asyncio.gather(*[source.ask(each // 10) for source in sources])
        watch = Stopwatch()
        await asyncio.gather(*[source.ask(each) for source in sources])
        return watch.figures(each * concurrent)


async def _one_way(size: int, item: Any, other: str) -> Figures:
    async with _stage(item, 1, other) as (target, (source,)):
        before = await target.seen()
        watch = Stopwatch()
        await source.flood(size)
        while await target.seen() - before < size:  # noqa: ASYNC110 - an actor has no event to wait for
            await asyncio.sleep(0)
        return watch.figures(size)


async def _lives(size: int) -> Figures:
    async with _pool() as address:
        whole = Stopwatch()
        actors = [await xoscar.create_actor(Target, address=address) for _ in range(size)]
        start, watch = size / whole.seconds(), Stopwatch()
        for actor in actors:
            await xoscar.destroy_actor(actor)
        return whole.figures(size) | {"start": start, "stop": size / watch.seconds()}


async def _memory(size: int) -> Figures:
    async with _pool() as address:
        before = resident()
        actors = [await xoscar.create_actor(Target, address=address) for _ in range(size)]
        held = resident() - before
        if await actors[-1].echo(size) != size:
            raise AssertionError("a wrong answer")
        return {"memory": held / size / 1024}


def one_way(size: int) -> Figures:
    """One actor tells another one."""
    return asyncio.run(_one_way(size, 1, ""))


def call(size: int) -> Figures:
    """One actor calls another one, in sequence."""
    return asyncio.run(_call(size, 1, ""))


def calls(size: int, concurrent: int) -> Figures:
    """Many actors call one."""
    return asyncio.run(_calls(size, 1, concurrent, ""))


def lives(size: int) -> Figures:
    """Start actors and stop them."""
    return asyncio.run(_lives(size))


def memory(size: int) -> Figures:
    """Memory of an idle actor."""
    return asyncio.run(_memory(size))


def _remotely(work: Callable[[str], Awaitable[Figures]]) -> Figures:
    address = free_address()

    async def run() -> Figures:
        return await work(address)

    with far_of_peer("peers.with_xoscar", address):
        return asyncio.run(run())


def remote_call(size: int, payload: int) -> Figures:
    """One actor calls another one in another process, in sequence."""
    return _remotely(lambda other: _call(size, bytes(payload), other))


def remote_calls(size: int, payload: int, concurrent: int) -> Figures:
    """Many actors call one in another process."""
    return _remotely(lambda other: _calls(size, bytes(payload), concurrent, other))


def remote_one_way(size: int, payload: int) -> Figures:
    """One actor tells another one in another process."""
    return _remotely(lambda other: _one_way(size, bytes(payload), other))


async def _serve(address: str) -> None:
    async with _pool(address) as own:
        await xoscar.create_actor(Target, address=own, uid="far")
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    end_when_alone()
    asyncio.run(_serve(sys.argv[1]))
