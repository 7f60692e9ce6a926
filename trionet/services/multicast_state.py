"""What a node keeps of each topic, and of each node that publishes.

Duty: the records of the board.
May import: trionet, and the parts of multicast that do not wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import attrs

from trionet import Snapshot
from trionet.services.multicast_mailbox import Mailbox
from trionet.services.multicast_protocol import WINDOW
from trionet.services.multicast_room import Room
from trionet.services.multicast_route import Outlet

#: Bytes of messages from before that one subscriber gets at most from one node.
MOST_PAST_BYTES: Final = 4 * 1024 * 1024
#: Seconds for which numbers are kept for a node that is not there.
REMEMBERED: Final = 600.0


@attrs.define(eq=False)
class LocalTopic:
    """What one node knows of one topic.

    Args:
        name: its name.
        number: what the node calls it towards others, while anybody here subscribes to it; else 0.
        mailboxes: the subscribers here.
        waiting: how many of these want publishers to wait.
        outlets: other nodes where somebody subscribes to it.
        room: whether all who shall not miss anything have room.
        kept: the last messages that were published here, with their times.
    """

    name: str
    number: int = 0
    mailboxes: dict[Mailbox, None] = attrs.field(factory=dict)
    waiting: int = 0
    outlets: dict[Outlet, None] = attrs.field(factory=dict)
    room: Room = attrs.field(factory=Room)
    kept: deque[tuple[float, Snapshot[Any]]] | None = None

    def past(self, most: int, now: float) -> list[tuple[float, Snapshot[Any]]]:
        """The last messages that were published here, each with its age in seconds."""
        found: list[tuple[float, Snapshot[Any]]] = []
        size = 0
        for moment, item in reversed(self.kept or ()):
            size += item.weight
            if len(found) >= most or (found and size > MOST_PAST_BYTES):
                break
            found.append((now - moment, item))
        return found[::-1]


class Topics:
    """What one node knows of each topic; topics of which there is nothing to know are not there."""

    def __init__(self) -> None:
        self._topics: dict[str, LocalTopic] = {}

    def __len__(self) -> int:
        return len(self._topics)

    def get(self, name: str) -> LocalTopic | None:
        """What is known of a topic, if there is anything."""
        return self._topics.get(name)

    def make(self, name: str) -> LocalTopic:
        """What is known of a topic, even if that is nothing yet."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = LocalTopic(name)
        return topic

    def let_go(self, topic: LocalTopic) -> None:
        """Forget a topic if there is nothing to know of it."""
        if not topic.mailboxes and not topic.outlets and topic.kept is None:
            self._topics.pop(topic.name, None)


class Origin:
    """What this node has seen of another one that publishes.

    Args:
        incarnation: of that node.

    Attributes:
        seen: the last number of each topic.
        confirmed: sure messages of each topic that have arrived, and were not told of.
        closed_at: when there last was a stream from it.
        wake: called when there is much to confirm; None while nobody follows it.
    """

    def __init__(self, incarnation: int) -> None:
        self.incarnation: int = incarnation
        self.seen: dict[int, int] = {}
        self.confirmed: dict[int, int] = {}
        self.closed_at: float = 0.0
        self.wake: Callable[[], None] | None = None

    def confirm(self, topic: int) -> None:
        """One more sure message has arrived where it shall."""
        confirmed = self.confirmed[topic] = self.confirmed.get(topic, 0) + 1
        if confirmed >= WINDOW // 2 and self.wake is not None:
            self.wake()
