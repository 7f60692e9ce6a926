"""Many calls at once to the nodes of a cluster, of which some do not answer."""

from __future__ import annotations

import pytest
import trio

from tests.kernel.stage import Puppet, Stage, start
from trionet import DeadlineExceeded, NodeDown, gather, select
from trionet.testing import SimulatedCluster, open_cluster


async def put_up(cluster: SimulatedCluster, stage: Stage) -> dict[int, Puppet]:
    """A puppet on each node but the first, as the first one sees it."""
    return {
        number: cluster[1].ref(await start(node, stage), Puppet)
        for number, node in cluster.nodes.items()
        if number > 1
    }


@pytest.mark.usefixtures("virtual_time")
async def test_one_node_is_frozen_and_one_dies() -> None:
    """The living answer, the dead one is down, the frozen one is out of time; nothing is left."""
    stage = Stage()
    async with open_cluster(5) as cluster, trio.open_nursery() as nursery:
        puppets = await put_up(cluster, stage)
        cluster.isolate(4)
        began = trio.current_time()
        stage.open("2", "3")
        ended = []
        calls = {number: each.hold(str(number)) for number, each in puppets.items()}
        async with select(calls, deadline=3) as selection:
            async for number, outcome in selection:
                ended.append((number, type(outcome.error)))
                if len(ended) == 2:
                    nursery.start_soon(cluster.crash, 5)
        assert sorted(ended[:2]) == [(2, type(None)), (3, type(None))]
        assert ended[2:] == [(5, NodeDown), (4, DeadlineExceeded)]
        assert trio.current_time() - began == pytest.approx(4, abs=0.1)  # with the grace time
        cluster.heal()
        again = await gather([each.note("x") for each in puppets.values()], deadline=3)
        assert [outcome.value for outcome in again] == ["x", "x", "x", None]
        assert isinstance(again[3].error, NodeDown)
