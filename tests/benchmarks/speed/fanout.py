"""W8: one publisher, and subscribers of which each node has half.

Run as a module it is the other process: ``python -m tests.benchmarks.speed.fanout MASTER``.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

import trio

from tests.benchmarks.speed.far import open_far, run_far
from tests.benchmarks.speed.timing import Stopwatch
from tests.benchmarks.speed.workload import Figures
from tests.ports import free_address
from trionet import ClusterConfig, Harbor, Node, NodeConfig, Service, command, open_node, spec
from trionet.services import Topic

PAYLOAD = bytes(16)
TOPIC = Topic[bytes]("fanout")


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


class TopicSubscriber(Service):
    """Takes what is published on a topic."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries

    async def setup(self) -> None:
        """Subscribe."""
        await self.nursery.start(self._listen)

    async def _listen(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with TOPIC.subscribe(self, overflow="wait") as messages:
            task_status.started()
            async for _ in messages:
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
    async def subscribe_to_topic(self, subscribers: int) -> None:
        """Start so many."""
        for _ in range(subscribers):
            await self.node.start(spec(TopicSubscriber, self._deliveries))

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


class TopicPublisher(Service):
    """Publishes on a topic."""

    @command
    async def publish(self, times: int) -> None:
        """Publish so often."""
        for _ in range(times):
            await TOPIC.publish(self, PAYLOAD)


Publisher = SendingPublisher | TopicPublisher
Prepare = Callable[[Node, list[Host], int], Awaitable[Publisher]]


async def _for_sends(node: Node, hosts: list[Host], half: int) -> SendingPublisher:
    targets = [each for host in hosts for each in await host.subscribe(half)]
    return await node.start(spec(SendingPublisher, targets))


async def _for_topic(node: Node, hosts: list[Host], half: int) -> TopicPublisher:
    for host in hosts:
        await host.subscribe_to_topic(half)
    return await node.start(TopicPublisher)


async def _measure(size: int, subscribers: int, prepare: Prepare) -> Figures:
    """Publish until so many deliveries were made; the subscribers are on two nodes."""
    master = free_address()
    network = Harbor(ClusterConfig(harbor=1, master=master, standalone=master))
    async with open_node(NodeConfig(name="near"), network=network) as node, open_far("fanout", master):
        await node.cluster.wait_connected(2)
        hosts = [await node.start(Host), node.ref(await node.wait_for_name("far"), Host)]
        half = subscribers // 2
        publisher = await prepare(node, hosts, half)
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


async def by_sends(size: int, subscribers: int) -> Figures:
    """Publish by a send to each subscriber."""
    return await _measure(size, subscribers, _for_sends)


async def by_topic(size: int, subscribers: int) -> Figures:
    """Publish on a topic."""
    return await _measure(size, subscribers, _for_topic)


async def _serve(master: str) -> None:
    network = Harbor(ClusterConfig(harbor=2, master=master))
    async with open_node(NodeConfig(name="far"), network=network) as node:
        await node.start(Host, name="far")
        print("ready", flush=True)
        await node.serve_forever()


if __name__ == "__main__":
    run_far(_serve, sys.argv[1])
