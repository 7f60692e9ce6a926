"""What is in an exception: cancellation, groups within groups, a line of text.

Duty: take exceptions apart for those who decide what becomes of them.  They are of users' classes, whose code
may raise in its turn.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

import trio

from trionet.errors import text_of

#: What a traceback does not show when the groups around an exception are gone.
WRAPPED: Final = (
    "It came out of a nursery within the service, which wraps what its tasks raise into an ExceptionGroup: "
    "`except {0}` around it catches nothing, `except* {0}` does."
)


def split_cancelled(error: BaseException) -> tuple[bool, BaseException | None]:
    """Tell whether cancellation is part of an exception, and what else there is."""
    if isinstance(error, trio.Cancelled):
        return True, None
    if isinstance(error, BaseExceptionGroup):
        try:
            cancelled, rest = error.split(trio.Cancelled)
        except Exception:  # its class refuses to be split, or it is nested too deeply
            return False, error
        return (False, error) if cancelled is None else (True, rest)
    return False, error


def only_one(error: BaseException) -> BaseException:
    """The one exception within nested groups, or the group where there are several."""
    inside = error
    while isinstance(inside, BaseExceptionGroup):
        if len(inside.exceptions) > 1:
            return error
        inside = inside.exceptions[0]
    return inside


def note_inner_group(outer: BaseException, only: BaseException) -> None:
    """Say so on the only exception of a service's nursery if another group was around it, within.

    That group is of the user's code, whose ``except`` around it did not see the exception.
    """
    if (
        not isinstance(outer, BaseExceptionGroup)
        or outer is only
        or any(each is only for each in outer.exceptions)
    ):
        return
    note = WRAPPED.format(type(only).__name__)
    with suppress(Exception):  # its class may have notes of its own, or take none
        if note not in getattr(only, "__notes__", ()):
            only.add_note(note)


def named_text(error: BaseException) -> str:
    """The name of its class, and its text if it has one."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def log_with_trace(
    log: logging.Logger, level: int, text: str, *args: object, error: BaseException | None
) -> None:
    """Log something with the traceback of an exception, or without it where it cannot be written down."""
    try:
        log.log(level, text, *args, exc_info=error)
    except Exception as odd:
        what = "nothing" if error is None else named_text(error)
        log.log(level, f"{text}: %s (no traceback: %s)", *args, what, type(odd).__name__)  # noqa: G004
