"""W5 to W7 and W10: two processes in a cluster, linked over TCP on the loopback interface.

Run as a module it is the other process: ``python -m tests.benchmarks.speed.remote MASTER OTHERS``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from tests.benchmarks.speed.crowd import FIRST
from tests.benchmarks.speed.far import open_far, run_far
from tests.benchmarks.speed.local import start_idle
from tests.benchmarks.speed.timing import Stopwatch, latencies
from tests.benchmarks.speed.workload import Figures
from tests.ports import free_address
from trionet import ClusterConfig, Harbor, Node, NodeConfig, Service, command, open_node, spec

# --- the other process -------------------------------------------------------------------------------


class Far(Service):
    """Answers, and counts what it gets."""

    def __init__(self) -> None:
        self.seen = 0
        self._expected = 0
        self._all = trio.Event()

    @command
    def echo(self, item: bytes) -> bytes:
        """Send it back."""
        return item

    @command
    def hit(self, item: bytes) -> None:
        """Count."""
        self.seen += 1
        if self.seen == self._expected:
            self._all.set()

    @command
    async def handled(self, size: int) -> int:
        """Wait until so many have been counted."""
        if self.seen < size:
            self._expected, self._all = size, trio.Event()
            await self._all.wait()
        return self.seen


async def _serve(master: str, others: str) -> None:
    network = Harbor(ClusterConfig(harbor=2, master=master))
    async with open_node(NodeConfig(name="far"), network=network) as node:
        await start_idle(node, int(others))
        await node.start(Far, name="far")
        await node.start(Far, name="aside")
        print("ready", flush=True)
        await node.serve_forever()


# --- this process ------------------------------------------------------------------------------------


class Near(Service):
    """Calls and sends across the link; the moments between the calls go into a list."""

    def __init__(self, target: Far, payload: int, stamps: list[float]) -> None:
        self.target = target
        self.payload = bytes(payload)
        self.stamps = stamps

    @command
    async def ask(self, rounds: int) -> None:
        """Call in sequence."""
        target, payload, stamps = self.target, self.payload, self.stamps
        stamps[:] = [time.perf_counter()]
        for _ in range(rounds):
            if await target.echo(payload) != payload:
                raise AssertionError("a wrong answer")
            stamps.append(time.perf_counter())

    @command
    async def flood(self, size: int) -> None:
        """Send so many messages."""
        target, payload = self.target, self.payload
        for _ in range(size):
            await target.hit.send(payload)


@asynccontextmanager
async def _open_pair(others: int = 0, links: int = 1) -> AsyncIterator[tuple[Node, Far]]:
    """Open a node here that is linked to one in another process; gives a reference by handle there.

    Args:
        others: idle services on each of them.
        links: links of this node; those to other nodes than that one are idle.
    """
    master = free_address()
    network = Harbor(ClusterConfig(harbor=1, master=master, standalone=master))
    async with AsyncExitStack() as stack:
        config = NodeConfig(name="near", stop_grace=600.0)
        node = await stack.enter_async_context(open_node(config, network=network))
        await stack.enter_async_context(open_far("remote", master, str(others)))
        if links > 1:
            await stack.enter_async_context(open_far("crowd", master, str(links - 1)))
        for harbor in (2, *range(FIRST, FIRST + links - 1)):
            await node.cluster.wait_connected(harbor)
        await start_idle(node, others)
        yield node, node.ref(await node.wait_for_name("far"), Far)


async def _start(node: Node, far: Far, payload: int, stamps: list[float]) -> Near:
    return await node.start(spec(Near, far, payload, stamps))


async def call(size: int, payload: int, others: int = 0, links: int = 1) -> Figures:
    """One service calls another one across the link, in sequence."""
    stamps: list[float] = []
    async with _open_pair(others, links) as (node, far):
        near = await _start(node, far, payload, stamps)
        await near.ask(size // 10)
        watch = Stopwatch()
        await near.ask(size)
        return watch.figures(size) | latencies(stamps)


async def _ask_all(callers: list[Near], size: int) -> Figures:
    each = size // len(callers)
    watch = Stopwatch()
    async with trio.open_nursery() as nursery:
        for caller in callers:
            nursery.start_soon(caller.ask, each)
    return watch.figures(each * len(callers))


async def calls(size: int, payload: int, concurrent: int, others: int = 0, links: int = 1) -> Figures:
    """Many services call one across the link, concurrently."""
    async with _open_pair(others, links) as (node, far):
        callers = [await _start(node, far, payload, []) for _ in range(concurrent)]
        await _ask_all(callers, size // 10)
        return await _ask_all(callers, size)


async def one_way(size: int, payload: int, others: int = 0, links: int = 1) -> Figures:
    """One service sends to another one across the link, until all are handled."""
    async with _open_pair(others, links) as (node, far):
        near = await _start(node, far, payload, [])
        warm = size // 10
        await near.flood(warm)
        await far.handled(warm)
        watch = Stopwatch()
        await near.flood(size)
        seen = await far.handled(warm + size)
        figures = watch.figures(size)
    if seen != warm + size:
        raise AssertionError(f"{seen} of {warm + size} messages were handled")
    return figures


async def under_load(size: int, payload: int, flooded: str) -> Figures:
    """Calls in sequence while another service sends as fast as it can across the same link.

    It sends to the service that is called, ``"far"``, or to another one of its node, ``"aside"``.
    ``p50`` is that of calls without the load, ``p99`` that of calls under it; the rate is that of the load.
    """
    stamps: list[float] = []
    async with _open_pair() as (node, far):
        near = await _start(node, far, payload, stamps)
        goal = node.ref(await node.wait_for_name(flooded), Far)
        load = await _start(node, goal, payload, [])
        await near.ask(size // 10)
        await near.ask(size)
        quiet = latencies(stamps)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.flood, sys.maxsize)
            await near.ask(size // 10)
            before = await goal.handled(0)
            watch = Stopwatch()
            await near.ask(size)
            sent = await goal.handled(0) - before
            figures = watch.figures(sent)
            nursery.cancel_scope.cancel()
    return {"rate": figures["rate"], "p50": quiet["p50"], "p99": latencies(stamps)["p99"]}


if __name__ == "__main__":
    run_far(_serve, *sys.argv[1:])
