"""Names while the cluster is split, and exclusive names, which never have two owners (C11)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.lives import Log, Quiet, note
from tests.kernel.stage import Caller
from tests.sim.places import REST
from trionet import Handle, NameTaken, NoSuchService, Service, command, spec
from trionet.testing import SimulatedCluster, open_cluster

#: Seconds after which a silent link is dead, at the latest.
SILENCE = 25.0


class Owner(Service):
    """Writes down that it lost a name, and stays if it is told to."""

    def __init__(self, log: Log, key: str, *, stays: bool = False) -> None:
        self.written = log
        self.key = key
        self.stays = stays

    async def name_lost(self, name: str, owner: Handle | None) -> None:
        self.written.append(f"{self.key} lost {name} to {owner}")
        if not self.stays:
            await super().name_lost(name, owner)

    @command
    def who(self) -> str:
        return self.key


async def split_with_a_name_in_each_part(cluster: SimulatedCluster, log: Log, *, stays: bool) -> None:
    """Node 4 is cut off, the master loses it, both parts give the name ``x`` to a service of their own.

    A node without its master registers nothing: the name of the part without one is older than the split.
    The master forgot its owner when it lost the node, and has given the name to another since.
    """
    await cluster[4].start(spec(Owner, log, "old", stays=stays), name="x")
    await cluster[2].wait_for_name("x")
    cluster.partition({1, 2, 3}, {4})
    await trio.sleep(SILENCE)
    with pytest.raises(NoSuchService):
        await cluster[2].call("x", "who")
    await cluster[2].start(spec(Owner, log, "new"), name="x")
    await trio.sleep(REST)
    assert await cluster[4].call("x", "who") == "old"
    assert await cluster[3].call("x", "who") == "new"
    assert log == []


@pytest.mark.parametrize("stays", [False, True])
async def test_c11_when_parts_meet_the_higher_stamp_wins_everywhere(
    autojump_clock: MockClock, stays: bool
) -> None:
    """The loser's service is told, and by default stops."""
    log: Log = []
    async with open_cluster(4) as cluster:
        await split_with_a_name_in_each_part(cluster, log, stays=stays)
        cluster.heal()
        await cluster.settle()
        await trio.sleep(REST)
        handle = cluster[2].lookup("x")
        assert log == [f"old lost x to {handle}"]
        assert {node.lookup("x") for node in cluster.nodes.values()} == {handle}
        for number in range(1, 5):
            assert await cluster[number].call("x", "who") == "new"
        assert len(cluster[4].services()) == (1 if stays else 0)


async def test_c11_two_parts_each_with_a_master_that_was_restarted(autojump_clock: MockClock) -> None:
    """A master that restarts in a split grants the name of a node that it cannot see, with a higher stamp."""
    log: Log = []
    async with open_cluster(4) as cluster:
        await cluster[3].start(spec(Owner, log, "old"), name="x")
        await trio.sleep(REST)
        cluster.partition({1, 2}, {3, 4})
        await trio.sleep(SILENCE)
        await cluster.restart(1)
        await cluster[1].cluster.wait_connected(2)  # from now on it knows the epoch before
        await cluster[1].start(spec(Owner, log, "new"), name="x")
        await trio.sleep(50)
        assert await cluster[4].call("x", "who") == "old"
        assert await cluster[2].call("x", "who") == "new"
        cluster.heal()
        await cluster.settle()
        await trio.sleep(REST)
        assert log == [f"old lost x to {cluster[1].lookup('x')}"]
        for number in range(1, 5):
            assert await cluster[number].call("x", "who") == "new"


async def test_c11_a_name_of_a_cut_off_node_that_nobody_took_comes_back(autojump_clock: MockClock) -> None:
    log: Log = []
    async with open_cluster(3) as cluster:
        await cluster[3].start(spec(Owner, log, "old"), name="x")
        await cluster[2].wait_for_name("x")
        handle = cluster[2].lookup("x")
        cluster.isolate(3)
        await trio.sleep(SILENCE)
        assert cluster[2].lookup("x") is None
        cluster.heal()
        await cluster.settle()
        await trio.sleep(REST)
        assert cluster[2].lookup("x") == handle
        assert await cluster[1].call("x", "who") == "old"
        assert log == []


async def test_c11_a_part_without_a_master_registers_nothing_new(autojump_clock: MockClock) -> None:
    async with open_cluster(3) as cluster, trio.open_nursery() as nursery:
        cluster.partition({1, 2}, {3})
        log: Log = []
        nursery.start_soon(note_start, log, cluster, 3)
        await trio.sleep(100)
        assert log == []
        await cluster[2].start(Quiet, name="x")
        cluster.heal()
        await trio.sleep(20)
        assert log == ["NameTaken"]


async def note_start(log: Log, cluster: SimulatedCluster, number: int) -> None:
    try:
        await cluster[number].start(Quiet, name="x")
        log.append("started")
    except NameTaken as error:
        log.append(type(error).__name__)


# --- exclusive names ----------------------------------------------------------------------------------


class Sole(Service):
    """Counts its kind: how many believe to own the name at the same time."""

    owners: list[int]

    def __init__(self, owners: list[int], number: int) -> None:
        self.owners = owners
        self.number = number

    async def name_lost(self, name: str, owner: Handle | None) -> None:
        self.owners.remove(self.number)
        await super().name_lost(name, owner)

    @command
    def who(self) -> int:
        return self.number


@asynccontextmanager
async def contended(cluster: SimulatedCluster, owners: list[int]) -> AsyncIterator[None]:
    """Let nodes 2, 3 and 4 start the service anew whenever the name is free; there is never a second one."""
    async with trio.open_nursery() as nursery:
        for number in (2, 3, 4):
            nursery.start_soon(contend, cluster, owners, number)
        nursery.start_soon(check_sole, cluster, owners)
        yield
        nursery.cancel_scope.cancel()


async def contend(cluster: SimulatedCluster, owners: list[int], number: int) -> None:
    while True:
        if number in cluster.nodes and number not in owners:
            try:
                await cluster[number].start(spec(Sole, owners, number), name="sole", exclusive=True)
                owners.append(number)
            except NameTaken:
                pass
        await trio.sleep(0.5)


async def check_sole(cluster: SimulatedCluster, owners: list[int]) -> None:
    while True:
        believing = [
            number
            for number, node in cluster.nodes.items()
            if (handle := node.lookup("sole")) is not None and handle.incarnation == node.incarnation
        ]
        assert len(believing) <= 1, f"nodes {believing} both own the name"
        assert len(owners) <= 1, f"services of nodes {owners} both own the name"
        await trio.sleep(0.05)


@pytest.mark.parametrize("fault", ["isolate", "partition", "crash"])
async def test_c11_an_exclusive_name_never_has_two_owners(autojump_clock: MockClock, fault: str) -> None:
    """It goes to another once the old owner's lease is over, and not before."""
    owners: list[int] = []
    async with open_cluster(4) as cluster, contended(cluster, owners):
        await trio.sleep(60)  # a new master grants none that it does not know before it can know
        (first,) = owners
        if fault == "isolate":
            cluster.isolate(first)
        elif fault == "partition":
            cluster.partition({first})
        else:
            owners.remove(first)
            await cluster.crash(first)
        began = trio.current_time()
        while not owners or owners == [first]:  # noqa: ASYNC110 - it changes on any of three nodes
            await trio.sleep(0.5)
        assert trio.current_time() - began < 70
        if fault == "crash":
            await cluster.start(first)
        cluster.heal()
        await cluster.settle()
        await trio.sleep(10)
        assert len(owners) == 1
        assert await cluster[1].call("sole", "who") == owners[0]


async def test_c11_an_exclusive_name_through_the_loss_of_the_master(autojump_clock: MockClock) -> None:
    """Its owner gives it up when the master is silent for the heartbeat timeout; a quick return keeps it."""
    owners: list[int] = []
    async with open_cluster(4) as cluster, contended(cluster, owners):
        await trio.sleep(60)
        (first,) = owners
        await cluster.restart(1)
        await trio.sleep(30)
        assert owners == [first]
        await cluster.crash(1)
        await trio.sleep(SILENCE)
        assert owners == []
        assert cluster[first].lookup("sole") is None
        await trio.sleep(100)
        await cluster.start(1)
        await trio.sleep(60)
        assert len(owners) == 1


async def test_c11_an_exclusive_name_over_clocks_that_jump(autojump_clock: MockClock) -> None:
    """All stood still for longer than the lease: it is given up, and only then given to somebody again."""
    owners: list[int] = []
    async with open_cluster(4) as cluster, contended(cluster, owners):
        for seconds in (15.0, 30.0, 3600.0):
            await trio.sleep(100)
            assert len(owners) == 1
            autojump_clock.autojump_threshold = inf
            autojump_clock.jump(seconds)
            autojump_clock.autojump_threshold = 0
        await trio.sleep(100)
        assert len(owners) == 1
        assert await cluster[1].call("sole", "who") == owners[0]


async def test_c11_a_restart_of_the_service_keeps_an_exclusive_name(autojump_clock: MockClock) -> None:
    owners: list[int] = []
    async with open_cluster(3) as cluster, trio.open_nursery() as nursery:
        starting = Caller(lambda: cluster[2].start(spec(Sole, owners, 2), name="sole", exclusive=True))
        nursery.start_soon(starting.run)
        await trio.sleep(60)
        assert starting.end.startswith("value")
        log: Log = []
        await note(log, "call", cluster[3].call("sole", "who"))
        assert log == ["call: 2"]
        await cluster[2].stop("sole")
        await trio.sleep(REST)
        await cluster[3].start(spec(Sole, owners, 3), name="sole", exclusive=True)
        assert await cluster[2].wait_for_name("sole") == cluster[3].services()[0]
