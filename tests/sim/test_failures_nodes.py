"""Nodes that crash, come back, are cut off or frozen: who is told what, and how soon (C4, C5, C6)."""

from __future__ import annotations

import time
from itertools import cycle
from math import inf

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.lives import Log, Quiet, Worker
from tests.kernel.stage import Puppet, Stage, puppet
from tests.sim.places import REST
from trionet import CallError, ClusterConfig, Harbor, NodeConfig, NodeDown, spec
from trionet.testing import Hold, SimulatedCluster, open_cluster

#: Seconds after which a silent link is dead, at the latest: the timeout, and a tick that came late.
SILENCE = 20.0 + 5.0


class Calls:
    """Calls of a test that tell how and when each ended."""

    def __init__(self, cluster: SimulatedCluster, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._cluster = cluster
        self.began = trio.current_time()
        self.ends: dict[str, tuple[str, bool | None]] = {}
        self.times: dict[str, float] = {}

    def call(self, box: Puppet, name: str, key: str) -> None:
        """Begin a call from node 1 that is known by its key, and has no deadline."""
        self._nursery.start_soon(self._call, box, name, key)

    async def _call(self, box: Puppet, name: str, key: str) -> None:
        try:
            with trio.fail_after(100_000):
                value = await self._cluster[1].call(box, name, key)
            self.ends[key] = (f"value {value}", True)
        except CallError as error:
            self.ends[key] = (type(error).__name__, error.executed)
        self.times[key] = trio.current_time() - self.began


async def in_every_state(cluster: SimulatedCluster, calls: Calls, stage: Stage) -> None:
    """Bring calls to node 2 into each state in which a call can be."""
    box = await cluster[2].start(spec(puppet(concurrency=2), stage))
    for name, key in [("note", "answered"), *zip(("later", "hold", "persist"), STARTED, strict=True)]:
        calls.call(box, name, key)
        await trio.sleep(REST)
    await trio.sleep(10)  # all credit has been given back
    for key in QUEUED + WAITING:
        calls.call(box, "note", key)
        await trio.sleep(REST)
    assert calls.ends == {"answered": ("value answered", True)}
    calls.began = trio.current_time()


STARTED = ["deferred", "running", "shielded"]
#: What the inbox holds is as much as the window allows; the others wait for room.
QUEUED = [f"queued {number}" for number in range(6)]
WAITING = [f"waiting {number}" for number in range(5)]
WINDOW = ClusterConfig(window_messages=len(QUEUED))


async def test_c4_the_callee_s_node_crashes_with_calls_in_every_state(autojump_clock: MockClock) -> None:
    """All are told at once; who stood before the window knows that nothing was executed."""
    stage = Stage()
    async with open_cluster(2, settings=WINDOW) as cluster, trio.open_nursery() as nursery:
        calls = Calls(cluster, nursery)
        await in_every_state(cluster, calls, stage)
        await cluster.crash(2)
        await trio.sleep(REST)
        del calls.ends["answered"]
        assert calls.ends == {
            **dict.fromkeys(STARTED + QUEUED, ("NodeDown", None)),
            **dict.fromkeys(WAITING, ("NodeDown", False)),
        }
        assert max(calls.times.values()) < REST
        stage.open("running", "shielded")
        stage.kept.clear()


async def test_c4_a_call_to_a_node_that_is_gone_fails_at_once(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        quiet = cluster[1].ref(await cluster[2].start(Quiet), Quiet)
        await cluster.crash(2)
        await trio.sleep(REST)
        began = trio.current_time()
        with pytest.raises(NodeDown) as caught:
            await quiet.answer()
        assert caught.value.executed is False
        assert trio.current_time() == began


async def test_c5_sends_of_unknown_fate_are_dead_letters(autojump_clock: MockClock) -> None:
    """Those acknowledged are none; those in the line before the window were certainly not delivered."""
    stage = Stage()
    settings = ClusterConfig(window_messages=10)
    async with open_cluster(2, settings=settings) as cluster, trio.open_nursery() as nursery:
        box = cluster[1].ref(await cluster[2].start(spec(puppet(concurrency=1), stage)), Puppet)
        await box.hold.send("gate")
        await trio.sleep(10)
        for number in range(4):
            await box.note.send(f"acknowledged {number}")
        await trio.sleep(2)
        async with cluster[1].dead_letters.subscribe() as channel:
            cluster.partition({1}, {2})
            for number in range(10):
                nursery.start_soon(box.note.send, f"sent {number}")
            await trio.sleep(SILENCE)
            letters = []
            while channel.statistics().current_buffer_used:
                letters.append(channel.receive_nowait())
        fates = {letter.args[0]: letter.reason.partition(":")[0] for letter in letters}
        assert sorted(fates.values()) == ["not delivered"] * 4 + ["unknown fate"] * 6
        assert sorted(fates) == [f"sent {number}" for number in range(10)]
        cluster.heal()
        stage.open("gate")
        await trio.sleep(30)
        assert not [word for word in stage.log if word.startswith("sent")]


async def test_c6_the_caller_s_node_crashes_and_the_handlers_are_cancelled(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with open_cluster(2) as cluster, trio.open_nursery() as nursery:
        box = await cluster[1].start(spec(puppet(concurrency=2), stage))
        relay = await cluster[2].start(spec(puppet(), stage))
        for name, key in (("hold", "running"), ("persist", "shielded"), ("note", "queued")):
            nursery.start_soon(send_relay, cluster, relay, box, name, key)
            await trio.sleep(REST)
        del stage.log[:]
        await cluster.crash(2)
        await trio.sleep(REST)
        assert stage.log == ["running cancelled"]
        assert [each.abandoned for each in cluster[1].service_statistics(box).handlers] == [True]
        stage.open("shielded")
        await trio.sleep(REST)
        assert stage.log == ["running cancelled", "shielded ends"]


async def send_relay(cluster: SimulatedCluster, relay: Puppet, box: Puppet, name: str, key: str) -> None:
    await cluster[2].send(relay, "relay", box, name, key)


async def test_a_node_rejoins_with_the_same_id_at_once(autojump_clock: MockClock) -> None:
    """After a crash; its names and calls work again, and the old ones do not."""
    async with open_cluster(3) as cluster:
        old = await cluster[2].start(Quiet, name="quiet")
        await cluster[3].wait_for_name("quiet")
        for _ in range(5):
            began = trio.current_time()
            node = await cluster.restart(2)
            fresh = await node.start(Quiet, name="quiet")
            await cluster.settle()
            await trio.sleep(REST)
            assert trio.current_time() - began < 5
            for number in (1, 3):
                assert await cluster[number].call("quiet", "answer") == 42
                with pytest.raises(NodeDown):
                    await cluster[number].call(old, "answer")
            old = fresh


async def test_a_partition_during_calls(autojump_clock: MockClock) -> None:
    """Nobody waits longer than the heartbeat timeout; when it heals there are new links."""
    stage = Stage()
    async with open_cluster(3, settings=WINDOW) as cluster, trio.open_nursery() as nursery:
        calls = Calls(cluster, nursery)
        await in_every_state(cluster, calls, stage)
        await cluster[3].start(Quiet, name="other")
        await cluster[1].wait_for_name("other")
        cluster.partition({1, 3}, {2})
        calls.began = trio.current_time()
        await trio.sleep(SILENCE + REST)
        calls.ends.pop("answered")
        assert {end[0] for end in calls.ends.values()} == {"NodeDown"}
        assert set(calls.ends) == {*STARTED, *QUEUED, *WAITING}
        assert max(calls.times[key] for key in calls.ends) <= SILENCE
        assert cluster[1].cluster.linked() == (3,)
        assert await cluster[1].call("other", "answer") == 42
        # on the other side, the handlers of callers who are out of reach are cancelled
        assert "running cancelled" in stage.log
        cluster.heal()
        with trio.fail_after(15):
            await cluster.settle()
        assert await cluster[1].call(f":{cluster[2].services()[0].value:08x}", "note", "again") == "again"
        stage.open("shielded")
        stage.kept.clear()


async def test_a_short_partition_is_only_a_delay(autojump_clock: MockClock) -> None:
    """What was on its way arrives; no link is lost, nothing fails, the order stays."""
    stage = Stage()
    async with open_cluster(2) as cluster:
        box = cluster[1].ref(await cluster[2].start(spec(puppet(), stage)), Puppet)
        for number in range(20):
            if number % 7 == 3:
                cluster.partition({1}, {2})
            await box.note.send(str(number))
            await trio.sleep(3)
            if number % 7 == 5:
                cluster.heal()
        cluster.heal()
        assert await box.note("last") == "last"
        assert stage.log == [*map(str, range(20)), "last"]
        assert cluster[1].dead_letters.count == 0


async def test_one_isolated_node_holds_up_nobody(autojump_clock: MockClock) -> None:
    """Neither a join nor calls nor names of the others."""
    async with open_cluster(4) as cluster:
        cluster.isolate(3)
        began = trio.current_time()
        node = await cluster.start(5)
        assert trio.current_time() - began <= 5 + 1
        assert set(node.cluster.linked()) == {1, 2, 4}
        await node.start(Quiet, name="quiet")
        with trio.fail_after(1):
            await cluster[4].wait_for_name("quiet")
            assert await cluster[4].call("quiet", "answer") == 42
        await trio.sleep(SILENCE)
        began = trio.current_time()
        await cluster.start(6)
        assert trio.current_time() - began < 1
        cluster.heal()
        await cluster.settle()
        assert await cluster[3].call("quiet", "answer") == 42


async def test_sixteen_nodes_join_at_once(autojump_clock: MockClock) -> None:
    async with open_cluster(1) as cluster:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for number in range(2, 17):
                nursery.start_soon(cluster.start, number)
        await cluster.settle()
        assert trio.current_time() - began < 10
        for number, node in cluster.nodes.items():
            assert node.cluster.linked() == tuple(each for each in range(1, 17) if each != number)
            await node.start(Quiet, name=f"quiet{number}")
        await trio.sleep(REST)
        for number in range(1, 17):
            assert await cluster[17 - number].call(f"quiet{number}", "answer") == 42


async def test_clocks_that_jump_do_not_declare_others_dead(autojump_clock: MockClock) -> None:
    """All processes stood still for hours, as in a suspended machine; what was sent meanwhile is read."""
    log: Log = []
    hold = Hold()
    config = NodeConfig(call_deadline=inf)
    async with open_cluster(3, config=config) as cluster, trio.open_nursery() as nursery:
        worker = cluster[1].ref(await cluster[2].start(spec(Worker, log, hold)), Worker)
        nursery.start_soon(worker.work, "x")
        await trio.sleep(REST)
        for seconds in (30, 3600, 100_000):
            autojump_clock.autojump_threshold = inf
            autojump_clock.jump(seconds)
            autojump_clock.autojump_threshold = 0
            await trio.sleep(60)
            for number, node in cluster.nodes.items():
                assert len(node.cluster.linked()) == 2, f"node {number} lost a link at a jump of {seconds}"
        hold.release()
        await trio.sleep(REST)
        assert log[-1] == "worker x ends"


async def test_the_time_of_day_may_jump(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is set back and forth by years, and nothing of a cluster goes by it."""
    days = cycle([0.0, 4e9, 1e9, 3e9])
    monkeypatch.setattr(time, "time", lambda: next(days))
    monkeypatch.setattr(time, "time_ns", lambda: int(next(days)) * 10**9)
    async with open_cluster(3) as cluster:
        log: Log = []
        hold = Hold()
        await cluster[3].start(spec(Worker, log, hold), name="worker", exclusive=True)
        worker = cluster[2].ref(await cluster[2].wait_for_name("worker"), Worker)
        began = trio.current_time()
        with trio.move_on_after(30) as scope:
            await worker.work("x")
        assert scope.cancelled_caught
        assert trio.current_time() - began == pytest.approx(30, abs=REST)
        await trio.sleep(100)
        assert [len(node.cluster.linked()) for node in cluster.nodes.values()] == [2, 2, 2]
        assert cluster[2].lookup("worker") is not None
        await cluster.restart(1)
        await cluster.settle()
        assert cluster[1].lookup("worker") is not None


async def test_a_handler_that_was_abandoned_by_a_lost_link_does_not_answer_the_next(
    autojump_clock: MockClock,
) -> None:
    """Sessions are of one link: an answer of the former one reaches nobody."""
    stage = Stage()
    async with open_cluster(2) as cluster, trio.open_nursery() as nursery:
        calls = Calls(cluster, nursery)
        box = await cluster[2].start(spec(puppet(), stage))
        calls.call(box, "persist", "first")
        await trio.sleep(REST)
        cluster.partition({1}, {2})
        await trio.sleep(SILENCE)
        cluster.heal()
        await cluster.settle()
        calls.call(box, "persist", "second")
        await trio.sleep(REST)
        stage.open("first")
        await trio.sleep(REST)
        assert calls.ends == {"first": ("NodeDown", None)}
        stage.open("second")
        await trio.sleep(REST)
        assert calls.ends["second"] == ("value second", True)


async def test_c4_a_link_that_is_closing_is_no_link_any_more(autojump_clock: MockClock) -> None:
    """It has ended for itself, and those who serve it do not know it yet."""
    async with open_cluster(2) as cluster:
        quiet = cluster[1].ref(await cluster[2].start(Quiet), Quiet)
        harbor = cluster[1].network
        assert isinstance(harbor, Harbor)
        peer = harbor._links.peer(2)
        assert peer is not None
        fates = peer.link.close("a test closes it")
        assert not fates.unknown
        with pytest.raises(NodeDown, match="the link to harbor 2 is closing") as caught:
            await quiet.answer()
        assert caught.value.executed is False
        cluster[1].send_nowait(quiet, Quiet.answer)
        await quiet.answer.send()
        assert cluster[1].dead_letters.count == 2
        peer.fill_windows()
        peer.end("a test closed it")
        await cluster.settle()
