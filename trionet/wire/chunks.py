"""Large messages: cut into chunks that other messages pass, and put together again.

Duty: the lanes of the sender and the assembler of the receiver.
May import: the standard library, trionet.wire.errors and link_frames.

Theory of operation.  A *lane* holds what one service has for another from a large message on: that message
and whatever was handed over behind it, so that their order stays (C2).  A pair without a large message has no
lane and costs nothing.  The lanes that have a *slot* take turns, one chunk each; the others wait for a
slot, first come first served, so a lane may hold up other large messages, but no small one of other pairs.
The number of slots and the bytes of the messages in them are limits of the receiver, who keeps them too.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from trionet.wire.errors import ProtocolError
from trionet.wire.framing import LENGTH_SIZE
from trionet.wire.link_frames import (
    CALL,
    CHUNK,
    CHUNK_ABORT,
    CHUNK_DATA,
    CHUNK_HEAD,
    CHUNK_OPEN,
    CHUNK_OPEN_HEAD,
    EXIT,
    FAIL,
    ITEMS,
    MAX_HEAD,
    PAYLOAD,
    REPLY,
    SEND,
    STREAM,
)

#: Two services: who sends and who receives.
Pair = tuple[int, int]
Buffers = list[bytes | memoryview]

#: Stand for what is neither acknowledged nor given back when a link ends: the answer to a call, the answer to
#: a watch, and anything else.
ANSWER: Final = object()
END: Final = object()
UNCOUNTED: Final = object()
_CHUNKED: Final = frozenset({CALL, SEND, REPLY, FAIL, EXIT, PAYLOAD, STREAM, ITEMS})
_NO_SLOT: Final = -1


class QueuedMessage:
    """A message in a lane.

    Args:
        pair: who sends it to whom.
        head: its head, length included.
        payload: its payload.
        entry: what to remember once it is on the wire.
    """

    __slots__ = ("entry", "head", "offset", "pair", "payload", "slot")

    def __init__(self, pair: Pair, head: bytes, payload: bytes, entry: Any) -> None:
        self.pair: Pair = pair
        self.head: bytes = head
        self.payload: bytes = payload
        self.entry: Any = entry
        self.offset: int = 0
        self.slot: int = _NO_SLOT

    @property
    def left(self) -> int:
        """Bytes that are not on the wire yet."""
        return len(self.payload) - self.offset


class Lanes:
    """Everything that waits for a large message or is one."""

    __slots__ = ("_active", "_open_bytes", "_slot_bytes", "_slots", "_waiting", "by_pair", "pending")

    def __init__(self) -> None:
        self._slots: list[int] = []
        self._slot_bytes = 0
        self._open_bytes = 0
        #: The lanes; a message of a pair that has one must queue.
        self.by_pair: dict[Pair, deque[QueuedMessage]] = {}
        self._active: deque[Pair] = deque()
        self._waiting: deque[Pair] = deque()
        #: Bytes of payload in all lanes that are not on the wire yet.
        self.pending: int = 0

    def limit(self, slots: int, slot_bytes: int) -> None:
        """Set what the receiver takes, before the first message.

        Args:
            slots: how many it has.
            slot_bytes: bytes of large messages that it takes at a time.
        """
        self._slots = list(range(slots))
        self._slot_bytes = slot_bytes

    def add(self, message: QueuedMessage) -> None:
        """Queue a message: a large one, or one of a pair that has a lane."""
        lane = self.by_pair.get(message.pair)
        if lane is None:
            self.by_pair[message.pair] = deque((message,))
            self._waiting.append(message.pair)
        else:
            lane.append(message)
        self.pending += len(message.payload)

    def pump(self, out: Buffers, budget: int) -> list[Any]:
        """Put chunks on the wire, in turns.

        Args:
            out: what goes on the wire is appended here.
            budget: bytes after which to stop.

        Returns:
            The entries of the messages that are now wholly on the wire, in the order of their ends.
        """
        done: list[Any] = []
        self._activate()
        while budget > 0 and self._active:
            budget -= self._turn(out, done)
        return done

    def remove(self, message: QueuedMessage, out: Buffers) -> list[Any]:
        """Take a message back that is not wholly on the wire; the result is as that of :meth:`pump`."""
        done: list[Any] = []
        lane = self.by_pair[message.pair]
        self.pending -= message.left
        if lane[0] is not message:
            lane.remove(message)
            return done
        if message.slot == _NO_SLOT:
            self._waiting.remove(message.pair)
        else:
            self._active.remove(message.pair)
            if message.offset:
                out.append(CHUNK_HEAD.pack(2, CHUNK_ABORT, message.slot))
            self._release(message)
        lane.popleft()
        self._follow(message.pair, lane, out, done)
        return done

    def entries(self) -> list[Any]:
        """Return the entries of all messages that are not wholly on the wire."""
        return [message.entry for lane in self.by_pair.values() for message in lane]

    def clear(self) -> None:
        """Forget everything."""
        for each in (self.by_pair, self._active, self._waiting):
            each.clear()
        self.pending = 0

    def _activate(self) -> None:
        while self._waiting and self._slots:
            message = self.by_pair[self._waiting[0]][0]
            size = len(message.payload)
            if self._open_bytes + size > self._slot_bytes:
                return
            self._open_bytes += size
            message.slot = self._slots.pop()
            self._active.append(self._waiting.popleft())

    def _release(self, message: QueuedMessage) -> None:
        self._slots.append(message.slot)
        self._open_bytes -= len(message.payload)

    def _turn(self, out: Buffers, done: list[Any]) -> int:
        """Put one chunk of the next lane on the wire; return its bytes."""
        pair = self._active.popleft()
        lane = self.by_pair[pair]
        message = lane[0]
        payload, start = message.payload, message.offset
        if not start:
            head = message.head[LENGTH_SIZE:]
            size = CHUNK_OPEN_HEAD.size - LENGTH_SIZE + len(head)
            out.append(CHUNK_OPEN_HEAD.pack(size, CHUNK_OPEN, message.slot, len(payload)) + head)
        piece = memoryview(payload)[start : start + CHUNK]
        out.append(CHUNK_HEAD.pack(2 + len(piece), CHUNK_DATA, message.slot))
        out.append(piece)
        message.offset += len(piece)
        self.pending -= len(piece)
        if message.left:
            self._active.append(pair)
        else:
            self._finish(pair, lane, out, done)
        return len(piece)

    def _finish(self, pair: Pair, lane: deque[QueuedMessage], out: Buffers, done: list[Any]) -> None:
        message = lane.popleft()
        self._release(message)
        done.append(message.entry)
        self._follow(pair, lane, out, done)
        self._activate()

    def _follow(self, pair: Pair, lane: deque[QueuedMessage], out: Buffers, done: list[Any]) -> None:
        """Send the small messages at the front of a lane, then queue its next large one or end it."""
        while lane and len(lane[0].payload) <= CHUNK:
            message = lane.popleft()
            out += (message.head, message.payload)
            self.pending -= len(message.payload)
            done.append(message.entry)
        if lane:
            self._waiting.append(pair)
        else:
            del self.by_pair[pair]


class _Assembly:
    """A large message of which a part has come."""

    __slots__ = ("head", "left", "pieces", "size")

    def __init__(self, head: bytes, size: int) -> None:
        self.head = head
        self.size = size
        self.left = size
        self.pieces: list[bytes] = []


class Assembler:
    """The receiver's slots.

    Args:
        slots: large messages that may be under way at a time.
        slot_bytes: bytes that these may have together.
        message_size: bytes that each may have.
    """

    __slots__ = ("_bytes", "_message_size", "_open", "_slot_bytes", "_slots")

    def __init__(self, slots: int, slot_bytes: int, message_size: int) -> None:
        self._slots = slots
        self._slot_bytes = slot_bytes
        self._message_size = message_size
        self._open: dict[int, _Assembly] = {}
        self._bytes = 0

    def open(self, slot: int, size: int, head: bytes) -> None:
        """Begin a message.

        Args:
            slot: where its chunks will go.
            size: bytes of its payload.
            head: its kind and fields.

        Raises:
            ProtocolError: if the slot is taken or not there, the kind is never chunked, or it is too large.
        """
        if slot >= self._slots or slot in self._open:
            raise ProtocolError(f"a large message in slot {slot}, which is not free")
        if not CHUNK < size <= self._message_size:
            raise ProtocolError(
                f"a large message of {size} bytes, expected {CHUNK + 1} to {self._message_size}"
            )
        if self._bytes + size > self._slot_bytes:
            raise ProtocolError("large messages of more bytes than may be under way")
        if not head or len(head) > MAX_HEAD or head[0] not in _CHUNKED:
            raise ProtocolError("a large message of a kind that is never large")
        self._open[slot] = _Assembly(head, size)
        self._bytes += size

    def add(self, slot: int, piece: bytes) -> tuple[bytes, bytes] | None:
        """Take a chunk; return head and payload once they are whole.

        Raises:
            ProtocolError: if the slot is not in use, or the chunk is neither of full size nor the last.
        """
        assembly = self._open.get(slot)
        if assembly is None or len(piece) != min(CHUNK, assembly.left):
            raise ProtocolError(f"a chunk in slot {slot} that does not belong there")
        assembly.pieces.append(piece)
        assembly.left -= len(piece)
        if assembly.left:
            return None
        self._drop(slot)
        return assembly.head, b"".join(assembly.pieces)

    def abort(self, slot: int) -> None:
        """Forget a message of which a part has come.

        Raises:
            ProtocolError: if the slot is not in use.
        """
        if slot not in self._open:
            raise ProtocolError(f"the end of a large message in slot {slot}, where there is none")
        self._drop(slot)

    def _drop(self, slot: int) -> None:
        self._bytes -= self._open.pop(slot).size
