"""What a link has to send, and what it has sent and not heard of again (C5).

Duty: the queue in front of the socket, the lanes beside it, and the account of acknowledgements.
May import: the standard library, trionet.wire.errors, bundle, chunks, link_frames and link_streams.

Theory of operation.  What is not held up goes into one list, which a flush joins; small messages first into a
bundle, which is the end of that list: whatever else comes behind it closes it.  A flush first takes that
list, so that control frames and small messages pass, then chunks of large messages up to a budget.
Sends are *counted*: they are acknowledged by their number, in the order of their ends on the wire; the
receiver counts in the same order, so no number is ever sent along.  Each counted message is in exactly one of
these places: a lane, the list or sent and not acknowledged.  That tells at the end of a link what was
certainly not delivered and what has an unknown fate.  A call has an end of its own: it is only noted
whether it has left.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any, Final

from trionet.wire.bundle import FULL, RETURN_ENTRY, ROUTE_SIZE, SMALL, Bundle
from trionet.wire.chunks import ANSWER, END, UNCOUNTED, Buffers, Lanes, Pair, QueuedMessage
from trionet.wire.errors import ProtocolError
from trionet.wire.link_frames import BUNDLE, CHUNK, bare
from trionet.wire.link_streams import Inflow

#: Bytes of chunks in one flush; more would make small messages wait longer behind them.
CHUNK_BUDGET: Final = 2 * CHUNK


class OpenCall:
    """A call of this side that has no outcome yet.

    Args:
        token: what the user wants to get with its end.
        target: local id of the service that is called.
        size: bytes of its payload.
    """

    #: Where it waits in a lane; then it can be taken back.
    message: QueuedMessage | None = None
    cancelled: bool = False
    abandoned: bool = False
    #: The account of its items, if it is a stream.
    inflow: Inflow | None = None

    def __init__(self, token: Any, target: int, size: int) -> None:
        self.token: Any = token
        self.target: int = target
        self.size: int = size


class Outbox:
    """The sending half's queues; see the module."""

    __slots__ = (
        "_acknowledged",
        "_flushed",
        "_fresh",
        "_inflight",
        "_out",
        "_queued_answers",
        "_queued_ends",
        "answers",
        "bundle",
        "control_bytes",
        "ends",
        "lanes",
        "queued",
    )

    def __init__(self) -> None:
        self._out: Buffers = []
        #: The small messages at the end of the list.
        self.bundle: Bundle = Bundle()
        #: The bytes of the list, at most: what a small message waits for.
        self.queued: int = 0
        self._inflight: deque[Any] = deque()
        self._fresh: list[OpenCall] = []
        self._acknowledged = 0
        self._flushed = 0
        self._queued_answers = 0
        self._queued_ends = 0
        #: What large messages hold up.
        self.lanes: Lanes = Lanes()
        #: Answers to calls, and to watches, that are not flushed yet: the peer still counts these as open.
        self.answers: int = 0
        self.ends: int = 0
        #: Bytes of control frames that are not flushed yet.
        self.control_bytes: int = 0

    @property
    def pending(self) -> int:
        """Bytes that were handed over and not flushed yet."""
        return self.queued + self.lanes.pending

    @property
    def unacknowledged(self) -> int:
        """Counted messages that are on the wire and were not acknowledged."""
        return self._flushed - self._acknowledged

    def control(self, frame: bytes) -> None:
        """Queue a whole frame that nothing holds up."""
        if self.bundle.items:
            self._close_bundle()
        self._out.append(frame)
        self.queued += len(frame)
        self.control_bytes += len(frame)

    def end(self, frame: bytes) -> None:
        """Queue a whole frame that answers a watch and that nothing holds up."""
        self.control(frame)
        self.ends += 1
        self._queued_ends += 1

    def send(self, pair: Pair, head: bytes, route: bytes, payload: bytes, token: Any) -> None:
        """Queue a send; arguments as in :meth:`push`."""
        size = len(payload)
        if size > CHUNK or self.lanes.by_pair:
            self.push(pair, head + route, payload, token)
            return
        if self.bundle.items:
            self._close_bundle()
        self._out += (head, route, payload)
        self.queued += len(head) + len(route) + size
        self._inflight.append(token)

    def define(self, route: int, source: int, target: int, name: str) -> None:
        """Say in the bundle what the number of a route means from now on."""
        self.bundle.define(route, source, target, name)
        self.queued += ROUTE_SIZE * SMALL

    def send_small(self, route: int, trace: int, arguments: tuple[Any, ...], size: int, token: Any) -> None:
        """Queue a send whose pair has nothing in a lane, for the bundle; ``token`` as in :meth:`push`."""
        bundle = self.bundle
        if trace == bundle.trace and route == bundle.route and len(arguments) == bundle.arity:
            bundle.items[bundle.count_at] += 1
        else:
            bundle.begin_sends(route, trace, len(arguments))
        bundle.items += arguments
        bundle.size += size
        self.queued += size
        self._inflight.append(token)
        if bundle.size >= FULL:
            self._close_bundle()

    def call_small(
        self, call: OpenCall, entry: tuple[Any, ...], arguments: tuple[Any, ...], size: int
    ) -> None:
        """Queue a call whose pair has nothing in a lane, for the bundle."""
        self._add_small(entry + arguments, size)
        self._fresh.append(call)

    def return_small(self, session: int, value: Any, size: int) -> None:
        """Queue a result whose pair has nothing in a lane, for the bundle."""
        self._add_small((RETURN_ENTRY, session, value), size)
        self.answers += 1
        self._queued_answers += 1

    def _add_small(self, entry: tuple[Any, ...], size: int) -> None:
        bundle = self.bundle
        bundle.arity = -1
        bundle.items += entry
        bundle.size += size
        self.queued += size
        if bundle.size >= FULL:
            self._close_bundle()

    def _close_bundle(self) -> None:
        """Put the small messages into the list; what follows will be behind them."""
        payload = self.bundle.take()
        self._out += (bare(BUNDLE, len(payload)), payload)

    def push(self, pair: Pair, head: bytes, payload: bytes, entry: Any) -> None:
        """Queue a message behind whatever the same pair has queued.

        Args:
            pair: who sends it to whom.
            head: its head, length included.
            payload: its payload.
            entry: a call, which then knows whether it can be taken back; ANSWER, END or UNCOUNTED; or what
                :meth:`fates` shall tell of a send.
        """
        size = len(payload)
        if size > CHUNK or pair in self.lanes.by_pair:
            self._push_to_lane(QueuedMessage(pair, head, payload, entry))
            return
        if self.bundle.items:
            self._close_bundle()
        self._out += (head, payload)
        self.queued += len(head) + size
        if entry is ANSWER:
            self.answers += 1
            self._queued_answers += 1
        elif type(entry) is OpenCall:
            self._fresh.append(entry)
        elif entry is END:
            self.ends += 1
            self._queued_ends += 1
        elif entry is not UNCOUNTED:
            self._inflight.append(entry)

    def _push_to_lane(self, message: QueuedMessage) -> None:
        entry = message.entry
        if entry is ANSWER:
            self.answers += 1
        elif entry is END:
            self.ends += 1
        elif type(entry) is OpenCall:
            entry.message = message
        self.lanes.add(message)

    def take_back(self, message: QueuedMessage) -> None:
        """Take a message out of its lane, and let go what waited behind it."""
        if self.bundle.items:
            self._close_bundle()
        before = len(self._out)
        done = self.lanes.remove(message, self._out)
        self.queued += sum(map(len, islice(self._out, before, None)))
        self._left_lanes(done)

    def flush(self) -> bytes:
        """Take what is to be sent now."""
        if self.bundle.items:
            self._close_bundle()
        out, self._out, self.queued, self.control_bytes = self._out, [], 0, 0
        if self._fresh:
            self._fresh = []
        if self._queued_answers:
            self.answers -= self._queued_answers
            self._queued_answers = 0
        if self._queued_ends:
            self.ends -= self._queued_ends
            self._queued_ends = 0
        if self.lanes.by_pair:
            self._left_lanes(self.lanes.pump(out, CHUNK_BUDGET))
            self._fresh = []
        self._flushed = self._acknowledged + len(self._inflight)
        return b"".join(out)

    def _left_lanes(self, entries: list[Any]) -> None:
        for entry in entries:
            if entry is ANSWER:
                self.answers -= 1
            elif entry is END:
                self.ends -= 1
            elif type(entry) is OpenCall:
                entry.message = None
                self._fresh.append(entry)
            elif entry is not UNCOUNTED:
                self._inflight.append(entry)

    def acknowledge(self, count: int) -> None:
        """Take the peer's acknowledgement of its first ``count`` messages.

        Raises:
            ProtocolError: if it goes back, or beyond what was flushed.
        """
        if not self._acknowledged <= count <= self._flushed:
            raise ProtocolError(f"{count} messages acknowledged, of {self._flushed} that were sent")
        pop = self._inflight.popleft
        for _ in range(count - self._acknowledged):
            pop()
        self._acknowledged = count

    def fates(self) -> tuple[list[Any], list[Any]]:
        """Return the tokens of sends of unknown fate, and of those that were certainly not delivered."""
        unknown = list(islice(self._inflight, self.unacknowledged))
        unsent = list(islice(self._inflight, self.unacknowledged, None))
        unsent += (entry for entry in self.lanes.entries() if _is_counted(entry))
        return unknown, unsent

    def unsent_calls(self) -> set[int]:
        """Return the object ids of calls that were certainly not delivered."""
        waiting = (entry for entry in self.lanes.entries() if type(entry) is OpenCall)
        return {id(call) for call in (*self._fresh, *waiting)}

    def clear(self) -> None:
        """Forget everything."""
        self._out.clear()
        self.bundle = Bundle()
        self._inflight.clear()
        self._fresh.clear()
        self.queued = 0
        self.lanes.clear()

    def __bool__(self) -> bool:
        """Tell whether there is anything to flush."""
        return bool(self._out or self.bundle.items or self.lanes.by_pair)


def _is_counted(entry: Any) -> bool:
    """Tell whether an entry stands for a send."""
    return not (entry is ANSWER or entry is END or entry is UNCOUNTED or type(entry) is OpenCall)
