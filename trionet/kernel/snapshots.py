"""A value for many receivers: copied once when it is given out, and again only where it could be changed.

Duty: the class :class:`Snapshot`, which :meth:`trionet.Node.snapshot` makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from trionet.message import (
    NO_CHECKS,
    Limits,
    check,
    is_plain,
    snapshot,
    weighed_snapshot,
    weight_of_plain,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Snapshot(Generic[T_co]):
    """A value as it was at one moment, for any number of receivers; made by :meth:`trionet.Node.snapshot`.

    Attributes:
        weight: what it weighs as a part of a message, in bytes.
    """

    __slots__ = ("_checks", "_is_shared", "_limits", "_value", "weight")

    def __init__(
        self,
        value: T_co,
        checks: Sequence[object],
        weight: int,
        limits: Limits,
        *,
        is_shared: bool | None = None,
    ) -> None:
        self.weight: int = weight
        self._limits = limits
        self._value = value
        self._checks = checks
        self._is_shared = is_shared

    def open(self) -> T_co:
        """The value for one receiver: a copy of its own, or the value itself if it can never change.

        Raises:
            BadMessage: if a validator of a declared class refuses a part of it.
        """
        if self._is_shared:
            return self._value
        copied, checks = snapshot(self._value, "item", self._limits)
        if self._is_shared is None:
            self._is_shared = copied is self._value and not self._checks
        if checks or self._checks:
            check(checks or self._checks)
        value: T_co = copied
        return value

    def __repr__(self) -> str:
        return f"<Snapshot of {self._value!r:.60}>"


def take(item: T, label: str, limits: Limits, resolve: Callable[[Any], Any]) -> Snapshot[T]:
    """Make a snapshot of a value.

    Raises:
        BadMessage: as :func:`trionet.message.snapshot`.
    """
    if is_plain(item, limits):
        return Snapshot(item, NO_CHECKS, weight_of_plain(item), limits, is_shared=True)
    copied, checks, weight = weighed_snapshot(item, label, limits, resolve)
    return Snapshot(copied, checks, weight, limits, is_shared=True if copied is item else None)
