"""How messages become running handlers: a small pool of tasks a service, of which one leads (C7).

Duty: take messages from the inbox, run handlers, hand the lead over when a handler blocks.

Theory of operation.  A new task costs more than most handlers, so handlers are driven by hand: the first
step of a handler's coroutine runs in the task that took the message.  Most handlers end in that step, and
the task takes the next message.  Only when a handler blocks does its task give up the lead and stay with
that handler until it has ended; so the handler lives in one task, and cancel scopes and nurseries nest as
they should.  Somebody else leads meanwhile, but only when a message is there and a slot is free:
:meth:`trionet.kernel.actor.Actor.summon` wakes a task that rests, or starts one.  When there is no message,
or no slot, nobody leads and all tasks of the pool rest; at the limit of concurrency the inbox fills.

Each task has one cancel scope, which cancels the handler that it drives.  A scope that was cancelled is
spent: its task opens a new one before it goes on.

A hand-driven coroutine is not in Trio's chain of awaits; the table of running handlers keeps it for stack
dumps and for the watchdog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from trionet.kernel.handlers import ENDED, begin, go_on, run_plain
from trionet.kernel.request import Cut, Request

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor

#: Messages that a task handles before it lets other tasks run.
FAIR_MESSAGES: Final = 100
#: Seconds after which it lets them run even earlier.
FAIR_SECONDS: Final = 0.001
#: Tasks of one service that may rest; further ones end.
MOST_RESTING: Final = 64


class Worker:
    """One task of a service's pool, or a caller that runs a handler in its own task.

    Args:
        actor: the service.
        permanent: whether the task rests rather than ends when there are enough others.

    Attributes:
        task: the Trio task.
        scope: cancels the handler that the task drives.
    """

    __slots__ = ("actor", "permanent", "scope", "task")

    def __init__(self, actor: Actor, *, permanent: bool = False) -> None:
        self.actor: Actor = actor
        self.permanent: bool = permanent
        self.task: trio.lowlevel.Task = trio.lowlevel.current_task()
        self.scope: trio.CancelScope = trio.CancelScope()

    async def run(self) -> None:
        """Handle messages, beginning as the one who leads, for as long as the service has use for it."""
        leads = True
        while leads or self._may_rest():
            with self.scope:
                if not leads:
                    await rest(self.actor)
                leads = await self._lead()
            self.scope = trio.CancelScope()

    async def _lead(self) -> bool:
        """Handle messages until the scope is spent or somebody else leads; tell if this task leads."""
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
                    if not self._may_rest():
                        return False
                    await rest(actor)
                    began = stopwatch()
                    handled, pause_at = 0, began + FAIR_SECONDS
                    continue
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
                        await self._stay_with(request, trap)
                        if actor.leading:
                            return False
                        actor.leading = True
                        now = stopwatch()
                        handled, pause_at = 0, now + FAIR_SECONDS
                    if request.cut is not None:
                        return True
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
        return self.permanent or len(self.actor.resting) < MOST_RESTING

    async def _stay_with(self, request: Request, trap: object) -> None:
        """Drive a handler that has blocked until it ends."""
        request.since = trio.current_time()
        await go_on(request, trap)
        if request.cut is Cut.STOP:
            await trio.lowlevel.checkpoint_if_cancelled()


async def rest(actor: Actor) -> None:
    """Wait until there is something to lead.

    Cancellation: as usual.
    """
    resting = actor.resting
    task = trio.lowlevel.current_task()

    def abort(_: object) -> trio.lowlevel.Abort:
        resting.remove(task)
        return trio.lowlevel.Abort.SUCCEEDED

    resting.append(task)
    await trio.lowlevel.wait_task_rescheduled(abort)
