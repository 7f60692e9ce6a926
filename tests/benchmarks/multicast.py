"""A thousand subscribers on two nodes, one of them frozen: what the others notice, and bytes on the wire."""

from __future__ import annotations

import signal
import time

import trio

from tests.benchmarks.child import MISSED
from tests.benchmarks.multicast_child import HEARTBEAT, TICKS, Crowd
from tests.benchmarks.stage import open_stage
from trionet import Node

#: Messages a second, their bytes, and how long they are published for each line of the result, in seconds.
RATE, SIZE, SECONDS = 20, 16, 5.0
#: Messages that wait for a subscriber at most.
QUEUE = 10_000
#: The two nodes of the subscribers.
GOOD, FROZEN = 2, 3


class Publisher:
    """Publishes at a steady rate.

    Args:
        node: where.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.published = 0

    def sent(self, harbor: int) -> int:
        """Bytes sent to a node so far."""
        return sum(link.bytes_sent for link in self._node.cluster.links() if link.harbor == harbor)

    async def publish(self, seconds: float) -> tuple[int, float]:
        """Publish for some time; returns how many messages, and the longest that one publish took."""
        longest = 0.0
        count = round(RATE * seconds)
        began = trio.current_time()
        for number in range(count):
            await trio.sleep_until(began + number / RATE)
            before = time.monotonic()
            self.published += 1
            await TICKS.publish(self._node, (self.published, before, bytes(SIZE)))
            longest = max(longest, time.monotonic() - before)
        return count, longest


def _line(what: str, published: tuple[int, float], got: tuple[int, int, float, float], each: int) -> str:
    count, longest = published
    received, missed, median, latest = got
    return (
        f"{what}: {received:,} of {count * each:,} deliveries, {missed} missed, after {1000 * median:.1f} ms "
        f"(median) and {1000 * latest:.1f} ms (longest); publishing took at most {1000 * longest:.1f} ms"
    )


async def measure(subscribers: int) -> list[str]:
    """Measure all of it."""
    lines = []
    each = subscribers // 2
    async with open_stage("multicast_child", "crowd", HEARTBEAT, GOOD, FROZEN) as (node, children):
        good, frozen = (node.ref(f"crowd{harbor}", Crowd) for harbor in (GOOD, FROZEN))
        publisher = Publisher(node)
        for crowd in (good, frozen):
            await crowd.subscribe(each, QUEUE)
        await publisher.publish(0.5)
        await trio.sleep(0.5)
        for crowd in (good, frozen):
            await crowd.results()

        before = publisher.sent(GOOD)
        published = await publisher.publish(SECONDS)
        size = (publisher.sent(GOOD) - before) / published[0]
        await trio.sleep(0.5)
        lines.append(_line("both nodes well", published, await good.results(), each))
        await frozen.results()
        lines.append(
            f"bytes on the wire for a message of {SIZE} bytes to {each} subscribers of a node: {size:.0f}, "
            "with everything else on the link"
        )

        children[FROZEN].send_signal(signal.SIGSTOP)
        published = await publisher.publish(SECONDS / 2)
        await trio.sleep(0.5)
        lines.append(_line("one node frozen, its link alive", published, await good.results(), each))
        more = await publisher.publish(MISSED * HEARTBEAT + SECONDS)
        await trio.sleep(0.5)
        lines.append(_line("its link dies", more, await good.results(), each))
        total = published[0] + more[0]

        children[FROZEN].send_signal(signal.SIGCONT)
        await node.cluster.wait_connected(FROZEN)
        await trio.sleep(5)
        after = await publisher.publish(1)
        await trio.sleep(2)
        received, missed, _, _ = await frozen.results()
        total += after[0]
        lines.append(
            f"it thaws: its subscribers have received {received / each:.0f} and were told that they missed "
            f"{missed / each:.0f} of the {total} messages since it was frozen"
        )
    return lines
