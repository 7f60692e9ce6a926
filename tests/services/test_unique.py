"""Unique services: one per node or per cluster, whatever happens to nodes and to the network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import trio

from tests.services.lone import Lives, Lone
from trionet import (
    CallError,
    ClusterConfig,
    Node,
    NodeConfig,
    NodeStopping,
    Service,
    StartFailed,
    command,
    spec,
)
from trionet.services import query, unique
from trionet.testing import SimulatedCluster, fail_service, find_leaks, open_cluster

pytestmark = pytest.mark.usefixtures("virtual_time")

#: Short, so that little is to be waited for: a lease is a second, and is certain to be over after two.
SETTINGS = ClusterConfig(heartbeat=0.25, heartbeat_timeout=1.0, handshake_timeout=1.0)
#: The longest time without an instance: until the link is dead, and then until the lease certainly is.
LONGEST = 1.0 + 2.0 + 1.0


class Ends:
    """How requests of a test ended."""

    def __init__(self, lives: Lives, name: str) -> None:
        self.lives = lives
        self.name = name
        self.ends: list[str] = []

    async def ask(self, node: Node, **options: Any) -> None:
        """Ask for the instance and call it."""
        try:
            lone = await unique(node, spec(Lone, self.lives), self.name, **options)
            self.ends.append(await lone.who())
        except (StartFailed, NodeStopping) as error:
            self.ends.append(type(error).__name__)


@asynccontextmanager
async def opened(nodes: int = 4, **options: Any) -> AsyncIterator[SimulatedCluster]:
    """A cluster whose master grants exclusive names already."""
    async with open_cluster(nodes, settings=SETTINGS, **options) as cluster:
        await trio.sleep(3)
        yield cluster


# --- one start ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".lone", "lone"])
async def test_callers_of_one_node_share_one_start(node: Node, name: str) -> None:
    lives = Lives(setup_time=3)
    ends = Ends(lives, name)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ends.ask, node)
            await trio.sleep(1)
    assert ends.ends == ["node"] * 5
    assert len(lives.lives) == 1


async def test_callers_of_all_nodes_share_one_instance() -> None:
    lives = Lives(setup_time=3)
    ends = Ends(lives, "lone")
    async with opened() as cluster:
        async with trio.open_nursery() as nursery:
            for node in [*cluster.nodes.values()] * 3:
                nursery.start_soon(ends.ask, node)
        assert len(lives.lives) == 1
        assert ends.ends == [lives.lives[0].node] * 12


async def test_one_per_node() -> None:
    lives = Lives()
    ends = Ends(lives, ".lone")
    async with opened(3) as cluster:
        for node in [*cluster.nodes.values()] * 2:
            await ends.ask(node)
    assert ends.ends == ["node1", "node2", "node3"] * 2
    assert len(lives.lives) == 3


async def test_a_failure_is_shared_and_the_next_caller_tries_again(node: Node) -> None:
    lives = Lives(setup_time=1, failures=1)
    ends = Ends(lives, ".lone")
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ends.ask, node)
    assert ends.ends == ["StartFailed"] * 3
    lives.failures = 1
    with pytest.raises(StartFailed, match="ValueError: not today") as caught:
        await unique(node, spec(Lone, lives), ".lone")
    assert caught.value.__cause__ is not None
    await ends.ask(node)
    assert ends.ends[3:] == ["node"]


async def test_tries_again_wait_longer_and_longer(node: Node) -> None:
    """Twice as long each time, up to ten seconds; a success begins anew."""
    lives = Lives(failures=12)
    ends = Ends(lives, ".lone")
    for _ in range(13):
        await ends.ask(node)
    starts = [life.began for life in lives.lives]
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10, 10, 10])
    await node.kill(".lone")
    lives.failures = 1
    await ends.ask(node)
    await ends.ask(node)
    assert lives.lives[-1].began - lives.lives[-2].began == pytest.approx(0.1)


async def test_who_waits_out_a_pause_takes_what_another_node_has_started() -> None:
    lives = Lives(failures=9)
    ends = Ends(lives, "lone")
    async with opened(3) as cluster:
        for _ in range(9):
            await ends.ask(cluster[2])
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ends.ask, cluster[2])
            await trio.sleep(1)
            await ends.ask(cluster[3])
        assert trio.current_time() - began < 2
    assert ends.ends[9:] == ["node3", "node3"]


async def test_when_the_first_caller_is_cancelled_another_starts(node: Node) -> None:
    lives = Lives(setup_time=3)
    ends = Ends(lives, ".lone")
    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def ask_first() -> None:
            with first:
                await ends.ask(node)

        nursery.start_soon(ask_first)
        await trio.sleep(1)
        nursery.start_soon(ends.ask, node)
        nursery.start_soon(ends.ask, node)
        await trio.sleep(1)
        first.cancel()
    assert ends.ends == ["node"] * 2
    lives.check()
    assert len(lives.lives) == 2


async def test_a_caller_who_waits_can_be_cancelled(node: Node) -> None:
    lives = Lives(setup_time=3)
    ends = Ends(lives, ".lone")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.ask, node)
        await trio.sleep(1)
        with trio.move_on_after(1) as scope:
            await ends.ask(node)
        assert scope.cancelled_caught
    assert ends.ends == ["node"]


async def test_a_name_that_somebody_else_starts(node: Node) -> None:
    """It is waited for, and counts as the instance."""
    lives = Lives(setup_time=3)
    ends = Ends(lives, ".lone")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.ask, node)

        async def start() -> None:
            await node.start(spec(Lone, lives, " of old"), name=".lone")

        nursery.start_soon(start)
    assert len(ends.ends) == 1
    assert len(lives.lives) == 1


class Asker(Service, concurrency=1):
    """Asks from a handler."""

    def __init__(self, lives: Lives) -> None:
        self.lives = lives

    @command
    async def ask(self, name: str) -> str:
        lone = await unique(self.node, spec(Lone, self.lives), name)
        return await lone.who()


async def test_what_a_service_has_started_is_no_child_of_it(node: Node) -> None:
    lives = Lives()
    asker = await node.start(spec(Asker, lives))
    assert await asker.ask(".lone") == "node"
    await node.stop(asker)
    assert len(lives.living()) == 1


async def test_bad_requests(node: Node) -> None:
    with pytest.raises(ValueError, match="is no name"):
        await unique(node, spec(Lone, Lives()), "a b")
    with pytest.raises(TypeError):
        await unique(node, Lone, "lone")  # type: ignore[arg-type]
    assert len(find_leaks(node)) == 0


async def test_a_node_that_stops(node: Node) -> None:
    await node.close()
    with pytest.raises(NodeStopping):
        await unique(node, spec(Lone, Lives()), "lone", standby=True)
    with pytest.raises(NodeStopping):
        await unique(node, spec(Lone, Lives()), "lone")


# --- another start --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".lone", "lone"])
@pytest.mark.parametrize("how", ["stop", "kill", "fail"])
async def test_an_instance_that_has_ended_is_started_again_at_the_next_request(name: str, how: str) -> None:
    lives = Lives()
    ends = Ends(lives, name)
    async with opened(3) as cluster:
        await ends.ask(cluster[2])
        if how == "fail":
            await fail_service(cluster[2], name, KeyError("x"))
        else:
            await getattr(cluster[2], how)(name)
        await trio.sleep(0.01)
        asking = cluster[2] if name == ".lone" else cluster[3]
        began = trio.current_time()
        await ends.ask(asking)
        assert trio.current_time() - began < 0.6
        assert ends.ends[1] == asking.name
    lives.check()
    assert len(lives.lives) == 2


@pytest.mark.parametrize("name", [".lone", "lone"])
async def test_an_instance_that_is_ending_is_waited_for(name: str) -> None:
    lives = Lives(teardown_time=5)
    ends = Ends(lives, name)
    async with opened(3) as cluster, trio.open_nursery() as nursery:
        await ends.ask(cluster[2])
        nursery.start_soon(cluster[2].stop, name)
        await trio.sleep(1)
        began = trio.current_time()
        await ends.ask(cluster[2])
        assert trio.current_time() - began == pytest.approx(4, abs=0.6)
    lives.check()


@pytest.mark.parametrize("standby", [False, True])
async def test_the_node_of_the_instance_crashes(standby: bool) -> None:
    """Elsewhere it is started when it is certain that the old one has ended."""
    lives = Lives()
    ends = Ends(lives, "lone")
    async with opened() as cluster:
        for number in (4, 3, 2):
            await ends.ask(cluster[number], standby=standby)
        assert ends.ends == ["node4"] * 3
        await cluster.crash(4)
        lives.crashed("node4")
        if not standby:
            await trio.sleep(10)
            assert lives.living() == []
            began = trio.current_time()
            await ends.ask(cluster[2])
            assert trio.current_time() - began < 0.1
        await trio.sleep(LONGEST)
        assert len(lives.living()) == 1
        await cluster.start(4)
        await ends.ask(cluster[4])
        assert ends.ends[-1] == lives.living()[0].node != "node4"
    lives.check()
    if standby:
        assert lives.longest_gap() <= LONGEST


async def test_a_request_right_after_a_crash_waits_for_the_lease() -> None:
    lives = Lives()
    ends = Ends(lives, "lone")
    async with opened() as cluster:
        await ends.ask(cluster[4])
        await cluster.crash(4)
        lives.crashed("node4")
        await trio.sleep(0.1)
        began = trio.current_time()
        await ends.ask(cluster[3])
        assert ends.ends == ["node4", "node3"]
        assert 1.5 < trio.current_time() - began <= LONGEST
    lives.check()


@pytest.mark.parametrize("standby", [False, True])
@pytest.mark.parametrize("back_after", [0.5, 1.5, 2.5, 20])
async def test_the_node_of_the_instance_is_cut_off_for_a_while(back_after: float, standby: bool) -> None:
    """Frozen or without a network: the old one is killed before the new one begins."""
    lives = Lives()
    ends = Ends(lives, "lone")
    async with opened() as cluster:
        for number in (4, 3, 2):
            await ends.ask(cluster[number], standby=standby)
        cluster.isolate(4)
        await trio.sleep(back_after)
        cluster.heal()
        await cluster.settle()
        await trio.sleep(LONGEST)
        await ends.ask(cluster[3])
        await ends.ask(cluster[4])
        assert len(lives.living()) == 1
        assert ends.ends[-2:] == [lives.living()[0].node] * 2
    lives.check()


async def test_a_split_has_one_instance_and_it_is_with_the_master() -> None:
    """In the part without the master there is none, and nobody can start one before they meet."""
    lives = Lives()
    ends = Ends(lives, "lone")
    async with opened(5) as cluster, trio.open_nursery() as nursery:
        for number in (5, 4, 3, 2):
            await ends.ask(cluster[number], standby=True)
        cluster.partition({1, 2}, {3, 4, 5})
        await trio.sleep(LONGEST)
        assert [life.node for life in lives.living()] == ["node2"]
        asked = Ends(lives, "lone")
        nursery.start_soon(asked.ask, cluster[3])
        await trio.sleep(15)
        assert asked.ends == []
        assert [life.node for life in lives.living()] == ["node2"]
        cluster.heal()
        await cluster.settle()
        await trio.sleep(1)
        assert asked.ends == ["node2"]
    lives.check()


async def test_the_master_is_lost_and_comes_back() -> None:
    """Without it there is no instance after a while; with it there is one again."""
    lives = Lives()
    ends = Ends(lives, "lone")
    async with opened() as cluster:
        for number in (4, 3, 2):
            await ends.ask(cluster[number], standby=True)
        await cluster.crash(1)
        await trio.sleep(10)
        assert lives.living() == []
        await cluster.start(1)
        await trio.sleep(10)
        assert len(lives.living()) == 1
        assert await cluster[1].call("lone", "who") == lives.living()[0].node
    lives.check()


async def test_nodes_that_stop_one_after_the_other_hand_it_on() -> None:
    """At once: a node that stops gives the name back when the instance has ended."""
    lives = Lives(teardown_time=0.5)
    ends = Ends(lives, "lone")
    async with opened(5) as cluster:
        for number in (5, 4, 3, 2, 1):
            await ends.ask(cluster[number], standby=True)
        for number in (5, 4, 3, 2):
            await cluster.stop(number)
            await trio.sleep(2)
            assert len(lives.living()) == 1
    lives.check()
    assert lives.longest_gap() < 0.6
    assert len(lives.lives) >= 2


@pytest.mark.parametrize("seed", [1])
async def test_a_bad_day(seed: int) -> None:
    """Crashes, cuts and calls in any order: never two, and again one after each."""
    lives = Lives(setup_time=0.1, teardown_time=0.2)
    random = Random(seed)
    async with opened(5, seed=seed) as cluster, trio.open_nursery() as nursery:
        served = [trio.current_time()]
        for number in (2, 3, 4, 5):
            nursery.start_soon(use, cluster, number, lives, served)
        for _ in range(12):
            await trio.sleep(random.uniform(1, 6))
            name = random.choice([life.node for life in lives.living()] or ["node2"])
            number = int(name[-1])
            if random.random() < 0.5:
                await cluster.crash(number)
                lives.crashed(name)
                await trio.sleep(random.uniform(0, 5))
                await cluster.start(number)
            else:
                cluster.isolate(number)
                await trio.sleep(random.uniform(0, 5))
                cluster.heal()
            lives.check()
        await cluster.settle()
        await trio.sleep(10)
        assert len(lives.living()) == 1
        assert trio.current_time() - served[-1] < 0.5
        nursery.cancel_scope.cancel()
    lives.check()
    assert len(lives.lives) > 5


async def use(cluster: SimulatedCluster, number: int, lives: Lives, served: list[float]) -> None:
    """Call the instance again and again, and note when it answered."""
    while True:
        await trio.sleep(0.2)
        if number in cluster.nodes:
            with trio.move_on_after(2), suppress(CallError, StartFailed, NodeStopping):
                lone = await unique(cluster[number], spec(Lone, lives), "lone", standby=number != 3)
                await lone.who()
                served.append(trio.current_time())


# --- waiting, watching over -----------------------------------------------------------------------------


async def test_query_waits() -> None:
    lives = Lives()
    ends = Ends(lives, "lone")
    async with opened(3) as cluster, trio.open_nursery() as nursery:

        async def ask() -> None:
            lone = await query(cluster[3], "lone", Lone)
            ends.ends.append(f"found {await lone.who()}")

        nursery.start_soon(ask)
        await trio.sleep(5)
        assert ends.ends == []
        await ends.ask(cluster[2])
        await trio.sleep(0.1)
        assert sorted(ends.ends) == ["found node2", "node2"]
        with trio.move_on_after(5) as scope:
            await query(cluster[3], ".nobody")
        assert scope.cancelled_caught


async def test_query_does_not_take_an_instance_whose_node_is_lost() -> None:
    ends = Ends(Lives(), "lone")
    async with opened(3) as cluster:
        await ends.ask(cluster[3])
        await cluster.crash(3)
        await trio.sleep(0.1)
        assert cluster[2].lookup("lone") is not None
        with trio.move_on_after(1) as scope:
            await query(cluster[2], "lone")
        assert scope.cancelled_caught


async def test_a_standby_tries_again(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """Also what has never started, with the pauses of everybody."""
    lives = Lives(failures=5)
    ends = Ends(lives, ".lone")
    await ends.ask(node, standby=True)
    assert ends.ends == ["StartFailed"]
    await trio.sleep(10)
    assert len(lives.living()) == 1
    assert len(lives.lives) == 6
    assert ".lone did not start, and is tried again: " in caplog.text
    await node.kill(".lone")
    await trio.sleep(1)
    assert len(lives.living()) == 1
    lives.check()


async def test_a_standby_is_a_service_of_its_own_and_can_be_stopped(node: Node) -> None:
    ends = Ends(Lives(), "lone")
    for _ in range(3):
        await ends.ask(node, standby=True)
    assert sorted(node.names()) == [".standby.lone", "lone"]
    await node.stop(".standby.lone")
    await node.stop("lone")
    await trio.sleep(5)
    assert node.services() == ()


@pytest.mark.parametrize("config", [NodeConfig(start_deadline=1)])
async def test_a_setup_that_hangs_is_a_failure_as_any_other(config: NodeConfig) -> None:
    lives = Lives(setup_time=100)
    ends = Ends(lives, "lone")
    async with opened(2, config=config) as cluster:
        await ends.ask(cluster[2])
        lives.setup_time = 0
        await ends.ask(cluster[2])
        assert ends.ends == ["StartFailed", "node2"]
    lives.check()
