"""One node of a real cluster with a producer and a consumer of streams, as a child process.

``python -m tests.benchmarks.stream_child HARBOR MASTER [STANDALONE]`` registers ``fountainN`` and
``drinkerN`` (N is its harbor id) and serves until it is killed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator

import trio

from tests.benchmarks.child import cluster_config
from trionet import Harbor, NodeConfig, Service, command, open_node, stream

#: Seconds.
HEARTBEAT = 1.0


class Fountain(Service):
    """Gives items as fast as they are taken, and remembers how far it is and when it was left."""

    def __init__(self) -> None:
        self._yielded = 0
        self._ended = trio.Event()

    @stream
    async def items(self, count: int, size: int = 0) -> AsyncIterator[object]:
        """Yield numbers, or texts of a size."""
        self._yielded = 0
        self._ended = trio.Event()
        try:
            for number in range(count):
                self._yielded += 1
                yield f"{number:0{size}d}" if size else number
        finally:
            self._ended.set()

    @command
    def yielded(self) -> int:
        """How many items the last stream has yielded."""
        return self._yielded

    @command
    async def ended_at(self) -> float:
        """Wait for the end of the last stream; returns its moment, on the clock of the machine."""
        await self._ended.wait()
        return time.monotonic()


class Drinker(Service):
    """Takes what a fountain gives."""

    def __init__(self) -> None:
        self._has_enough = trio.Event()

    @command
    async def drink(self, source: Fountain, count: int, enough: int) -> None:
        """Take all items of a stream; at some time it has enough."""
        async with source.items(count) as items:
            async for number in items:
                if number == enough:
                    self._has_enough.set()

    @command
    async def wait_enough(self) -> None:
        """Wait until it has enough."""
        await self._has_enough.wait()


async def _serve(harbor: int, master: str, standalone: str | None) -> None:
    network = Harbor(cluster_config(harbor, master, HEARTBEAT, standalone))
    async with open_node(NodeConfig(name=f"node{harbor}"), network=network) as node:
        await node.start(Fountain, name=f"fountain{harbor}")
        await node.start(Drinker, name=f"drinker{harbor}")
        await node.serve_forever()


if __name__ == "__main__":
    trio.run(_serve, int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
