"""W8: one publisher, and subscribers of which each node has half.

Run as a module it is the other process: ``python -m tests.benchmarks.speed.fanout MASTER``.
"""

from __future__ import annotations

import sys

import trio

from tests.benchmarks.speed.far import open_far, run_far
from tests.benchmarks.speed.timing import Stopwatch
from tests.benchmarks.speed.workload import Figures
from tests.ports import free_address
from trionet import ClusterConfig, Harbor, NodeConfig, Service, command, open_node, spec

PAYLOAD = bytes(16)


class Deliveries:
    """Counts what all subscribers of one node got."""

    def __init__(self) -> None:
        self.seen = 0
        self._expected = 0
        self._all = trio.Event()

    def count(self) -> None:
        """One more was handled."""
        self.seen += 1
        if self.seen == self._expected:
            self._all.set()

    async def wait(self, expected: int) -> None:
        """Wait until so many were handled."""
        if self.seen < expected:
            self._expected, self._all = expected, trio.Event()
            await self._all.wait()


class Subscriber(Service):
    """Gets what is published."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries

    @command
    def published(self, item: bytes) -> None:
        """Count."""
        self._deliveries.count()


class Host(Service):
    """Starts the subscribers of a node, and knows what they got."""

    def __init__(self) -> None:
        self._deliveries = Deliveries()

    @command
    async def subscribe(self, subscribers: int) -> list[Subscriber]:
        """Start so many."""
        return [await self.node.start(spec(Subscriber, self._deliveries)) for _ in range(subscribers)]

    @command
    async def delivered(self, expected: int) -> int:
        """Wait until so many messages were handled; returns how many really were."""
        await self._deliveries.wait(expected)
        return self._deliveries.seen


class SendingPublisher(Service):
    """Publishes by a send to each subscriber."""

    def __init__(self, subscribers: list[Subscriber]) -> None:
        self._subscribers = subscribers

    @command
    async def publish(self, times: int) -> None:
        """Publish so often."""
        for _ in range(times):
            for subscriber in self._subscribers:
                await subscriber.published.send(PAYLOAD)


async def by_sends(size: int, subscribers: int) -> Figures:
    """Publish until so many deliveries were made; the subscribers are on two nodes."""
    master = free_address()
    network = Harbor(ClusterConfig(harbor=1, master=master, standalone=master))
    async with open_node(NodeConfig(name="near"), network=network) as node, open_far("fanout", master):
        await node.cluster.wait_connected(2)
        hosts = [await node.start(Host), node.ref(await node.wait_for_name("far"), Host)]
        half = subscribers // 2
        targets = [each for host in hosts for each in await host.subscribe(half)]
        publisher = await node.start(spec(SendingPublisher, targets))
        warm, times = max(1, size // 10 // subscribers), max(1, size // subscribers)
        await publisher.publish(warm)
        for host in hosts:
            await host.delivered(warm * half)
        watch = Stopwatch()
        await publisher.publish(times)
        for host in hosts:
            seen = await host.delivered((warm + times) * half)
            if seen != (warm + times) * half:
                raise AssertionError(f"{seen} deliveries of {(warm + times) * half}")
        return watch.figures(times * half * 2)


async def _serve(master: str) -> None:
    network = Harbor(ClusterConfig(harbor=2, master=master))
    async with open_node(NodeConfig(name="far"), network=network) as node:
        await node.start(Host, name="far")
        print("ready", flush=True)
        await node.serve_forever()


if __name__ == "__main__":
    run_far(_serve, sys.argv[1])
