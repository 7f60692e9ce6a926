"""Order and loss between two nodes, for any course of events: what was published is received, or was missed.

The boards of two nodes are joined by hand, so that messages can be anywhere when the link is lost.
"""

from __future__ import annotations

from collections import deque
from typing import Any
from unittest.mock import patch

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from trionet.kernel.snapshots import take
from trionet.message import Limits
from trionet.services.multicast_board import Board
from trionet.services.multicast_mailbox import POLICIES, Mailbox

WINDOW, WAITING = 4, 12
TOPICS = ("busy", "quiet")
HERE, THERE = 1, 2


def snapshot(item: Any) -> Any:
    return take(item, "item", Limits(), lambda reference: reference)


class Reader:
    """A subscriber who checks what comes: the numbers of the messages of its topic."""

    def __init__(self, board: Board, name: str, overflow: Any, limit: int) -> None:
        self.topic, self.mailbox = board.subscribe(name, limit, overflow, 0)
        self.last = 0
        self.received = 0
        self.gaps = 0

    def read(self, most: int) -> None:
        for _ in range(min(most, len(self.mailbox.queue))):
            item, gap = self.mailbox.take()
            number = item.open()
            assert number > self.last
            assert gap == number - self.last - 1
            self.last = number
            self.received += 1
            self.gaps += gap

    def check(self, published: int) -> None:
        """All that was published is accounted for, once it has arrived."""
        assert not self.mailbox.queue
        if self.mailbox.is_cut:
            assert self.received == self.last < published
        else:
            assert self.received + self.mailbox.missed == published


class Joined:
    """Two boards, and what is on its way from the first to the second."""

    def __init__(self) -> None:
        self.here, self.there = Board(), Board()
        self.origin = self.there.origin(HERE)
        self.way: deque[tuple[Any, ...]] = deque()
        self.stream: object = None
        self.published = dict.fromkeys(TOPICS, 0)
        self.was_lost = False
        self.was_crowded = False
        self.chose_not_to_wait = False

    @property
    def route(self) -> Any:
        return self.here.routes.get(THERE)

    def open(self) -> None:
        """A new stream; what was on its way in a former one never arrives."""
        self.way.clear()
        seen = self.origin.seen
        wishes = {
            number: (*wish, seen.get(number, 0))
            for number in self.there.numbers()
            if (wish := self.there.wish(number)) is not None
        }
        self.origin.confirmed.clear()
        _, self.stream = self.here.routes.open(THERE, wishes)

    def lose(self) -> None:
        if self.route is not None:
            self.was_lost = True
            self.route.close(self.stream, trio.current_time())
            self.way.clear()

    def publish(self, count: int, *, sure: bool) -> None:
        name = TOPICS[count < 3]
        for _ in range(count):
            topic = self.here.topics.get(name)
            if sure and topic is not None and not topic.room.is_free:
                return  # it would wait
            self.chose_not_to_wait |= not sure
            self.published[name] += 1
            self.here.publish(name, snapshot(self.published[name]), keep=0, sure=sure)
            self.was_crowded |= self.route is not None and len(self.route._rest) >= WAITING

    def send(self, most: int) -> None:
        for _ in range(most):
            item = None if self.route is None else self.route.take()
            if item is None:
                return
            self.way.append(item)

    def arrive(self, most: int) -> None:
        for _ in range(min(most, len(self.way))):
            self.there.receive(self.origin, self.way.popleft(), snapshot)

    def confirm(self) -> None:
        confirmed, self.origin.confirmed = self.origin.confirmed, {}
        for key, count in confirmed.items():
            if self.route is not None:
                self.route.outlets[key].confirm(count)

    def step(self, what: str, count: int) -> None:
        match what:
            case "publish":
                self.publish(count, sure=True)
            case "publish_anyway":
                self.publish(count, sure=False)
            case "send":
                self.send(count)
            case "arrive":
                self.arrive(count)
            case "confirm":
                self.confirm()
            case "lose":
                self.lose()
            case "open":
                self.lose()
                self.open()

    def settle(self, readers: list[Reader]) -> None:
        """Let everything arrive."""
        if self.route is None:
            self.open()
        for _ in range(100):
            self.send(100)
            self.arrive(100)
            self.confirm()
            for reader in readers:
                reader.read(1000)


STEPS = ("publish", "publish_anyway", "send", "arrive", "confirm", "lose", "open")
steps, calm_steps = (
    st.lists(st.tuples(st.sampled_from([*whats, "read"]), st.integers(1, 8)), min_size=20)
    for whats in ([*STEPS[:5] * 3, *STEPS[5:]], STEPS[:5])
)
subscribers = st.lists(
    st.tuples(st.sampled_from(TOPICS), st.sampled_from(POLICIES), st.integers(1, 5)), min_size=2, max_size=4
)


@given(far=subscribers, near=subscribers, course=st.one_of(steps, calm_steps))
async def test_all_is_received_in_order_or_counted(
    far: list[tuple[str, Any, int]], near: list[tuple[str, Any, int]], course: list[tuple[str, int]]
) -> None:
    with (
        patch("trionet.services.multicast_route.WINDOW", WINDOW),
        patch("trionet.services.multicast_route.MOST_WAITING", WAITING),
    ):
        both = Joined()
        local = [Reader(both.here, *each) for each in near]
        remote = [Reader(both.there, *each) for each in far]
        roomy = [Reader(both.there, name, "drop_oldest", 10_000) for name in TOPICS]
        remote += roomy
        both.open()
        for what, count in course:
            if what == "read":
                for reader in [*local, *remote][count % 2 :: 2]:
                    reader.read(count)
            else:
                both.step(what, count)
            for reader in [*local, *remote]:
                limit = reader.mailbox.limit + (WINDOW if reader in remote and reader.mailbox.waits else 0)
                assert len(reader.mailbox.queue) <= limit
        both.settle([*local, *remote])
        assert all(not outlet._open for outlet in both.route.outlets.values())
        if not both.was_lost and not both.was_crowded:
            assert [reader.mailbox.missed for reader in roomy] == [0, 0]
        for reader in [*local, *remote]:
            reader.check(both.published[reader.topic.name])
            lossless = not both.chose_not_to_wait and (reader in local or not both.was_lost)
            assert not (reader.mailbox.waits and lossless and reader.mailbox.missed)
        nobody_waits(both, local, remote)


def nobody_waits(both: Joined, local: list[Reader], remote: list[Reader]) -> None:
    """Once all is read there is room for everybody; when all have left nothing is kept of the topic."""
    for board in (both.here, both.there):
        topics = [topic for name in TOPICS if (topic := board.topics.get(name)) is not None]
        assert all(topic.room.is_free for topic in topics)
    for board, readers in ((both.here, local), (both.there, remote)):
        for reader in readers:
            board.unsubscribe(reader.topic, reader.mailbox)
    both.lose()
    both.open()
    assert len(both.here.topics) == len(both.there.topics) == 0
    assert both.origin.seen == {}


@pytest.mark.parametrize("overflow", POLICIES)
def test_a_queue_on_its_own(overflow: Any) -> None:
    """A small case of each policy by hand, so that the model itself is believed."""
    mailbox = Board().subscribe(TOPICS[0], 2, overflow, 0)[1]
    for number in range(4):
        mailbox.put(snapshot(number))
    left = [(item.open(), gap) for item, gap in iter_queue(mailbox)]
    assert left == ([(2, 2), (3, 0)] if overflow == "drop_oldest" else [(0, 0), (1, 0)])
    assert mailbox.missed == (1 if overflow == "disconnect" else 2)


def iter_queue(mailbox: Mailbox) -> list[tuple[Any, int]]:
    return [mailbox.take() for _ in range(len(mailbox.queue))]
