"""Topics across nodes: one copy for each node, and what happens when nodes and hubs go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.services.test_multicast import Score
from trionet import Node
from trionet.services import Messages, Topic
from trionet.services.multicast_board import Board
from trionet.services.multicast_protocol import HUB, PATIENCE, WINDOW
from trionet.testing import SimulatedCluster, open_cluster

pytestmark = pytest.mark.usefixtures("virtual_run")

NEWS = Topic[Any]("news", keep=5)
OTHER = Topic[Any]("other")
#: Seconds in which a message is everywhere.
SOON = 0.5


async def settled(messages: Messages[Any]) -> list[Any]:
    """All that has come when everything has arrived."""
    await trio.sleep(SOON)
    return [await messages.receive() for _ in range(messages.statistics().waiting)]


async def publish(node: Node, *items: Any, topic: Topic[Any] = NEWS, wait: bool = True) -> None:
    for item in items:
        await topic.publish(node, item, wait=wait)


@asynccontextmanager
async def everywhere(cluster: SimulatedCluster, **options: Any) -> AsyncIterator[list[Messages[Any]]]:
    """A subscriber on each node."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(NEWS.subscribe(node, **options))
            for node in cluster.nodes.values()
        ]


def leftovers(node: Node) -> object:
    """What a node still knows of topics of which nothing is kept."""
    board = node.extension(Board)
    return board.topics.get("other"), board.requests, board.numbers()


async def test_all_nodes_get_everything_in_order() -> None:
    """From each publisher, as soon as they have subscribed."""
    async with open_cluster(3) as cluster, everywhere(cluster) as subscribers, trio.open_nursery() as nursery:
        for number, node in cluster.nodes.items():
            nursery.start_soon(publish, node, *[(number, each) for each in range(30)])
        for messages in subscribers:
            got = await settled(messages)
            for number in cluster.nodes:
                assert [each for sender, each in got if sender == number] == list(range(30))
            assert messages.missed == 0


async def test_the_first_message_of_a_new_hub_arrives() -> None:
    """Whoever publishes first finds all who subscribe; whoever has subscribed gets what comes next."""
    async with open_cluster(3) as cluster:
        async with OTHER.subscribe(cluster[1]) as one:
            await OTHER.publish(cluster[2], 1)
            async with OTHER.subscribe(cluster[3]) as three:
                await OTHER.publish(cluster[2], 2)
                assert await settled(three) == [2]
            assert await settled(one) == [1, 2]
        await trio.sleep(SOON)
        assert [leftovers(node) for node in cluster.nodes.values()] == [(None, {}, [])] * 3


async def test_one_copy_for_each_node() -> None:
    """However many subscribe there; and none where nobody does."""
    async with open_cluster(3) as cluster, AsyncExitStack() as stack:
        sent = []
        for more in (1, 99):
            subscribers = [await stack.enter_async_context(OTHER.subscribe(cluster[2])) for _ in range(more)]
            await publish(cluster[1], 0, topic=OTHER)
            await trio.sleep(SOON)
            before = {link.harbor: link.bytes_sent for link in cluster[1].cluster.links()}
            await publish(cluster[1], *[bytes(1000)] * 20, topic=OTHER)
            await trio.sleep(SOON)
            sent.append(
                {link.harbor: link.bytes_sent - before[link.harbor] for link in cluster[1].cluster.links()}
            )
            assert subscribers[-1].statistics().waiting == 21
        assert 20_000 < sent[1][2] < 1.05 * sent[0][2] < 23_000
        assert sent[0][3] + sent[1][3] < 1000  # heartbeats


# --- slow subscribers -----------------------------------------------------------------------------


async def test_publishers_wait_for_another_node() -> None:
    """So many messages are under way at most; other publishers, topics and nodes go on."""
    async with (
        open_cluster(3) as cluster,
        trio.open_nursery() as nursery,
        NEWS.subscribe(cluster[2], queue=10, overflow="wait") as slow,
        NEWS.subscribe(cluster[2], queue=1000) as beside,
        NEWS.subscribe(cluster[3], queue=1000) as third,
        OTHER.subscribe(cluster[2]) as other,
    ):
        nursery.start_soon(publish, cluster[1], *range(200))
        await trio.sleep(60)
        published = third.statistics().waiting
        assert 10 + WINDOW // 2 < published <= 10 + WINDOW
        assert beside.statistics().waiting == published
        assert slow.statistics().waiting == published
        with trio.fail_after(SOON):
            await publish(cluster[1], "x", topic=OTHER)
            await publish(cluster[3], "y", wait=False)
        assert await settled(other) == ["x"]
        assert slow.missed == 1
        assert await settled(beside) == [*range(published), "y"]
        got = [await slow.receive() for _ in range(200)]
        assert got == list(range(200))
        assert await settled(third) == [*range(published), "y", *range(published, 200)]
        assert (slow.missed, beside.missed) == (1, 0)


async def test_a_local_publisher_waits_with_those_of_other_nodes() -> None:
    async with (
        open_cluster(2) as cluster,
        NEWS.subscribe(cluster[2], queue=2, overflow="wait") as slow,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(publish, cluster[1], *range(100))
        await trio.sleep(1)
        nursery.start_soon(publish, cluster[2], "a", "b", "c")
        await trio.sleep(1)
        got = [await slow.receive() for _ in range(103)]
        assert [each for each in got if isinstance(each, int)] == list(range(100))
        assert [each for each in got if isinstance(each, str)] == ["a", "b", "c"]


async def test_publishers_wait_no_longer_when_the_slow_one_leaves() -> None:
    async with (
        open_cluster(2) as cluster,
        trio.open_nursery() as nursery,
        NEWS.subscribe(cluster[1]) as near,
        NEWS.subscribe(cluster[2]) as far,
    ):
        async with NEWS.subscribe(cluster[2], queue=1, overflow="wait"):
            nursery.start_soon(publish, cluster[1], *range(100))
            await trio.sleep(1)
            assert near.statistics().waiting < 100
        assert await settled(near) == await settled(far) == list(range(100))


async def test_a_frozen_node_holds_up_nobody() -> None:
    """But publishers that wait for a subscriber there, and these only until the link is dead."""
    async with (
        open_cluster(3) as cluster,
        trio.open_nursery() as nursery,
        NEWS.subscribe(cluster[2], queue=10_000) as two,
        NEWS.subscribe(cluster[3], queue=10_000) as three,
        OTHER.subscribe(cluster[2], queue=10_000) as other,
        OTHER.subscribe(cluster[3], overflow="wait"),
    ):
        await publish(cluster[1])
        await OTHER.publish(cluster[1], "early")
        cluster.isolate(3)
        with trio.fail_after(2 * SOON):
            await publish(cluster[1], *range(3000))
            assert await settled(two) == list(range(3000))
        began = trio.current_time()
        nursery.start_soon(publish, cluster[1], *range(3000, 3200))
        with trio.fail_after(25):
            await publish(cluster[1], *range(200), topic=OTHER)
        assert trio.current_time() - began > 10
        assert await settled(other) == ["early", *range(200)]
        cluster.heal()
        await cluster.settle()
        await trio.sleep(10)
        await NEWS.publish(cluster[1], "healed")
        got = await settled(three)
        assert got[-1] == "healed"
        assert got[:-1] == sorted(got[:-1])
        assert len(got) + three.missed == 3201


@pytest.mark.parametrize(("limit", "most"), [("MOST_WAITING", 50), ("MOST_BYTES", 5000)])
async def test_a_full_route_drops_the_oldest(monkeypatch: pytest.MonkeyPatch, limit: str, most: int) -> None:
    """What a node missed on the way is told to all who subscribe there, of quiet topics too."""
    monkeypatch.setattr(f"trionet.services.multicast_route.{limit}", most)
    async with (
        open_cluster(2) as cluster,
        NEWS.subscribe(cluster[2], queue=10_000) as messages,
        OTHER.subscribe(cluster[2], overflow="drop_newest") as other,
        OTHER.subscribe(cluster[2], overflow="disconnect") as cut,
    ):
        await publish(cluster[1], "early", topic=OTHER)
        cluster.isolate(2)
        await publish(cluster[1], *range(4000))
        await publish(cluster[1], "quiet", topic=OTHER)
        await publish(cluster[1], *range(4000, 8000))
        cluster.heal()
        got = await settled(messages)
        assert got == sorted(got)
        assert got[-1] == 7999
        assert 50 < len(got) == 8000 - messages.missed
        assert await settled(other) == ["early"]
        assert other.missed == 1
        assert await cut.receive() == "early"
        with pytest.raises(Exception, match="too slow"):
            await cut.receive()


# --- what was before ------------------------------------------------------------------------------


async def test_late_subscribers_get_the_last_of_all_nodes() -> None:
    """In their order in time, and then everything, nothing twice."""
    async with open_cluster(3) as cluster:
        await publish(cluster[1], "a", "b")
        await trio.sleep(1)
        await publish(cluster[2], "c", "d", "e")
        await trio.sleep(1)
        await publish(cluster[3], "f")
        async with (
            NEWS.subscribe(cluster[3], last=4) as four,
            NEWS.subscribe(cluster[3], last=1) as one,
            NEWS.subscribe(cluster[3]) as none,
        ):
            await publish(cluster[2], "g")
            assert await settled(four) == ["c", "d", "e", "f", "g"]
            assert await settled(one) == ["f", "g"]
            assert await settled(none) == ["g"]


async def test_late_subscribers_while_others_publish() -> None:
    async with open_cluster(2) as cluster, trio.open_nursery() as nursery:

        async def go_on() -> None:
            for number in range(500):
                await NEWS.publish(cluster[1], number)
                await trio.sleep(0.001)

        nursery.start_soon(go_on)
        for _ in range(10):
            await trio.sleep(0.03)
            async with NEWS.subscribe(cluster[2], last=5) as late:
                first = await late.receive()
                for number in range(first + 1, first + 20):
                    assert await late.receive() == number
                assert late.missed == 0
        nursery.cancel_scope.cancel()


async def test_what_a_node_does_not_answer_is_left_out() -> None:
    """Subscribing waits for it for a moment, once; what comes later comes."""
    async with open_cluster(3) as cluster, everywhere(cluster):
        await publish(cluster[1], 1)
        await publish(cluster[3], 3)
        cluster.isolate(3)
        began = trio.current_time()
        async with NEWS.subscribe(cluster[2], last=5) as late:
            assert trio.current_time() - began == pytest.approx(PATIENCE)
            assert await settled(late) == [1]
            began = trio.current_time()
            async with OTHER.subscribe(cluster[2]) as other:
                assert trio.current_time() - began < 0.1
                await publish(cluster[1], 4)
                cluster.heal()
                await trio.sleep(20)
                await publish(cluster[3], 5)
                await publish(cluster[3], 6, topic=OTHER)
                assert await settled(late) == [4, 5]
                assert await settled(other) == [6]


# --- hubs and nodes that go -----------------------------------------------------------------------


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("whose", [1, 2])
async def test_a_hub_that_ends_is_replaced(end: str, whose: int) -> None:
    """By whoever waits for a message, or publishes next; what was missed meanwhile is told."""
    async with open_cluster(2) as cluster, trio.open_nursery() as nursery:
        got: list[Any] = []
        note = got.append

        async def listen(*, task_status: trio.TaskStatus[Messages[Any]]) -> None:
            async with NEWS.subscribe(cluster[2]) as messages:
                task_status.started(messages)
                async for item in messages:
                    note(item)

        messages = await nursery.start(listen)
        await publish(cluster[1], 1)
        await trio.sleep(SOON)
        former = cluster[whose].lookup(HUB)
        await getattr(cluster[whose], end)(HUB)
        await publish(cluster[1], 2, 3)
        await trio.sleep(10)
        assert cluster[whose].lookup(HUB) not in (None, former)
        await publish(cluster[1], 4)
        await trio.sleep(SOON)
        assert got[0] == 1
        assert got[-1] == 4
        assert len(got) + messages.missed == 4
        nursery.cancel_scope.cancel()


async def test_a_node_that_dies() -> None:
    """Its subscribers hold up nobody, and one that starts anew is found."""
    async with open_cluster(3) as cluster, NEWS.subscribe(cluster[2]) as two:
        async with trio.open_nursery() as nursery:

            async def stuck(*, task_status: trio.TaskStatus[None]) -> None:
                async with NEWS.subscribe(cluster[3], queue=1, overflow="wait"):
                    task_status.started()
                    await trio.sleep_forever()

            await nursery.start(stuck)
            nursery.cancel_scope.deadline = trio.current_time() + 1
            with trio.move_on_after(0.5):
                await publish(cluster[1], *range(200))
            board = cluster[1].extension(Board)
            listeners = len(board.listeners)
            await cluster.crash(3)
            with trio.fail_after(1):
                await publish(cluster[1], "after")
        assert (await settled(two))[-1] == "after"
        await cluster.start(3)
        async with NEWS.subscribe(cluster[3]) as three:
            await publish(cluster[1], "new")
            await publish(cluster[3], "own")
            assert await settled(three) == ["own", "new"]
            assert sorted(await settled(two)) == ["new", "own"]
            assert len(board.listeners) == listeners


async def test_a_partition_heals() -> None:
    """Subscriptions stay; what was missed is counted, whether or not anything comes after it."""
    async with open_cluster(4) as cluster, everywhere(cluster) as subscribers:
        await publish(cluster[1], "before")
        await trio.sleep(SOON)
        cluster.partition({1, 2}, {3, 4})
        await trio.sleep(60)
        await publish(cluster[1], *range(3))
        await publish(cluster[4], *"ab")
        await trio.sleep(60)
        cluster.heal()
        await cluster.settle()
        await trio.sleep(10)
        assert [each.missed for each in subscribers] == [2, 2, 3, 3]
        await publish(cluster[1], "after")
        assert await settled(subscribers[1]) == ["before", 0, 1, 2, "after"]
        assert await settled(subscribers[2]) == ["before", "a", "b", "after"]
        assert subscribers[2].gap == 3


async def test_what_is_kept_for_lost_nodes_is_let_go() -> None:
    async with open_cluster(3) as cluster:
        async with trio.open_nursery() as nursery:

            async def listen(*, task_status: trio.TaskStatus[None]) -> None:
                async with OTHER.subscribe(cluster[3]):
                    task_status.started()
                    await trio.sleep_forever()

            await nursery.start(listen)
            await publish(cluster[1], 1, topic=OTHER)
            await cluster.crash(3)
            nursery.cancel_scope.cancel()
        board = cluster[1].extension(Board)
        await trio.sleep(700)
        assert board.topics.get("other") is not None
        await publish(cluster[2], 1)  # the hub of 2 opens its stream
        await trio.sleep(SOON)
        assert board.topics.get("other") is None
        assert len(board.info()["nodes"]) == 1


# --- what is no message ---------------------------------------------------------------------------


async def test_what_cannot_be_sent_is_missed_there(caplog: pytest.LogCaptureFixture) -> None:
    """A message just below the limit is too large with its number; its publisher is not held up by it."""
    async with open_cluster(2) as cluster:
        limit = cluster[1].config.limits.size
        async with (
            NEWS.subscribe(cluster[2], overflow="wait") as far,
            NEWS.subscribe(cluster[1]) as near,
        ):
            await publish(cluster[1], bytes(limit), "next")
            assert [len(each) for each in await settled(near)] == [limit, 4]
            assert await settled(far) == ["next"]
            assert (far.missed, far.gap) == (1, 1)
            assert "a message is not sent to other nodes" in caplog.text
            with trio.fail_after(1):
                await publish(cluster[1], *[1] * 100)


async def test_what_a_validator_refuses_is_missed_there(caplog: pytest.LogCaptureFixture) -> None:
    """That is told though nothing follows."""
    async with open_cluster(2) as cluster, NEWS.subscribe(cluster[2], overflow="wait") as far:
        score = Score(1)
        score.points = -1
        await publish(cluster[1], score)
        assert await settled(far) == []
        assert far.missed == 1
        assert "a message is not sent to other nodes: " in caplog.text


async def test_the_hub_tells_of_itself() -> None:
    async with open_cluster(2) as cluster, NEWS.subscribe(cluster[1]) as messages:
        await publish(cluster[2], *range(150))
        await trio.sleep(SOON)
        info: Any = cluster[1].service_info(HUB)
        assert info["subscribed"] == {"news": {"subscribers": 1, "waiting": 100, "missed": 50}}
        assert messages.missed == 50
        info = cluster[2].service_info(HUB)
        assert list(info["nodes"].values()) == [{"topics": 1, "waiting": 0, "open": True}]
        await wait_all_tasks_blocked()
