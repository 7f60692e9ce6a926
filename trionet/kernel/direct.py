"""Calls that are handled in the caller's own task, because nothing else is to be done first (C2, C6, C7).

Duty: run a handler in place, so that a call to an idle service need not change tasks.

Theory of operation.  A command that is a plain function cannot wait: it is the first and last step of its
handler, and in which task that step runs makes no difference to it.  So a call to it runs it at once, in
the context of the service, provided that the service would begin it next anyway: its inbox is empty and a
slot is free.  The message is a request like any other, the handler's end is its end.

A coroutine could tell the difference once it waits: cancel scopes of the caller would be around it, and
Trio would take the caller's task for the owner of locks.  Only a command that declares ``inline=True`` takes
that in exchange for two changes of tasks.  It has a scope of its own, which cancels it without its caller,
and as soon as it waits a task of its service stands in for it, so that the service's end waits for it and
ends it (C8).  Since such a handler may call the next one in the same way, their number is bounded.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, NoReturn

import trio

from trionet.errors import DeadlineExceeded, InternalError, ServiceExited
from trionet.kernel.calls import LocalCall
from trionet.kernel.context import RequestInfo
from trionet.kernel.dispatch import Worker
from trionet.kernel.handlers import ENDED, begin, go_on, run_plain
from trionet.kernel.patience import Waiting, choose_deadline
from trionet.kernel.request import Cut, Request, State
from trionet.kernel.together import waiter_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trionet.kernel.command import CallOptions
    from trionet.kernel.declaration import Declaration

#: Inline handlers that may be within one another; what they call further goes through the inbox.
MOST_NESTED: Final = 16


class DirectCall(LocalCall):
    """A call whose handler runs in the caller's task.

    Attributes:
        asked: what its deadline follows from, until somebody needs to know it: few handlers do.
        nested: how many inline handlers it is within.
    """

    asked: tuple[str | Declaration, CallOptions, Request | None] | None = None
    cut: Cut | None
    deadline: float
    nested: int = 0

    def succeed(self, value: Any, checks: Sequence[object]) -> None:
        """The handler returned; where it did so at once there is nobody to be woken."""
        if self.parked is None and self.state is State.RUNNING:
            self.state = State.DONE
            self.value = value
            self.checks = checks
        else:
            super().succeed(value, checks)

    def is_abandoned(self) -> bool:
        """Its caller cannot go away while it runs the handler."""
        return False

    def cut_unasked(self, error: BaseException) -> None:
        """The handler ended by the cancellation of its caller, in whose task it runs."""
        self.cut = Cut.CALLER
        self.cut_short = True

    def cancelled(self) -> None:
        """The handler ended by cancellation."""
        if self.cut_short:
            self._end(None, None)
        else:
            super().cancelled()

    def expire(self) -> None:
        """The deadline passed; its caller cannot go away before the handler ends, not even a deferred one."""
        if self.state is State.DEFERRED and self.worker is not None:
            self.cut_handler(Cut.DEADLINE)
        super().expire()

    def settle_deadline(self) -> bool:
        """Find out when its time is over; tell whether that must be watched, and is not yet.

        When the call is over it is too late to ask: the scopes of its caller are not around this task.
        """
        if self.asked is None or self.state is State.DONE:
            return False
        command, options, parent = self.asked
        self.asked = None
        config = self.target.node.config
        self.deadline, enforced = choose_deadline(config, command, self.target, options, parent)
        return enforced

    def settle(self) -> None:
        """Find out now what was put off."""
        if self.settle_deadline():
            self.target.node.deadlines.add(self)

    def info(self) -> RequestInfo:
        """What a handler may know."""
        self.settle()
        return super().info()


def may_nest(command: Declaration, parent: Request | None) -> bool:
    """Tell whether the handler of an inline command may run within the handler that calls it."""
    return not command.is_async or not isinstance(parent, DirectCall) or parent.nested < MOST_NESTED


def run_here(request: Request, command: Declaration) -> None:
    """Run the handler of a plain function in the current task."""
    node = request.target.node
    began = node.stopwatch()
    try:
        run_plain(request, command)
    except Exception as bug:
        _broke(request, bug)
    spent = node.stopwatch() - began
    request.target.cpu_time += spent
    if node.current is not None:  # within a step of this one's handler
        node.current.target.cpu_time -= spent


async def run_inline(request: DirectCall, command: Declaration, parent: Request | None) -> None:
    """Run the handler of an inline coroutine in the current task, until it has ended.

    Cancellation: reaches the handler where it waits.

    Raises:
        trio.Cancelled: if the handler ended by the cancellation of its caller.
    """
    node = request.target.node
    request.nested = parent.nested + 1 if isinstance(parent, DirectCall) else 1
    request.settle()
    worker = Worker(request.target)
    waiter = None if parent is None else waiter_for(parent)
    waits = nullcontext() if waiter is None else Waiting(waiter, request)
    try:
        with waits, worker.scope:
            began = node.stopwatch()
            trap = begin(request, command, worker)
            node.charge(request.target, node.stopwatch() - began)
            if trap is not ENDED:
                await _stay(request, trap)
    except Exception as bug:
        _broke(request, bug)
    finally:
        request.target.summon()  # its slot is free
    if request.cut_short:
        await trio.lowlevel.checkpoint()  # the caller's own Cancelled, whatever the handler made of it
    elif request.cut is not None and isinstance(request.error, ServiceExited | DeadlineExceeded):
        await trio.lowlevel.checkpoint_if_cancelled()  # the caller's own, if it was cancelled as well


async def _stay(request: DirectCall, trap: object) -> None:
    """Drive a handler that waits; its service's end waits for it."""
    ended = trio.Event()
    nursery = request.target.nursery
    assert nursery is not None
    request.since = trio.current_time()
    nursery.start_soon(_stand_in, request, ended)
    try:
        await go_on(request, trap)
    finally:
        ended.set()


async def _stand_in(request: Request, ended: trio.Event) -> None:
    """Be what the end of the service cancels in place of a handler that runs elsewhere, and wait for it."""
    try:
        await ended.wait()
    except trio.Cancelled:
        request.cut_handler(Cut.STOP)
        with trio.CancelScope(shield=True):
            await ended.wait()
        raise


def _broke(request: Request, bug: Exception) -> None:
    """Take the node down, as a bug in a dispatcher does: what the call raises, its caller may catch (C9)."""
    actor = request.target
    actor.broke(request, bug)
    actor.begin(_raise, request.command, bug)


async def _raise(command: str, bug: Exception) -> NoReturn:
    raise InternalError(f"a direct call of {command} broke") from bug
