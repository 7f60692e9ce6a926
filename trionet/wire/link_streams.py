"""The items of streams: how many of them may be on their way to, or in the buffer of, one consumer (C10).

Duty: the two accounts of each stream, one at the producer's end and one at the consumer's.
May import: the standard library, trionet.wire.errors and link_frames.

Theory of operation.  Who opens a stream says how many items, and how many bytes of them, its buffer holds.
The producer may hand over an item while it has less than both outstanding; so the last one may go beyond the
bytes, and a large item never waits for ever.  The consumer gives back what was taken out of the buffer in
batches of half of it.  A producer that finds no room has at least half outstanding that was not given back
yet, so such a batch is certain to come once the buffer has been emptied.

What the consumer has outstanding is never more than what the producer has, and so a producer that keeps its
own rule can never break the consumer's.
"""

from __future__ import annotations

from typing import Final

from trionet.wire.errors import ProtocolError
from trionet.wire.link_frames import CHUNK

#: Bytes that the items of one frame may have together; an item that is larger travels alone.
MAX_BATCH_BYTES: Final = CHUNK


class Outflow:
    """The producer's account.

    Args:
        items: items that the consumer's buffer holds.
        size: bytes from which on it gets no more.
    """

    __slots__ = ("_bytes", "_items", "bytes", "items")

    def __init__(self, items: int, size: int) -> None:
        self._items = items
        self._bytes = size
        #: What is outstanding.
        self.items: int = 0
        self.bytes: int = 0

    def has_room(self) -> bool:
        """Tell whether one more item may be handed over."""
        return self.items < self._items and self.bytes < self._bytes

    def charge(self, size: int) -> None:
        """Charge an item that there was room for."""
        self.items += 1
        self.bytes += size

    def credit(self, items: int, size: int) -> None:
        """Take credit of the consumer.

        Raises:
            ProtocolError: if it is more than what is outstanding.
        """
        if not items or items > self.items or size > self.bytes:
            raise ProtocolError("credit for items of a stream that was never owed")
        self.items -= items
        self.bytes -= size


class Inflow:
    """The consumer's account; arguments as those of :class:`Outflow`."""

    __slots__ = ("_bytes", "_items", "bytes", "has_begun", "items")

    def __init__(self, items: int, size: int) -> None:
        self._items = items
        self._bytes = size
        #: What is outstanding.
        self.items: int = 0
        self.bytes: int = 0
        #: Whether the peer has told that the handler started.
        self.has_begun: bool = False

    def charge(self, items: int, size: int) -> None:
        """Charge what one frame brought.

        Raises:
            ProtocolError: if there was no room for it.
        """
        if not 1 <= items <= size:
            raise ProtocolError(f"{items} items in {size} bytes")
        if items > 1 and size > MAX_BATCH_BYTES:
            raise ProtocolError(f"{items} items of {size} bytes in one frame")
        if self.items + items > self._items or self.bytes >= self._bytes:
            raise ProtocolError("the buffer of a stream was overrun")
        self.items += items
        self.bytes += size

    def give(self, items: int, size: int) -> None:
        """Give back what was taken out of the buffer.

        Raises:
            ValueError: if it is more than what came.
        """
        if items > self.items or size > self.bytes:
            raise ValueError("more was taken of a stream than had come")
        self.items -= items
        self.bytes -= size
