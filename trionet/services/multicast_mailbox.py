"""The queue of one subscriber, and what happens when it is full.

Duty: hold what was published and not received yet, count what was missed.
May import: Trio, trionet, and who has no room.

Theory of operation.  A queue holds up to ``limit`` messages, each with the number of those that were missed
right before it.  Only where the policy is to wait may it hold more: messages that another node sent while it
had leave to.  Each of these is confirmed when it has come within the limit, and the confirmations give that
node leave to send more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Literal, get_args

import trio
from trio.lowlevel import Abort

from trionet import Snapshot
from trionet.services.multicast_room import Room

#: What happens to a message for a subscriber whose queue is full.
Overflow = Literal["wait", "drop_oldest", "drop_newest", "disconnect"]
POLICIES: tuple[str, ...] = get_args(Overflow)


class Arrival:
    """A message that came from another node while that node had leave to send it.

    Args:
        confirm: tells that node that the message is within the queues of all who shall not miss it.
    """

    __slots__ = ("_confirm", "_open")

    def __init__(self, confirm: Callable[[], None]) -> None:
        self._confirm = confirm
        self._open = 1

    def wait_for_one(self) -> None:
        """One more queue has it, but beyond its limit."""
        self._open += 1

    def done(self) -> None:
        """One of these has it within its limit now, or all of them were asked."""
        self._open -= 1
        if not self._open:
            self._confirm()


class Mailbox:
    """What one subscriber has not received yet.

    Args:
        limit: messages that it holds.
        overflow: what happens when it is full.
        room: of its topic.

    Attributes:
        missed: messages that were missed so far.
        is_cut: whether it takes no more because it was full and the policy is to disconnect.
        is_closed: whether the subscriber has left.
        past: what was published before, as long as it is being gathered.
        request: the number under which it was asked for; 0 if it was not.
        deaf: incarnations of nodes from which it takes nothing yet: their past is still to come.
    """

    __slots__ = (
        "_before",
        "_beyond",
        "_missed_last",
        "_parked",
        "_room",
        "deaf",
        "is_closed",
        "is_cut",
        "limit",
        "missed",
        "overflow",
        "past",
        "queue",
        "request",
    )

    def __init__(self, limit: int, overflow: Overflow, room: Room) -> None:
        self.limit: int = limit
        self.overflow: Overflow = overflow
        self.queue: deque[tuple[Snapshot[Any], int]] = deque()
        self.missed: int = 0
        self.is_cut: bool = False
        self.is_closed: bool = False
        self.past: Past | None = None
        self.request: int = 0
        self.deaf: dict[int, None] = {}
        self._room = room
        self._before = 0
        self._missed_last = 0
        self._beyond: deque[Arrival] = deque()
        self._parked: trio.lowlevel.Task | None = None

    @property
    def waits(self) -> bool:
        """Whether publishers wait for it."""
        return self.overflow == "wait"

    # --- what comes ---------------------------------------------------------------------------------------

    def put(self, item: Snapshot[Any]) -> None:
        """Take a message, or do with it what the policy says."""
        queue = self.queue
        if self.is_cut:
            return
        if len(queue) >= self.limit:
            if self.overflow != "drop_oldest":
                self.miss(1)
                return
            self._before += 1 + queue.popleft()[1]
            self.missed += 1
        queue.append((item, self._missed_last))
        self._missed_last = 0
        if self._parked is not None:
            self.wake()
        if self.overflow == "wait" and len(queue) >= self.limit:
            self._room.fill(self)

    def put_arrival(self, item: Snapshot[Any], arrival: Arrival) -> None:
        """Take a message that a node had leave to send, though it may be one too many."""
        if not self.waits or len(self.queue) < self.limit:
            self.put(item)
            return
        arrival.wait_for_one()
        self._beyond.append(arrival)
        self.queue.append((item, self._missed_last))
        self._missed_last = 0

    def miss(self, count: int) -> None:
        """Messages were lost, here or on the way, which would be the next."""
        self.missed += count
        if self.overflow == "disconnect":
            self.is_cut = True
            self.wake()
        else:
            self._missed_last += count

    def prepend(self, items: list[Snapshot[Any]]) -> None:
        """Put what was published before in front, as much as there is room for."""
        room = self.limit - len(self.queue)
        if room > 0:
            self.queue.extendleft((item, 0) for item in reversed(items[-room:]))
        if self.waits and len(self.queue) >= self.limit:
            self._room.fill(self)

    # --- what the subscriber does -------------------------------------------------------------------------

    def take(self) -> tuple[Snapshot[Any], int]:
        """Take the next message out, with the number of those missed right before it; there is one."""
        item, missed = self.queue.popleft()
        missed, self._before = missed + self._before, 0
        if self._beyond:
            self._beyond.popleft().done()
        elif self.overflow == "wait" and len(self.queue) == self.limit - 1:
            self._room.free(self)
        return item, missed

    async def wait(self) -> None:
        """Wait for news.

        Cancellation: loses nothing.

        Raises:
            trio.BusyResourceError: if another task does so.
        """
        if self._parked is not None:
            raise trio.BusyResourceError("another task is receiving from this subscription")

        def abort(_: object) -> Abort:
            self._parked = None
            return Abort.SUCCEEDED

        self._parked = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake(self) -> None:
        """Let the waiting task look again."""
        task, self._parked = self._parked, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def close(self) -> None:
        """The subscriber leaves: nobody waits for it any more."""
        self.is_closed = self.is_cut = True
        self.queue.clear()
        while self._beyond:
            self._beyond.popleft().done()
        self._room.free(self)
        self.wake()


class Past:
    """What was published before a subscriber came, while it is gathered.

    Args:
        most: messages that are wanted.

    Attributes:
        done: set when all of it has come.
    """

    __slots__ = ("_items", "_most", "done")

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: list[tuple[float, int, Snapshot[Any]]] = []
        self.done: trio.Event = trio.Event()

    def add(self, moment: float, item: Snapshot[Any]) -> None:
        """Take one message, and when it was published on the clock of this node."""
        self._items.append((moment, len(self._items), item))

    def last(self) -> list[Snapshot[Any]]:
        """The last ones, in their order in time."""
        return [item for _, _, item in sorted(self._items, key=lambda each: each[:2])[-self._most :]]
