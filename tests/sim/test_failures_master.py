"""The master that is lost and comes back, ids that are taken, two masters (C11)."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.lives import Quiet
from tests.kernel.stage import Caller
from tests.sim.places import REST
from trionet import ClusterConfig, ClusterError, HarborTaken, MasterUnreachable, Superseded
from trionet.cluster_events import MasterBack, MasterLost
from trionet.net.harbor import Harbor
from trionet.testing import SimulatedCluster, open_cluster
from trionet.wire.slave import Slave

#: Seconds after which a silent link is dead, at the latest.
SILENCE = 25.0


async def populated(cluster: SimulatedCluster) -> dict[str, object]:
    """Give each node a service with a name and a group; returns the table of names."""
    for number, node in cluster.nodes.items():
        quiet = await node.start(Quiet, name=f"quiet{number}")
        node.join_group("quiet", quiet)
    await trio.sleep(REST)
    return {**cluster[2].names()}


async def test_the_loss_of_the_master_stops_nothing_that_runs(autojump_clock: MockClock) -> None:
    async with open_cluster(4, master=4) as cluster, trio.open_nursery() as nursery:
        await populated(cluster)
        async with cluster[1].cluster.events() as events:
            await cluster.crash(4)
            await cluster[1].cluster.wait_master_lost()
            assert await cluster[1].call("quiet2", "answer") == 42
            assert await cluster[2].wait_for_name("quiet3") == cluster[3].services()[0]
            late = Caller(lambda: cluster[3].start(Quiet, name="late"))
            nursery.start_soon(late.run)
            waiting = Caller(lambda: cluster[1].wait_for_name("late"))
            nursery.start_soon(waiting.run)
            local = await cluster[3].start(Quiet, name=".local")
            assert await local.answer() == 42
            await trio.sleep(100)
            assert late.end == waiting.end == "none"
            assert cluster[1].cluster.linked() == (2, 3)
            await cluster.start(4)
            await late.over.wait()
            await waiting.over.wait()
            assert waiting.end == f"value {cluster[3].lookup('late')}"
            seen = [events.receive_nowait() for _ in range(events.statistics().current_buffer_used)]
        assert [each for each in seen if isinstance(each, MasterLost | MasterBack)] == [
            MasterLost(),
            MasterBack(),
        ]


async def test_a_restarted_master_ends_with_the_same_tables(autojump_clock: MockClock) -> None:
    """Restored from what the slaves hold, under an epoch above; all but what lived on its own node."""
    async with open_cluster(4) as cluster:
        names = await populated(cluster)
        epochs = [machine(cluster, number).epoch for number in range(2, 5)]
        assert len(set(epochs)) == 1
        members = cluster[2].cluster.members("quiet")
        for turn in range(1, 4):
            old = cluster[1].incarnation
            node = await cluster.restart(1)
            await cluster.settle()
            await trio.sleep(REST)
            names = {name: handle for name, handle in names.items() if name != "quiet1"}
            members = tuple(each for each in members if each.incarnation != old)
            for number in range(1, 5):
                assert cluster[number].names() == names
                assert cluster[number].cluster.members("quiet") == members
                assert machine(cluster, number).epoch == epochs[0] + turn
            assert sorted(node.cluster.nodes()) == [1, 2, 3, 4]
            assert await node.call("quiet3", "answer") == 42
            await cluster[4].start(Quiet, name=f"turn{turn}")
            await trio.sleep(REST)
            names = {**cluster[2].names()}
            members = cluster[2].cluster.members("quiet")


def machine(cluster: SimulatedCluster, number: int) -> Slave:
    """The slave's machine of a node."""
    harbor = cluster[number].network
    assert isinstance(harbor, Harbor)
    return harbor.machine


async def test_all_nodes_but_the_master_s_crash_and_come_back(autojump_clock: MockClock) -> None:
    async with open_cluster(4) as cluster:
        await populated(cluster)
        for number in (2, 3, 4):
            await cluster.crash(number)
        await trio.sleep(REST)
        assert list(cluster[1].names()) == ["quiet1"]
        async with trio.open_nursery() as nursery:
            for number in (4, 3, 2):
                nursery.start_soon(cluster.start, number)
        await cluster.settle()
        assert await cluster[4].call("quiet1", "answer") == 42


async def test_the_master_is_unreachable(autojump_clock: MockClock) -> None:
    """A node that cannot join says so within its timeout; nothing listens there, or it does not answer."""
    settings = ClusterConfig(join_timeout=8)
    async with open_cluster(2, settings=settings) as cluster:
        began = trio.current_time()
        with pytest.raises(
            MasterUnreachable, match="no master at node9:2013 within 8 seconds: nobody listen"
        ):
            await cluster.start(3, master="node9:2013")
        assert trio.current_time() - began == pytest.approx(8, abs=REST)
        cluster.isolate(1)
        with pytest.raises(MasterUnreachable):
            await cluster.start(3)
        cluster.heal()
        await cluster.start(3)
        await cluster.settle()


async def test_a_master_address_that_is_no_master(autojump_clock: MockClock) -> None:
    """It is another node's address for links: refused, with a reason, and that node is undisturbed."""
    async with open_cluster(2) as cluster:
        began = trio.current_time()
        with pytest.raises(
            MasterUnreachable, match=r"no master for this node at node2:2526: .*purpose differ"
        ):
            await cluster.start(3, master="node2:2526")
        assert trio.current_time() - began < 1
        assert cluster[1].cluster.linked() == (2,)


# --- harbor ids ---------------------------------------------------------------------------------------


async def test_harbor_auto(autojump_clock: MockClock) -> None:
    """The master chooses free ids."""
    async with open_cluster(2) as cluster:
        nodes = [await cluster.start(number, harbor="auto") for number in (11, 12, 13)]
        ids = {1, 2, *(node.harbor for node in nodes)}
        assert len(ids) == 5
        assert max(ids) <= 255
        await cluster.settle()
        assert set(cluster[1].cluster.nodes()) == ids
        for node in nodes:
            await node.start(Quiet, name="auto", exclusive=node is nodes[0])
            handle = await cluster[1].wait_for_name("auto")
            assert (handle.harbor, handle.incarnation) == (node.harbor, node.incarnation)
            assert await cluster[1].call("auto", "answer") == 42
            await node.stop("auto")
            await trio.sleep(REST)


async def test_a_taken_id(autojump_clock: MockClock) -> None:
    """Its owner answers the master's probe: the newcomer is refused, the owner undisturbed."""
    async with open_cluster(3) as cluster:
        quiet = await cluster[2].start(Quiet, name="quiet")
        began = trio.current_time()
        with pytest.raises(HarborTaken):
            await cluster.start(22, harbor=2)
        assert trio.current_time() - began < 1
        await cluster[3].wait_for_name("quiet")
        assert await cluster[3].call("quiet", "answer") == 42
        assert await cluster[1].call(quiet, "answer") == 42


async def test_a_superseded_node_ends(autojump_clock: MockClock) -> None:
    """It is frozen, another takes its id; when it comes back it learns that and ends with an error."""
    async with open_cluster(3) as cluster:
        await cluster[2].start(Quiet, name="quiet")
        old = await cluster[3].wait_for_name("quiet")
        cluster.isolate(2)
        await trio.sleep(1)
        node = await cluster.start(22, harbor=2)
        fresh = await node.start(Quiet, name="quiet")
        await trio.sleep(SILENCE)
        assert await cluster[3].call("quiet", "answer") == 42
        assert cluster[3].lookup("quiet") != old
        cluster.heal()
        with trio.fail_after(30):
            assert isinstance(await cluster.wait_ended(2), Superseded)
        await cluster.settle()
        assert await cluster[1].call(fresh, "answer") == 42
        assert set(cluster[3].cluster.nodes()) == {1, 2, 3}


async def test_who_asks_nobody_for_the_error_of_a_node_gets_it_at_the_end(autojump_clock: MockClock) -> None:
    async def lose_one() -> None:
        async with open_cluster(2) as cluster:
            cluster.isolate(2)
            await cluster.start(22, harbor=2)
            cluster.heal()
            await trio.sleep(30)

    with pytest.raises(Superseded):
        await lose_one()


# --- two masters --------------------------------------------------------------------------------------


async def test_two_masters_are_two_clusters(autojump_clock: MockClock) -> None:
    """A second master that nobody knows of disturbs nobody; a node belongs to the master that it names."""
    async with open_cluster(3) as cluster:
        await cluster[1].start(Quiet, name="quiet")
        await cluster.start(7, standalone="node7:2013", master="node7:2013")
        node = await cluster.start(8, master="node7:2013")
        with trio.fail_after(1):
            await node.cluster.wait_connected(7)
        assert sorted(node.cluster.nodes()) == [7, 8]
        assert sorted(cluster[3].cluster.nodes()) == [1, 2, 3]
        await node.start(Quiet, name="quiet")
        assert cluster[2].lookup("quiet") != node.lookup("quiet")
        for number in (8, 7):
            await cluster.stop(number)


async def test_a_master_of_another_cluster_is_refused(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_cluster(2) as cluster:
        began = trio.current_time()
        with pytest.raises(
            MasterUnreachable, match=r"no master for this node at node1:2013: .*name of the cluster"
        ):
            await cluster.start(3, name="another")
        assert trio.current_time() - began < 1
        assert "the dialer belongs to the cluster 'another'" in caplog.text
        assert "the master at node1:2013 cannot be reached: the other end refused this node" in caplog.text
        assert sorted(cluster[2].cluster.nodes()) == [1, 2]


async def test_a_node_of_the_cluster_waits_for_its_master_whatever_answers_meanwhile(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a node that was never welcome gives up early: who lives does not die of a mistake elsewhere."""
    async with open_cluster(2) as cluster:
        await cluster[2].start(Quiet, name="quiet2")
        await cluster.crash(1)
        await cluster.start(1, name="another")
        await trio.sleep(60)
        assert "refused this node" in caplog.text
        await cluster.restart(1, name="trionet")
        await cluster.settle()
        assert await cluster[1].call("quiet2", "answer") == 42


async def test_the_old_master_is_still_there_when_a_new_one_stands_in(autojump_clock: MockClock) -> None:
    """Cut off with one node, it goes on; when all meet at one master again, the tables are one."""
    async with open_cluster(4) as cluster:
        await cluster[2].start(Quiet, name="quiet2")
        await cluster[4].wait_for_name("quiet2")
        cluster.partition({1, 2}, {3, 4})
        await cluster[2].start(Quiet, name="in-the-old-part")
        await cluster.restart(3, standalone="node3:2013", master="node3:2013")
        await cluster.restart(4, master="node3:2013")
        await cluster[4].start(Quiet, name="in-the-new-part")
        await trio.sleep(100)
        cluster.heal()
        for number in (3, 4):
            await cluster.restart(number)
        await cluster.settle()
        await cluster[4].start(Quiet, name="after")
        await trio.sleep(REST)
        for number in range(1, 5):
            assert sorted(cluster[number].names()) == ["after", "in-the-old-part", "quiet2"]


async def test_a_node_that_leaves_the_cluster_is_not_awaited(autojump_clock: MockClock) -> None:
    async with open_cluster(3) as cluster:
        await cluster.stop(2)
        await cluster[1].cluster.wait_disconnected(2)
        await trio.sleep(REST)
        assert 2 not in cluster[3].cluster.nodes()
        with pytest.raises(ClusterError):
            await cluster.start(4, harbor=3)
        began = trio.current_time()
        await cluster.start(2)
        assert trio.current_time() - began < 1
