"""Random lives of streams in a cluster where things go wrong, each drawn from one seed.

Whatever happens, a consumer receives what was yielded, in order and without a gap; a stream that ends as it
should gave all of it; a producer is never further ahead than the buffer; and every generator ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from random import Random

import attrs
import pytest
import trio
from trio.testing import MockClock

from trionet import CallError, ClusterConfig, Node, NodeConfig, Service, spec, stream
from trionet.testing import SimulatedCluster, open_cluster

NODES = 3
#: Seconds in which things go wrong, and in which all has come to its end afterwards.
TROUBLE, PEACE = 40.0, 60.0
SETTINGS = ClusterConfig(window_messages=4, reconnect_most=2.0, heartbeat=1.0, heartbeat_timeout=4.0)


@attrs.define
class Course:
    """One stream.

    Args:
        items: how many there should be.
        buffer: how many may be ahead.
        node: the incarnation of the producer's node.
        yielded: how many were yielded.
        received: how many were received.
        is_open: whether its generator runs.
        end: how it ended for the consumer.
    """

    items: int
    buffer: int
    node: int = 0
    yielded: int = 0
    received: int = 0
    is_open: bool = False
    end: str = "none"


class Life:
    """What all parts of one simulation share."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.courses: dict[int, Course] = {}
        self.numbers = count(1)
        self.sources: dict[Node, Source] = {}
        self.crashed: set[int] = set()


class Source(Service, concurrency=4):
    """Gives numbers, sometimes slowly."""

    def __init__(self, life: Life) -> None:
        self.life = life

    @stream
    async def give(self, number: int, pause: float) -> AsyncIterator[tuple[int, int]]:
        course = self.life.courses[number]
        course.is_open, course.node = True, self.node.incarnation
        try:
            for item in range(course.items):
                if pause and item % 10 == 0:
                    await trio.sleep(pause)
                course.yielded += 1
                yield number, item
        finally:
            course.is_open = False


async def consume(life: Life, node: Node, source: Source) -> None:
    """Open one stream and take what it gives, with a random amount of patience."""
    random, number = life.random, next(life.numbers)
    course = life.courses[number] = Course(random.choice([0, 1, 20, 200]), random.choice([1, 3, 64]))
    pause = random.choice([0.0, 0.0, 0.05])
    most = random.choice([1, 15, 10_000, 10_000])
    with trio.move_on_after(random.choice([0.01, 2.0, 50.0])):
        try:
            reference = node.ref(source, Source)
            call = reference.give.options(buffer=course.buffer)(number, random.choice([0.0, 0.1]))
            async with call as items:
                course.end = "left"
                while course.received < most:
                    assert await items.receive() == (number, course.received)
                    course.received += 1
                    assert course.yielded <= course.received + course.buffer
                    if pause and course.received % 7 == 0:
                        await trio.sleep(pause)
        except trio.EndOfChannel:
            course.end = "over"
        except CallError as error:
            course.end = type(error).__name__


async def consumers(life: Life, node: Node) -> None:
    """Open streams again and again from one node, until it crashes or time is over."""
    with trio.move_on_after(TROUBLE):
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(life.random.uniform(0, 3))
                source = life.random.choice(list(life.sources.values()))
                nursery.start_soon(consume, life, node, source)


async def trouble(life: Life, cluster: SimulatedCluster) -> None:
    """Services are killed, a node crashes and comes back, the network is cut and heals."""
    random = life.random
    ends = trio.current_time() + TROUBLE
    while trio.current_time() < ends:
        await trio.sleep(random.uniform(3, 12))
        match random.choice(["kill", "kill", "cut", "crash"]):
            case "kill":
                node = random.choice(list(life.sources))
                await node.kill(life.sources.pop(node))
                life.sources[node] = await node.start(spec(Source, life))
            case "cut":
                cluster.isolate(random.randint(1, NODES))
                await trio.sleep(random.uniform(1, 8))
                cluster.heal()
            case "crash":
                number = random.randint(2, NODES)
                node = cluster[number]
                life.crashed.add(node.incarnation)
                life.sources.pop(node, None)
                await cluster.crash(number)
                node = await cluster.restart(number)
                life.sources[node] = await node.start(spec(Source, life))


@pytest.mark.one_path  # streams go one way only
@pytest.mark.parametrize("seed", range(4))
async def test_c14_streams_in_trouble(autojump_clock: MockClock, seed: int) -> None:
    life = Life(seed)
    config = NodeConfig(call_deadline=5.0)
    async with open_cluster(NODES, seed=seed, config=config, settings=SETTINGS) as cluster:
        for node in list(cluster.nodes.values()):
            life.sources[node] = await node.start(spec(Source, life))
        async with trio.open_nursery() as nursery:
            for node in list(cluster.nodes.values()):
                nursery.start_soon(consumers, life, node)
            nursery.start_soon(trouble, life, cluster)
        cluster.heal()
        await trio.sleep(PEACE)
    ends = {course.end for course in life.courses.values()}
    assert {"over", "left"} < ends  # and by what went wrong
    for course in life.courses.values():
        assert course.received == course.items or course.end != "over"
        assert not course.is_open or course.node in life.crashed
        assert course.received <= course.yielded
