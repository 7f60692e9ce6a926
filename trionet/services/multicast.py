"""Topics: messages for everybody who wants them, on any node of the cluster.

Duty: what users of topics have: :class:`Topic` and :class:`Messages`.
May import: trionet, and the other parts of multicast.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final, Generic, Self, TypeVar

import attrs
import trio

from trionet import Node, NodeStopping, Service, TrionetError, value
from trionet.services.multicast_board import Board
from trionet.services.multicast_hub import open_board
from trionet.services.multicast_mailbox import POLICIES, Mailbox, Overflow
from trionet.services.multicast_protocol import check_topic
from trionet.services.multicast_state import LocalTopic

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: Messages of a topic that may be kept for late subscribers.
MOST_LAST: Final = 1_000
#: Messages that a subscriber takes without waiting before it lets other tasks run.
FAIR_MESSAGES: Final = 100


@value(name="trionet.SubscriberTooSlow")
class SubscriberTooSlow(TrionetError):
    """A subscriber with ``overflow="disconnect"`` missed a message, and gets no more."""


@attrs.frozen
class SubscriberStatistics:
    """A subscription, measured.

    Args:
        received: messages that were received.
        waiting: messages in the queue.
        missed: messages that were missed so far.
    """

    received: int
    waiting: int
    missed: int


class Messages(Generic[T_co]):
    """What comes of a topic: iterate over it with ``async for``, within the block that subscribed."""

    def __init__(self, node: Node, board: Board, topic: str, mailbox: Mailbox) -> None:
        self._node = node
        self._board = board
        self._topic = topic
        self._mailbox = mailbox
        self._gap = 0
        self._received = 0
        self._streak = 0

    @property
    def missed(self) -> int:
        """How many messages were missed until now, as far as it is known."""
        return self._mailbox.missed

    @property
    def gap(self) -> int:
        """How many messages were missed between the last one that was received and the one before it."""
        return self._gap

    def statistics(self) -> SubscriberStatistics:
        """Measure the subscription."""
        return SubscriberStatistics(self._received, len(self._mailbox.queue), self._mailbox.missed)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        """Wait for the next message, as :meth:`receive` does."""
        return await self.receive()

    async def receive(self) -> T_co:
        """Wait for the next message.

        Cancellation: nothing is lost; the next call returns the message.

        Returns:
            A copy of what was published, or the same where it can never change.

        Raises:
            SubscriberTooSlow: if the policy is to disconnect and a message was missed; those that came
                before are received before it.
            BadMessage: if a validator refuses the message; the subscription goes on.
            trio.BusyResourceError: if another task is receiving.
            trio.ClosedResourceError: if the block was left.
        """
        mailbox = self._mailbox
        self._streak += 1
        if not mailbox.queue:
            self._streak = 0
        elif self._streak < FAIR_MESSAGES:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await trio.lowlevel.checkpoint()
            self._streak = 0
        while not mailbox.queue:
            await self._wait()
        self._received += 1
        item, self._gap = mailbox.take()
        received: T_co = item.open()
        return received

    async def _wait(self) -> None:
        mailbox = self._mailbox
        if mailbox.is_cut:
            await trio.lowlevel.checkpoint()
        if mailbox.is_closed:
            raise trio.ClosedResourceError(f"the block that subscribed to {self._topic!r} was left")
        if mailbox.is_cut:
            text = f"this subscriber to {self._topic!r} was too slow: its queue of {mailbox.limit} was full"
            raise SubscriberTooSlow(text)
        if self._board.hub is None:
            with suppress(NodeStopping):  # the hub has ended: there must be another one
                await open_board(self._node)
        if not mailbox.queue:
            await mailbox.wait()

    def __repr__(self) -> str:
        return f"<messages of {self._topic!r}>"


class Topic(Generic[T]):
    """Messages for everybody who subscribes, on any node of the cluster.

    A topic is its name: there is nothing to create or to end.  Give the type of its messages where it is
    made, ``NEWS = Topic[str]("news")``, and share that between those who publish and those who subscribe.

    Args:
        name: any text of 1 to 255 bytes.
        keep: how many of the last messages each node keeps of those that are published on it, for late
            subscribers; up to 1,000.

    Raises:
        TypeError: if the name is no text, or ``keep`` no number.
        ValueError: if one of them is out of its range.
    """

    def __init__(self, name: str, *, keep: int = 0) -> None:
        self._name = check_topic(name)
        self._keep = _number("keep", keep, 0, MOST_LAST)

    @property
    def name(self) -> str:
        """The name of the topic."""
        return self._name

    @property
    def keep(self) -> int:
        """How many of the last messages are kept."""
        return self._keep

    def __repr__(self) -> str:
        return f"<Topic {self._name!r}>"

    async def publish(self, by: Node | Service, item: T, *, wait: bool = True) -> None:
        """Give a message to all who subscribe, on all nodes.

        Waits until all subscribers with ``overflow="wait"`` have room for it, on whatever node they are, or
        the link to them is lost; and on the first use on a node until it has found the others, for a few
        seconds at most.  Then all get the message in one step.  Where nobody subscribes it is dropped.

        Cancellation: nothing is published.

        Args:
            by: the node, or the service itself.
            item: a value.
            wait: whether to wait for subscribers that want it; if not, they miss what they have no room for.

        Raises:
            BadMessage: if the item is no value, or too large.
            NodeStopping: if the node is stopping.
        """
        node = _node_of(by)
        snapshot = node.snapshot(item)
        await trio.lowlevel.checkpoint()
        board = await open_board(node)
        if wait:
            await board.wait_for_room(self._name)
        board.publish(self._name, snapshot, keep=self._keep, sure=wait)

    def subscribe(
        self, by: Node | Service, *, queue: int = 100, overflow: Overflow = "drop_oldest", last: int = 0
    ) -> AbstractAsyncContextManager[Messages[T]]:
        """Subscribe for a block: ``async with topic.subscribe(node) as messages``.

        Entering waits until the other nodes know of it: what is published after that comes.  A node that
        does not answer is waited for for a second; what it publishes comes as soon as it has heard of it.

        Args:
            by: the node, or the service itself.
            queue: messages that wait for this subscriber, at most.
            overflow: what happens to a message that finds the queue full.  ``"wait"``: publishers wait,
                unless they chose not to.  ``"drop_oldest"``: the oldest message in the queue is missed.
                ``"drop_newest"``: the message itself is.  ``"disconnect"``: the subscription ends with
                :exc:`SubscriberTooSlow`.
            last: how many of the last messages to begin with, up to what the topic keeps and ``queue``.

        Raises:
            TypeError: if an argument is of the wrong kind.
            ValueError: if an argument is out of its range.
        """
        node = _node_of(by)
        _number("queue", queue, 1, 1 << 31)
        if overflow not in POLICIES:
            raise ValueError(f"overflow is one of {', '.join(POLICIES)}, not {overflow!r}")
        if _number("last", last, 0, MOST_LAST) > self._keep:
            raise ValueError(f"last is {last}, but {self!r} keeps {self._keep} messages (its argument keep)")
        return self._subscribe(node, queue, overflow, min(last, queue))

    @asynccontextmanager
    async def _subscribe(
        self, node: Node, queue: int, overflow: Overflow, last: int
    ) -> AsyncIterator[Messages[T]]:
        await trio.lowlevel.checkpoint()
        board = await open_board(node)
        topic, mailbox = board.subscribe(self._name, queue, overflow, last)
        try:
            await _enter(board, topic, mailbox, last)
            yield Messages(node, board, self._name, mailbox)
        finally:
            board.unsubscribe(topic, mailbox)


async def _enter(board: Board, topic: LocalTopic, mailbox: Mailbox, last: int) -> None:
    """Let other nodes know of a subscriber, and get from them what was published before."""
    past = mailbox.past
    if past is None:
        await board.tell_others()
        return
    board.ask_others(topic, mailbox, last)
    await board.tell_others(past if mailbox.deaf else None)
    mailbox.past = None
    mailbox.prepend(past.last())


def _node_of(by: object) -> Node:
    """The node of whoever publishes or subscribes."""
    if isinstance(by, Node):
        return by
    if issubclass(type(by), Service):
        node: Node = by.node  # type: ignore[attr-defined]
        return node
    raise TypeError(f"{by!r:.80} can neither publish nor subscribe: expected the node, or the service itself")


def _number(what: str, number: Any, least: int, most: int) -> int:
    if type(number) is not int:
        raise TypeError(f"{what} is a number from {least} to {most}, not {number!r:.80}")
    if not least <= number <= most:
        raise ValueError(f"{what} is a number from {least} to {most}, not {number}")
    return number
