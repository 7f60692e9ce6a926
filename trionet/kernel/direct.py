"""Messages that are handled before their sender goes on, as nothing else is to be done first (C2, C6, C7).

Duty: begin a handler in place, so that a message to an idle service need not change tasks.

Theory of operation.  A command that is a plain function cannot wait: it is the first and last step of its
handler, and in which task that step runs makes no difference to it.  So a message to it is handled at once,
in the context of the service, provided that the service would begin it next anyway: its inbox is empty and
a slot is free.  The message is a request like any other, the handler's end is its end.

A coroutine could tell the difference once it waits: cancel scopes of the sender would be around it, and
Trio would take the sender's task for the owner of locks.  So its first step is made on behalf of a task of
its service that rests (:mod:`trionet.kernel.lending`).  Most end in that step; with one that waits that
task stays. Since the handler may send and call in the same way, the number of those within one another is
bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from trio.lowlevel import Task

from trionet.errors import InternalError
from trionet.kernel.calls import LocalCall
from trionet.kernel.context import RequestInfo
from trionet.kernel.handlers import run_plain
from trionet.kernel.lending import lend
from trionet.kernel.patience import choose_deadline
from trionet.kernel.request import DONE, RUNNING, Request
from trionet.kernel.trio_inside import see_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trionet.kernel.command import CallOptions
    from trionet.kernel.declaration import Declaration


class DirectCall(LocalCall):
    """A call whose handler begins before its caller waits.

    Attributes:
        asked: what its deadline follows from, until somebody needs to know it: few handlers do.
        caller: the caller's task, where the handler begins as another one.
        has_begun: whether the caller can go on.
    """

    asked: tuple[str | Declaration, CallOptions, Request | None] | None = None
    caller: Task | None = None
    has_begun: bool = False
    deadline: float

    def succeed(self, value: Any, checks: Sequence[object]) -> None:
        """The handler returned; where it did so at once there is nobody to be woken."""
        if self.parked is None and self.state is RUNNING:
            self.state = DONE
            self.value = value
            self.checks = checks
        else:
            super().succeed(value, checks)

    def is_abandoned(self) -> bool:
        """Tell whether its handler still runs although its caller has gone, who cannot go while it begins."""
        return self.has_begun and super().is_abandoned()

    def settle_deadline(self) -> bool:
        """Find out when its time is over; tell whether that must be watched, and is not yet.

        When the call is over it is too late to ask: the scopes of its caller are not around its task.
        """
        if self.asked is None or self.state is DONE:
            return False
        command, options, parent = self.asked
        self.asked = None
        target = self.target
        about = target.node.config, command, target, options, parent
        if self.caller is None:
            self.deadline, enforced = choose_deadline(*about)
        else:
            self.deadline, enforced = see_as(self.caller, choose_deadline, *about)
        return enforced

    def settle(self) -> None:
        """Find out now what was put off."""
        if self.settle_deadline():
            self.target.node.deadlines.add(self)

    def time_left_bound(self) -> float:
        """The deadline at which the handler will be cancelled, for the calls that it makes itself."""
        if self.asked is not None:
            self.settle()
        return super().time_left_bound()

    def info(self) -> RequestInfo:
        """What a handler may know."""
        self.settle()
        return super().info()


def begin_here(request: Request, command: Declaration, began: float) -> float:
    """Begin a handler in the current task; of a plain function, run it.

    Args:
        request: the message.
        command: its command.
        began: the time now, by the node's stopwatch.

    Returns:
        The time when it is back.
    """
    actor = request.target
    node = actor.node
    try:
        if command.is_async:
            lend(actor.resting[-1], request, command)
        else:
            run_plain(request, command)
    except RecursionError:  # the stack of the sender is full, and no bug of trionet's has filled it
        actor.handlers.pop(request, None)
        raise
    except Exception as bug:
        actor.broke(request, bug)
        actor.begin(_raise, request.command, bug)
    ended = node.stopwatch()
    spent = ended - began
    actor.cpu_time += spent
    if node.current is not None:  # within a step of this one's handler
        node.current.target.cpu_time -= spent
    return ended


async def _raise(command: str, bug: Exception) -> NoReturn:
    raise InternalError(f"a message to {command}, handled in place, broke") from bug
