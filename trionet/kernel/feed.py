"""The buffer of a stream at its consumer, and who waits there (C4, C6, C10).

Duty: hold what has come of a stream and was not received yet; park the task that waits for more.

Theory of operation.  A feed holds items in order, then the end.  It never refuses an item; room is an
account that its *source* keeps, and that is told in batches of half a buffer what was taken out.  Three waits
park a task at a feed: for the beginning, for news, for the end.  Only the second can be cancelled just so.
Who is cancelled in the first, or leaves, makes the source end the handler, and waits for the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import trio
from trio.lowlevel import Abort

from trionet.message import NO_CHECKS, check

if TYPE_CHECKING:
    from trionet.kernel.request import Request
    from trionet.kernel.together import Branch


class Source(Protocol):
    """Where the items of a feed come from."""

    @property
    def executed(self) -> bool | None:
        """Whether the handler started; None for unknown."""

    def taken(self, items: int, size: int) -> None:
        """So many items, of so many bytes, left the buffer since the last time."""

    def leave(self) -> bool:
        """The consumer leaves: end the handler; tells whether the end is still to come."""


class Feed:
    """What has come of a stream and was not received yet.

    Args:
        limit: items that it shall hold.
        limit_bytes: bytes from which on it shall get no more.

    Attributes:
        bytes: of the items in it.
        received: items that were taken out.
        has_begun: whether the handler has started.
        is_over: whether the end has come.
        is_closed: whether the consumer has left.
        is_shared: whether another task than the one that opened it has received from it.
        error: what the end was, until the consumer has seen it.
        source: where the items come from.
        executed: when the consumer left: whether the handler had started.
        waiter: the handler that waits for the feed in its own task, or the branch of one.
    """

    __slots__ = (
        "_checks",
        "_due",
        "_due_bytes",
        "_leaving",
        "_parked",
        "_taken",
        "_taken_bytes",
        "bytes",
        "error",
        "executed",
        "has_begun",
        "is_closed",
        "is_over",
        "is_shared",
        "items",
        "limit",
        "limit_bytes",
        "received",
        "source",
        "waiter",
    )

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self.limit: int = limit
        self.limit_bytes: int = limit_bytes
        self.items: deque[tuple[Any, Sequence[object], int]] = deque()
        self.bytes: int = 0
        self.received: int = 0
        self.has_begun: bool = False
        self.is_over: bool = False
        self.is_closed: bool = False
        self.is_shared: bool = False
        self.error: Exception | None = None
        self.executed: bool | None = False
        self.source: Source | None = None
        self.waiter: Request | Branch | None = None
        self._due = max(1, limit // 2)
        self._due_bytes = max(1, limit_bytes // 2)
        self._checks: Sequence[object] = NO_CHECKS
        self._taken = 0
        self._taken_bytes = 0
        self._parked: trio.lowlevel.Task | None = None
        self._leaving = False

    # --- what comes ------------------------------------------------------------------------------------

    def has_room(self) -> bool:
        """Tell whether one more item has room."""
        return len(self.items) < self.limit and self.bytes < self.limit_bytes

    def begin(self) -> None:
        """The handler has started."""
        self.has_begun = True
        if not self._leaving:
            self._wake()

    def put(self, item: Any, checks: Sequence[object], size: int) -> None:
        """Take an item, with the instances in it that have validators, and its size in bytes."""
        if not self.is_closed:
            self.items.append((item, checks, size))
            self.bytes += size
            if self._parked is not None and not self._leaving:
                self._wake()

    def end(self, error: Exception | None, checks: Sequence[object] = NO_CHECKS) -> None:
        """Take the end.

        Args:
            error: what it failed with; None if it returned, or was cancelled because the consumer left.
            checks: the instances in the error that have validators.
        """
        if not self.is_over:
            self.has_begun = self.is_over = True
            self.error = error
            self._checks = checks
            self._wake()

    def _wake(self) -> None:
        task, self._parked = self._parked, None
        if task is not None:
            if self.waiter is not None:
                self.waiter.waits_for = None
            trio.lowlevel.reschedule(task)

    # --- what the consumer does --------------------------------------------------------------------------

    def take(self) -> Any:
        """Take the next item out; there is one.

        Raises:
            BadMessage: if a validator refuses a part of it.
        """
        item, checks, size = self.items.popleft()
        self.received += 1
        self.bytes -= size
        self._taken += 1
        self._taken_bytes += size
        if (self._taken >= self._due or self._taken_bytes >= self._due_bytes) and not self.is_over:
            assert self.source is not None
            taken, size, self._taken, self._taken_bytes = self._taken, self._taken_bytes, 0, 0
            self.source.taken(taken, size)
        if checks:
            check(checks)
        return item

    def take_error(self) -> Exception | None:
        """Return what the stream failed with, the first time.

        Raises:
            BadMessage: if a validator refuses a part of it.
        """
        error, self.error = self.error, None
        if error is not None:
            check(self._checks)
        return error

    async def wait_begun(self) -> None:
        """Wait until the handler has started.

        Cancellation: cancels the handler and waits for its end.
        """
        if self.has_begun:
            return
        cancelled: list[Callable[[], NoReturn]] = []

        def abort(raise_cancel: Callable[[], NoReturn]) -> Abort:
            if not self.leave():
                self._parked = None
                return Abort.SUCCEEDED
            cancelled.append(raise_cancel)
            return Abort.FAILED

        await self._park(abort)
        if cancelled and self.error is None:
            cancelled[0]()

    async def wait_news(self) -> None:
        """Wait for an item or the end.

        Cancellation: loses nothing.

        Raises:
            trio.BusyResourceError: if another task does so.
        """
        if self._parked is not None:
            raise trio.BusyResourceError("another task is receiving from this stream")

        def abort(_: object) -> Abort:
            self._parked = None
            return Abort.SUCCEEDED

        await self._park(abort)

    async def wait_end(self) -> None:
        """End the handler and wait for its end.

        Cancellation: is passed on when the handler has ended.
        """
        self.close()
        if not self.is_over and self.leave():
            await self._park(lambda _: Abort.FAILED)

    async def _park(self, abort: Callable[[Callable[[], NoReturn]], Abort]) -> None:
        self._parked = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def leave(self) -> bool:
        """Make the source end the handler; tells whether the end is still to come."""
        assert self.source is not None
        self.is_closed = True
        self.executed = self.source.executed
        self._leaving = self.source.leave()
        if not self._leaving:
            self.is_over = True
        return self._leaving

    def close(self) -> None:
        """Take no more; whoever still waits for an item is told."""
        self.is_closed = True
        self.items.clear()
        self.bytes = 0
        self._wake()
