"""The deadlines of calls whose callers have none of their own: one table and one task a node.

Duty: tell a request when its time is over.

Theory of operation.  A cancel scope for each call would cost more than the call.  So the requests wait here.
Mostly each deadline is later than the one before, since they come from the same default: those stand in a
queue, whose head leaves it as soon as it has ended.  The others are in a heap; there, and in the queue behind
a head that takes long, requests that have ended stay until they come up, or until they outnumber the living,
when all is built anew.  One task sleeps until the earliest deadline of a request that is still open.

Of equal deadlines the first that came is told first: a caller before the calls that its handler made in the
time that it was given.  So nothing joins the queue that is not later than all that is in the heap.
"""

from __future__ import annotations

import heapq
from collections import deque
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
        self._queue: deque[Timed] = deque()
        self._heap: list[tuple[float, int, Timed]] = []
        self._latest = -inf  # of all deadlines that are in the heap, or were since it was empty
        self._order = count()
        self._prune_at = SLACK
        self._next = inf
        self._scope: trio.CancelScope | None = None

    def add(self, timed: Timed) -> None:
        """Watch a deadline until it passes, or its owner is no longer open."""
        queue = self._queue
        while queue and not queue[0].is_open():
            queue.popleft()
        deadline = timed.deadline
        if deadline > self._latest and (not queue or deadline >= queue[-1].deadline):
            queue.append(timed)
        else:
            heapq.heappush(self._heap, (deadline, next(self._order), timed))
            self._latest = max(self._latest, deadline)
        if deadline < self._next:
            self._next = deadline
            if self._scope is not None:
                self._scope.deadline = deadline
        if len(queue) + len(self._heap) > self._prune_at:
            self._prune()

    def __len__(self) -> int:
        """How many requests it holds, also such as have ended."""
        return len(self._queue) + len(self._heap)

    def waiting(self) -> list[Timed]:
        """Those that are still open, in no order."""
        return [each for each in [*self._queue, *(entry[2] for entry in self._heap)] if each.is_open()]

    async def run(self) -> NoReturn:
        """Tell each owner whose time is over; runs until it is cancelled."""
        while True:
            with trio.CancelScope(deadline=self._next) as self._scope:
                await trio.sleep_forever()
            self._expire(trio.current_time())

    def _expire(self, now: float) -> None:
        while (first := self._first()) is not None and (first.deadline <= now or not first.is_open()):
            if self._queue and first is self._queue[0]:
                self._queue.popleft()
            else:
                heapq.heappop(self._heap)
            if first.is_open():
                first.expire()
        self._next = inf if first is None else first.deadline
        self._forget_latest()

    def _first(self) -> Timed | None:
        """Who is to be told first."""
        queue, heap = self._queue, self._heap
        if queue and not (heap and heap[0][0] < queue[0].deadline):
            return queue[0]
        return heap[0][2] if heap else None

    def _forget_latest(self) -> None:
        if not self._heap:
            self._latest = -inf

    def _prune(self) -> None:
        self._queue = deque(each for each in self._queue if each.is_open())
        self._heap = [entry for entry in self._heap if entry[2].is_open()]
        heapq.heapify(self._heap)
        self._forget_latest()
        self._prune_at = 2 * len(self) + SLACK
