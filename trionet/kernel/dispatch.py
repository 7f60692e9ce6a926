"""How messages become running handlers: a small pool of tasks a service, of which one leads (C7).

Duty: take messages from the inbox, run handlers, hand the lead over when a handler blocks.

Theory of operation.  A new task costs more than most handlers, so handlers are driven by hand: the first
step of a handler's coroutine runs in the task that took the message.  Most handlers end in that step, and
the task takes the next message.  Only when a handler blocks does its task give up the lead and stay with
that handler until it has ended; so the handler lives in one task, and cancel scopes and nurseries nest as
they should.  Somebody else leads meanwhile, but only when a message is there and a slot is free:
:meth:`trionet.kernel.pool.Pool.summon` wakes a task that rests, or starts one.  When there is no message,
or no slot, nobody leads and all tasks of the pool rest; at the limit of concurrency the inbox fills.

A call or a send to a service that has nothing else to do needs no change of tasks either: a task that rests
is lent for the first step of the handler (:mod:`trionet.kernel.direct`).  If the handler blocks, that task
is woken by what the handler waits for, passes it on, and stays with the handler like any other.

Each task has one cancel scope, which cancels the handler that it drives.  A scope that was cancelled is
spent: its task opens a new one before it goes on.

A hand-driven coroutine is not in Trio's chain of awaits; the table of running handlers keeps it for stack
dumps and for the watchdog.
"""

from __future__ import annotations

import types
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

import trio

from trionet.kernel.handlers import ENDED, begin, go_on, run_plain
from trionet.kernel.request import Cut, Request
from trionet.kernel.trio_inside import parking

if TYPE_CHECKING:
    from trionet.kernel.pool import Pool

#: Messages that a task handles before it lets other tasks run.
FAIR_MESSAGES: Final = 100
#: Seconds after which it lets them run even earlier.
FAIR_SECONDS: Final = 0.001
#: Tasks of one service that may rest; further ones end.
MOST_RESTING: Final = 64


class Worker:
    """One task of a service's pool.

    Args:
        actor: the service.
        permanent: whether the task rests rather than ends when there are enough others.

    Attributes:
        task: the Trio task.
        scope: cancels the handler that the task drives; None as long as it has never had a message.
        errand: the handler that blocked while the task was lent for it, and what the task is to wait for.
        is_over: whether the service has no use for the task any more.
    """

    __slots__ = ("_parking", "actor", "errand", "is_over", "permanent", "scope", "task")

    def __init__(self, actor: Pool, *, permanent: bool = False) -> None:
        self.actor: Pool = actor
        self.permanent: bool = permanent
        self.task: trio.lowlevel.Task = trio.lowlevel.current_task()
        self.scope: trio.CancelScope | None = None
        self.errand: tuple[Request, object] | None = None
        self.is_over: bool = False
        self._parking: object = None

    async def run(self) -> None:
        """Handle messages, beginning as the one who leads, for as long as the service has use for it."""
        leads = not self.is_over
        try:
            while leads or self._may_rest():
                led, leads = leads, False
                with trio.CancelScope() as self.scope:
                    leads = await self._work(leads=led)
        finally:
            self._parking = None

    async def _work(self, *, leads: bool) -> bool:
        """Handle messages until the scope is spent or the task has no use; tell if it leads."""
        while leads or self._may_rest():
            request: Request | None = None
            if not leads:
                answer = await self.rest()
                if self.is_over:
                    break
                if self.errand is not None:
                    (request, trap), self.errand = self.errand, None
                    leads = await self._stay_with(request, trap, answer)
            if request is None:
                request, leads = await self._lead()
            if request is not None and request.cut is not None:
                break
        return leads

    async def _lead(self) -> tuple[Request | None, bool]:
        """Handle messages until there is none, one was cut short, or somebody else leads.

        Returns:
            The message that was handled last, or None if there is none left; and whether this task leads.
        """
        actor = self.actor
        inbox = actor.inbox
        stopwatch = actor.node.stopwatch
        began = stopwatch()
        handled, pause_at = 0, began + FAIR_SECONDS
        request: Request | None = None
        try:
            while True:
                request = inbox.take()
                if request is None:
                    actor.leading = False
                    return None, False
                command = actor.commands.get(request.command)
                if command is not None and not command.is_async:
                    run_plain(request, command)
                    now = stopwatch()
                    actor.cpu_time += now - began
                else:
                    trap = begin(request, command, self)
                    now = stopwatch()
                    actor.cpu_time += now - began
                    if trap is not ENDED:
                        actor.leading = False
                        actor.summon()
                        if not await self._stay_with(request, trap):
                            return request, False
                        now = stopwatch()
                        handled, pause_at = 0, now + FAIR_SECONDS
                    if request.cut is not None:
                        return request, True
                began = now
                handled += 1
                if handled >= FAIR_MESSAGES or now > pause_at:
                    await trio.lowlevel.checkpoint()
                    began = stopwatch()
                    handled, pause_at = 0, began + FAIR_SECONDS
        except Exception as bug:  # a handler's own was dealt with
            if request is not None:
                actor.broke(request, bug)
            raise

    def _may_rest(self) -> bool:
        return not self.is_over and (self.permanent or len(self.actor.resting) < MOST_RESTING)

    def end(self) -> None:
        """The task rested, and is taken out of the pool: it ends."""
        self.is_over = True
        trio.lowlevel.reschedule(self.task)

    async def _stay_with(self, request: Request, trap: object, answer: object = None) -> bool:
        """Drive a handler that has blocked until it ends; tell whether this task leads then.

        Args:
            request: the request.
            trap: what the handler waits for; ENDED if the answer to that is there.
            answer: that answer.
        """
        if trap is not ENDED:
            request.since = trio.current_time()
        try:
            await go_on(request, trap, answer)
        except Exception as bug:  # a handler's own was dealt with
            self.actor.broke(request, bug)
            raise
        if request.cut is Cut.STOP:
            await trio.lowlevel.checkpoint_if_cancelled()
        if self.actor.leading:
            return False
        self.actor.leading = True
        return True

    @types.coroutine
    def rest(self) -> Generator[object, Any, object]:
        """Wait until there is something to lead, or an errand.

        Cancellation: as usual.

        Returns:
            What the handler of the errand waited for, as Trio gives it.
        """
        if self._parking is None:
            self._parking = parking(self._abort)
        self.actor.resting.append(self)
        answer = yield self._parking
        if self.errand is None:
            answer.unwrap()
        return answer

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self.actor.resting.remove(self)
        return trio.lowlevel.Abort.SUCCEEDED
