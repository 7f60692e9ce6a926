"""W9: simulated nodes that all join one cluster at once, in virtual time; what is measured is real time."""

from __future__ import annotations

import time

import trio

from tests.benchmarks.speed.workload import Figures
from trionet import Harbor
from trionet.testing import open_cluster, run_simulated


async def _join(nodes: int) -> Figures:
    with trio.CancelScope() as scope:
        async with open_cluster(nodes=1) as cluster:
            harbor = cluster[1].network
            assert isinstance(harbor, Harbor)
            assert harbor.master is not None
            before = harbor.master.messages
            virtual, began = trio.current_time(), time.perf_counter()
            async with trio.open_nursery() as nursery:
                for number in range(2, nodes + 1):
                    nursery.start_soon(cluster.start, number)
            figures = {
                "seconds": time.perf_counter() - began,
                "virtual": trio.current_time() - virtual,
                "messages": float(harbor.master.messages - before),
            }
            await cluster.settle()
            scope.cancel()
    return figures


def join(_: int, nodes: int) -> Figures:
    """Start so many nodes; the master's node runs already."""
    return run_simulated(_join, nodes)
