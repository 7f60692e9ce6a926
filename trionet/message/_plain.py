"""Values that need no copy: scalars that never change, far from the limits.

Duty: tell them from all others at the least cost, since most messages are made of them.
"""

from __future__ import annotations

from types import NoneType
from typing import Any, Final

from trionet.message._limits import ITEM_WEIGHT, LEAST_INT, SMALL_INT, Limits

_TEXTS: Final = frozenset({str, bytes})
_ATOMS: Final = frozenset({NoneType, bool, float})


def weight_of_plain(item: Any) -> int:
    """The weight of what :func:`is_plain` tells to be plain."""
    return ITEM_WEIGHT + len(item) if type(item) in _TEXTS else ITEM_WEIGHT


def is_plain(item: Any, limits: Limits) -> bool:
    """Tell at once that a value needs no copy: a scalar that never changes, far from the limits."""
    kind = type(item)
    if kind is int:
        return bool(LEAST_INT < item < SMALL_INT)
    if kind is str:
        return bool(len(item) <= limits.plain_text and item.isascii())
    if kind is bytes:
        return len(item) <= limits.plain_text
    return kind in _ATOMS


def are_plain(args: tuple[Any, ...], kwargs: dict[str, Any], limits: Limits) -> bool:
    """Tell at once that the arguments of a message need no copy; as :func:`is_plain` for each."""
    if kwargs or len(args) > limits.plain_arguments:
        return False
    for item in args:
        kind = type(item)
        if kind is int:
            if not LEAST_INT < item < SMALL_INT:
                return False
        elif kind is bytes:
            if len(item) > limits.plain_text:
                return False
        elif kind not in _ATOMS and not is_plain(item, limits):
            return False
    return True
