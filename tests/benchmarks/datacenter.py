"""The datacenter while its process is killed again and again: what was acknowledged, and what is there.

``python -m tests.benchmarks.datacenter HARBOR MASTER FILE`` is the process that is killed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from tests.benchmarks.child import cluster_config
from trionet import Harbor, Node, NodeConfig, NodeDown, open_node, spec
from trionet.services import Datacenter, DatacenterClient, Launcher, RemoteNode, datacenter

MASTER = "127.0.0.1:20151"
HEARTBEAT = 1.0
WRITERS = 50
KILLS = 5
#: Writes of one writer alone, for comparison.
ALONE = 200


class Host:
    """The process with the datacenter."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        words = [sys.executable, "-m", "tests.benchmarks.datacenter", "2", MASTER, str(self._file)]
        self._process = subprocess.Popen(words)

    def kill(self) -> None:
        """Kill it, if it runs."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


class Writing:
    """Writers, and what they know.

    Args:
        dc: the datacenter.
        count: acknowledged writes to make.
        host: killed when a part of them is done, and started again.
    """

    def __init__(self, dc: DatacenterClient, count: int, host: Host) -> None:
        self.acknowledged: dict[str, int] = {}
        self.unknown: dict[str, int] = {}
        self.away: list[float] = []
        self._dc = dc
        self._count = count
        self._host = host
        self._kills = 0
        self._killed = 0.0

    async def run(self) -> float:
        """Write until so many are acknowledged; returns the seconds that it took."""
        began = time.monotonic()
        async with trio.open_nursery() as nursery:
            for writer in range(WRITERS):
                nursery.start_soon(self._write, writer)
        return time.monotonic() - began

    async def _write(self, writer: int) -> None:
        number = 0
        while len(self.acknowledged) < self._count:
            number += 1
            path = f"writers/{writer}/{number}"
            self.unknown[path] = number
            began = time.monotonic()
            try:
                await self._dc.set(path, number)
            except NodeDown:
                continue
            self.acknowledged[path] = self.unknown.pop(path)
            self._note(began)

    def _note(self, began: float) -> None:
        """A write was acknowledged; an answer that was on its way at a kill says nothing of the next life."""
        if self._killed and began > self._killed:
            self.away.append(time.monotonic() - self._killed)
            self._killed = 0.0
        if (
            not self._killed
            and self._kills < KILLS
            and len(self.acknowledged) >= self._count * (self._kills + 1) // (KILLS + 1)
        ):
            self._kills += 1
            self._killed = time.monotonic()
            self._host.kill()
            self._host.start()

    async def lines(self, seconds: float) -> list[str]:
        """Read all of it, and tell what is there."""
        branch = await self._dc.get("writers")
        found = {
            f"writers/{writer}/{key}": each for writer, few in branch.items() for key, each in few.items()
        }
        missing = sum(found.get(path) != number for path, number in self.acknowledged.items())
        done = sum(path in found for path in self.unknown)
        others = len(found.keys() - self.acknowledged.keys() - self.unknown.keys())
        count, up = len(self.acknowledged), seconds - sum(self.away)
        rate = f"{seconds:.1f} s, {count / up:,.0f} a second while it was there"
        return [
            f"{count:,} acknowledged writes by {WRITERS} writers, {self._kills} times SIGKILL: {rate}",
            f"from a SIGKILL to the next acknowledged write: at most {max(self.away, default=0):.2f} s",
            f"acknowledged writes that are missing after the last restart: {missing}",
            f"writes whose fate is unknown to their writers: {len(self.unknown)}, of which {done} were done",
            f"what is there and was never written: {others}",
        ]


async def alone(dc: DatacenterClient) -> str:
    """One writer, one write after another."""
    began = time.monotonic()
    for number in range(ALONE):
        await dc.set("alone", number)
    return f"one writer: {ALONE / (time.monotonic() - began):,.0f} acknowledged writes a second"


@asynccontextmanager
async def open_stage(host: Host) -> AsyncIterator[Node]:
    """Open the node of the writers, which is the master, and start the host."""
    network = Harbor(cluster_config(1, MASTER, HEARTBEAT, MASTER))
    try:
        async with open_node(NodeConfig(name="node1"), network=network) as node:
            host.start()
            await node.wait_for_name("datacenter")
            await node.cluster.wait_connected(2)
            yield node
    finally:
        host.kill()


async def measure(count: int) -> list[str]:
    """Measure all of it."""
    with TemporaryDirectory() as folder:
        host = Host(Path(folder) / "world.db")
        async with open_stage(host) as node:
            dc = datacenter(node)
            lines = [await alone(dc)]
            writing = Writing(dc, count, host)
            lines += await writing.lines(await writing.run())
            seen = await RemoteNode(node, 2).info("datacenter")
            written = count // (KILLS + 1)
            lines.append(f"since the last SIGKILL: {seen['commits']:,} commits for about {written:,} writes")
    return lines


async def _serve(harbor: int, master: str, file: str) -> None:
    network = Harbor(cluster_config(harbor, master, HEARTBEAT, None))
    async with open_node(NodeConfig(name=f"node{harbor}"), network=network) as node:
        await node.start(Launcher, name=".launcher")
        await node.start(spec(Datacenter, file), name="datacenter")
        await node.serve_forever()


if __name__ == "__main__":
    trio.run(_serve, int(sys.argv[1]), sys.argv[2], sys.argv[3])
