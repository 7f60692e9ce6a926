"""What the commands of a node's services cost, added up by class and command.

Duty: the figures, and the value that tells of them.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

import attrs

from trionet.message import value

#: The upper bounds, in seconds, of the classes into which the times of handlers are sorted.
BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@value(name="trionet.CommandStatistics", unknown="drop")
@attrs.frozen
class CommandStatistics:
    """A command of all services of one class, measured since the node started.

    Args:
        service_class: as ``module:Class``.
        command: the name of the command.
        calls: handlers that have ended.
        errors: how many of them raised.
        cancelled: how many of them were cancelled.
        cpu_time: seconds that they held the event loop, what they called in place not counted.
        wall_time: seconds from their beginning to their end, added up.
        inbox_time: seconds that their messages lay in an inbox, added up.
        longest: the longest time of a handler, in seconds.
        buckets: how many took at most each of ``bounds``, and the last: how many took longer than all.
        bounds: in seconds, rising.
    """

    service_class: str
    command: str
    calls: int
    errors: int
    cancelled: int
    cpu_time: float
    wall_time: float
    inbox_time: float
    longest: float
    buckets: tuple[int, ...]
    bounds: tuple[float, ...] = BOUNDS


class Figures:
    """The figures of one command of one class, as they grow."""

    __slots__ = ("_buckets", "_cancelled", "_cpu", "_errors", "_inbox", "_longest", "_wall")

    def __init__(self) -> None:
        self._errors = self._cancelled = 0
        self._cpu = self._wall = self._inbox = self._longest = 0.0
        self._buckets = [0] * (len(BOUNDS) + 1)

    def add(self, waited: float, wall: float, cpu: float, *, failed: bool, cancelled: bool) -> None:
        """A handler has ended."""
        self._errors += failed
        self._cancelled += cancelled
        self._cpu += cpu
        self._wall += wall
        self._inbox += waited
        self._longest = max(self._longest, wall)
        self._buckets[bisect_left(BOUNDS, wall)] += 1

    @property
    def calls(self) -> int:
        """How many handlers have ended."""
        return sum(self._buckets)

    def told(self, service_class: str, command: str) -> CommandStatistics:
        """The figures as a value."""
        return CommandStatistics(
            service_class,
            command,
            self.calls,
            self._errors,
            self._cancelled,
            self._cpu,
            self._wall,
            self._inbox,
            self._longest,
            tuple(self._buckets),
        )
