"""What a message to many costs, in numbers that do not depend on the machine.

The numbers are what holds today; whoever makes something cheaper lowers its number.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.gauges import cost_of, traffic
from trionet import Node
from trionet.services import Topic
from trionet.testing import open_cluster

PAYLOAD = bytes(16)
SUBSCRIBERS = 100
TOPIC = Topic[bytes]("topic")


async def listen(node: Node, *, task_status: trio.TaskStatus[None]) -> None:
    async with TOPIC.subscribe(node, queue=1000) as messages:
        task_status.started()
        async for item in messages:
            assert item == PAYLOAD
        raise AssertionError(messages.missed)


@pytest.mark.parametrize("burst", [1, 20])
async def test_a_message_to_many_of_this_node(node: Node, burst: int) -> None:
    """For each subscriber: that it is woken once, or not at all if it has not yet had its turn."""
    async with trio.open_nursery() as nursery:
        for _ in range(SUBSCRIBERS):
            await nursery.start(listen, node)

        async def publish(times: int) -> None:
            for _ in range(times // burst):
                async with trio.open_nursery() as publishers:
                    for _ in range(burst):
                        publishers.start_soon(TOPIC.publish, node, PAYLOAD)
                await wait_all_tasks_blocked()

        steps, functions = await cost_of(publish, 100)
        assert steps / SUBSCRIBERS <= (1.1 if burst == 1 else 0.1)
        assert functions / SUBSCRIBERS <= (15.5 if burst == 1 else 6)
        nursery.cancel_scope.cancel()


async def test_a_message_to_many_of_another_node(virtual_time: None) -> None:
    """One copy, however many there are, and as few writes as possible."""
    async with open_cluster(2) as cluster, trio.open_nursery() as nursery:
        for _ in range(SUBSCRIBERS):
            await nursery.start(listen, cluster[2])
        await TOPIC.publish(cluster[1], PAYLOAD)
        await trio.sleep(0.5)
        with traffic() as seen:
            async with trio.open_nursery() as publishers:
                for _ in range(100):
                    publishers.start_soon(TOPIC.publish, cluster[1], PAYLOAD)
            await trio.sleep(0.5)
        assert seen.size / 100 <= 30
        assert seen.writes <= 3
        with traffic() as seen:
            for _ in range(100):
                await TOPIC.publish(cluster[1], PAYLOAD)
                await trio.sleep(0.02)
        assert seen.size / 100 <= 65
        assert seen.writes / 100 <= 1.1
        nursery.cancel_scope.cancel()
