"""Exclusive names (C11): one owner at most, from before its setup until after its end."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock

from tests.services.lone import Lives, Lone
from tests.sim.places import REST, Placement, everywhere, open_places
from trionet import ClusterConfig, Handle, NameTaken, Node, Restart, ServiceExited, StartFailed, spec
from trionet.testing import SimulatedCluster, fail_service, find_leaks, open_cluster

#: Short, so that little is to be waited for: a lease is a second, and is certain to be over after two.
SETTINGS = ClusterConfig(heartbeat=0.25, heartbeat_timeout=1.0, handshake_timeout=1.0)
#: Seconds in which a new master learns of the names that another one may have granted.
SETTLED = 3.0


async def try_start(node: Node, lives: Lives, ends: list[str], name: str = "lone") -> None:
    """Start an instance, and tell how that ended."""
    try:
        await node.start(spec(Lone, lives), name=name, exclusive=True)
    except (NameTaken, StartFailed) as error:
        ends.append(type(error).__name__)
    else:
        ends.append("started")


@everywhere
async def test_c11_who_does_not_get_the_name_is_not_even_made(
    autojump_clock: MockClock, placement: Placement
) -> None:
    """Two at the same time: there is only one constructor and one setup."""
    lives = Lives(setup_time=5)
    async with open_places(placement, heartbeat_timeout=1.0, heartbeat=0.25) as places:
        await trio.sleep(SETTLED)
        ends: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(try_start, places.here, lives, ends)
            nursery.start_soon(try_start, places.there, lives, ends)
            await trio.sleep(1)
            assert ends == ["NameTaken"]
            assert len(lives.lives) == 1
        assert ends == ["NameTaken", "started"]
        assert await places.here.call("lone", "who") == lives.lives[0].node
    lives.check()


async def test_c11_who_finds_an_exclusive_name_waits_for_the_setup(autojump_clock: MockClock) -> None:
    lives = Lives(setup_time=5)
    async with open_cluster(2, settings=SETTINGS) as cluster, trio.open_nursery() as nursery:
        await trio.sleep(SETTLED)
        began = trio.current_time()
        nursery.start_soon(try_start, cluster[2], lives, [])
        await cluster[1].wait_for_name("lone")
        assert trio.current_time() - began < 1
        assert await cluster[1].call("lone", "who") == "node2"
        assert trio.current_time() - began == pytest.approx(5, abs=0.1)


@everywhere
@pytest.mark.parametrize("name", ["lone", ".lone"])
async def test_c11_a_name_is_given_back_when_the_service_has_ended(
    autojump_clock: MockClock, placement: Placement, name: str
) -> None:
    """Not while its handlers and its teardown run; on its own node it is hidden meanwhile."""
    lives = Lives(teardown_time=3)
    async with open_places(placement, heartbeat_timeout=1.0, heartbeat=0.25) as places:
        await trio.sleep(SETTLED)
        ends: list[str] = []
        node = places.there
        await try_start(node, lives, ends, name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.call, name, "hold", 2)
            await trio.sleep(REST)
            nursery.start_soon(node.stop, name)
            await trio.sleep(REST)
            assert node.lookup(name) is None
            for _ in range(4):
                await try_start(node, lives, ends, name)
                await try_start(places.here if name == "lone" else node, lives, ends, name)
                await trio.sleep(1)
        await try_start(node, lives, ends, name)
        assert ends == ["started", *["NameTaken"] * 8, "started"]
    lives.check()
    assert len(lives.lives) == 2


async def test_c11_a_node_that_stops_gives_it_back_when_the_service_has_ended(
    autojump_clock: MockClock,
) -> None:
    """Plain names are withdrawn first of all."""
    lives = Lives(teardown_time=3)
    async with open_cluster(3, settings=SETTINGS) as cluster:
        await trio.sleep(SETTLED)
        await try_start(cluster[3], lives, [])
        ends: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cluster.stop, 3)
            await trio.sleep(REST)
            with pytest.raises(ServiceExited):
                await cluster[2].call("lone", "who")
            while "started" not in ends:
                await try_start(cluster[2], lives, ends)
                await trio.sleep(0.5)
    lives.check()
    assert 3 <= lives.longest_gap() + 3 < 4


@everywhere
async def test_c11_a_start_that_fails_gives_it_back(autojump_clock: MockClock, placement: Placement) -> None:
    lives = Lives(failures=1)
    async with open_places(placement, heartbeat_timeout=1.0, heartbeat=0.25) as places:
        await trio.sleep(SETTLED)
        ends: list[str] = []
        await try_start(places.there, lives, ends)
        assert places.there.lookup("lone") is None
        await trio.sleep(REST)
        await try_start(places.here, lives, ends)
        assert ends == ["StartFailed", "started"]
    lives.check()


async def test_c11_a_start_that_is_cancelled_gives_it_back(autojump_clock: MockClock) -> None:
    """While it waits for the name, and during its setup."""
    lives = Lives(setup_time=5)
    async with open_cluster(2, settings=SETTINGS) as cluster:
        with trio.move_on_after(0.5) as scope:  # the master has not settled yet
            await try_start(cluster[2], lives, [])
        assert scope.cancelled_caught
        assert lives.lives == []
        await trio.sleep(SETTLED)
        assert cluster[1].lookup("lone") is None
        with trio.move_on_after(1) as scope:
            await try_start(cluster[2], lives, [])
        assert scope.cancelled_caught
        await trio.sleep(REST)
        assert cluster[1].lookup("lone") is None
        assert find_leaks(cluster[2]) == ()
    lives.check()


async def cut_off(cluster: SimulatedCluster, lives: Lives) -> float:
    """Cut off the node of the only instance until that has ended; returns how long it took."""
    (life,) = lives.living()
    cluster.isolate(int(life.node[-1]))
    began = trio.current_time()
    while life.ended is None:  # noqa: ASYNC110 - a life has no event
        await trio.sleep(0.01)
    return trio.current_time() - began


async def test_c11_who_loses_an_exclusive_name_is_killed(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """No grace time and no teardown: another one may begin soon."""
    lives = Lives(teardown_time=60)
    async with open_cluster(3, settings=SETTINGS) as cluster, trio.open_nursery() as nursery:
        await trio.sleep(SETTLED)
        lone = await cluster[3].start(spec(Lone, lives), name="lone", exclusive=True)

        async def hold() -> None:
            with pytest.raises(ServiceExited):
                await lone.hold(60)

        nursery.start_soon(hold)
        await trio.sleep(1)
        assert await cut_off(cluster, lives) <= 1.1
        assert cluster[3].services() == ()
        await trio.sleep(3)
        ends: list[str] = []
        await try_start(cluster[2], lives, ends)
        assert ends == ["started"]
        cluster.heal()
        await cluster.settle()
        assert await cluster[3].call("lone", "who") == "node2"
    lives.check()
    assert ":03000001 (Lone) lost its exclusive name 'lone' and is killed" in caplog.text


async def test_c11_who_is_killed_in_its_setup(autojump_clock: MockClock) -> None:
    lives = Lives(setup_time=60)
    async with open_cluster(3, settings=SETTINGS) as cluster, trio.open_nursery() as nursery:
        await trio.sleep(SETTLED)
        ends: list[str] = []
        nursery.start_soon(try_start, cluster[3], lives, ends)
        await trio.sleep(1)
        assert await cut_off(cluster, lives) <= 1.1
        await trio.sleep(REST)
        assert ends == ["StartFailed"]
        cluster.heal()
        await cluster.settle()


async def test_c11_who_is_killed_in_its_teardown(autojump_clock: MockClock) -> None:
    lives = Lives(teardown_time=9)
    async with open_cluster(3, settings=SETTINGS) as cluster, trio.open_nursery() as nursery:
        await trio.sleep(SETTLED)
        await try_start(cluster[3], lives, [])
        nursery.start_soon(cluster[3].stop, "lone")
        await trio.sleep(REST)
        assert await cut_off(cluster, lives) <= 1.1
        cluster.heal()
        await cluster.settle()
        await try_start(cluster[2], lives, [])
    lives.check()


async def test_c11_a_restart_policy_does_not_bring_it_back(autojump_clock: MockClock) -> None:
    """But a failure does, in its place, and under the same name all the time."""
    lives = Lives()
    async with open_cluster(3, settings=SETTINGS) as cluster:
        await trio.sleep(SETTLED)
        restart = Restart("always", delay=1)
        await cluster[3].start(spec(Lone, lives), name="lone", exclusive=True, restart=restart)
        await fail_service(cluster[3], "lone", KeyError("x"))
        ends: list[str] = []
        await try_start(cluster[2], lives, ends)
        await trio.sleep(2)
        assert ends == ["NameTaken"]
        assert await cluster[2].call("lone", "who") == "node3"
        await cut_off(cluster, lives)
        await trio.sleep(5)
        assert lives.living() == []
        cluster.heal()
        await cluster.settle()
        await try_start(cluster[2], lives, ends)
        assert ends[1:] == ["started"]
    lives.check()


class Stubborn(Lone):
    """Decides by itself what the loss of its name means."""

    lost: list[tuple[str, Handle | None]]

    async def name_lost(self, name: str, owner: Handle | None) -> None:
        self.log.warning("lost %s to %s", name, owner)


async def test_c11_a_class_may_decide_otherwise(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    lives = Lives()
    async with open_cluster(2, settings=SETTINGS) as cluster:
        await trio.sleep(SETTLED)
        stubborn = await cluster[2].start(spec(Stubborn, lives), name="lone", exclusive=True)
        cluster.isolate(2)
        await trio.sleep(2)
        assert await stubborn.who() == "node2"
        assert "lost lone to None" in caplog.text
        assert cluster[2].lookup("lone") is None
        cluster.heal()
        await cluster.settle()


@everywhere
async def test_c11_a_later_registration_has_a_greater_stamp(
    autojump_clock: MockClock, placement: Placement, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with open_places(placement, heartbeat_timeout=1.0, heartbeat=0.25) as places:
        stamps = []
        assert places.there.stamp("lone") is None
        with pytest.raises(ValueError, match=r"'\.lone' is a local name"):
            places.there.stamp(".lone")
        for _ in range(3):
            await places.there.start(spec(Lone, Lives()), name="lone")
            await places.here.wait_for_name("lone")
            assert places.here.stamp("lone") == places.there.stamp("lone")
            stamps.append(places.there.stamp("lone") or (0, 0))
            await places.there.kill("lone")
            await trio.sleep(REST)
            if places.cluster is not None:
                await places.cluster.restart(1)
                await places.cluster.settle()
                places.here = places.cluster[1]
        assert (0, 0) < stamps[0] < stamps[1] < stamps[2]
