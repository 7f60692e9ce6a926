"""What one node sends to another of what is published on it.

Duty: the queue to one other node, and for each topic that it subscribes to the numbers and the leave to send.
May import: trionet, the protocol of hubs, and who has no room.

Theory of operation.  A route lives longer than the stream that empties it: when the link is lost it only
counts, and when the other node is there again it tells what was missed.  Its queue has two parts with one
order.  The sure messages are few, since their publishers wait; all others share a bounded part, of which the
oldest go when it is full.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import trio

from trionet import BadMessage, Snapshot
from trionet.services.multicast_protocol import WINDOW, WINDOW_BYTES, Wish
from trionet.services.multicast_room import Room

#: Messages that may wait for a node, but for the sure ones; the oldest go first.
MOST_WAITING: Final = 10_000
#: Bytes of these.
MOST_BYTES: Final = 4 * 1024 * 1024

#: What stands before the value of a message: key of the topic, number, whether it is sure.
MESSAGE_HEAD: Final = 3
Head = tuple[Any, ...]


class Outlet:
    """One topic that another node subscribes to.

    Args:
        route: the way to that node.
        key: the number that the other node has for it.
        name: its name.
        room: of the topic.
        number: of the last message that the other node has seen.

    Attributes:
        waits: whether publishers shall wait for subscribers there.
    """

    __slots__ = ("_open", "_open_bytes", "_room", "_route", "key", "name", "number", "waits")

    def __init__(self, route: Route, key: int, name: str, room: Room, number: int) -> None:
        self.key: int = key
        self.name: str = name
        self.number: int = number
        self.waits: bool = False
        self._route = route
        self._room = room
        self._open: deque[int] = deque()
        self._open_bytes = 0

    def put(self, item: Snapshot[Any], *, sure: bool) -> None:
        """Number a message, and send it if there is a way."""
        self.number += 1
        route = self._route
        if not route.is_open:
            return
        sure = sure and self.waits
        if sure:
            self._open.append(item.weight)
            self._open_bytes += item.weight
            if not self._has_leave():
                self._room.fill(self)
        route.put((self.key, self.number, sure), item, sure=sure)

    def confirm(self, count: int) -> None:
        """So many more sure messages have arrived."""
        for _ in range(min(count, len(self._open))):
            self._open_bytes -= self._open.popleft()
        if self._has_leave():
            self._room.free(self)

    def forgive(self) -> None:
        """What is not confirmed never will be: nobody waits for it any more."""
        self._open.clear()
        self._open_bytes = 0
        self._room.free(self)

    def _has_leave(self) -> bool:
        return len(self._open) < WINDOW and self._open_bytes < WINDOW_BYTES


class Route:
    """The way to one other node.

    Attributes:
        outlets: the topics that it subscribes to, by its numbers.
        stream: stands for the stream to it, if there is one.
        closed_at: when there last was one.
    """

    def __init__(self) -> None:
        self.outlets: dict[int, Outlet] = {}
        self.stream: object | None = None
        self.closed_at: float = 0.0
        self._sure: deque[tuple[int, Head, Snapshot[Any] | None]] = deque()
        self._rest: deque[tuple[int, Head, Snapshot[Any]]] = deque()
        self._rest_bytes = 0
        self._gaps: dict[Outlet, None] = {}
        self._order = 0
        self._news = trio.Event()

    @property
    def waiting(self) -> int:
        """Messages in the queue."""
        return len(self._sure) + len(self._rest)

    @property
    def is_open(self) -> bool:
        """Whether there is a stream to it."""
        return self.stream is not None

    def open(self) -> object:
        """There is a new stream, in place of a former one if any; returns what stands for it."""
        self._clear()
        self.stream = object()
        return self.stream

    def close(self, stream: object, now: float) -> None:
        """A stream has ended: what was not sent is missed, and nobody waits."""
        if self.stream is stream:
            self._clear()
            self.stream = None
            self.closed_at = now

    def _clear(self) -> None:
        self._sure.clear()
        self._rest.clear()
        self._rest_bytes = 0
        self._gaps.clear()
        for outlet in self.outlets.values():
            outlet.forgive()

    def wish(self, key: int, wish: Wish, room: Room) -> Outlet:
        """The other node subscribes to a topic, or has changed how; returns its outlet."""
        name, waits, seen = wish
        outlet = self.outlets.get(key)
        if outlet is None:
            outlet = self.outlets[key] = Outlet(self, key, name, room, seen)
        outlet.waits = waits
        if not waits:
            outlet.forgive()
        return outlet

    def tell_gap(self, outlet: Outlet) -> None:
        """Tell the other node how far the numbers are, once nothing else is to be sent."""
        self._gaps[outlet] = None
        self._news.set()

    def put(self, head: Head, item: Snapshot[Any], *, sure: bool) -> None:
        """Send a message."""
        self._order += 1
        if sure:
            self._sure.append((self._order, head, item))
        else:
            self._rest.append((self._order, head, item))
            self._rest_bytes += item.weight
            while len(self._rest) > MOST_WAITING or (self._rest_bytes > MOST_BYTES and len(self._rest) > 1):
                self._drop_oldest()
        self._news.set()

    def put_past(self, request: int, items: list[tuple[float, Snapshot[Any]]]) -> None:
        """Send what was published before, the oldest first, each with its age in seconds."""
        for age, item in items:
            self.put((request, age), item, sure=True)
        self._order += 1
        self._sure.append((self._order, (request,), None))
        self._news.set()

    def _drop_oldest(self) -> None:
        _, head, item = self._rest.popleft()
        self._rest_bytes -= item.weight
        outlet = self.outlets.get(head[0])
        if outlet is not None:
            self._gaps[outlet] = None

    def take(self) -> tuple[Any, ...] | None:
        """What is to be sent next, or None.

        Raises:
            BadMessage: if a validator refuses it.
        """
        if self._sure and not (self._rest and self._rest[0][0] < self._sure[0][0]):
            _, head, sure = self._sure.popleft()
            return head if sure is None else self._opened(head, sure)
        if self._rest:
            _, head, item = self._rest.popleft()
            self._rest_bytes -= item.weight
            return self._opened(head, item)
        if self._gaps:
            outlet = next(iter(self._gaps))
            del self._gaps[outlet]
            return outlet.key, outlet.number
        return None

    def _opened(self, head: Head, item: Snapshot[Any]) -> tuple[Any, ...]:
        try:
            return (*head, item.open())
        except BadMessage:
            self.spoil(head)
            raise

    def spoil(self, head: Head) -> None:
        """Something that was taken cannot be sent: it is missed there."""
        outlet = self.outlets.get(head[0]) if len(head) >= MESSAGE_HEAD else None
        if outlet is not None:
            self._gaps[outlet] = None
            if head[2]:
                outlet.confirm(1)

    async def wait(self) -> None:
        """Wait for something to send.

        Cancellation: leaves nothing behind.
        """
        await self._news.wait()
        self._news = trio.Event()
