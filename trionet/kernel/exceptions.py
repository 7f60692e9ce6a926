"""What is in an exception: cancellation, groups within groups, a line of text.

Duty: take exceptions apart for those who decide what becomes of them.
"""

from __future__ import annotations

from collections.abc import Generator
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
        cancelled, rest = error.split(trio.Cancelled)
        return (False, error) if cancelled is None else (True, rest)
    return False, error


def only_one(error: BaseException) -> BaseException:
    """The one exception within nested groups, or the group where there are several."""
    leaves = list(_leaves(error))
    return leaves[0] if len(leaves) == 1 else error


def note_inner_group(outer: BaseException, only: BaseException) -> None:
    """Say so on the only exception of a service's nursery if another group was around it, within.

    That group is of the user's code, whose ``except`` around it did not see the exception.
    """
    if not isinstance(outer, BaseExceptionGroup) or outer is only or only in outer.exceptions:
        return
    note = WRAPPED.format(type(only).__name__)
    if note not in getattr(only, "__notes__", ()):
        only.add_note(note)


def _leaves(error: BaseException) -> Generator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def named_text(error: BaseException) -> str:
    """The name of its class, and its text if it has one."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
