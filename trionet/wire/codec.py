"""The codec: values to CBOR bytes and back (C1, C14).

Duty: values and what they need of cbor2; what goes out is exactly what :mod:`trionet.wire.tags` lists, and of
what comes in nothing else is accepted, however hostile it is.
May import: cbor2, the standard library, the values, and of trionet.wire native, lower, revive and survey.

Theory of operation.  Both directions leave the work to cbor2's native code.  What it does too generously is
shut off, or checked afterwards: its own tags (regular expressions, addresses, shared values...) by a table
that refuses all but ours; bytes after the item by a source that notices them; keys other than str and bytes
by its strict mode (other dicts have a tag of their own); ``undefined`` and simple values by a look at the
decoded containers.  Its depth counts tags too, so an item that seems too deep is surveyed and then, if it
is not, read again with more room.  It counts nothing, so bytes that could become a great many items are
surveyed before they are read: what a message may cost is bounded by what it may weigh.

A codec keeps its native encoder and decoder: it is for one thread, and it is not reentrant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cbor2 import CBORSimpleValue, CBORTag, undefined

from trionet.errors import BadMessage
from trionet.message import ITEM_WEIGHT, PART_WEIGHT, Limits
from trionet.wire.lower import ATOMS, Lower
from trionet.wire.native import NativeReader, new_encoder, shorten
from trionet.wire.revive import MakeReference, Revive, no_reference
from trionet.wire.survey import may_hold, survey

#: The arguments of a message: by position, by name, and the instances in them that have validators.
Arguments = tuple[tuple[Any, ...], dict[str, Any], Sequence[object]]

#: What the bytes of a message may exceed nine eighths of its weight by: a number weighs 8 and takes up to 9.
WIRE_SLACK: Final = 64 * 1024
#: What a container or a tagged value weighs, as an item of the container around it.
_WEIGHT: Final = PART_WEIGHT + ITEM_WEIGHT
#: Containers of a message that are no items of what was weighed: its arguments by position and by name.
_ROOTS: Final = 2
#: Items that are read in the time in which one is surveyed.
_QUICKER: Final = 4
#: Native levels that one container can take: a tag and its array.
_LEVELS: Final = 2
#: Native levels that a value which is no container can take: a reference with the handle in it.
_SCALAR_LEVELS: Final = 3
#: Arguments of a message up to which it is put together here, if they need no tag.
_FEW: Final = 8
#: Heads of the array of a message with that of its arguments by position, and of an empty map.
_HEADS: Final = tuple(bytes([0x82, 0x80 + length]) for length in range(_FEW + 1))
_NO_NAMES: Final = b"\xa0"
#: Heads of an array, and of bytes, whose length follows in four bytes.
_ARRAY: Final = b"\x9a"
_BYTES: Final = b"\x5a"
_HEAD_SIZE: Final = 5
#: Bytes from which on they are put behind their head here, which copies them once and not twice.
_LONG: Final = 4 * 1024

_NAMES: Final = frozenset({str})
_FOREIGN: Final = frozenset({type(undefined), CBORSimpleValue})
#: Every byte that cannot be the head of undefined or of a simple value.
_NO_SIMPLE: Final = bytes(set(range(256)) - set(range(0xE0, 0xF4)) - {0xF7, 0xF8})
#: Looking through so many bytes takes less time than looking through what they become.
_SHORT: Final = 512


class Codec:
    """Writes and reads messages of one link.

    Args:
        limits: how large a message may be.
        make_reference: called with the target of each received reference, a handle or a global name, and the
            name of its interface or None; returns the reference.  What it raises makes the message a bad one.
        envelope: containers that the link puts around the values of a message.

    Attributes:
        max_bytes: bytes that an encoded message may take, envelope included.
    """

    __slots__ = (
        "_deep",
        "_depth",
        "_encoder",
        "_items",
        "_lower",
        "_make",
        "_parts",
        "_revive",
        "_shallow",
        "_small",
        "max_bytes",
    )

    def __init__(
        self, limits: Limits, make_reference: MakeReference = no_reference, *, envelope: int = 1
    ) -> None:
        self.max_bytes: int = limits.size + limits.size // 8 + WIRE_SLACK
        self._depth = limits.depth + envelope
        self._parts = limits.size // _WEIGHT + envelope + _ROOTS
        self._items = self._parts * _WEIGHT // ITEM_WEIGHT
        self._small = min(self._parts, _QUICKER * self._items)
        self._make = make_reference
        self._lower = Lower(CBORTag)
        self._encoder = new_encoder()
        self._revive = Revive(_FOREIGN)
        # One level less, because the native decoder does not count an empty container.
        self._shallow = NativeReader(self._revive.tags(), self._depth - 1)
        self._deep: NativeReader | None = None

    def encode(self, value: object) -> bytes:
        """Write one value, such as the array of a whole message.

        Args:
            value: made of what ``trionet.message.snapshot`` returned.

        Returns:
            One CBOR item.

        Raises:
            BadMessage: if there is anything in it that is no value, or it is too deep or too large.
        """
        if type(value) is bytes and _LONG <= len(value) <= self.max_bytes - _HEAD_SIZE:
            return _head_of(value) + value
        try:
            plain = value if type(value) in ATOMS else self._lower.item(value, self._depth)
            body = self._encoder.encode_to_bytes(plain)
        except RecursionError:
            raise BadMessage("nested deeper than this interpreter can follow") from None
        except BadMessage:
            raise
        except Exception as error:  # a lone surrogate, or what a declared class raised when asked for a part
            raise BadMessage(shorten(error)) from error
        if len(body) > self.max_bytes:
            raise BadMessage(f"{len(body)} bytes when encoded, more than {self.max_bytes}")
        return body

    def encode_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Write the arguments of a message: the array of those by position and those by name.

        Raises:
            BadMessage: as :meth:`encode` does.
        """
        if kwargs or len(args) > _FEW or not ATOMS.issuperset(map(type, args)):
            return self.encode([list(args), kwargs])
        if len(args) == 1 and type(args[0]) is bytes and _LONG <= len(args[0]) <= self.max_bytes:
            body = b"".join((_HEADS[1], _head_of(args[0]), args[0], _NO_NAMES))
        else:
            body = b"".join((_HEADS[len(args)], *map(self._encoder.encode_to_bytes, args), _NO_NAMES))
        return body if len(body) <= self.max_bytes else self.encode([list(args), kwargs])

    def decode_arguments(self, data: bytes) -> Arguments:
        """Read the arguments of a message, whoever wrote them.

        Raises:
            BadMessage: if they are malformed, or :meth:`decode` raises it.
        """
        content, checks = self.decode(data)
        if type(content) is not list or len(content) != 2 or type(content[0]) is not list:
            raise BadMessage("the arguments are no pair of list and dict", executed=False)
        args, kwargs = content
        if type(kwargs) is not dict or (kwargs and not _NAMES.issuperset(map(type, kwargs))):
            raise BadMessage("the arguments by name are no dict with keys of str", executed=False)
        return tuple(args), kwargs, checks

    def decode(self, data: bytes | bytearray | memoryview) -> tuple[Any, list[object]]:
        """Read one value, whoever wrote it.

        Args:
            data: exactly one CBOR item; bytes are not copied.

        Returns:
            The value, and the instances in it whose validators are to be run by
            ``trionet.message.check``.

        Raises:
            BadMessage: if it is anything but one value within the limits.
        """
        size = len(data)
        if size > self.max_bytes:
            raise BadMessage(f"{size} bytes, more than {self.max_bytes}")
        body = data if type(data) is bytes else bytes(data)
        revive = self._revive
        revive.make_reference = self._make
        try:
            if size > self._small and self._is_large(body):
                reader = self._shallow if self._is_shallow(body) else self._roomy()
                value = reader.read(body)
            else:
                try:
                    value = self._shallow.read(body)
                except BadMessage:
                    if self._is_shallow(body):
                        raise
                    revive.checks = []
                    value = self._roomy().read(body)
            if size > _SHORT or body.translate(None, _NO_SIMPLE):
                self._check_sound(value)
            return value, revive.checks
        finally:
            # Nothing can look into the native decoder, which holds all this: a circle would stay for ever.
            revive.make_reference, revive.checks = no_reference, []

    def decode_items(self, count: int, data: bytes) -> list[tuple[Any, list[object]]]:
        """Read several values that follow each other, whoever wrote them.

        Args:
            count: how many there should be, at least one.
            data: their CBOR items, without an array around them.

        Returns:
            For each what :meth:`decode` returns.

        Raises:
            BadMessage: if they are anything but so many values within the limits.
        """
        if count == 1:
            return [self.decode(data)]
        values, checks = self.decode(_ARRAY + count.to_bytes(4) + data)
        if checks:  # of which value, only bytes of its own can tell
            return [self.decode(self.encode(value)) for value in values]
        return [(value, checks) for value in values]

    def _is_large(self, body: bytes) -> bool:
        """Tell whether it could become more items than a message may have."""
        return len(body) > _QUICKER * self._items or may_hold(body, self._parts)

    def _check_sound(self, value: Any) -> None:
        try:
            self._revive.sound((value,))
        except RecursionError:
            raise BadMessage("nested deeper than this interpreter can follow") from None

    def _is_shallow(self, body: bytes) -> bool:
        """Tell whether the first reader has room for it, as far as the heads of the items make sense."""
        if len(body) < self._depth:
            return True
        return survey(body, self._depth, self._parts, self._items) < self._depth

    def _roomy(self) -> NativeReader:
        if self._deep is None:
            self._deep = NativeReader(self._revive.tags(), _LEVELS * self._depth + _SCALAR_LEVELS)
        return self._deep


def _head_of(data: bytes) -> bytes:
    """The head of long bytes."""
    return _BYTES + len(data).to_bytes(4)
