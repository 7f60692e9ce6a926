"""Many real processes that join one cluster: time, memory, messages of the master."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.benchmarks.child import cluster_config
from tests.benchmarks.failures import MASTER, spawn
from trionet import Harbor, NodeConfig, open_node

#: Seconds; the default of trionet.
HEARTBEAT = 5.0


def _resident(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


async def join(processes: int) -> list[str]:
    """Start so many processes at once, this one among them as the master; wait until all are linked."""
    children: list[subprocess.Popen[bytes]] = []
    network = Harbor(cluster_config(1, MASTER, HEARTBEAT, MASTER))
    try:
        async with open_node(NodeConfig(name="node1"), network=network) as node:
            began = time.monotonic()
            for harbor in range(2, processes + 1):
                children.append(spawn(harbor, HEARTBEAT))  # noqa: PERF401 - each is to be ended if the next one fails
            for harbor in range(2, processes + 1):
                await node.wait_for_name(f"echo{harbor}")
            seconds = time.monotonic() - began
            for harbor in range(2, processes + 1):
                await node.cluster.wait_connected(harbor)
            assert network.master is not None
            memory = sum(_resident(child.pid) for child in children) / len(children) / 2**20
            return [
                f"{processes} processes joined: {seconds:.1f} s from the first start to the last name",
                f"links of each node: {len(node.cluster.linked())}; memory {memory:.1f} MiB a process",
                f"messages that the master received and sent: {network.master.messages}",
            ]
    finally:
        for child in children:
            child.kill()
            child.wait()
