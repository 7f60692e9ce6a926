"""Bundles: small messages that travel together, in one frame.

Duty: which messages are small, and how those that leave together are written.
May import: the standard library and trionet.wire.plain.

Theory of operation.  Most messages hold a few short scalars; what they cost is the frame around each, and
each start of encoder and decoder.  So those that are handed over between two flushes are collected, and
become one flat list of scalars.  It consists of entries, the first item of which says what they are:

- ``ROUTE, number, source, target, name``: in this and all later bundles the number means this route;
- ``SENDS, number of route, trace, arity, count``, then ``count`` times ``arity`` arguments: sends;
- ``CALL, number of route, trace, session, remaining, arity``, then so many arguments;
- ``RETURN, session, value``: a call has returned.

Sends of one route and chain that follow each other are one entry, however many they are.  In a window each
small message counts as ``SMALL`` bytes, whatever it has, so that nobody has to measure it.
"""

from __future__ import annotations

from types import NoneType
from typing import Any, Final

from trionet.wire.plain import LEAST_INT, MOST_INT, AtomCodec

# What an entry is; the values are on the wire and never change their meaning.
ROUTE_ENTRY: Final = 0
SENDS_ENTRY: Final = 1
CALL_ENTRY: Final = 2
RETURN_ENTRY: Final = 3

#: Bytes that a small message takes at most, and that it counts as in a window.
SMALL: Final = 256
#: Arguments that a small message has at most.
MOST_ARGUMENTS: Final = 8
#: The largest number of a call chain that a small message may have: that of one which nobody records.
MOST_TRACE: Final = (1 << 64) - 1
#: Bytes from which on a bundle takes no more.
FULL: Final = 2 * 1024
#: Small messages that the definition of a route counts as.
ROUTE_SIZE: Final = 2

#: Bytes of an entry apart from its arguments, and of a number or the head of a text, at most.
_ENTRY: Final = 32
_ITEM: Final = 9
#: Where the count stands in an entry of sends.
_COUNT_AT: Final = 4
_FIXED: Final = frozenset({bool, float, NoneType})


def size_of(arguments: tuple[Any, ...]) -> int:
    """How many bytes a message with these arguments takes at most; 0 if it is not small."""
    if len(arguments) > MOST_ARGUMENTS:
        return 0
    size = _ENTRY
    for item in arguments:
        kind = type(item)
        if kind is int:
            if not LEAST_INT <= item <= MOST_INT:
                return 0
            size += _ITEM
        elif kind is bytes:
            size += _ITEM + len(item)
        elif kind is str:
            size += _ITEM + (len(item) if item.isascii() else _size_of_text(item))
        elif kind in _FIXED:
            size += _ITEM
        else:
            return 0
    return size if size <= SMALL else 0


def _size_of_text(text: str) -> int:
    """How many bytes of UTF-8 a text takes; more than a small message has if there is none of it."""
    if len(text) > SMALL:
        return SMALL
    try:
        return len(text.encode())
    except UnicodeEncodeError:  # a lone surrogate
        return SMALL


class Bundle:
    """The small messages that wait for the next flush.

    Attributes:
        items: what will be written; empty if nothing waits.
        size: how many bytes that takes at most.
        route: of the sends with which the items end.
        trace: likewise.
        arity: likewise; -1 if they end with something else.
        count_at: where their count stands in the items.
    """

    __slots__ = ("_codec", "arity", "count_at", "items", "route", "size", "trace")

    def __init__(self) -> None:
        self._codec = AtomCodec()
        self.items: list[Any] = []
        self.size: int = 0
        self.count_at: int = 0
        self.route: int = -1
        self.trace: int = -1
        self.arity: int = -1

    def define(self, route: int, source: int, target: int, name: str) -> None:
        """Say what the number of a route means from now on."""
        self.arity = -1
        self.items += (ROUTE_ENTRY, route, source, target, name)
        self.size += ROUTE_SIZE * SMALL

    def begin_sends(self, route: int, trace: int, arity: int) -> None:
        """Begin an entry of sends, with one; the arguments of all of them are to be added to the items."""
        self.route, self.trace, self.arity = route, trace, arity
        self.count_at = len(self.items) + _COUNT_AT
        self.items += (SENDS_ENTRY, route, trace, arity, 1)

    def take(self) -> bytes:
        """Write what waits, and begin anew."""
        items, self.items, self.size, self.arity = self.items, [], 0, -1
        return self._codec.encode(items)
