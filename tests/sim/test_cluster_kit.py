"""The testing kit's clusters: how nodes are started and ended, and what a test is told at its end."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.lives import Quiet
from tests.kernel.stage import Stage, puppet
from tests.sim.places import REST
from trionet import CallError, ClusterError, MasterUnreachable, NodeStopping, spec
from trionet.testing import SimulatedCluster, open_cluster

Deed = Callable[[SimulatedCluster], Coroutine[Any, Any, None]]


async def test_a_cluster_has_a_node(autojump_clock: MockClock) -> None:
    with pytest.raises(ValueError, match="nodes: found 0, expected 1 or more"):
        async with open_cluster(0):
            pass


async def test_nodes_by_number(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        assert list(cluster.nodes) == [1, 2]
        assert cluster[2].name == "node2"
        with pytest.raises(KeyError, match="node 3 does not run"):
            cluster[3]
        for ask in (cluster.crash, cluster.wait_ended):
            with pytest.raises(KeyError, match="node 3 was never started"):
                await ask(3)
        with pytest.raises(ValueError, match="node 2 runs already"):
            await cluster.start(2)
        await cluster.stop(2)
        assert list(cluster.nodes) == [1]
        with pytest.raises(KeyError):
            await cluster.stop(2)
        assert await cluster.wait_ended(2) is None
        node = await cluster.start(2)
        assert cluster[2] is node


async def test_the_error_of_a_block_is_raised_as_it_is(autojump_clock: MockClock) -> None:
    async def fail() -> None:
        async with open_cluster(2):
            raise LookupError("in the test")

    with pytest.raises(LookupError, match="in the test"):
        await fail()


async def test_a_node_that_is_launched_and_cannot_join(autojump_clock: MockClock) -> None:
    async with open_cluster(1) as cluster:
        cluster.launch(2, master="nowhere:1", join_timeout=3.0)
        error = await cluster.wait_ended(2)
        assert isinstance(error, MasterUnreachable)
        assert await cluster.wait_ended(2) is None
        assert list(cluster.nodes) == [1]


async def test_a_start_that_is_cancelled_ends_the_node(autojump_clock: MockClock) -> None:
    async with open_cluster(1) as cluster:
        with trio.move_on_after(1) as scope:
            await cluster.start(2, master="nowhere:1")
        assert scope.cancelled_caught
        assert await cluster.wait_ended(2) is None


async def test_a_cluster_whose_node_cannot_start_raises_its_error(autojump_clock: MockClock) -> None:
    async def fail() -> None:
        async with open_cluster(1) as cluster:
            await cluster.start(2, harbor=1)

    with pytest.raises(ClusterError):
        await fail()


async def test_latency(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        quiet = cluster[1].ref(await cluster[2].start(Quiet), Quiet)
        for seconds in (0.001, 0.2, 3.0):
            cluster.latency = seconds
            assert cluster.latency == seconds
            began = trio.current_time()
            assert await quiet.answer() == 42
            assert 2 * seconds <= trio.current_time() - began <= 3 * seconds + 0.001


async def test_a_cut_tells_nobody_that_a_stream_has_ended(autojump_clock: MockClock) -> None:
    """Neither that its reader has closed it, nor that its writer's process is gone."""
    async with open_cluster(3) as cluster:
        cluster.partition({1, 2}, {3})
        await cluster.crash(3)
        await trio.sleep(10)
        assert 3 in cluster[1].cluster.linked()
        await trio.sleep(20)
        assert 3 not in cluster[1].cluster.linked()
        cluster.heal()
        await cluster.start(3)
        await cluster.settle()


# --- what may not be left -----------------------------------------------------------------------------


async def hold_a_call(cluster: SimulatedCluster) -> None:
    """Somebody still waits for an answer from another node."""
    box = await cluster[2].start(spec(puppet(), Stage()))
    with pytest.raises(CallError):
        await cluster[1].call(box, "hold", "a")


async def wait_for_a_name(cluster: SimulatedCluster) -> None:
    """Somebody waits for a name."""
    with suppress(NodeStopping):
        await cluster[2].wait_for_name("nobody")


async def subscribe(cluster: SimulatedCluster) -> None:
    """Somebody still has a stream of events."""
    async with cluster[2].cluster.events():
        await trio.sleep_forever()


async def start_a_task(cluster: SimulatedCluster) -> None:
    """A task that nobody owns."""
    cluster[2].nursery.start_soon(trio.sleep_forever)


async def end_of(deed: Deed) -> str:
    """What is told at the end of a cluster during which somebody did something that is not over."""
    told = "nothing"
    async with trio.open_nursery() as nursery:
        try:
            async with open_cluster(2) as cluster:
                nursery.start_soon(deed, cluster)
                await trio.sleep(REST)
        except AssertionError as error:
            told = str(error)
        nursery.cancel_scope.cancel()
    return told


@pytest.mark.parametrize(
    ("deed", "text"),
    [
        (wait_for_a_name, "\n  node 2: somebody who waits for the name 'nobody'"),
        (subscribe, "\n  node 2: a subscriber of events of the cluster"),
        (start_a_task, "\n  node 2: task trio.sleep_forever"),
    ],
)
async def test_what_is_left_fails_the_test(autojump_clock: MockClock, deed: Deed, text: str) -> None:
    assert await end_of(deed) == "left on the nodes of the cluster:" + text


async def test_a_call_is_no_leak_that_its_service_s_end_has_ended(autojump_clock: MockClock) -> None:
    assert await end_of(hold_a_call) == "nothing"
