"""The hubs of topics: how they start, and what they make of what they are told."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from trionet import Node, NodeStopping, RemoteError, Service, command, stream
from trionet.services import Topic
from trionet.services.multicast_board import Board
from trionet.services.multicast_protocol import HUB, HUBS
from trionet.testing import SimulatedCluster, open_cluster

pytestmark = pytest.mark.usefixtures("virtual_run")

NEWS = Topic[Any]("news", keep=5)
SOON = 0.5


async def publish_all(node: Node, *items: Any) -> None:
    for item in items:
        await NEWS.publish(node, item)


def hubs(cluster: SimulatedCluster) -> list[int]:
    """How many services each node has."""
    return [len(node.services()) for node in cluster.nodes.values()]


# --- starting -------------------------------------------------------------------------------------


async def test_there_is_one_hub_however_many_need_it() -> None:
    async with open_cluster(2) as cluster:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(NEWS.publish, cluster[1], number)
        assert hubs(cluster) == [1, 0]
        assert cluster[1].lookup(HUB) == await cluster[2].wait_for_name("trionet.multicast.1")


async def test_who_starts_the_hub_is_cancelled() -> None:
    """What had begun is undone; the next one starts it."""
    async with open_cluster(2) as cluster:
        cluster.latency = 0.002
        for delay in (0.0, 0.001, 0.003, 0.005):
            with trio.move_on_after(delay) as scope:
                await NEWS.publish(cluster[1], "never")
            if not scope.cancelled_caught:
                break
        assert delay > 0.001
        assert cluster[1].extension(Board).topics.get("news") is None
        async with NEWS.subscribe(cluster[2], last=5) as messages:
            await NEWS.publish(cluster[1], "at last")
            await trio.sleep(SOON)
            assert await messages.receive() == "at last"
            assert hubs(cluster) == [1, 1]


async def test_who_subscribes_is_cancelled() -> None:
    async with open_cluster(2) as cluster:
        await NEWS.publish(cluster[1], 0)
        for delay in (0.0, 0.001, 0.002, 0.004, 0.008):
            cluster.latency = 0.003
            with trio.move_on_after(delay):
                async with NEWS.subscribe(cluster[2], last=1, overflow="wait"):
                    await trio.sleep(delay)
            board = cluster[2].extension(Board)
            assert (board.numbers(), board.requests, board.topics.get("news")) == ([], {}, None)
        await trio.sleep(SOON)
        topic = cluster[1].extension(Board).topics.get("news")
        assert topic is not None
        assert not topic.outlets


async def test_a_node_that_stops_starts_no_hub() -> None:
    failed = []

    class Late(Service):
        async def teardown(self) -> None:
            try:
                await NEWS.publish(self, "bye")
            except NodeStopping as error:
                failed.append(str(error))

    async with open_cluster(2) as cluster:
        await cluster[2].start(Late)
        await cluster.stop(2)
    assert "is stopping" in failed[0]


async def test_a_cluster_without_its_master() -> None:
    """A hub that the others cannot hear of serves its node, and is found when the master is back."""
    async with open_cluster(3) as cluster:
        await cluster.crash(1)
        await trio.sleep(1)
        async with NEWS.subscribe(cluster[2]) as two, NEWS.subscribe(cluster[3]) as three:
            await NEWS.publish(cluster[2], "alone")
            assert await two.receive() == "alone"
            await cluster.start(1)
            await cluster.settle()
            await trio.sleep(10)
            await NEWS.publish(cluster[2], "together")
            assert await two.receive() == await three.receive() == "together"


async def test_over_real_sockets() -> None:
    """As in a simulation."""
    got = []

    async def run() -> None:
        async with (
            open_cluster(2, real=True) as cluster,
            NEWS.subscribe(cluster[2], queue=5, overflow="wait") as messages,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(publish_all, cluster[1], *range(300))
            with trio.fail_after(10):
                got.extend([await messages.receive() for _ in range(300)])

    await trio.to_thread.run_sync(trio.run, run)
    assert got == list(range(300))


# --- what is said wrongly ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "unwanted", "confirmed", "asked"),
    [
        ({1: ("news", True)}, [], {}, {}),
        ({1: (5, True, 0)}, [], {}, {}),
        ({1: ("", True, 0)}, [], {}, {}),
        ({7: ("another", True, 0)}, [], {}, {}),
        (5, [], {}, {}),
        ({}, 5, {}, {}),
        ({}, [], {7: "many"}, {}),
        ({}, [], {}, {1: 5}),
    ],
)
async def test_a_hub_that_is_told_nonsense(wanted: Any, unwanted: Any, confirmed: Any, asked: Any) -> None:
    """It fails the call, and serves on."""
    async with open_cluster(2) as cluster, NEWS.subscribe(cluster[2], overflow="wait") as messages:
        await NEWS.publish(cluster[1], 1)
        key = cluster[2].extension(Board).numbers()[0]
        hub = cluster[2].ref(await cluster[2].wait_for_name("trionet.multicast.1"))
        told = [
            {key if each == 7 else each: value for each, value in what.items()}
            if isinstance(what, dict)
            else what
            for what in (wanted, unwanted, confirmed, asked)
        ]
        with pytest.raises(RemoteError):
            await hub.tell(*told)
        await NEWS.publish(cluster[1], 2)
        assert [await messages.receive() for _ in range(2)] == [1, 2]


@pytest.mark.parametrize(
    "wishes",
    [
        5,
        {1: 5},
        {1: ("", False, 0)},
        {1: (b"x", False, 0)},
        {1: ("news", False)},
        {1: ("news", 1, 0)},
        {1: ("news", False, "x")},  # a publisher of this node would stumble over it
        {1: ("news", False, -1)},
    ],
)
async def test_a_stream_that_is_opened_wrongly(wishes: Any) -> None:
    """It is not open: nobody waits for it, and nothing is put into it."""
    async with open_cluster(2) as cluster, NEWS.subscribe(cluster[1]) as messages:
        hub = cluster[2].ref(await cluster[2].wait_for_name("trionet.multicast.1"))
        with pytest.raises(RemoteError):
            async with hub.messages(wishes):
                raise AssertionError
        assert cluster[1].extension(Board).routes.get(cluster[2].incarnation) is None
        await NEWS.publish(cluster[2], 1)
        assert await messages.receive() == 1


class FakeHub(Service):
    """Takes part, and gives what it was told to."""

    items: tuple[Any, ...] = ()

    async def setup(self) -> None:
        self.node.join_group(HUBS, self.handle)

    @stream(endless=True)
    async def messages(self, wishes: Any) -> AsyncIterator[Any]:
        for item in self.items:
            yield item
        await trio.sleep_forever()

    @command
    def tell(self, *what: Any) -> None:
        pass

    @command
    def follow(self) -> None:
        pass


@pytest.mark.parametrize("item", [5, (), (1, 2, 3, 4), ("x",), (1, "x"), (1, "old", 2), (1, 2, 3, 4, 5)])
async def test_a_hub_that_sends_nonsense(
    item: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stream is left, and opened again after a while; all others go on."""
    monkeypatch.setattr(FakeHub, "items", (item,))
    async with open_cluster(3) as cluster, NEWS.subscribe(cluster[1]) as messages:
        await NEWS.publish(cluster[2], 1)
        await cluster[3].start(FakeHub)
        await trio.sleep(10)
        await NEWS.publish(cluster[2], 2)
        assert [await messages.receive() for _ in range(2)] == [1, 2]
    lines = [each for each in caplog.records if "is nothing that a hub sends" in each.message]
    assert 4 < len(lines) < 20
    assert lines[0].levelno == logging.WARNING


async def test_numbers_and_requests_that_never_were() -> None:
    """They are of no consequence: answers may come late."""
    async with open_cluster(1) as cluster, NEWS.subscribe(cluster[1]) as messages:
        board = cluster[1].extension(Board)
        origin = board.origin(5)
        number = board.numbers()[0]
        for item in (
            (99, 1, True, "x"),
            (99, 5),
            (99, 0.5, "x"),
            (99,),
            (number, -5),
            (number, -1, False, "x"),
        ):
            board.receive(origin, item, cluster[1].snapshot)
        assert messages.statistics().waiting == messages.missed == 0
        board.receive(origin, (number, 3, False, "y"), cluster[1].snapshot)
        assert (await messages.receive(), messages.gap) == ("y", 2)
