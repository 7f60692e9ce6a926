"""Identity (C12) and the ordered end of nodes (C13) in a cluster."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.lives import Log, Quiet, Worker
from tests.sim.places import REST, open_places
from trionet import (
    Node,
    NodeConfig,
    NodeDown,
    NoSuchService,
    RemoteError,
    Service,
    ServiceExited,
    command,
    spec,
)
from trionet.cluster_events import Leaving, NameRemoved, NodeGone, NodeUp
from trionet.testing import Hold, open_cluster


async def test_c12_a_handle_of_an_earlier_incarnation_never_reaches_a_later_service(
    autojump_clock: MockClock,
) -> None:
    """Called, sent to, stopped, watched: from the other node, and from the node itself."""
    async with open_cluster(2) as cluster:
        await cluster[2].start(Quiet)
        old = cluster[2].services()[0]
        node = await cluster.restart(2)
        await cluster.settle()
        fresh = await node.start(Quiet)
        assert node.services()[0].value == old.value
        assert node.services()[0] != old
        for each in (cluster[1], node):
            with pytest.raises(NodeDown) as caught:
                await each.call(old, "answer")
            assert caught.value.executed is False
            await each.send(old, "answer")
            assert each.dead_letters.count == 1
            with pytest.raises(NodeDown):
                await each.stop(old)
            async with each.watch(old) as end:
                assert (await end.wait()).reason == "node down"
        assert await cluster[1].call(fresh, "answer") == 42


async def test_c12_the_text_of_a_handle_means_the_present_incarnation(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        await cluster[2].start(Quiet)
        assert await cluster[1].call(":02000001", "answer") == 42
        node = await cluster.restart(2)
        await cluster.settle()
        with pytest.raises(NoSuchService):
            await cluster[1].call(":02000001", "answer")
        await node.start(Quiet)
        assert await cluster[1].call(":02000001", "answer") == 42
        with pytest.raises(NodeDown, match="no harbor 9"):
            await cluster[1].call(":09000001", "answer")


async def test_c12_a_reference_by_name_follows_a_restarted_node(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        await cluster[2].start(Quiet, name="quiet")
        await cluster[1].wait_for_name("quiet")
        quiet = cluster[1].ref("quiet", Quiet)
        assert await quiet.answer() == 42
        node = await cluster.restart(2)
        with pytest.raises((NoSuchService, NodeDown)) as caught:
            await quiet.answer()
        assert caught.value.executed is False
        await node.start(Quiet, name="quiet")
        await cluster.settle()
        await cluster[1].wait_for_name("quiet")
        assert await quiet.answer() == 42


async def test_c12_a_stored_handle_of_a_node_without_a_cluster_reaches_nothing(
    autojump_clock: MockClock,
) -> None:
    async with open_places("local") as places, open_cluster(2) as cluster:
        await places.here.start(Quiet)
        stored = places.here.services()[0]
        await cluster[2].start(Quiet)
        for node in cluster.nodes.values():
            with pytest.raises(NodeDown):
                await node.call(stored, "answer")


# --- the ordered end ----------------------------------------------------------------------------------


class Farewell(Service):
    """Uses another node while it is torn down."""

    def __init__(self, log: Log, other: Service) -> None:
        self.written = log
        self.other = other

    async def teardown(self) -> None:
        self.written.append(f"teardown got {await self.call(self.other, 'answer')}")
        await self.send(self.other, "remember", "farewell")

    @command
    def ping(self) -> str:
        return "pong"


class Memory(Quiet):
    """Remembers what it was sent."""

    def __init__(self, log: Log) -> None:
        self.written = log

    @command
    def remember(self, word: str) -> None:
        self.written.append(f"{word} arrived")


async def test_c13_a_node_leaves_in_order(autojump_clock: MockClock) -> None:
    """Names first, then services, whose last calls and sends still arrive, then the links."""
    log: Log = []
    async with open_cluster(3) as cluster:
        memory = await cluster[3].start(spec(Memory, log))
        await cluster[2].start(spec(Farewell, log, cluster[2].ref(memory)), name="f")
        handle = await cluster[1].wait_for_name("f")
        incarnation = cluster[2].incarnation
        async with cluster[1].cluster.events() as events:
            began = trio.current_time()
            await cluster.stop(2)
            await trio.sleep(REST)
            seen = [events.receive_nowait() for _ in range(events.statistics().current_buffer_used)]
        assert trio.current_time() - began < 1
        assert log == ["teardown got 42", "farewell arrived"]
        assert seen == [NameRemoved("f", handle), NodeGone(2, incarnation, Leaving.GOODBYE)]
        assert cluster[1].cluster.nodes().keys() == {1, 3}
        assert cluster[3].dead_letters.count == 0
        with pytest.raises(NodeDown):
            await cluster[1].call(handle, "ping")


async def test_c13_what_was_sent_before_the_stop_arrives(autojump_clock: MockClock) -> None:
    """Links are flushed: large and small messages, more than a link writes at a time, answered calls too."""
    log: Log = []
    words = [f"{number:04}" + "x" * (100_000 if number % 10 == 0 else 10) for number in range(200)]
    async with open_cluster(2) as cluster, trio.open_nursery() as nursery:
        memory = cluster[2].ref(await cluster[1].start(spec(Memory, log)), Memory)
        quiet = await cluster[2].start(Quiet)
        answers: list[int] = []

        async def ask() -> None:
            answers.append(await cluster[1].call(quiet, "answer"))

        for _ in range(100):
            nursery.start_soon(ask)
        for word in words:
            await memory.remember.send(word)
        await cluster.stop(2)
        await trio.sleep(REST)
        assert log == [f"{word} arrived" for word in words]
        assert answers == [42] * 100
        assert cluster[1].dead_letters.count == 0


async def test_c13_calls_that_run_may_end_within_the_grace_time(autojump_clock: MockClock) -> None:
    log: Log = []
    hold = Hold()
    async with open_cluster(2, config=NodeConfig(stop_grace=5)) as cluster, trio.open_nursery() as nursery:
        worker = cluster[1].ref(await cluster[2].start(spec(Worker, log, hold)), Worker)
        ends: Log = []

        async def call(word: str) -> None:
            try:
                ends.append(await worker.work(word))
            except ServiceExited as error:
                ends.append(f"{type(error).__name__} {error.executed}")

        for word in ("one", "two"):
            nursery.start_soon(call, word)
            await trio.sleep(REST)
        nursery.start_soon(cluster.stop, 2)
        await trio.sleep(1)
        with pytest.raises((ServiceExited, NodeDown)):
            await worker.work("late")
        hold.release_one()
        began = trio.current_time()
        assert (await cluster.wait_ended(2)) is None
        assert trio.current_time() - began == pytest.approx(4, abs=REST)
        await trio.sleep(REST)
        assert sorted(ends) == ["ServiceExited True", "one"]


async def test_c13_the_master_may_leave_first(autojump_clock: MockClock) -> None:
    """What runs goes on; a node that is cut off from its master leaves too."""
    async with open_cluster(3) as cluster:
        quiet = await cluster[2].start(Quiet, name="quiet")
        await cluster[3].wait_for_name("quiet")
        await cluster.stop(1)
        await cluster[3].cluster.wait_master_lost()
        assert await cluster[3].call("quiet", "answer") == 42
        began = trio.current_time()
        await cluster.stop(2)
        assert trio.current_time() - began < 5
        with pytest.raises((NodeDown, NoSuchService)):
            await cluster[3].call(quiet, "answer")


async def test_c13_all_stop_at_once(autojump_clock: MockClock) -> None:
    async with open_cluster(5) as cluster, trio.open_nursery() as nursery:
        for number, node in cluster.nodes.items():
            await node.start(Quiet, name=f"quiet{number}")
        await trio.sleep(REST)
        began = trio.current_time()
        for number in cluster.nodes:
            nursery.start_soon(cluster.stop, number)
        for number in range(1, 6):
            assert await cluster.wait_ended(number) is None
        assert trio.current_time() - began < 5


async def test_node_events_tell_of_who_comes_and_goes(autojump_clock: MockClock) -> None:
    async with open_cluster(2) as cluster:
        async with cluster[1].cluster.events() as events:
            node: Node = await cluster.start(3)
            incarnation = node.incarnation
            await cluster.crash(3)
            await trio.sleep(REST)
            seen = [events.receive_nowait() for _ in range(events.statistics().current_buffer_used)]
        assert seen == [
            NodeUp(3, incarnation, "node3:2526", "node3"),
            NodeGone(3, incarnation, Leaving.LOST),
        ]


async def test_c6_through_a_third_node(autojump_clock: MockClock) -> None:
    """A caller on node 1 is cancelled while its call runs on node 3 by way of node 2; or is out of time."""
    log: Log = []
    async with open_cluster(3) as cluster, trio.open_nursery() as nursery:
        last = await cluster[3].start(spec(Worker, log, None, "last"))
        middle = await cluster[2].start(spec(Worker, log, None, "middle"))
        ask = cluster[1].ref(middle, Worker).ask
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel_after, 5.0, scope)
            await ask(last, "x")
        assert scope.cancelled_caught
        assert log == ["middle asks", "last x begins", "last x cancelled"]
        del log[:]
        with trio.move_on_after(5) as scope:
            await ask(last, "y")
        assert scope.cancelled_caught
        await trio.sleep(REST)
        assert log == ["middle asks", "last y begins", "last y cancelled"]
        nursery.start_soon(kill_after, 1.0, cluster[3], last)
        with pytest.raises(RemoteError, match="ServiceExited"):
            await ask(last, "z")


async def cancel_after(seconds: float, scope: trio.CancelScope) -> None:
    await trio.sleep(seconds)
    scope.cancel()


async def kill_after(seconds: float, node: Node, target: Service) -> None:
    await trio.sleep(seconds)
    await node.kill(target)
