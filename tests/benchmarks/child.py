"""One node of a real cluster, as a child process.

``python -m tests.benchmarks.child HARBOR MASTER HEARTBEAT [STANDALONE]`` registers a service ``echoN`` (N is
its harbor id) and serves until it is killed.
"""

from __future__ import annotations

import sys
import time

import trio

from trionet import ClusterConfig, Harbor, NodeConfig, Service, command, open_node

#: Heartbeats, after which a silent link is dead.
MISSED = 4


def cluster_config(harbor: int, master: str, heartbeat: float, standalone: str | None) -> ClusterConfig:
    """The settings of a node of these measurements; the heartbeat is in seconds."""
    return ClusterConfig(
        harbor=harbor,
        master=master,
        standalone=standalone,
        heartbeat=heartbeat,
        heartbeat_timeout=MISSED * heartbeat,
        reconnect_most=0.5,
    )


class Echo(Service):
    """Answers, at once or later, and remembers when it was cancelled."""

    def __init__(self) -> None:
        self._cancelled_at = 0.0

    @command
    def echo(self, item: object) -> object:
        """Send it back."""
        return item

    @command
    async def slow(self, seconds: float) -> float:
        """Answer after some time; returns the moment of the answer, on the clock of the machine."""
        try:
            await trio.sleep(seconds)
        except trio.Cancelled:
            self._cancelled_at = time.monotonic()
            raise
        return time.monotonic()

    @command
    async def slow_via(self, other: Echo, seconds: float) -> float:
        """Call another one that is slow."""
        return await other.slow(seconds)

    @command
    def cancelled_at(self) -> float:
        """When a handler was last cancelled, on the clock of the machine."""
        return self._cancelled_at


async def _serve(harbor: int, master: str, heartbeat: float, standalone: str | None) -> None:
    network = Harbor(cluster_config(harbor, master, heartbeat, standalone))
    async with open_node(NodeConfig(name=f"node{harbor}"), network=network) as node:
        await node.start(Echo, name=f"echo{harbor}")
        print("ready", flush=True)
        await node.serve_forever()


if __name__ == "__main__":
    _standalone = sys.argv[4] if len(sys.argv) > 4 else None
    trio.run(_serve, int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), _standalone)
