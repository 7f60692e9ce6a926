"""The table of ``trionet run --profile``.

Duty: columns of text from figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from trionet.kernel.profile import CommandStatistics

Column = tuple[str, Callable[[CommandStatistics], str]]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3f}"


def _each(total: float, one: CommandStatistics) -> str:
    return _milliseconds(total / one.calls)


_COLUMNS: Final[tuple[Column, ...]] = (
    ("service", lambda one: one.service_class),
    ("command", lambda one: one.command),
    ("calls", lambda one: str(one.calls)),
    ("errors", lambda one: str(one.errors)),
    ("cancelled", lambda one: str(one.cancelled)),
    ("CPU s", lambda one: f"{one.cpu_time:.3f}"),
    ("CPU ms", lambda one: _each(one.cpu_time, one)),
    ("wall ms", lambda one: _each(one.wall_time, one)),
    ("longest ms", lambda one: _milliseconds(one.longest)),
    ("inbox ms", lambda one: _each(one.inbox_time, one)),
)
#: Columns of words, which begin at the left.
_WORDS: Final = 2


def profile_table(profile: tuple[CommandStatistics, ...]) -> Iterator[str]:
    """The lines of a table, one for each command; milliseconds are those of one call."""
    if not profile:
        yield "profile: no handler has ended"
        return
    rows = [[name for name, _ in _COLUMNS], *([tell(one) for _, tell in _COLUMNS] for one in profile)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            each.ljust(width) if index < _WORDS else each.rjust(width)
            for index, (each, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
