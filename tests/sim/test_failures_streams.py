"""Streams across nodes that die, fall silent, or say what they should not (C4, C6, C14)."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from tests.kernel.fountain import Fountain, fountain
from tests.kernel.stage import Stage
from tests.sim.fountains import received
from tests.sim.places import REST
from tests.sim.test_long_waits import PATIENT, told
from trionet import BadMessage, ClusterConfig, Harbor, NodeConfig, NodeDown, StreamReader, spec
from trionet.net.peer import Peer
from trionet.net.waits import LONG_WAIT
from trionet.testing import SimulatedCluster, open_cluster
from trionet.wire import link_frames as frames


async def start(cluster: SimulatedCluster, stage: Stage, **options: Any) -> Fountain:
    """Start a fountain on node 2; returns a reference for consumers on node 1."""
    return cluster[1].ref(await cluster[2].start(spec(fountain(**options), stage)), Fountain)


async def end_of(items: StreamReader[Any]) -> tuple[list[Any], Exception | None]:
    """Receive what is left of a stream; returns the items, and what came instead of the end."""
    left = []
    try:
        while True:
            left.append(await items.receive())
    except trio.EndOfChannel:
        return left, None
    except Exception as error:
        return left, error


# --- a side dies -----------------------------------------------------------------------------------------


async def test_c4_the_producer_s_node_crashes(autojump_clock: MockClock) -> None:
    """What had come is received; who never began knows that, or that nobody knows."""
    stage = Stage()
    settings = ClusterConfig(window_messages=2)
    async with open_cluster(2, settings=settings) as cluster, trio.open_nursery() as nursery:
        source = await start(cluster, stage, concurrency=1)
        ends: list[tuple[list[Any], Exception | None]] = []

        async def wait() -> None:
            ends.append(await received(source.count(1)))

        async with source.at_gates("a", "b", "c") as opened:
            for _ in range(4):  # two in the inbox, two before the window
                nursery.start_soon(wait)
                await trio.sleep(REST)
            stage.open("a", "b")
            await trio.sleep(REST)
            await cluster.crash(2)
            await trio.sleep(REST)
            left, error = await end_of(opened)
            assert left == ["a", "b"]
            assert isinstance(error, NodeDown)
            assert error.executed is True
        await trio.sleep(REST)
        assert [(left, type(error)) for left, error in ends] == [([], NodeDown)] * 4
        assert sorted(str(error.executed) for _, error in ends) == ["False"] * 2 + ["None"] * 2  # type: ignore[union-attr]
        with pytest.raises(NodeDown):
            async with source.count(1):
                pass


async def test_c4_the_node_of_a_producer_that_gave_items_at_once_crashes(autojump_clock: MockClock) -> None:
    """The items alone tell that it has begun."""
    async with open_cluster(2) as cluster:
        source = await start(cluster, Stage())
        async with source.forever() as opened:
            await trio.sleep(REST)
            await cluster.crash(2)
            await trio.sleep(REST)
            left, error = await end_of(opened)
            assert left == [1]
            assert isinstance(error, NodeDown)
            assert error.executed is True


async def test_the_consumer_s_node_crashes(autojump_clock: MockClock) -> None:
    """Generators end, whether they wait for room or for something else."""
    stage = Stage()
    async with open_cluster(2) as cluster, trio.open_nursery() as nursery:
        source = await start(cluster, stage)
        other = cluster[2].ref(source, Fountain)
        consumer = await cluster[1].start(spec(Fountain, stage))
        for args in (("count", 10_000), ("at_gates", "never")):
            await cluster[1].send(
                consumer, "take_then_call", 0, 10_000, source, args[0], list(args[1:]), "note"
            )
        await trio.sleep(REST)
        assert cluster[2].service_statistics(other).running == 2
        await cluster.crash(1)
        await trio.sleep(REST)
        assert cluster[2].service_statistics(other).running == 0
        assert sorted(stage.log) == ["begins"] * 2 + ["cancelled"] * 2 + ["ends"] * 2
        nursery.cancel_scope.cancel()


async def test_c4_a_silent_link_ends_streams_at_both_ends(autojump_clock: MockClock) -> None:
    stage = Stage()
    settings = ClusterConfig(heartbeat=1, heartbeat_timeout=4)
    async with open_cluster(2, settings=settings) as cluster:
        source = await start(cluster, stage)
        async with source.at_gates("a", "b") as opened:
            cluster.partition({1}, {2})
            began = trio.current_time()
            stage.open("a")
            left, error = await end_of(opened)
            assert (left, type(error)) == ([], NodeDown)
            assert 3 < trio.current_time() - began < 6
        await trio.sleep(5)
        assert stage.log == ["begins", "cancelled", "ends"]
        cluster.heal()
        await trio.sleep(30)
        assert await received(source.give(1, 2)) == ([1, 2], None)


async def test_a_node_that_stops_lets_its_streams_finish(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with open_cluster(2, config=NodeConfig(stop_grace=5)) as cluster, trio.open_nursery() as nursery:
        source = await start(cluster, stage)
        async with source.at_gates("a", "b") as opened, source.forever() as endless:
            nursery.start_soon(cluster.stop, 2)
            await trio.sleep(1)
            stage.open("a", "b")
            assert await end_of(opened) == (["a", "b"], None)
            left, error = await end_of(endless)
            assert (left, type(error).__name__) == ([1], "ServiceExited")
        began = trio.current_time()
        await trio.sleep(REST)
        assert trio.current_time() - began < 1


# --- a peer that breaks the rules --------------------------------------------------------------------------


def peer_of(cluster: SimulatedCluster, number: int, other: int) -> Peer:
    """One node's side of its link to another."""
    harbor = cluster[number].network
    assert isinstance(harbor, Harbor)
    peer = harbor._links.peer(other)
    assert peer is not None
    return peer


def say_items(cluster: SimulatedCluster, session: int, count: int, items: bytes) -> None:
    """Let node 2 send items to node 1, whether it may or not."""
    peer = peer_of(cluster, 2, 1)
    head = frames.ITEMS_HEAD.pack(frames.ITEMS_HEAD.size - 4 + len(items), frames.ITEMS, session, count)
    peer.link.outbox.control(head + items)
    peer.kick()


async def test_c14_items_beyond_the_room_cost_the_link(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()
    caplog.set_level(logging.INFO, "trionet.link")
    async with open_cluster(2) as cluster:
        source = await start(cluster, stage)
        async with source.count.options(buffer=3)(10) as opened:
            await trio.sleep(REST)
            (session,) = peer_of(cluster, 2, 1)._serving
            say_items(cluster, session, 1, b"\x18\x63")
            await trio.sleep(REST)
            left, error = await end_of(opened)
            assert (left, type(error)) == ([0, 1, 2], NodeDown)
        assert "broke the protocol: the buffer of a stream was overrun" in caplog.text
        await trio.sleep(30)
        assert await received(source.give(1)) == ([1], None)


@pytest.mark.parametrize(
    ("count", "items"), [(1, b"\xff"), (2, b"\x82\x01"), (1, b"\x01\x02"), (1, b"\xc1\x01")]
)
async def test_c14_items_that_cannot_be_read_end_the_stream_only(
    autojump_clock: MockClock, count: int, items: bytes
) -> None:
    stage = Stage()
    async with open_cluster(2) as cluster:
        source = await start(cluster, stage)
        async with source.at_gates("a", "never") as opened, source.at_gates("a", "b") as other:
            stage.open("a")
            await trio.sleep(REST)
            session = min(peer_of(cluster, 2, 1)._serving)
            say_items(cluster, session, count, items)
            await trio.sleep(REST)
            left, error = await end_of(opened)
            assert (left, type(error)) == (["a"], BadMessage)
            assert "at_gates of :02000001 on harbor 2 could not be read" in str(error)
            stage.open("b")
            assert await end_of(other) == (["a", "b"], None)
        await trio.sleep(REST)
        assert stage.log == ["begins", "begins", "cancelled", "ends", "ends"]
        assert peer_of(cluster, 2, 1)._serving == {}
        assert peer_of(cluster, 1, 2).link.statistics().calls == 0


async def test_an_item_larger_than_the_other_node_takes(autojump_clock: MockClock) -> None:
    """It fails at its yield."""
    async with open_cluster(2) as cluster:
        source = await start(cluster, Stage())
        sender = peer_of(cluster, 2, 1).link
        assert sender._limits is not None
        sender._limits = attrs.evolve(sender._limits, message_size=100_000)
        items, error = await received(source.give("x", "y" * 200_000, "z"))
        assert items == ["x"]
        assert isinstance(error, BadMessage)
        assert "give of :02000001 (Fountain) yielded item: 200005 bytes, the peer takes 100000" in str(error)


# --- long waits --------------------------------------------------------------------------------------------


async def test_c7_a_circle_through_a_stream_is_told(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The consumer calls the service whose only slot its stream has, and which has no room to go on."""
    stage = Stage()
    caplog.set_level(logging.INFO, "trionet.waits")
    async with open_cluster(2, config=PATIENT) as cluster:
        source = await start(cluster, stage, concurrency=1)
        consumer = await cluster[1].start(spec(fountain(concurrency=1), stage))
        with trio.move_on_after(2 * LONG_WAIT + REST):
            await consumer.take_then_call(5, 1, source, "count", [1000], "note", "never")
        (text,) = told(caplog, logging.WARNING)
        chain = [
            "take_then_call of :01000001 (Fountain)",
            "note of :02000001 (Fountain)",
            "count of :02000001 (Fountain)",
            "take_then_call of :01000001 (Fountain)",
        ]
        assert text == f"services wait on each other, for 10 seconds by now: {' -> '.join(chain)}"


async def test_c7_a_stream_that_has_nothing_for_a_long_time_is_not_told(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """That is what most streams do; a circle through one that waits for its consumer's service is told."""
    stage = Stage()
    caplog.set_level(logging.INFO, "trionet.waits")
    async with open_cluster(2, config=PATIENT) as cluster:
        source = await start(cluster, stage)
        consumer = await cluster[1].start(spec(fountain(concurrency=1), stage))
        with trio.move_on_after(2 * LONG_WAIT + REST):
            await consumer.collect(source, "at_gates", "never")
        assert told(caplog, logging.WARNING) == told(caplog, logging.INFO) == []
        with trio.move_on_after(2 * LONG_WAIT + REST):
            await consumer.collect(source, "ask", consumer, "note", "never")
        first, second = sorted(told(caplog, logging.WARNING))
        ask, note = "ask of :02000001 (Fountain)", "note of :01000001 (Fountain)"
        collect = "collect of :01000001 (Fountain)"
        assert first.endswith(f"{ask} -> {note} -> {collect} -> {ask}")
        assert second.endswith(
            f"collect of :01000001 (Fountain) -> {ask} -> {note} -> collect of :01000001 (Fountain)"
        )
