"""The deadlines of calls whose callers have none of their own: one heap and one task a node.

Duty: tell a request when its time is over.

Theory of operation.  A cancel scope for each call would cost more than the call.  So each request goes
into one heap; requests that ended stay there until they come up, or until they outnumber the living, when
the heap is built anew.  One task sleeps until the earliest deadline of a request that is still open.
"""

from __future__ import annotations

import heapq
from itertools import count
from math import inf
from typing import Final, NoReturn, Protocol

import trio

#: The heap is built anew when it holds this many entries more than twice the living ones.
SLACK: Final = 1000


class Timed(Protocol):
    """Something with a deadline."""

    deadline: float

    def is_open(self) -> bool:
        """Tell whether it still waits."""

    def expire(self) -> None:
        """Be told that the deadline has passed."""


class Deadlines:
    """The deadlines of all open calls of a node that came without one."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed]] = []
        self._order = count()
        self._prune_at = SLACK
        self._next = inf
        self._scope: trio.CancelScope | None = None

    def add(self, timed: Timed) -> None:
        """Watch a deadline until it passes, or its owner is no longer open."""
        heapq.heappush(self._heap, (timed.deadline, next(self._order), timed))
        if timed.deadline < self._next:
            self._next = timed.deadline
            if self._scope is not None:
                self._scope.deadline = timed.deadline
        if len(self._heap) > self._prune_at:
            self._prune()

    async def run(self) -> NoReturn:
        """Tell each owner whose time is over; runs until it is cancelled."""
        while True:
            with trio.CancelScope(deadline=self._next) as self._scope:
                await trio.sleep_forever()
            self._expire(trio.current_time())

    def _expire(self, now: float) -> None:
        while self._heap and (self._heap[0][0] <= now or not self._heap[0][2].is_open()):
            _, _, timed = heapq.heappop(self._heap)
            if timed.is_open():
                timed.expire()
        self._next = self._heap[0][0] if self._heap else inf

    def _prune(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2].is_open()]
        heapq.heapify(self._heap)
        self._prune_at = 2 * len(self._heap) + SLACK
