"""Whoever leaves in the very moment in which a link ends (C4, C6)."""

from __future__ import annotations

import pytest
import trio

from tests.kernel.fountain import Fountain, fountain
from tests.kernel.stage import Stage
from trionet import NodeDown, NodeGone, spec
from trionet.testing import open_cluster

pytestmark = pytest.mark.usefixtures("virtual_time")


async def test_who_leaves_a_stream_because_the_node_is_gone() -> None:
    """That news and the end of the link come together; the stream is left as at any other time."""
    async with open_cluster(2) as cluster, trio.open_nursery() as nursery:
        source = cluster[1].ref(await cluster[2].start(spec(fountain(), Stage())), Fountain)
        left = []

        async def consume(*, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
            with trio.CancelScope() as scope:
                async with source.at_gates("a") as items:
                    task_status.started(scope)
                    await items.receive()
            left.append(scope.cancelled_caught)

        async with cluster[1].cluster.events() as events:
            scopes = [await nursery.start(consume) for _ in range(3)]
            cluster.isolate(2)
            async for event in events:
                if isinstance(event, NodeGone):
                    break
            for scope in scopes:
                scope.cancel()
            await trio.sleep(2)
        assert left == [True, True, True]
        with pytest.raises(NodeDown):
            await source.count(1).__aenter__()
        cluster.heal()
