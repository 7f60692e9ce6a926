"""Cuts a byte stream into frames: a length of four bytes, then that many bytes.

Duty: the one place that reads a length, bounds it and waits for the rest.  Handshake, records and
messages all use it, with different limits.
May import: the standard library and trionet.wire.errors.

Theory of operation.  Whole frames are taken straight out of the bytes that arrived; only an incomplete
tail is kept, and completed without a copy of what comes behind it.  While less than one whole frame is
there, arriving bytes are appended and nothing is looked at again, so a peer that dribbles costs no more than
one that does not.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from trionet.wire.errors import ProtocolError

#: Reads or writes a length.
LENGTH: Final = Struct(">I")
#: Bytes that a length takes.
LENGTH_SIZE: Final = LENGTH.size

#: Where frames lie in bytes: where each begins (after its length) and where it ends.
Spans = list[tuple[int, int]]
#: Takes bytes in which whole frames lie.
Consumer = Callable[[bytes, Spans], None]


class FrameBuffer:
    """The incomplete end of a byte stream.

    Args:
        limit: bytes that a frame may have, its length and trailer not counted.
        trailer: bytes that follow each frame and are not counted in its length.
    """

    __slots__ = ("_limit", "_needed", "_partial", "_trailer")

    def __init__(self, limit: int, trailer: int = 0) -> None:
        self._limit = limit
        self._trailer = trailer
        self._partial = bytearray()
        self._needed = LENGTH_SIZE

    def __len__(self) -> int:
        """The number of bytes that arrived and belong to no whole frame yet."""
        return len(self._partial)

    def feed(self, data: bytes, consume: Consumer) -> None:
        """Take bytes that arrived and hand on the frames that are now whole.

        Args:
            data: the bytes, however the stream was split.
            consume: called with one or more frames, once or twice, in order; the trailer is part of each.

        Raises:
            ProtocolError: if a length is zero or above the limit; the frames before it were handed on.
        """
        position, size, limit, trailer = 0, len(data), self._limit, self._trailer
        if self._partial:
            position = self._complete(data, consume)
            if position == size:
                return
        self._needed = LENGTH_SIZE
        spans: Spans = []
        wrong: int | None = None
        while size - position >= LENGTH_SIZE:
            (length,) = LENGTH.unpack_from(data, position)
            if not 0 < length <= limit:
                wrong = length
                break
            start = position + LENGTH_SIZE
            end = start + length + trailer
            if end > size:
                self._needed = end - position
                break
            spans.append((start, end))
            position = end
        if position < size:
            self._partial += data[position:]
        if spans:
            consume(data, spans)
        if wrong is not None:
            raise ProtocolError(f"a frame of {wrong} bytes, expected 1 to {limit}")

    def _complete(self, data: bytes, consume: Consumer) -> int:
        """Complete the frame that has begun, out of what arrived; returns where the rest of that begins."""
        position, size = 0, len(data)
        while self._partial:
            end = position + self._needed - len(self._partial)
            self._partial += data[position:end]
            if end > size:
                return size
            position = end
            if self._needed == LENGTH_SIZE:
                self._needed = LENGTH_SIZE + self._length() + self._trailer
            else:
                whole, self._partial, self._needed = bytes(self._partial), bytearray(), LENGTH_SIZE
                consume(whole, [(LENGTH_SIZE, len(whole))])
        return position

    def hold(self, data: bytes) -> None:
        """Keep bytes for :meth:`take` and :meth:`rest`, without looking at them."""
        self._partial += data

    def take(self) -> bytes | None:
        """Remove and return the first frame without its length, or None while it is not whole.

        Raises:
            ProtocolError: if its length is zero or above the limit.
        """
        if len(self._partial) < LENGTH_SIZE:
            return None
        end = LENGTH_SIZE + self._length()
        if len(self._partial) < end:
            return None
        frame = bytes(self._partial[LENGTH_SIZE:end])
        del self._partial[:end]
        return frame

    def _length(self) -> int:
        """The length with which the bytes that are kept begin.

        Raises:
            ProtocolError: if it is zero or above the limit.
        """
        (length,) = LENGTH.unpack_from(self._partial)
        if not 0 < length <= self._limit:
            raise ProtocolError(f"a frame of {length} bytes, expected 1 to {self._limit}")
        return int(length)

    def rest(self) -> bytes:
        """Remove and return all bytes that are held."""
        held = bytes(self._partial)
        self._partial = bytearray()
        self._needed = LENGTH_SIZE
        return held


def frame(body: bytes) -> bytes:
    """Return a frame as it goes over the wire: its length and then itself."""
    return LENGTH.pack(len(body)) + body
