"""Counts what a message will become, before anything is built from it.

Duty: depth and number of items of CBOR bytes, from the heads of the items alone.
May import: the standard library, the values and the table of tags.

The native decoder bounds neither exactly: it counts a tag as a level, and one byte can make a container of
a hundred.  Most messages are too short or too flat to break a limit; only the others come here.
"""

from __future__ import annotations

import re
from typing import Final

from trionet.errors import BadMessage
from trionet.wire import tags
from trionet.wire.lower import TOO_DEEP

_ARRAY, _MAP, _TAG = 4, 5, 6
#: The first heads of byte strings (then come texts), of arrays (then maps and tags), of simple values.
_STRINGS, _PARTS, _SIMPLE = 0x40, 0x80, 0xE0
_LONG: Final = 24
_RESERVED: Final = 28
_NO_TAG: Final = -1
#: Items of an array from which on it is worth while to skip those at its front in one piece.
_MANY: Final = 64
_NO_RUN: Final = (1, re.compile(b""))
#: By the first byte of an item of fixed length: the length, and what matches any number of such items.
_RUNS: Final = {
    bytes([head]): (size, re.compile(b"(?s:[" + re.escape(heads) + b"].{%d})*+" % (size - 1)))
    for size, heads in {
        1: bytes([*range(0x18), *range(0x20, 0x38), 0xF4, 0xF5, 0xF6]),
        2: b"\x18\x38",
        3: b"\x19\x39\xf9",
        5: b"\x1a\x3a\xfa",
        9: b"\x1b\x3b\xfb",
    }.items()
    for head in heads
}
#: Every byte that cannot be the head of an array, a map or a tag.
_NO_PART: Final = bytes(byte for byte in range(256) if not _PARTS <= byte < _SIMPLE)


def may_hold(data: bytes, parts: int) -> bool:
    """Tell whether the bytes can hold more parts than that; a yes may be wrong, a no never is."""
    return len(data) > parts and len(data.translate(None, _NO_PART)) > parts


def survey(data: bytes, depth: int, parts: int, items: int) -> int:
    """Walk over the heads of all items of a message.

    Args:
        data: the bytes of one CBOR item; what follows it is not looked at.
        depth: how many containers may be nested.
        parts: how many containers and tags there may be in all; a tag and its array are one, those of a
            declared class two.
        items: how many items there may be in all.

    Returns:
        How many arrays, maps and tags are nested.

    Raises:
        BadMessage: if there are more, if they are nested deeper, or if the heads make no sense.
    """
    position, end = 0, len(data)
    left, counts = 1, 0  # items to come in the open part, whether it counts for the depth
    level = deepest = 0
    tag = _NO_TAG  # what this item is the content of
    outer: list[tuple[int, int]] = []
    while True:
        while not left:
            if not outer:
                if position > end:
                    raise BadMessage(f"premature end after {end} of {position} bytes")
                return deepest
            level -= counts
            left, counts = outer.pop()
        left -= 1
        if position >= end:
            raise BadMessage(f"premature end after {position} bytes")
        head = data[position]
        number = head & 31
        position += 1
        if number >= _LONG:
            number, position = _long(data, position, number)
        if head < _PARTS or head >= _SIMPLE:
            tag = _NO_TAG
            if _STRINGS <= head < _PARTS:
                position += number
            continue
        outer.append((left, counts))
        deepest = max(deepest, len(outer))
        parts -= tag == _NO_TAG
        if head >> 5 == _TAG:
            left, counts, tag = 1, 0, number
            parts -= number in tags.DECLARED
        else:
            left, counts, tag = number * ((head >> 5) - _ARRAY + 1), int(tag not in tags.SCALARS), _NO_TAG
            level += counts
        items -= left
        if level > depth:
            raise BadMessage(TOO_DEEP)
        if parts < 0 or items < 0:
            raise BadMessage("more items than a message may have")
        count, position = _run(data, position, left) if left >= _MANY else (0, position)
        left -= count


def _run(data: bytes, position: int, most: int) -> tuple[int, int]:
    """Skip numbers, truth values and nulls of the same length; the second result is where they end."""
    size, run = _RUNS.get(data[position : position + 1], _NO_RUN)
    found = run.match(data, position)
    count = 0 if found is None else min((found.end() - position) // size, most)
    return count, position + count * size


def _long(data: bytes, position: int, size: int) -> tuple[int, int]:
    """Read the number of a head that is in the bytes after it; the second result is where these end."""
    if size >= _RESERVED:
        raise BadMessage(f"an indefinite or unknown length at byte {position - 1}")
    after = position + (1 << size - _LONG)
    return int.from_bytes(data[position:after]), after
