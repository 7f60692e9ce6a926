"""The tasks of a running service: those of its pool, and those that it starts itself (C7, C8).

Duty: begin tasks, wake those that rest, tell whether a handler may begin in place.  What a task of the pool
does is in :mod:`trionet.kernel.dispatch`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from trionet.errors import InternalError
from trionet.kernel.dispatch import Worker
from trionet.kernel.lending import MOST_NESTED
from trionet.kernel.outcomes import HandlerEnds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

    from trionet.kernel.declaration import Declaration
    from trionet.kernel.inbox import Inbox


class Pool(HandlerEnds):
    """The part of a running service that deals with its tasks."""

    __slots__ = ("_guard", "context", "direct", "inbox", "leading", "nursery", "resting")

    if TYPE_CHECKING:
        _guard: trio.lowlevel.Task | None
        accepting: bool
        context: Context
        direct: bool
        inbox: Inbox
        leading: bool
        nursery: trio.Nursery | None
        resting: list[Worker]

        def close(self) -> None:
            """Accept nothing more."""

    def count_tasks(self) -> int:
        """How many tasks it has besides its own."""
        return 0 if self.nursery is None else len(self.nursery.child_tasks) - (self._guard is not None)

    def begin(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run something in a task of the service; what it raises ends the service."""
        assert self.nursery is not None
        start = partial(self.nursery.start_soon, _run, self, function, *args, name=function)
        self.context.copy().run(start)

    def for_helpers(self, nursery: trio.Nursery) -> trio.Nursery:
        """The nursery, for tasks that the service starts itself.

        From the first of them on a guard sees to it that the service closes at once when one of them fails:
        its own task, and all others of the pool, may be in handlers that shield themselves.
        """
        if self.node.current is not None:
            self.node.current.settle()
        if self._guard is None:
            others = nursery.child_tasks
            self.begin(trio.sleep_forever)
            (self._guard,) = nursery.child_tasks - others
        return nursery

    def may_begin(self, command: Declaration) -> bool:
        """Tell whether a handler may begin in place: it would be the next anyway (C2, C7)."""
        return (
            self.direct
            and command.in_place
            and not self.inbox.size
            and len(self.handlers) < self.concurrency
            and (not command.is_async or self._has_one_to_lend())
        )

    def _has_one_to_lend(self) -> bool:
        """Tell whether a task of the pool can be lent for the first step of a coroutine."""
        resting = self.resting
        return bool(resting) and resting[-1].scope is not None and self.node.nested < MOST_NESTED

    def summon(self) -> None:
        """See to it that somebody leads, if there is a message and a slot for it.

        The stack of a sender may be full: what can fail of it comes first.
        """
        if self.leading or not self.inbox.size or len(self.handlers) >= self.concurrency:
            return
        if self.resting:
            trio.lowlevel.reschedule(self.resting[-1].task)
            self.resting.pop()
        elif self.nursery is not None and self.accepting:
            self.context.copy().run(partial(self.nursery.start_soon, _join, self))
        else:
            return
        self.leading = True


async def _join(pool: Pool) -> None:
    """One more task of the pool."""
    await work(Worker(pool))


async def work(worker: Worker) -> None:
    """A task of the pool; handlers' exceptions never get here, so what does is a bug of trionet."""
    try:
        await worker.run()
    except Exception as error:
        raise InternalError(f"the dispatcher of {worker.actor.describe()} broke") from error


async def _run(pool: Pool, function: Callable[..., Awaitable[object]], *args: object) -> None:
    """A task of a service outside its pool; when it ends by an exception, so does the service."""
    try:
        await function(*args)
    except BaseException:
        pool.close()
        raise
