"""Records: a byte stream whose every piece is authenticated, one piece a flush.

Duty: sealing and opening of records with a key for each direction.
May import: the standard library, trionet.wire.errors and framing.

Theory of operation.  A record is a length, that many bytes and a tag of 16 bytes: BLAKE2b, keyed, over a
counter and the bytes.  The counter is never sent: both ends count the records of a direction, so a
record that was changed, repeated, left out or moved has a wrong tag.  What a record holds is a piece
of a byte stream; a frame may begin in one record and end in the next.  Nothing of a record is handed
on before its tag was checked.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b
from struct import Struct
from typing import Final

from trionet.wire.errors import ProtocolError
from trionet.wire.framing import LENGTH, Consumer, FrameBuffer, Spans

#: Bytes of a tag.
TAG_SIZE: Final = 16
#: Bytes that one record may hold.
MAX_RECORD: Final = 256 * 1024

_COUNTER: Final = Struct(">Q")


class _Tagger:
    """Makes the tags of one direction, one after the other."""

    __slots__ = ("_count", "_start")

    def __init__(self, key: bytes) -> None:
        self._start = blake2b(key=key, digest_size=TAG_SIZE, person=b"trionet record")
        self._count = 0

    def next(self, payload: bytes | memoryview) -> bytes:
        tagger = self._start.copy()
        tagger.update(_COUNTER.pack(self._count))
        tagger.update(payload)
        self._count += 1
        return tagger.digest()


class RecordSealer:
    """Turns the bytes of a flush into records.

    Args:
        key: the key of this direction.
    """

    __slots__ = ("_tagger",)

    def __init__(self, key: bytes) -> None:
        self._tagger = _Tagger(key)

    def seal(self, data: bytes) -> bytes:
        """Return the records that hold ``data``: one, or several if it is too large for one."""
        if len(data) <= MAX_RECORD:
            return b"".join((LENGTH.pack(len(data)), data, self._tagger.next(data)))
        sealed: list[bytes | memoryview] = []
        view = memoryview(data)
        for start in range(0, len(data), MAX_RECORD):
            piece = view[start : start + MAX_RECORD]
            sealed += (LENGTH.pack(len(piece)), piece, self._tagger.next(piece))
        return b"".join(sealed)


class RecordOpener:
    """Checks records and hands on what they hold.

    Args:
        key: the key of this direction.
        frames: takes the bytes of the records, and cuts them into frames.
    """

    __slots__ = ("_buffer", "_consume", "_frames", "_tagger")

    def __init__(self, key: bytes, frames: FrameBuffer) -> None:
        self._buffer = FrameBuffer(MAX_RECORD, TAG_SIZE)
        self._tagger = _Tagger(key)
        self._frames = frames
        self._consume: Consumer = _nothing

    def __len__(self) -> int:
        """The number of bytes that arrived and belong to no whole record yet."""
        return len(self._buffer)

    def feed(self, data: bytes, consume: Consumer) -> None:
        """Take bytes that arrived and hand on the frames that are whole and authentic.

        Args:
            data: the bytes, however the stream was split.
            consume: called with one or more frames, in order.

        Raises:
            ProtocolError: if a tag is wrong, or a length is zero or above its limit.
        """
        self._consume = consume
        self._buffer.feed(data, self._open)

    def _open(self, data: bytes, spans: Spans) -> None:
        for start, end in spans:
            payload = data[start : end - TAG_SIZE]
            if not hmac.compare_digest(self._tagger.next(payload), data[end - TAG_SIZE : end]):
                raise ProtocolError("a record whose tag is wrong")
            self._frames.feed(payload, self._consume)


def _nothing(_data: bytes, _spans: Spans) -> None:
    """Stand in for a consumer until the first bytes arrive."""
