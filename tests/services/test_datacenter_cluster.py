"""The datacenter from other nodes: while it is away, when its node or that of an owner dies, in a split."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest
import trio

from tests.services.datacenter_kit import Owner, info, open_datacenter, settle, told
from trionet import BadMessage, NodeConfig, NodeDown, Restart
from trionet.services import BadPath, DatacenterAway, DatacenterBusy, NotABranch, datacenter
from trionet.testing import SimulatedCluster, fail_service, open_cluster

pytestmark = pytest.mark.usefixtures("virtual_time")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "world.db"


async def test_it_is_the_same_from_every_node() -> None:
    async with open_cluster(3) as cluster:
        first = await open_datacenter(cluster[2], most_waiters=1)
        second, third = datacenter(cluster[1]), datacenter(cluster[3])
        async with second.watch("a") as changes, trio.open_nursery() as nursery:

            async def wait() -> None:
                assert await third.wait("a/b") == 1

            nursery.start_soon(wait)
            await settle()
            await trio.sleep(1)
            with pytest.raises(DatacenterBusy):
                await second.wait("c")
            assert await second.set("a/b", 1) is None
            assert told(await changes.receive()) == ("a/b", 1)
        assert await third.get("a") == await first.get("a") == {"b": 1}
        entry = await third.entry("a/b")
        assert entry is not None
        assert await second.compare_and_set("a/b", entry.version, 2) == entry.version + 1
        with pytest.raises(NotABranch):
            await third.set("a/b/c", 1)
        with pytest.raises(BadPath):
            await third.set("", 1)
        with pytest.raises(BadMessage):
            await third.set("a", object())
        with trio.move_on_after(1):
            await third.wait("never")
        await trio.sleep(1)
        assert (info(cluster[2])["waiters"], info(cluster[2])["watchers"]) == (0, 0)


# while it is away


async def test_a_call_made_before_it_is_there_waits() -> None:
    async with open_cluster(2) as cluster:
        dc = datacenter(cluster[1])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dc.set, "a", 1)
            await trio.sleep(30)
            await open_datacenter(cluster[2])
        assert await dc.get("a") == 1


async def test_how_long_a_call_waits() -> None:
    """For the deadline of its caller, or else for its own; only a wait has none."""
    async with open_cluster(2, config=NodeConfig(call_deadline=40)) as cluster:
        began = trio.current_time()
        with pytest.raises(
            DatacenterAway, match="'datacenter' was away for the 40 s that the call could wait"
        ):
            await datacenter(cluster[1]).get("a")
        assert trio.current_time() - began == pytest.approx(40)
        with pytest.raises(DatacenterAway) as caught:
            await datacenter(cluster[1], deadline=5).set("a", 1)
        assert caught.value.executed is False
        assert isinstance(caught.value, trio.TooSlowError)
        assert trio.current_time() - began == pytest.approx(45)
        with pytest.raises(trio.TooSlowError), trio.fail_after(2):
            await datacenter(cluster[1]).get("a")
        with pytest.raises(trio.TooSlowError), trio.fail_after(100):
            await datacenter(cluster[1]).get("a")
        assert trio.current_time() - began == pytest.approx(147)
        with trio.move_on_after(1000) as scope:
            await datacenter(cluster[1]).wait("a")
        assert scope.cancelled_caught


async def test_calls_wait_for_a_node_that_comes_back(file: Path) -> None:
    async with open_cluster(2) as cluster:
        await open_datacenter(cluster[2], file)
        dc = datacenter(cluster[1])
        await dc.set("a", 1)
        async with trio.open_nursery() as nursery:
            woken: list[object] = []

            async def wait() -> None:
                woken.append(await dc.wait("b"))

            nursery.start_soon(wait)
            await trio.sleep(1)
            await cluster.crash(2)
            got: list[object] = []

            async def get() -> None:
                got.append(await dc.get("a"))

            nursery.start_soon(get)
            nursery.start_soon(dc.set, "c", 3)
            await trio.sleep(20)
            assert got == []
            await cluster.start(2)
            await open_datacenter(cluster[2], file)
            await trio.sleep(2)
            assert got == [1]
            assert await dc.get("c") == 3
            assert woken == []
            await dc.set("b", 2)
        assert woken == [2]


async def test_a_write_under_way_is_not_done_twice(file: Path) -> None:
    """Nobody knows whether it was done, and so it is told."""
    async with open_cluster(2) as cluster:
        await open_datacenter(cluster[2], file)
        cluster.latency = 1.0
        dc = datacenter(cluster[1])
        async with trio.open_nursery() as nursery:

            async def write() -> None:
                with pytest.raises(NodeDown) as caught:
                    await dc.set("a", 1)
                assert caught.value.executed is None

            nursery.start_soon(write)
            await trio.sleep(0.5)
            await cluster.crash(2)


async def test_a_watch_ends_with_the_node() -> None:
    async with open_cluster(2) as cluster:
        await open_datacenter(cluster[2])
        dc = datacenter(cluster[1])
        async with dc.watch() as changes:
            await cluster.crash(2)
            with pytest.raises(NodeDown):
                await changes.receive()
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                async with dc.watch(present=True) as changes:
                    assert told(await changes.receive()) == ("a", 2)

            nursery.start_soon(watch)
            await trio.sleep(5)
            await cluster.start(2)
            again = await open_datacenter(cluster[2])
            await again.set("a", 2)


async def test_calls_wait_for_a_restart() -> None:
    async with open_cluster(2) as cluster:
        await open_datacenter(cluster[2], restart=Restart("failure", delay=3))
        dc = datacenter(cluster[1])
        for client in (dc, datacenter(cluster[2])):
            await client.set("a", 1)
            await fail_service(cluster[2], "datacenter", ValueError("broken"))
            began = trio.current_time()
            assert await client.get("a") is None
            assert 2 < trio.current_time() - began < 8  # the delay doubles


async def test_in_a_split_calls_wait_for_its_end(file: Path) -> None:
    async with open_cluster(3) as cluster:
        await open_datacenter(cluster[1], file)
        dc = datacenter(cluster[3], deadline=inf)
        await dc.set("a", 1)
        cluster.isolate(3)
        await trio.sleep(60)
        async with trio.open_nursery() as nursery:
            got: list[object] = []

            async def get() -> None:
                got.append(await dc.get("a"))

            nursery.start_soon(get)
            await trio.sleep(100)
            assert got == []
            cluster.heal()
            await trio.sleep(60)
            assert got == [1]


# owners on other nodes


async def owners(cluster: SimulatedCluster, *numbers: int) -> list[Owner]:
    """Start an owner on each of these nodes, with a value at ``servers/N``."""
    made = []
    for number in numbers:
        made.append(await cluster[number].start(Owner))
        await made[-1].own(f"servers/{number}")
    return made


async def test_values_vanish_with_the_node_of_their_owner() -> None:
    async with open_cluster(4) as cluster:
        dc = await open_datacenter(cluster[1])
        (two, *_) = await owners(cluster, 2, 3, 4)
        await cluster[2].stop(two)
        await trio.sleep(1)
        assert await dc.list("servers") == ("3", "4")
        await cluster.crash(3)
        await trio.sleep(1)
        assert await dc.list("servers") == ("4",)
        cluster.isolate(4)
        await trio.sleep(60)
        assert await dc.list() == ()
        cluster.heal()


async def test_owners_that_live_keep_their_values_over_a_restart(file: Path) -> None:
    """Those that have died meanwhile do not, and those that do not come in time."""
    async with open_cluster(5) as cluster:
        await open_datacenter(cluster[2], file)
        (_, four, _) = await owners(cluster, 3, 4, 5)
        await cluster.crash(2)
        await cluster[4].stop(four)
        cluster.isolate(5)
        await cluster.start(2)
        dc = await open_datacenter(cluster[2], file, lease_grace=15)
        await trio.sleep(10)
        assert await dc.list("servers") == ("3", "5")
        await trio.sleep(10)
        assert await dc.list("servers") == ("3",)
        cluster.heal()
        await trio.sleep(30)
        assert await dc.list("servers") == ("3",)
        await cluster.crash(3)
        await trio.sleep(1)
        assert await dc.list() == ()


async def test_an_owner_whose_node_is_late(file: Path) -> None:
    async with open_cluster(3) as cluster:
        await open_datacenter(cluster[2], file)
        await owners(cluster, 3)
        await cluster.crash(2)
        cluster.partition({3}, {1, 2})
        await cluster.start(2)
        dc = await open_datacenter(cluster[2], file)
        await trio.sleep(5)
        cluster.heal()
        await trio.sleep(40)
        assert await dc.list("servers") == ("3",)
