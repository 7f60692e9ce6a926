"""Long waits across nodes are logged with their chain (C7)."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.stage import Puppet, Stage, puppet
from tests.sim.places import REST
from trionet import ClusterConfig, NodeConfig, spec
from trionet.net.waits import LONG_WAIT
from trionet.testing import SimulatedCluster, open_cluster

PATIENT = NodeConfig(call_deadline=10_000)
ONE, TWO = ":01000001 (Puppet)", ":02000001 (Puppet)"


async def boxes(cluster: SimulatedCluster, stage: Stage, **options: object) -> list[Puppet]:
    """A puppet on each node, with one slot unless told otherwise."""
    chosen = {"concurrency": 1, **options}
    return [await node.start(spec(puppet(**chosen), stage)) for node in cluster.nodes.values()]


def told(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """What the log says of long waits."""
    return [
        each.getMessage() for each in caplog.records if each.name == "trionet.waits" and each.levelno == level
    ]


async def test_c7_a_circle_of_two_nodes_is_told(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Each node tells, from where it stands; the calls still end by their deadlines."""
    async with open_cluster(2, config=PATIENT) as cluster, trio.open_nursery() as nursery:
        one, two = await boxes(cluster, Stage())
        nursery.start_soon(quietly, cluster, one, "relay", two, "relay", one, "note", "never")
        await trio.sleep(2 * LONG_WAIT + REST)
        start = "services wait on each other, for 10 seconds by now: "
        circle = [f"relay of {ONE}", f"relay of {TWO}", f"note of {ONE}", f"relay of {ONE}"]
        other = [f"relay of {TWO}", f"note of {ONE}", f"relay of {ONE}", f"relay of {TWO}"]
        expected = [start + " -> ".join(circle), start + " -> ".join(other)]
        assert sorted(told(caplog, logging.WARNING)) == expected
        await trio.sleep(100)
        warnings = told(caplog, logging.WARNING)
        assert len(warnings) == 8
        assert [text for text in warnings if "for 80 seconds" in text]
        nursery.cancel_scope.cancel()


async def quietly(cluster: SimulatedCluster, box: Puppet, name: str, *args: object) -> None:
    await cluster[1].call(box, name, *args)


async def test_c7_a_circle_of_three_nodes_with_a_local_step_is_told(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()
    async with open_cluster(3, config=PATIENT) as cluster, trio.open_nursery() as nursery:
        one, two, three = await boxes(cluster, stage)
        (_, neighbour, _) = await boxes(cluster, stage)
        way = ("relay", two, "relay", neighbour, "relay", three, "relay", one, "note", "never")
        nursery.start_soon(quietly, cluster, one, *way)
        await trio.sleep(2 * LONG_WAIT + REST)
        first = told(caplog, logging.WARNING)
        assert len(first) == 3
        circle = [
            f"relay of {ONE}",
            f"relay of {TWO}",
            "relay of :02000002 (Puppet)",
            "relay of :03000001 (Puppet)",
            f"note of {ONE}",
            f"relay of {ONE}",
        ]
        assert any(text.endswith(" -> ".join(circle)) for text in first)
        nursery.cancel_scope.cancel()


async def test_c7_a_long_wait_that_is_no_circle_is_told_quietly(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """With where it ends: a handler that is busy, a queue, a line for room."""
    caplog.set_level(logging.INFO)
    stage = Stage()
    settings = ClusterConfig(window_messages=3)
    async with open_cluster(2, config=PATIENT, settings=settings) as cluster, trio.open_nursery() as nursery:
        (one, _) = await boxes(cluster, stage, concurrency=10)
        busy = await cluster[2].start(spec(puppet(concurrency=1), stage))
        for key in "abcdefg":
            nursery.start_soon(quietly, cluster, one, "relay", busy, "hold", key)
            await trio.sleep(REST)
        await trio.sleep(2 * LONG_WAIT)
        assert told(caplog, logging.WARNING) == []
        ends = [text.rpartition(" -> ")[2] for text in told(caplog, logging.INFO)]
        assert set(ends) == {
            "hold of :02000002 (Puppet) (queued)",
            "hold of :02000002 (Puppet) (running)",
            "hold of :02000002 (waiting for room)",
        }
        start = "a call has waited for 10 seconds: relay of :01000001 (Puppet) -> "
        assert [text for text in told(caplog, logging.INFO) if not text.startswith(start)] == []
        stage.open(*"abcdefg")
        await trio.sleep(REST)


async def test_c7_short_waits_and_those_of_helpers_are_not_told(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stage = Stage()
    async with open_cluster(2, config=PATIENT) as cluster, trio.open_nursery() as nursery:
        one, two = await boxes(cluster, stage)
        nursery.start_soon(quietly, cluster, two, "hold", "outside any service")
        await trio.sleep(3 * LONG_WAIT)
        stage.open("outside any service")
        nursery.start_soon(quietly, cluster, one, "relay", two, "hold", "short")
        await trio.sleep(0.9 * LONG_WAIT)
        stage.open("short")
        await trio.sleep(3 * LONG_WAIT)
        assert told(caplog, logging.INFO) == told(caplog, logging.WARNING) == []


async def test_c7_a_node_that_does_not_answer_ends_the_chain(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stage = Stage()
    settings = ClusterConfig(heartbeat_timeout=200)
    async with open_cluster(2, config=PATIENT, settings=settings) as cluster, trio.open_nursery() as nursery:
        one, two = await boxes(cluster, stage)
        nursery.start_soon(quietly, cluster, one, "relay", two, "hold", "a")
        await trio.sleep(REST)
        cluster.isolate(2)
        await trio.sleep(3 * LONG_WAIT)
        assert told(caplog, logging.INFO)[0] == (
            "a call has waited for 10 seconds: relay of :01000001 (Puppet) -> hold of :02000001"
        )
        cluster.heal()
        stage.open("a")
        await trio.sleep(REST)
