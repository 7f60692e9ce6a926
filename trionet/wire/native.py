"""The native encoder and decoder of cbor2, as the codecs of trionet use them.

Duty: one item at a time from and to bytes, with every error as a bad message.
May import: cbor2, the standard library and the values.
"""

from __future__ import annotations

import io
from typing import IO, Any, Final, cast

from cbor2 import CBORDecodeError, CBORDecoder, CBOREncoder

from trionet.errors import BadMessage
from trionet.wire.revive import Tags

#: Bodies beyond this are let go at once, in bytes; smaller ones may stay in the decoder until the next.
_KEPT: Final = 64 * 1024
_ERROR_TEXT: Final = 240


def new_encoder() -> CBOREncoder:
    """Make an encoder, which may be used again and again."""
    return CBOREncoder(io.BytesIO())


class _Source:
    """The file that a native decoder reads from: gives all it has at once, and notes what was left over."""

    __slots__ = ("data", "left")

    def __init__(self) -> None:
        self.data = b""
        self.left = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, _amount: int) -> bytes:
        data, self.data = self.data, b""
        return data

    def seek(self, offset: int, _whence: int) -> int:
        self.left = -offset
        return 0


class NativeReader:
    """A native decoder that is used again and again.

    Args:
        tags: how each tag is read.
        depth: native levels that may be nested.
    """

    __slots__ = ("_decoder", "_source")

    def __init__(self, tags: Tags, depth: int) -> None:
        self._source = _Source()
        self._decoder = CBORDecoder(
            cast(IO[bytes], self._source),
            semantic_decoders=tags,
            max_depth=depth,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )

    def read(self, body: bytes) -> Any:
        """Read one item that takes all the bytes."""
        source = self._source
        source.data, source.left = body, 0
        done = False
        try:
            value = self._decoder.decode()
            done = len(body) <= _KEPT
        except CBORDecodeError as error:
            raise _bad(error) from None
        finally:
            if not done:
                self._decoder.fp = cast(IO[bytes], source)  # drops the rest of the body
        if source.left:
            end = len(body) - source.left
            raise BadMessage(f"{source.left} bytes after the message, which ends at byte {end}")
        return value


def _bad(error: CBORDecodeError) -> BadMessage:
    cause = error.__cause__
    if isinstance(cause, BadMessage):
        return cause
    if cause is not None and not isinstance(cause, Exception):
        raise cause  # the native decoder wraps even a KeyboardInterrupt
    return BadMessage(shorten(error) if cause is None else f"{shorten(error)}: {shorten(cause)}")


def shorten(error: Exception) -> str:
    """The beginning of what an error says."""
    try:
        text = str(error)
    except Exception:  # that of a declared class or of a default factory
        text = ""
    return f"{text or type(error).__name__:.{_ERROR_TEXT}}"
