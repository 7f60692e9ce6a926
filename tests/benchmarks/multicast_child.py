"""One node of a real cluster with many subscribers, as a child process.

``python -m tests.benchmarks.multicast_child HARBOR MASTER [STANDALONE]`` registers ``crowdN`` (N is its
harbor id) and serves until it is killed.
"""

from __future__ import annotations

import sys
import time

import trio

from tests.benchmarks.child import cluster_config
from trionet import Harbor, NodeConfig, Service, command, open_node
from trionet.services import Topic

#: Seconds.
HEARTBEAT = 1.0
#: A message is its number, when it was published on the clock of the machine, and some bytes.
TICKS = Topic[tuple[int, float, bytes]]("ticks")


class Crowd(Service):
    """Many subscribers of one node, and what they got."""

    def __init__(self) -> None:
        self._received = 0
        self._missed = 0
        self._latest = 0.0
        self._late: list[float] = []

    @command
    async def subscribe(self, subscribers: int, queue: int) -> None:
        """Start so many."""
        for _ in range(subscribers):
            await self.nursery.start(self._listen, queue)

    async def _listen(self, queue: int, *, task_status: trio.TaskStatus[None]) -> None:
        async with TICKS.subscribe(self, queue=queue) as messages:
            task_status.started()
            async for _, published, _ in messages:
                self._latest = time.monotonic()
                self._received += 1
                self._missed += messages.gap
                self._late.append(self._latest - published)

    @command
    def results(self) -> tuple[int, int, float, float]:
        """Messages received and missed, median and longest time on the way, since the last time."""
        late = sorted(self._late) or [0.0]
        found = self._received, self._missed, late[len(late) // 2], late[-1]
        self._received, self._missed, self._late = 0, 0, []
        return found


async def _serve(harbor: int, master: str, standalone: str | None) -> None:
    network = Harbor(cluster_config(harbor, master, HEARTBEAT, standalone))
    async with open_node(NodeConfig(name=f"node{harbor}"), network=network) as node:
        await node.start(Crowd, name=f"crowd{harbor}")
        await node.serve_forever()


if __name__ == "__main__":
    trio.run(_serve, int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
