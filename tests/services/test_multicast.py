"""Topics on one node: who gets what, and what happens when somebody is slow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest
import trio
from attrs import field, validators

from trionet import BadMessage, Node, Service, command, spec, value
from trionet.services import Messages, SubscriberTooSlow, Topic
from trionet.services.multicast_board import Board

NEWS = Topic[Any]("news")
KEPT = Topic[int]("kept", keep=5)
BURST: Any = "burst"
STRANGER: Any = "news"


@pytest.fixture
async def node(node: Node) -> AsyncIterator[Node]:
    """A node on which nothing is left of topics, but for what is kept."""
    yield node
    board = node.extension(Board)
    topics = [topic for name in ("news", "kept", "other") if (topic := board.topics.get(name)) is not None]
    assert [topic.name for topic in topics if topic.kept is None] == []
    assert all(not topic.mailboxes and topic.room.is_free for topic in topics)
    assert not board.requests


async def take(messages: Messages[Any], count: int) -> list[Any]:
    """Receive so many messages, which are there."""
    with trio.fail_after(0.001):
        return [await messages.receive() for _ in range(count)]


async def publish(node: Node, *items: Any, wait: bool = True) -> None:
    for item in items:
        await NEWS.publish(node, item, wait=wait)


async def test_everybody_gets_everything_in_order(node: Node) -> None:
    async with NEWS.subscribe(node) as one, NEWS.subscribe(node) as two, Topic[int]("other").subscribe(node):
        await publish(node, *range(10))
        assert await take(one, 10) == await take(two, 10) == list(range(10))
        assert one.statistics().received == 10
        assert one.statistics().waiting == one.missed == 0


async def test_nobody_is_there(node: Node) -> None:
    await publish(node, 1)
    async with NEWS.subscribe(node) as messages:
        await publish(node, 2)
        assert await take(messages, 1) == [2]


async def test_a_waiting_subscriber_is_woken(node: Node) -> None:
    got: list[int] = []
    note = got.append

    async def listen(*, task_status: trio.TaskStatus[None]) -> None:
        async with NEWS.subscribe(node) as messages:
            task_status.started()
            async for item in messages:
                note(item)

    async with trio.open_nursery() as nursery:
        await nursery.start(listen)
        await publish(node, 1, 2)
        await trio.testing.wait_all_tasks_blocked()
        await publish(node, 3)
        await trio.testing.wait_all_tasks_blocked()
        assert got == [1, 2, 3]
        nursery.cancel_scope.cancel()


# --- values ---------------------------------------------------------------------------------------


async def test_messages_are_values(node: Node) -> None:
    """Neither the publisher nor another subscriber changes what one has; what cannot change is shared."""
    async with NEWS.subscribe(node) as one, NEWS.subscribe(node) as two:
        item, fixed = [[1]], ("a", (2,))
        await publish(node, item, fixed)
        item[0].append(2)
        (first, same), (second, shared) = await take(one, 2), await take(two, 2)
        assert first == second == [[1]]
        first[0].append(3)
        assert second == [[1]]
        assert same is shared is fixed


async def test_what_is_no_value_is_refused(node: Node) -> None:
    async with NEWS.subscribe(node) as messages:
        with pytest.raises(BadMessage, match=r"item\[1\]: object"):
            await NEWS.publish(node, [1, object()])
        assert messages.statistics().waiting == 0


@value
@attrs.define
class Score:
    """Can be spoilt after it was made."""

    points: int = field(validator=validators.ge(0), on_setattr=[])


async def test_a_validator_refuses_one_message(node: Node) -> None:
    async with NEWS.subscribe(node) as messages:
        score = Score(1)
        score.points = -1
        await publish(node, score, 2)
        with pytest.raises(BadMessage, match="Score was refused"):
            await messages.receive()
        assert await take(messages, 1) == [2]


# --- slow subscribers -----------------------------------------------------------------------------


async def test_the_oldest_are_dropped(node: Node) -> None:
    async with NEWS.subscribe(node, queue=3) as messages:
        await publish(node, *range(5))
        assert messages.missed == 2
        assert (await take(messages, 1), messages.gap) == ([2], 2)
        await publish(node, 5, 6)
        assert (await take(messages, 1), messages.gap) == ([4], 1)
        assert (await take(messages, 1), messages.gap) == ([5], 0)
        assert messages.statistics() == attrs.evolve(messages.statistics(), received=3, waiting=1, missed=3)


async def test_the_newest_are_dropped(node: Node) -> None:
    async with NEWS.subscribe(node, queue=2, overflow="drop_newest") as messages:
        await publish(node, *range(5))
        assert messages.missed == 3
        assert (await take(messages, 1), messages.gap) == ([0], 0)
        await publish(node, 5)
        assert await take(messages, 1) == [1]
        assert (await take(messages, 1), messages.gap) == ([5], 3)


async def test_a_slow_one_is_disconnected(node: Node) -> None:
    """It gets what came before, and then the error, each time it asks."""
    async with NEWS.subscribe(node, queue=2, overflow="disconnect") as messages:
        await publish(node, *range(5))
        assert await take(messages, 2) == [0, 1]
        for _ in range(2):
            with pytest.raises(SubscriberTooSlow, match=r"'news' was too slow: its queue of 2"):
                await messages.receive()
        await publish(node, 6)
        assert messages.statistics().waiting == 0
        assert messages.missed == 1


async def test_publishers_wait(node: Node) -> None:
    """For one who wants it; then all get the message, each publisher's in order."""
    async with (
        NEWS.subscribe(node, queue=2, overflow="wait") as slow,
        NEWS.subscribe(node) as fast,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(publish, node, "a1", "a2", "a3", "a4")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(publish, node, "b1")
        await trio.testing.wait_all_tasks_blocked()
        assert await take(fast, 2) == ["a1", "a2"]
        assert fast.statistics().waiting == 0
        await take(slow, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert await take(fast, 1) == ["a3"]
        await take(slow, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert await take(fast, 1) == ["b1"]  # it came before a4
        assert await take(slow, 2) == ["a3", "b1"]
        await trio.testing.wait_all_tasks_blocked()
        assert await take(fast, 1) == await take(slow, 1) == ["a4"]
        assert slow.missed == fast.missed == 0


async def test_publishers_who_chose_not_to_wait(node: Node) -> None:
    async with NEWS.subscribe(node, queue=1, overflow="wait") as slow, NEWS.subscribe(node) as fast:
        with trio.fail_after(0.001):
            await publish(node, 1, 2, 3, wait=False)
        assert await take(fast, 3) == [1, 2, 3]
        assert slow.missed == 2
        assert await take(slow, 1) == [1]
        await publish(node, 4)
        assert (await take(slow, 1), slow.gap) == ([4], 2)


async def test_a_cancelled_publisher_has_published_nothing(node: Node) -> None:
    async with NEWS.subscribe(node, queue=1, overflow="wait") as slow, NEWS.subscribe(node) as fast:
        await publish(node, 1)
        with trio.move_on_after(1) as scope:
            await publish(node, 2)
        assert scope.cancelled_caught
        assert await take(fast, 1) == await take(slow, 1) == [1]
        await publish(node, 3)
        assert await take(fast, 1) == await take(slow, 1) == [3]


async def test_publishers_wait_no_longer_when_the_slow_one_leaves(node: Node) -> None:
    async with trio.open_nursery() as nursery, NEWS.subscribe(node) as fast:
        async with NEWS.subscribe(node, queue=1, overflow="wait"):
            nursery.start_soon(publish, node, 1, 2, 3)
            await trio.testing.wait_all_tasks_blocked()
            assert fast.statistics().waiting == 1
        await trio.testing.wait_all_tasks_blocked()
        assert await take(fast, 3) == [1, 2, 3]


class Reader(Service):
    """Subscribes in a task of its own, and waits there."""

    def __init__(self, got: list[object], hold: bool) -> None:
        self._got = got
        self._hold = hold

    async def setup(self) -> None:
        await self.nursery.start(self._listen)

    async def _listen(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with NEWS.subscribe(self, queue=1, overflow="wait") as messages:
            task_status.started()
            if self._hold:
                await trio.sleep_forever()
            async for item in messages:
                self._got.append(item)

    @command
    async def tell(self, item: object) -> None:
        await NEWS.publish(self, item)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_subscribers_that_die_vanish(node: Node, end: str) -> None:
    """And hold up nobody any more."""
    got: list[object] = []
    reader, stuck = await node.start(spec(Reader, got, False)), await node.start(spec(Reader, got, True))
    await reader.tell(1)
    with trio.move_on_after(1) as scope:
        await reader.tell(2)
    assert scope.cancelled_caught
    await getattr(node, end)(stuck)
    with trio.fail_after(0.001):
        await reader.tell(3)
    await trio.testing.wait_all_tasks_blocked()
    assert got == [1, 3]
    await getattr(node, end)(reader)
    assert node.extension(Board).topics.get("news") is None


# --- what was before ------------------------------------------------------------------------------


async def test_late_subscribers_get_the_last(node: Node) -> None:
    for item in range(8):
        await KEPT.publish(node, item)
    async with KEPT.subscribe(node, last=3) as three, KEPT.subscribe(node, last=5, queue=2) as two:
        await KEPT.publish(node, 8)
        assert await take(three, 4) == [5, 6, 7, 8]
        assert await take(two, 2) == [7, 8]
        assert three.missed == 0
        assert two.missed == 1
    async with KEPT.subscribe(node) as none:
        assert none.statistics().waiting == 0


@pytest.mark.parametrize(("most", "found"), [(0, [7]), (250, [6, 7]), (1000, [3, 4, 5, 6, 7])])
async def test_the_last_have_so_many_bytes_at_most(
    node: Node, monkeypatch: pytest.MonkeyPatch, most: int, found: list[int]
) -> None:
    """But there is always one."""
    for item in range(8):
        await KEPT.publish(node, item)
    weight = node.snapshot(7).weight
    monkeypatch.setattr("trionet.services.multicast_state.MOST_PAST_BYTES", most * weight // 100)
    async with KEPT.subscribe(node, last=5) as messages:
        assert await take(messages, len(found)) == found
        assert messages.statistics().waiting == 0


async def test_one_that_waits_begins_full(node: Node) -> None:
    for item in range(5):
        await KEPT.publish(node, item)
    async with (
        KEPT.subscribe(node, last=5, queue=5, overflow="wait") as messages,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(KEPT.publish, node, 5)
        await trio.testing.wait_all_tasks_blocked()
        assert messages.statistics().waiting == 5
        assert await take(messages, 1) == [0]
        await trio.testing.wait_all_tasks_blocked()
        assert await take(messages, 5) == [1, 2, 3, 4, 5]


async def test_topics_that_are_kept_are_bounded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were published to for longest are let go."""
    monkeypatch.setattr("trionet.services.multicast_board.MOST_KEPT", 2)
    topics = [Topic[int](name, keep=1) for name in ("a", "b", "c")]
    for topic in (topics[0], topics[1], topics[0], topics[2]):
        await topic.publish(node, 1)
    board = node.extension(Board)
    assert [board.topics.get(topic.name) is None for topic in topics] == [False, True, False]


# --- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        (5, TypeError, "a topic is named by a text such as 'room.1', not by 5"),
        (None, TypeError, "not by None"),
        (b"news", TypeError, "not by b'news'"),
        ("", ValueError, "has 1 to 255 bytes, and not 0"),
        ("\N{SNOWMAN}" * 86, ValueError, "has 1 to 255 bytes, and not 258"),
        ("\ud800", ValueError, "UTF-8 cannot encode it"),
    ],
)
def test_names_that_are_none(name: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Topic[int](name)


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        (lambda node: Topic[int]("x", keep=-1), ValueError, "keep is a number from 0 to 1000, not -1"),
        (lambda node: Topic[int]("x", keep=True), TypeError, "keep is a number from 0 to 1000, not True"),
        (lambda node: NEWS.subscribe(node, queue=0), ValueError, "queue is a number from 1"),
        (
            lambda node: NEWS.subscribe(node, overflow=BURST),
            ValueError,
            "overflow is one of wait, .* 'burst'",
        ),
        (lambda node: NEWS.subscribe(node, last=1), ValueError, "last is 1, but <Topic 'news'> keeps 0"),
        (lambda node: NEWS.subscribe(STRANGER), TypeError, "'news' can neither publish nor subscribe"),
    ],
)
async def test_arguments_that_are_wrong(
    node: Node, wrong: Callable[[Node], object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        wrong(node)


async def test_a_reference_is_not_the_service_itself(node: Node) -> None:
    reader = await node.start(spec(Reader, [], False))
    with pytest.raises(TypeError, match="expected the node, or the service itself"):
        await NEWS.publish(reader, 1)
    await node.stop(reader)


async def test_two_tasks_receive_at_once(node: Node) -> None:
    async with NEWS.subscribe(node) as messages, trio.open_nursery() as nursery:
        nursery.start_soon(messages.receive)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError, match="another task is receiving"):
            await messages.receive()
        nursery.cancel_scope.cancel()


async def test_receiving_after_the_block(node: Node) -> None:
    async with NEWS.subscribe(node) as messages:
        await publish(node, 1)
    with pytest.raises(trio.ClosedResourceError, match="'news' was left"):
        await messages.receive()


async def test_too_many_topics(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trionet.services.multicast_board.MOST_TOPICS", 1)
    async with NEWS.subscribe(node), NEWS.subscribe(node):
        with pytest.raises(RuntimeError, match="subscribes to 1 topics already"):
            async with Topic[int]("other").subscribe(node):
                raise AssertionError


# --- being one of many ----------------------------------------------------------------------------


async def test_every_wait_is_a_checkpoint(node: Node) -> None:
    async with NEWS.subscribe(node) as messages:
        with trio.testing.assert_checkpoints():
            await publish(node, 1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await messages.receive()
        assert scope.cancelled_caught
        assert await take(messages, 1) == [1]


async def test_one_who_drains_lets_others_run(node: Node) -> None:
    async with NEWS.subscribe(node, queue=1000) as messages, trio.open_nursery() as nursery:
        await publish(node, *range(1000))
        seen: list[int] = []

        async def other() -> None:
            while len(seen) < 1000:
                await trio.lowlevel.checkpoint()
                seen.append(messages.statistics().received)

        nursery.start_soon(other)
        await take(messages, 1000)
        assert len(set(seen)) > 5
        nursery.cancel_scope.cancel()


async def test_without_a_cluster_there_is_no_hub(node: Node) -> None:
    async with NEWS.subscribe(node):
        await publish(node, 1)
        assert node.services() == ()


def test_texts() -> None:
    assert repr(NEWS) == "<Topic 'news'>"
    assert (KEPT.name, KEPT.keep) == ("kept", 5)


async def test_text_of_messages(node: Node) -> None:
    async with NEWS.subscribe(node) as messages:
        assert repr(messages) == "<messages of 'news'>"
