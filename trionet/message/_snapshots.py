"""Copies of messages, results and errors, so that no side sees a later change of the other (C1).

Duty: what every value passes before anybody else sees it, on the local path and on the remote one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from trionet.errors import BadMessage, text_of
from trionet.message._limits import Limits
from trionet.message._refusal import whole
from trionet.message._walk import Walk

#: Nothing for the receiver to check.
NO_CHECKS: Final[tuple[object, ...]] = ()
_DEFAULT_LIMITS: Final = Limits()


def _keep(reference: Any) -> Any:
    return reference


def snapshot(
    item: Any,
    label: str,
    limits: Limits = _DEFAULT_LIMITS,
    resolve: Callable[[Any], Any] = _keep,
) -> tuple[Any, list[Any]]:
    """Copy a value so that nobody sees a later change of the other side.

    Args:
        item: the value.
        label: what it is, the first part of the path in an error text, such as ``result``.
        limits: how large it may be.
        resolve: maps each reference in it to the one that shall travel in its place.

    Returns:
        The copy, which shares what never changes, and those copied instances of registered classes
        that have validators: the receiver runs them with :func:`check`.

    Raises:
        BadMessage: if it holds anything that is no value, or is too large or too deep; the text names
            the offending path and what was found there.
    """
    walk = Walk(limits, resolve)
    return whole(walk, item, label), walk.checks


def weighed_snapshot(
    item: Any, label: str, limits: Limits, resolve: Callable[[Any], Any]
) -> tuple[Any, list[Any], int]:
    """Copy a value as :func:`snapshot` does, and tell also its weight in bytes.

    Raises:
        BadMessage: as :func:`snapshot` does.
    """
    walk = Walk(limits, resolve)
    copied = whole(walk, item, label)
    return copied, walk.checks, limits.size - walk.weight


def snapshot_arguments(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    limits: Limits,
    resolve: Callable[[Any], Any],
) -> tuple[tuple[Any, ...], dict[str, Any], list[Any]]:
    """Copy the arguments of a message as :func:`snapshot` does; not needed where :func:`are_plain`.

    Raises:
        BadMessage: as :func:`snapshot` does.
    """
    walk = Walk(limits, resolve)
    copied = whole(walk, args, "args")
    return copied, whole(walk, kwargs, "kwargs") if kwargs else kwargs, walk.checks


def check(instances: Sequence[Any]) -> None:
    """Run the validators of copied instances; the receiver's dispatcher does it.

    Raises:
        BadMessage: if a validator refuses its field.
    """
    for each in instances:
        try:
            attrs.validate(each)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            name = type(each).__qualname__
            raise BadMessage(f"{name} was refused by its validator: {_first_text(error)}", False) from error


def _first_text(error: BaseException) -> str:
    """The sentence of an error; attrs adds the field and more behind it."""
    return error.args[0] if error.args and isinstance(error.args[0], str) else text_of(error)
