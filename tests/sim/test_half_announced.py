"""The master dies after it has announced a name, and before it confirmed it (C4, C11)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.sim.places import REST
from trionet import Node, Service, ServiceExited, command
from trionet.net.harbor import Harbor
from trionet.net.master import MasterTask, decode
from trionet.testing import SimulatedCluster, open_cluster
from trionet.wire.master_messages import Changes, Registered

#: What does not reach the owner: the confirmation, or the news of its own name as well.
LOST = {"confirmation": (Registered,), "all": (Changes, Registered)}


class Counter(Service):
    """Counts its calls."""

    def __init__(self) -> None:
        self.count = 0

    @command
    def add(self) -> int:
        self.count += 1
        return self.count


def lose(monkeypatch: pytest.MonkeyPatch, cluster: SimulatedCluster, number: int, lost: str) -> None:
    """Let the present master say to one node nothing of that any more."""
    harbor = cluster[1].network
    assert isinstance(harbor, Harbor)
    dying = harbor.master
    assert dying is not None
    incarnation = cluster[number].incarnation
    send = MasterTask._send

    def send_some(master: MasterTask, key: int, payload: bytes) -> None:
        peer = master._links[key].link.peer
        if master is dying and peer.incarnation == incarnation and isinstance(decode(payload), LOST[lost]):
            return
        send(master, key, payload)

    monkeypatch.setattr(MasterTask, "_send", send_some)


async def start(node: Node, exclusive: bool, scope: trio.CancelScope, started: trio.Event) -> None:
    with scope:
        await node.start(Counter, name="counter", exclusive=exclusive)
        started.set()


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("lost", LOST)
async def test_c11_a_name_that_was_announced_and_not_confirmed_is_confirmed_when_the_master_is_back(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, lost: str, exclusive: bool
) -> None:
    """Calls by it wait until the service runs, and then are answered in their order.

    An exclusive name takes longer: a master that has just started grants none that it does not know of.
    """
    async with open_cluster(3) as cluster, trio.open_nursery() as nursery:
        lose(monkeypatch, cluster, 2, lost)
        answers: dict[str, int] = {}
        started = trio.Event()

        async def call(key: str) -> None:
            answers[key] = await cluster[3].ref("counter", Counter).add()

        nursery.start_soon(start, cluster[2], exclusive, trio.CancelScope(), started)
        handle = await cluster[3].wait_for_name("counter")
        nursery.start_soon(call, "first")
        await trio.sleep(REST)
        await cluster[3].ref("counter", Counter).add.send()
        nursery.start_soon(call, "last")
        await cluster.crash(1)
        await trio.sleep(5)
        assert (answers, started.is_set()) == ({}, False)
        assert cluster[3].lookup("counter") == handle
        await cluster.restart(1)
        with trio.fail_after(50 if exclusive else 15):
            await started.wait()
        await trio.sleep(REST)
        assert answers == {"first": 1, "last": 3}
        await cluster.settle()
        assert {cluster[number].lookup("counter") for number in (1, 2, 3)} == {handle}
        assert await cluster[1].call("counter", "add") == 4


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("lost", LOST)
async def test_c11_a_name_that_was_announced_for_a_start_that_is_given_up_is_free_again(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, lost: str, exclusive: bool
) -> None:
    """Who has called by it is told at once; the name goes everywhere when the master is back."""
    async with open_cluster(3) as cluster, trio.open_nursery() as nursery:
        lose(monkeypatch, cluster, 2, lost)
        scope = trio.CancelScope()
        nursery.start_soon(start, cluster[2], exclusive, scope, trio.Event())
        await cluster[3].wait_for_name("counter")

        async def call() -> None:
            with pytest.raises(ServiceExited) as caught:
                await cluster[3].ref("counter", Counter).add()
            assert caught.value.executed is False
            told.set()

        told = trio.Event()
        nursery.start_soon(call)
        await trio.sleep(REST)
        await cluster.crash(1)
        await trio.sleep(5)
        scope.cancel()
        with trio.fail_after(REST):
            await told.wait()
        await cluster.restart(1)
        await cluster.settle()
        assert [cluster[number].lookup("counter") for number in (1, 2, 3)] == [None] * 3
        await cluster[3].start(Counter, name="counter")
        assert await cluster[2].call(await cluster[2].wait_for_name("counter"), "add") == 1
