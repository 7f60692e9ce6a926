"""What is kept of recorded call chains: one span for each handler (a ring, bounded).

Duty: the value that describes a span, and the ring that a node keeps of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import count
from typing import Protocol

import attrs

from trionet.handle import Handle
from trionet.kernel.seams import Random
from trionet.kernel.traces import LARGEST_ID, id_of
from trionet.message import value


@value(name="trionet.Span", unknown="drop")
@attrs.frozen
class Span:
    """One handler of a recorded call chain.

    Args:
        trace: the id of the chain.
        span: its own id, unlike that of every other span of the chain.
        parent: the span whose handler sent the message; 0 where the chain began.
        node: the name of its node.
        service: the handle of its service.
        label: the name of its service, or else that of the class.
        command: the name of the command.
        start: when the handler began, in seconds since 1970 on the clock of its node.
        waited: seconds that the message lay in the inbox.
        duration: seconds from the handler's beginning to its end, or until now if it still runs.
        cpu_time: seconds of these in which it held the event loop.
        error: what the handler ended with, if it did not return.
        running: whether it still runs.
    """

    trace: int
    span: int
    parent: int
    node: str
    service: Handle
    label: str
    command: str
    start: float
    waited: float
    duration: float
    cpu_time: float
    error: str | None
    running: bool = False


class Running(Protocol):
    """A handler that runs, and is recorded."""

    @property
    def trace(self) -> int:
        """The number of its chain."""

    def span(self) -> Span:
        """What is known of it so far."""


class Spans:
    """The last spans of a node; beyond the capacity the oldest make room.

    Args:
        capacity: how many of handlers that have ended are kept.
        random: draws the first id.

    Attributes:
        recorded: how many there were since the node started.
    """

    def __init__(self, capacity: int, random: Random) -> None:
        self.recorded: int = 0
        self._ended: deque[Span] = deque(maxlen=capacity)
        self._running: dict[int, Running] = {}
        self._ids = count(random.getrandbits(62))

    def __iter__(self) -> Iterator[Span]:
        """Those that have ended, oldest first, then those of handlers that run."""
        yield from tuple(self._ended)
        yield from [each.span() for each in self._running.values()]

    def of(self, trace: int) -> list[Span]:
        """All spans of one chain."""
        ended = [each for each in self._ended if each.trace == trace]
        return ended + [each.span() for each in self._running.values() if id_of(each.trace) == trace]

    def since(self, number: int) -> tuple[list[Span], int]:
        """The spans that ended since an earlier look, as far as they are kept.

        Args:
            number: what the earlier look returned; 0 for the first.

        Returns:
            The spans, and the number to look from next.
        """
        fresh = min(self.recorded - number, len(self._ended))
        return list(self._ended)[len(self._ended) - fresh :] if fresh > 0 else [], self.recorded

    def begin(self, running: Running) -> int:
        """A handler begins; returns the id of its span."""
        span = next(self._ids) & LARGEST_ID or next(self._ids)
        self._running[span] = running
        return span

    def end(self, span: Span) -> None:
        """A handler has ended."""
        del self._running[span.span]
        self._ended.append(span)
        self.recorded += 1
