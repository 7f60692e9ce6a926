"""Many idle nodes of a cluster in one process: ``python -m tests.benchmarks.speed.crowd MASTER NODES``.

Their harbor ids are 3, 4, ...; each is linked to every other node of the cluster.
"""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack

import trio

from tests.benchmarks.speed.far import run_far
from trionet import ClusterConfig, Harbor, NodeConfig, open_node

#: The first harbor id.
FIRST = 3


async def _serve(master: str, nodes: str) -> None:
    async with AsyncExitStack() as stack:
        for harbor in range(FIRST, FIRST + int(nodes)):
            network = Harbor(ClusterConfig(harbor=harbor, master=master))
            await stack.enter_async_context(open_node(NodeConfig(name=f"idle{harbor}"), network=network))
        print("ready", flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    run_far(_serve, *sys.argv[1:])
