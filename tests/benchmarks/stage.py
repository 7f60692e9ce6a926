"""A cluster of child processes, which this process joins: each runs a module of its own.

Such a module takes ``HARBOR MASTER [STANDALONE]``, and registers a service whose name ends with its id.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.benchmarks.child import cluster_config
from tests.ports import free_address
from trionet import Harbor, Node, NodeConfig, open_node

#: The harbor ids of this process, and of the child that is the master and nothing else.
OWN, MASTER = 1, 9
Children = dict[int, subprocess.Popen[bytes]]


def _spawn(module: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", f"tests.benchmarks.{module}", *words])


@asynccontextmanager
async def open_stage(
    module: str, name: str, heartbeat: float, *harbors: int
) -> AsyncIterator[tuple[Node, Children]]:
    """Start nodes as child processes, that of the master besides, and join them.

    Args:
        module: what each of them runs.
        name: the name of its service, without the harbor id.
        heartbeat: that of this node, in seconds.
        harbors: their harbor ids.
    """
    master = free_address()
    children: Children = {}
    try:
        children[MASTER] = _spawn(module, str(MASTER), master, master)
        for harbor in harbors:
            children[harbor] = _spawn(module, str(harbor), master)
        network = Harbor(cluster_config(OWN, master, heartbeat, None))
        async with open_node(NodeConfig(name=f"node{OWN}"), network=network) as node:
            for harbor in harbors:
                await node.wait_for_name(f"{name}{harbor}")
                await node.cluster.wait_connected(harbor)
            yield node, children
    finally:
        for child in children.values():
            child.kill()
            child.wait()
