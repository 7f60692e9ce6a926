"""Lines of bytes, as the console and its client send them: bounded, in records where those are needed.

Duty: one direction of lines in, one out, for both ends.
May import: the standard library, trionet.wire.agreement, framing and records.

Theory of operation.  A line ends with a line feed.  Where the handshake agreed on records, each piece of the
stream of lines is a frame in a record, whose end means nothing.  A line that is longer than the limit is
dropped up to its end, however far away that is, and told once, as soon as it is too long.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Final

from trionet.wire.agreement import Agreement
from trionet.wire.framing import FrameBuffer, Spans, frame
from trionet.wire.records import MAX_RECORD, RecordOpener, RecordSealer

_END: Final = b"\n"


class TooLong(enum.Enum):
    """Stands for a line that was longer than the limit."""

    TOO_LONG = "too long"


TOO_LONG: Final = TooLong.TOO_LONG


class LineCoder:
    """Lines over one connection.

    Args:
        limit: bytes that a line that comes may have, its end not counted.
        agreement: what the handshake gave; None where there was none.

    Attributes:
        dropped: bytes of lines that were too long.
    """

    def __init__(self, limit: int, agreement: Agreement | None = None) -> None:
        self.dropped: int = 0
        self._limit = limit
        self._partial = bytearray()
        self._dropping = False
        self._lines: deque[bytes | TooLong] = deque()
        self._opener: RecordOpener | None = None
        self._sealer: RecordSealer | None = None
        if agreement is None:
            return
        if agreement.receive_key is not None and agreement.send_key is not None:
            self._opener = RecordOpener(agreement.receive_key, FrameBuffer(MAX_RECORD))
            self._sealer = RecordSealer(agreement.send_key)
        self.receive_data(agreement.received)

    def receive_data(self, data: bytes) -> None:
        """Take bytes that arrived; then ask :meth:`next_line`.

        Raises:
            ProtocolError: if a record was changed on its way.
        """
        if self._opener is None:
            self._take(data)
        else:
            self._opener.feed(data, self._take_frames)

    def next_line(self) -> bytes | TooLong | None:
        """Return the next line without its end, or what stands for a long one; None while there is none."""
        return self._lines.popleft() if self._lines else None

    def pack(self, line: bytes) -> bytes:
        """Return a line as it goes over the wire.

        Args:
            line: without a line feed in it.
        """
        whole = line + _END
        if self._sealer is None:
            return whole
        room = MAX_RECORD // 2
        pieces = (whole[start : start + room] for start in range(0, len(whole), room))
        return b"".join(self._sealer.seal(frame(piece)) for piece in pieces)

    def _take_frames(self, data: bytes, spans: Spans) -> None:
        for start, end in spans:
            self._take(data[start:end])

    def _take(self, data: bytes) -> None:
        *ended, rest = data.split(_END)
        for piece in ended:
            self._grow(piece)
            if self._dropping:
                self._dropping = False
            else:
                self._lines.append(bytes(self._partial))
            self._partial.clear()
        self._grow(rest)

    def _grow(self, piece: bytes) -> None:
        if self._dropping:
            self.dropped += len(piece)
            return
        self._partial += piece
        if len(self._partial) > self._limit:
            self.dropped += len(self._partial)
            self._partial.clear()
            self._dropping = True
            self._lines.append(TOO_LONG)
