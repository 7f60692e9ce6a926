"""Looking at nodes: memory, links, load, logs, messages, dead letters, of this one and of others."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.services.workers import Narrow, Plain, Worker
from trionet import Handle, NoSuchService, spec
from trionet.services import Launcher, NoSuchLevel, RemoteNode
from trionet.services.inspection import line_of
from trionet.testing import SimulatedCluster, open_cluster

pytestmark = pytest.mark.usefixtures("virtual_run")


@asynccontextmanager
async def two_nodes() -> AsyncIterator[tuple[SimulatedCluster, list[RemoteNode]]]:
    """A cluster of two nodes, both as the first one sees them; neither has anything left at the end."""
    async with open_cluster(2) as cluster:
        for node in cluster.nodes.values():
            await node.start(Launcher, name=".launcher")
        yield cluster, [RemoteNode(cluster[1], 1), RemoteNode(cluster[1], 2)]


@pytest.fixture
def levels() -> Iterator[None]:
    """Leave the levels of the loggers that the tests use as they were."""
    yield
    for name in ("game.rooms", "trionet.messages"):
        logging.getLogger(name).setLevel(logging.NOTSET)


async def test_memory_and_garbage() -> None:
    async with two_nodes() as (_, nodes):
        for each in nodes:
            memory = await each.memory()
            assert memory.peak > 1_000_000
            assert memory.blocks > 1_000
            assert (len(memory.counters), len(memory.collections)) == (3, 3)
            circle: list[object] = []
            circle.append(circle)
            del circle
            assert (await each.collect()).objects > 0
            assert (await each.memory()).collections[2] > memory.collections[2]


async def test_links() -> None:
    async with two_nodes() as (cluster, (one, two)):
        worker = await cluster[2].start(spec(Worker, 1))
        there = cluster[1].ref(cluster[2].handle_of(worker), Worker)
        for _ in range(10):
            await there.double(2)
        (link,) = await one.links()
        assert (link.harbor, link.address, link.sent) == (2, "node2:2526", 10)
        assert link.bytes_sent > 100
        assert link.bytes_received > 100
        assert 0 <= link.silent < 5
        (back,) = await two.links()
        assert (back.harbor, back.arrived) == (1, 11)  # this look is one, too
        assert (back.serving, back.waiting) == (1, 0)
        await trio.sleep(3)
        assert cluster[1].cluster.links()[0].silent == pytest.approx(3, abs=1)
        assert link.round_trip is None


async def test_the_round_trip_of_a_link_is_known_from_its_heartbeats() -> None:
    """Whether the link is idle or busy; there and back twice the latency, or up to half as much more."""
    async with two_nodes() as (cluster, (one, two)), trio.open_nursery() as nursery:
        worker = cluster[1].ref(await cluster[2].start(spec(Worker, 1)), Worker)
        cluster.latency = 0.1
        await trio.sleep(11)  # two heartbeats
        for each in (one, two):
            assert (await each.links())[0].round_trip == pytest.approx(0.25, abs=0.05)

        async def be_busy() -> None:
            while True:
                await worker.double(2)

        nursery.start_soon(be_busy)
        cluster.latency = 0.3
        await trio.sleep(11)
        for each in (one, two):
            assert (await each.links())[0].round_trip == pytest.approx(0.75, abs=0.15)
        nursery.cancel_scope.cancel()


async def test_the_load_is_that_of_each_period() -> None:
    async with two_nodes() as (cluster, (_, two)):
        worker = await cluster[2].start(spec(Worker, 1), name=".worker")
        await cluster[2].start(Plain)
        async with two.load(2.0, 2) as loads:
            await trio.sleep(0.5)
            for _ in range(10):
                await worker.double(2)
            first = await loads.receive()
            second = await loads.receive()
        assert first.node.name == "node2"
        assert first.seconds == pytest.approx(2)
        assert first.rate == pytest.approx(5, rel=0.2)
        assert first.cpu > 0
        assert [each.label for each in first.busiest] == [".worker", ".launcher"]
        assert first.busiest[0].rate == pytest.approx(5)
        assert first.busiest[0].messages == 10
        assert (second.busiest[0].rate, second.rate) == (0, 0)
        assert [each.harbor for each in second.links] == [1]


async def test_the_messages_of_a_service_are_seen_from_elsewhere() -> None:
    async with two_nodes() as (cluster, (_, two)):
        worker = await cluster[2].start(spec(Worker, 1), name=".worker")
        async with two.messages(".worker") as events:
            await worker.double(4)
            lines = [line_of(await events.receive()), line_of(await events.receive())]
        assert lines[0] == "#1 call double(4) from the node"
        assert lines[1].startswith("#1 double returned 8 after 0.0")
        assert not cluster[2].taps
        with pytest.raises(NoSuchService):
            async with two.messages(".nobody"):
                pass


async def test_the_messages_of_a_service_are_logged(caplog: pytest.LogCaptureFixture, levels: None) -> None:
    caplog.set_level(logging.INFO, "trionet.messages")

    def logged() -> list[str]:
        found = [each.getMessage() for each in caplog.records if each.name == "trionet.messages"]
        caplog.clear()
        return found

    async with two_nodes() as (cluster, (_, two)):
        worker = await cluster[2].start(spec(Worker, 1), name=".worker")
        await two.log_messages(".worker")
        await worker.double(4)
        await trio.sleep(1)
        assert logged()[0] == ":02000002 .worker #1 call double(4) from the node"
        assert await two.log_no_messages(".worker")
        assert not await two.log_no_messages(".worker")
        await worker.double(4)
        await trio.sleep(1)
        assert logged() == []
        await two.log_messages(".worker", 3)
        await two.log_messages(".worker", 1)  # takes the place of the other
        await worker.double(4)
        await trio.sleep(1)
        assert logged()[1] == ":02000002 .worker: the message log ends here"
        assert not cluster[2].taps
        await two.log_messages(".worker")
        await cluster[2].stop(worker)
        with pytest.raises(NoSuchService):
            await two.log_messages(".worker")


async def test_log_levels(levels: None) -> None:
    async with two_nodes() as (_, (_, two)):
        await two.set_log_level("game.rooms", "debug")
        assert (await two.log_levels())["game.rooms"] == "DEBUG"
        await two.set_log_level("game.rooms", "NOTSET")
        assert "game.rooms" not in await two.log_levels()
        root = (await two.log_levels())["root"]
        await two.set_log_level("root", root)
        with pytest.raises(NoSuchLevel, match="found 'loud', expected one of CRITICAL"):
            await two.set_log_level("root", "loud")


async def test_dead_letters() -> None:
    async with two_nodes() as (cluster, (_, two)):
        gone = await cluster[2].start(Plain)
        await cluster[2].stop(gone)
        async with two.follow_dead_letters() as letters:
            for _ in range(2):
                await cluster[2].send(gone, "anything", object.__name__)
            letter = await letters.receive()
        handle = cluster[2].handle_of(gone)
        assert await two.dead_letters() == {str(handle): 2}
        assert (letter.target, letter.command, letter.args) == (handle, "anything", ())


async def test_handlers_tell_for_how_long_they_wait() -> None:
    async with two_nodes() as (cluster, (_, two)), trio.open_nursery() as nursery:
        narrow = await cluster[2].start(Narrow)
        nursery.start_soon(narrow.hold, 5)
        await trio.sleep(3)
        target: Handle = cluster[2].handle_of(narrow)
        (handler,) = (await two.stat(target)).handlers
        assert handler.age == pytest.approx(3, abs=0.1)


async def test_samples_are_those_of_the_statistics() -> None:
    async with two_nodes() as (cluster, _):
        worker = await cluster[2].start(spec(Worker, 1))
        await worker.double(1)
        handle = cluster[2].handle_of(worker)
        stat, sample = cluster[2].service_statistics(worker), cluster[2].samples()[handle]
        assert sample == (stat.messages, stat.cpu_time, stat.inbox)
