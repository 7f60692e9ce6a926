"""Counts what a message will become, before anything is built from it.

Duty: depth and number of containers of CBOR bytes, from the heads of the items alone.
May import: the standard library, the values and the table of tags.

The native decoder bounds neither exactly: it counts a tag as a level, and one byte can make a container of
a hundred.  Most messages are too short or too flat to break a limit; only the others come here.
"""

from __future__ import annotations

from typing import Final

from trionet.errors import BadMessage
from trionet.wire import tags
from trionet.wire.lower import TOO_DEEP

_BYTES, _ARRAY, _MAP, _TAG, _SIMPLE = 2, 4, 5, 6, 7
_LONG: Final = 24
_RESERVED: Final = 28
#: Every byte that cannot be the head of an array or a map.
_NO_CONTAINER: Final = bytes(byte for byte in range(256) if byte >> 5 not in (_ARRAY, _MAP))


def may_hold(data: bytes, containers: int) -> bool:
    """Tell whether the bytes can hold more containers than that; a yes may be wrong, a no never is."""
    return len(data) > containers and len(data.translate(None, _NO_CONTAINER)) > containers


def survey(data: bytes, depth: int, containers: int) -> None:
    """Walk over the heads of all items of a message.

    Args:
        data: the bytes of one CBOR item; what follows it is not looked at.
        depth: how many containers may be nested.
        containers: how many there may be in all.

    Raises:
        BadMessage: if there are more, if they are nested deeper, or if the heads make no sense.
    """
    position, end = 0, len(data)
    left, counts, level = 1, 0, 0  # items to come in the open container, whether it counts, depth so far
    scalar = False
    outer: list[tuple[int, int]] = []
    while True:
        while not left:
            if not outer:
                return
            level -= counts
            left, counts = outer.pop()
        left -= 1
        major, number, position = _head(data, position)
        uncounted, scalar = scalar, False
        if major < _BYTES or major == _SIMPLE:
            continue
        if major < _ARRAY:
            position += number
            if position > end:
                raise BadMessage(f"premature end: a string of {number} bytes ends after the message")
            continue
        outer.append((left, counts))
        if major == _TAG:
            left, counts, scalar = 1, 0, number in tags.SCALARS
            continue
        left, counts = number * (major - _ARRAY + 1), int(not uncounted)
        level += counts
        containers -= counts
        if level > depth:
            raise BadMessage(TOO_DEEP)
        if containers < 0:
            raise BadMessage("more containers than a message may have")


def _head(data: bytes, position: int) -> tuple[int, int, int]:
    """Read one head: the major type, its number, and the position after it."""
    if position >= len(data):
        raise BadMessage(f"premature end after {position} bytes")
    major, number = data[position] >> 5, data[position] & 31
    position += 1
    if number < _LONG:
        return major, number, position
    if number >= _RESERVED:
        raise BadMessage(f"an indefinite or unknown length at byte {position - 1}")
    after = position + (1 << number - _LONG)
    if after > len(data):
        raise BadMessage(f"premature end after {position} bytes")
    return major, int.from_bytes(data[position:after]), after
