"""The frames of an open link, byte by byte.

Duty: kinds, structures and bounds of frames, and the settings that open a link.
May import: the standard library, attrs, trionet.wire.errors, framing and texts.

A frame is its length (four bytes), its kind (one byte), the fixed fields of its kind, texts whose lengths
are among them, and last the payload, up to the end of the frame.  Numbers are big-endian.  What the
payload holds is not known here.
"""

from __future__ import annotations

import math
from struct import Struct
from typing import Final

import attrs
from attrs import field, validators

from trionet.wire.errors import ProtocolError
from trionet.wire.framing import LENGTH_SIZE
from trionet.wire.texts import shortened

#: A payload above this many bytes travels in chunks of this many bytes.
CHUNK: Final = 64 * 1024
#: Bytes of a frame apart from its payload, at most.
MAX_HEAD: Final = 1024
#: Bytes of any frame, its length not counted.
MAX_FRAME: Final = CHUNK + MAX_HEAD
#: Bytes of a command's name in UTF-8.
MAX_TEXT: Final = 255
#: Greatest local id.
MAX_LOCAL: Final = (1 << 24) - 1
#: Bytes of the reason in a goodbye; longer ones are cut.
MAX_REASON: Final = 400

# What a peer may send in each state; the values are on the wire and never change their meaning.
OPEN: Final = 1
HEARTBEAT: Final = 2
ACK: Final = 3
CREDIT: Final = 4
WANT_CREDIT: Final = 5
CALL: Final = 6
SEND: Final = 7
REPLY: Final = 8
FAIL: Final = 9
CANCEL: Final = 10
CANCELLED: Final = 11
WATCH: Final = 12
UNWATCH: Final = 13
EXIT: Final = 14
UNWATCHED: Final = 15
GOODBYE: Final = 16
CHUNK_OPEN: Final = 17
CHUNK_DATA: Final = 18
CHUNK_ABORT: Final = 19
PAYLOAD: Final = 20
STREAM: Final = 21
BEGUN: Final = 22
ITEMS: Final = 23
TAKEN: Final = 24
BUNDLE: Final = 25
KINDS: Final = 26

# Each holds length and kind first.
#: window messages, window bytes, message size, slot bytes, sessions, watches, slots, heartbeat
OPEN_HEAD: Final = Struct(">IBIIIIIIBd")
#: nothing, or a payload only
BARE_HEAD: Final = Struct(">IB")
#: time, echo, held
HEARTBEAT_HEAD: Final = Struct(">IBddd")
#: count; also: session, watch
NUMBER_HEAD: Final = Struct(">IBQ")
#: target, messages, bytes
CREDIT_HEAD: Final = Struct(">IBIIQ")
#: target
WANT_HEAD: Final = Struct(">IBI")
#: session, remaining, trace in two halves, length of name; the route follows
CALL_HEAD: Final = Struct(">IBQdQQB")
#: trace in two halves, length of name; the route follows
SEND_HEAD: Final = Struct(">IBQQB")
#: session, items and bytes of the buffer, trace in two halves, length of name; the route follows
STREAM_HEAD: Final = Struct(">IBQIIQQB")
#: session, how many
ITEMS_HEAD: Final = Struct(">IBQI")
#: session, items, bytes
TAKEN_HEAD: Final = Struct(">IBQIQ")
#: session, code, executed
FAIL_HEAD: Final = Struct(">IBQBB")
#: watch, source, target
WATCH_HEAD: Final = Struct(">IBQII")
#: final
GOODBYE_HEAD: Final = Struct(">IBB")
#: slot, size of the payload; the head of the chunked frame follows
CHUNK_OPEN_HEAD: Final = Struct(">IBBI")
#: slot; a piece of the payload follows
CHUNK_HEAD: Final = Struct(">IBB")

#: A route: source, target; the name follows.  It stays the same from one message to the next.
ROUTE: Final = Struct(">II")
#: Bits of half a trace, and the lower half.
HALF: Final = 64
LOWER_HALF: Final = (1 << HALF) - 1

# The same without length and kind, as the receiver reads them.
OPEN_BODY: Final = Struct(">IIIIIIBd")
HEARTBEAT_BODY: Final = Struct(">ddd")
NUMBER_BODY: Final = Struct(">Q")
CREDIT_BODY: Final = Struct(">IIQ")
WANT_BODY: Final = Struct(">I")
CALL_BODY: Final = Struct(">QdQQB")
SEND_BODY: Final = Struct(">QQB")
STREAM_BODY: Final = Struct(">QIIQQB")
ITEMS_BODY: Final = Struct(">QI")
TAKEN_BODY: Final = Struct(">QIQ")
FAIL_BODY: Final = Struct(">QBB")
WATCH_BODY: Final = Struct(">QII")
GOODBYE_BODY: Final = Struct(">B")
CHUNK_OPEN_BODY: Final = Struct(">BI")
CHUNK_BODY: Final = Struct(">B")

#: ``executed`` on the wire.
EXECUTED: Final[tuple[bool | None, ...]] = (False, True, None)

_MEBIBYTE: Final = 1024 * 1024
_MOST: Final = 2**31


def _number(default: int, most: int = _MOST) -> int:
    checks = [validators.instance_of(int), validators.ge(1), validators.le(most)]
    number: int = field(default=default, validator=checks)
    return number


@attrs.frozen(kw_only=True)
class LinkSettings:
    """The limits of one end, which it tells the other when the link opens.

    Args:
        window_messages: messages that may be on their way to, or in the inbox of, one service.
        window_bytes: the same in bytes of payload; a larger message goes when nothing else is there.
        message_size: bytes that a payload may have.
        slots: large messages that may be under way at a time.
        slot_bytes: bytes that these may have together; at least ``message_size``.
        sessions: calls that the peer may have open, abandoned ones included.
        watches: watches that the peer may have open.
        heartbeat: seconds from one heartbeat to the next.
        heartbeat_timeout: seconds without receiving after which the peer counts as silent; not told to it.
        ack_delay: seconds that an acknowledgement may wait for something to travel with; not told.

    Raises:
        ValueError: if a number is out of its range.
    """

    window_messages: int = _number(1_000)
    window_bytes: int = _number(4 * _MEBIBYTE)
    message_size: int = _number(16 * _MEBIBYTE)
    slots: int = _number(64, 256 - 1)
    slot_bytes: int = _number(64 * _MEBIBYTE)
    sessions: int = _number(100_000)
    watches: int = _number(100_000)
    heartbeat: float = field(default=5.0, validator=[validators.gt(0), validators.lt(math.inf)])
    heartbeat_timeout: float = field(default=20.0, validator=validators.gt(0))
    ack_delay: float = field(default=1.0, validator=validators.ge(0))

    def __attrs_post_init__(self) -> None:
        if self.slot_bytes < self.message_size:
            raise ValueError(f"slot_bytes {self.slot_bytes} is below message_size {self.message_size}")

    def encode(self) -> bytes:
        """Return the frame that opens a link."""
        return OPEN_HEAD.pack(
            OPEN_HEAD.size - LENGTH_SIZE,
            OPEN,
            self.window_messages,
            self.window_bytes,
            self.message_size,
            self.slot_bytes,
            self.sessions,
            self.watches,
            self.slots,
            self.heartbeat,
        )


def decode_settings(data: bytes, start: int, end: int) -> LinkSettings:
    """Read what the peer told when it opened the link.

    Raises:
        ProtocolError: if it is malformed or out of range.
    """
    if end - start != OPEN_BODY.size:
        raise ProtocolError("a malformed open")
    messages, window, size, slot_bytes, sessions, watches, slots, heartbeat = OPEN_BODY.unpack_from(
        data, start
    )
    try:
        return LinkSettings(
            window_messages=messages,
            window_bytes=window,
            message_size=size,
            slots=slots,
            slot_bytes=slot_bytes,
            sessions=sessions,
            watches=watches,
            heartbeat=heartbeat,
        )
    except ValueError as error:
        raise ProtocolError(f"an open with a number out of range: {error}") from None


def tail(data: bytes, start: int, end: int) -> bytes:
    """Return the payload of a frame whose fields end at ``start``.

    Raises:
        ProtocolError: if the frame ends before.
    """
    if start > end:
        raise ProtocolError("a frame that is shorter than its fields")
    return data[start:end]


def exactly(body: Struct, data: bytes, start: int, end: int) -> tuple[int, ...]:
    """Read a frame that has fields only.

    Raises:
        ProtocolError: if it is longer or shorter.
    """
    if end - start != body.size:
        raise ProtocolError("a frame of the wrong length")
    return body.unpack_from(data, start)


def number_of(data: bytes, start: int, end: int) -> int:
    """Read a frame whose one field is a count, a session or a watch.

    Raises:
        ProtocolError: if it is longer or shorter.
    """
    (number,) = exactly(NUMBER_BODY, data, start, end)
    return number


def bare(kind: int, payload_size: int = 0) -> bytes:
    """Return the head of a frame that has no fields."""
    return BARE_HEAD.pack(1 + payload_size, kind)


def numbered(kind: int, number: int, payload_size: int = 0) -> bytes:
    """Return the head of a frame whose one field is a count, a session or a watch."""
    return NUMBER_HEAD.pack(9 + payload_size, kind, number)


def heartbeat(time: float, echo: float, held: float) -> bytes:
    """Return a whole heartbeat.

    Args:
        time: when it was said, on the clock of this end, which gets it back.
        echo: the time in the latest heartbeat of the peer.
        held: seconds since that came; infinite if none did.
    """
    return HEARTBEAT_HEAD.pack(HEARTBEAT_HEAD.size - LENGTH_SIZE, HEARTBEAT, time, echo, held)


def goodbye(reason: str, final: bool) -> bytes:
    """Return a whole goodbye."""
    text = shortened(reason, MAX_REASON).encode()
    return GOODBYE_HEAD.pack(2 + len(text), GOODBYE, final) + text
