"""What a link has to send, and what it has sent and not heard of again (C5).

Duty: the queue in front of the socket, the lanes beside it, and the account of acknowledgements.
May import: the standard library, trionet.wire.errors, chunks and link_frames.

Theory of operation.  What is not held up goes into one list, which a flush joins.  A flush first takes that
list, so that control frames and small messages pass, then chunks of large messages up to a budget.
*Counted* messages (sends and calls) are acknowledged by their number, in the order of their ends on the
wire; the receiver counts in the same order, so no number is ever sent along.  Each counted message is in
exactly one of these places: a lane, the list or sent and not acknowledged.  That tells at the end of a
link what was certainly not delivered and what has an unknown fate.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any, Final

from trionet.wire.chunks import ANSWER, END, UNCOUNTED, Buffers, Lanes, Pair, QueuedMessage
from trionet.wire.errors import ProtocolError
from trionet.wire.link_frames import CHUNK

#: Bytes of chunks in one flush; more would make small messages wait longer behind them.
CHUNK_BUDGET: Final = 2 * CHUNK


class Outbox:
    """The sending half's queues; see the module."""

    __slots__ = (
        "_acknowledged",
        "_bytes",
        "_flushed",
        "_inflight",
        "_out",
        "_queued_answers",
        "_queued_ends",
        "answers",
        "control_bytes",
        "ends",
        "lanes",
    )

    def __init__(self) -> None:
        self._out: Buffers = []
        self._bytes = 0
        self._inflight: deque[Any] = deque()
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
        return self._bytes + self.lanes.pending

    @property
    def queued(self) -> int:
        """The same without what is in lanes."""
        return self._bytes

    @property
    def counted(self) -> int:
        """Messages that were ever put into the list, counted ones only."""
        return self._acknowledged + len(self._inflight)

    @property
    def acknowledged(self) -> int:
        """Messages that the peer acknowledged."""
        return self._acknowledged

    def control(self, frame: bytes) -> None:
        """Queue a whole frame that nothing holds up."""
        self._out.append(frame)
        self._bytes += len(frame)
        self.control_bytes += len(frame)

    def end(self, frame: bytes) -> None:
        """Queue a whole frame that answers a watch and that nothing holds up."""
        self.control(frame)
        self.ends += 1
        self._queued_ends += 1

    def push(self, pair: Pair, head: bytes, payload: bytes, entry: Any) -> QueuedMessage | None:
        """Queue a message behind whatever the same pair has queued.

        Args:
            pair: who sends it to whom.
            head: its head, length included.
            payload: its payload.
            entry: what :meth:`fates` shall tell of it, or ANSWER, END or UNCOUNTED.

        Returns:
            The message where it had to queue in a lane, so that it can be taken back.
        """
        size = len(payload)
        if entry is ANSWER:
            self.answers += 1
        elif entry is END:
            self.ends += 1
        if size > CHUNK or pair in self.lanes.by_pair:
            message = QueuedMessage(pair, head, payload, entry)
            self.lanes.add(message)
            return message
        self._out += (head, payload)
        self._bytes += len(head) + size
        if entry is ANSWER:
            self._queued_answers += 1
        elif entry is END:
            self._queued_ends += 1
        elif entry is not UNCOUNTED:
            self._inflight.append(entry)
        return None

    def take_back(self, message: QueuedMessage) -> list[Any]:
        """Take a message out of its lane; returns the entries that left the lane behind it."""
        before = len(self._out)
        done = self.lanes.remove(message, self._out)
        self._bytes += sum(map(len, islice(self._out, before, None)))
        self._left_lanes(done)
        return done

    def flush(self) -> tuple[bytes, list[Any]]:
        """Take what is to be sent now.

        Returns:
            The bytes, and the entries of messages that left their lanes by it.
        """
        out, self._out, self._bytes, self.control_bytes = self._out, [], 0, 0
        self.answers -= self._queued_answers
        self.ends -= self._queued_ends
        self._queued_answers = self._queued_ends = 0
        done: list[Any] = []
        if self.lanes.by_pair:
            done = self.lanes.pump(out, CHUNK_BUDGET)
            self._left_lanes(done)
        self._flushed = self._acknowledged + len(self._inflight)
        return b"".join(out), done

    def _left_lanes(self, entries: list[Any]) -> None:
        for entry in entries:
            if entry is ANSWER:
                self.answers -= 1
            elif entry is END:
                self.ends -= 1
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
        """Return the entries of unknown fate, and those that were certainly not delivered."""
        flushed = self._flushed - self._acknowledged
        unknown = list(islice(self._inflight, flushed))
        unsent = list(islice(self._inflight, flushed, None))
        unsent += (entry for entry in self.lanes.entries() if not _is_mark(entry))
        return unknown, unsent

    def clear(self) -> None:
        """Forget everything."""
        self._out.clear()
        self._inflight.clear()
        self._bytes = 0
        self.lanes.clear()

    def __bool__(self) -> bool:
        """Tell whether there is anything to flush."""
        return bool(self._out or self.lanes.by_pair)


def _is_mark(entry: Any) -> bool:
    """Tell whether an entry stands for something that is not counted."""
    return entry is ANSWER or entry is END or entry is UNCOUNTED
