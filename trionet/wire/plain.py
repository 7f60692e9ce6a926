"""Plain CBOR: what needs no tag of ours, such as the control frames of masters and consoles.

Duty: these to bytes and back; of what comes in nothing else is accepted, however hostile it is.
May import: the standard library, the values, and of trionet.wire native, revive, lower and survey.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from trionet.errors import BadMessage
from trionet.wire.lower import ATOMS, KEYS
from trionet.wire.native import NativeReader, new_encoder, shorten
from trionet.wire.revive import Tags
from trionet.wire.survey import may_hold, survey

#: Bytes of a control frame for each container, and for each item, that it may have at most.
_PLAIN_PART: Final = 16
_PLAIN_ITEM: Final = 4
#: The least and the largest integer that need no tag.
LEAST_INT: Final = -(1 << 64)
MOST_INT: Final = (1 << 64) - 1
_CONTAINERS: Final = frozenset({list, dict})
_PLAIN: Final = ATOMS | _CONTAINERS


def dumps_plain(value: object, max_depth: int = 4) -> bytes:
    """Write a control frame: only what plain CBOR has.

    Args:
        value: None, bool, int within 64 bits, float, str, bytes, lists, and dicts with keys of str or bytes.
        max_depth: how many containers may be nested.

    Raises:
        BadMessage: if there is anything else in it.
    """
    _plain((value,), max_depth)
    try:
        return new_encoder().encode_to_bytes(value)
    except UnicodeEncodeError as error:
        raise BadMessage(shorten(error)) from None


def loads_plain(data: bytes | bytearray | memoryview, max_bytes: int, max_depth: int = 4) -> Any:
    """Read a control frame, whoever wrote it.

    Args:
        data: exactly one CBOR item.
        max_bytes: how long it may be.
        max_depth: how many containers may be nested.

    Raises:
        BadMessage: if it is anything that :func:`dumps_plain` does not write.
    """
    if len(data) > max_bytes:
        raise BadMessage(f"{len(data)} bytes, more than {max_bytes}")
    body = bytes(data)
    if may_hold(body, max_bytes // _PLAIN_PART):
        survey(body, max_depth, max_bytes // _PLAIN_PART, max_bytes // _PLAIN_ITEM)
    value = NativeReader(Tags(), max_depth).read(body)
    _plain((value,), max_depth)
    return value


def _plain(items: Collection[Any], depth: int) -> None:
    kinds = set(map(type, items))
    if not kinds <= _PLAIN:
        names = ", ".join(sorted(kind.__name__ for kind in kinds - _PLAIN))
        raise BadMessage(f"{names} in a control frame")
    if int in kinds and any(type(each) is int and not LEAST_INT <= each <= MOST_INT for each in items):
        raise BadMessage("int of more than 64 bits in a control frame")
    if kinds.isdisjoint(_CONTAINERS):
        return
    if not depth:
        raise BadMessage("nested deeper than a control frame may be")
    for each in items:
        if type(each) is list:
            _plain(each, depth - 1)
        elif type(each) is dict:
            if not KEYS.issuperset(map(type, each)):
                raise BadMessage("a key that is neither str nor bytes in a control frame")
            _plain(each.values(), depth - 1)


class AtomCodec:
    """Writes and reads lists of scalars, again and again; it is for one thread, and it is not reentrant."""

    __slots__ = ("_encoder", "_reader")

    def __init__(self) -> None:
        self._encoder = new_encoder()
        self._reader = NativeReader(Tags(), 1)

    def encode(self, items: list[Any]) -> bytes:
        """Write a list of None, bool, int, float, str and bytes.

        Raises:
            UnicodeEncodeError: if a str has no UTF-8.
        """
        return self._encoder.encode_to_bytes(items)

    def decode(self, data: bytes) -> list[Any]:
        """Read a list of None, bool, int, float, str and bytes, whoever wrote it.

        Raises:
            BadMessage: if it is anything else.
        """
        items = self._reader.read(data)
        if type(items) is not list or not ATOMS.issuperset(map(type, items)):
            raise BadMessage("no list of scalars", executed=False)
        return items
