"""A message on its way: from the sender, through an inbox, to a handler, and its end.

Duty: the states of one request and who is told when it ends.

A request ends exactly once, by :meth:`Request.succeed`, :meth:`Request.fail` or
:meth:`Request.cancelled`.  What that does differs by who waits: nobody (a send, below), a task of this
node (:class:`trionet.kernel.calls.LocalCall`), or a caller on another node (the harbor's own class).
"""

from __future__ import annotations

import enum
from math import inf
from typing import TYPE_CHECKING, Any, Final

import trio

from trionet.errors import CallError
from trionet.handle import Handle
from trionet.kernel.context import RequestInfo
from trionet.kernel.traces import id_of
from trionet.kernel.trio_inside import wake

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Sequence
    from contextvars import Context

    from trionet.kernel.actor import Actor
    from trionet.kernel.dispatch import Worker
    from trionet.kernel.together import Together


class State(enum.Enum):
    """Where a request is."""

    #: on its way: it waits for room, or lies in the inbox; it can still be withdrawn
    QUEUED = "queued"
    #: its handler has started
    RUNNING = "running"
    #: the handler has returned and left the reply for later
    DEFERRED = "deferred"
    #: it ended, or its caller went away before it started
    DONE = "done"


# In Python 3.11 it takes longer to look a member up than to enter a function.
QUEUED: Final = State.QUEUED
RUNNING: Final = State.RUNNING
DEFERRED: Final = State.DEFERRED
DONE: Final = State.DONE


class Cut(enum.Enum):
    """Why a running handler was cancelled."""

    CALLER = "its caller was cancelled"
    DEADLINE = "its deadline passed"
    STOP = "its service ended"
    ENDLESS = "its service stops, and it has no end of its own"


class Request:
    """A one-way message; subclasses add somebody who waits.

    Attributes:
        source: the sending service of this node, if any.
        target: the receiving service.
        command: the name of the command.
        deadline: on the clock of ``trio.current_time()``; infinity for none.
        checks: copied instances whose validators the receiver runs: of the arguments, later of the result.
        queued_at: when it came into the inbox; only a node that observes its handlers notes it.
        trace: the number of its call chain, see :mod:`trionet.kernel.traces`.
        shielded: whether its handler runs on when nobody waits any more.
        worker: while running: the task that drives the handler, and its scope.
        context: while running: the context variables of the handler.
        coroutine: while running: the handler.
        waits_for: while the handler's own task waits on other requests: that one, or several together.
        parked: the task that waits: for room (a send), for the end (a call).
    """

    one_way = True
    #: Whether its handler gives one item after another.
    is_stream = False
    #: Whether it came over a link, whose window it takes room in until it leaves the inbox.
    from_link = False

    # Most messages need none of these: what is not set costs nothing.
    session: int = 0
    deadline: float = inf
    since: float = 0.0
    queued_at: float = inf
    state: State = QUEUED
    cut: Cut | None = None
    shielded: bool = False
    worker: Worker | None = None
    context: Context | None = None
    coroutine: Coroutine[Any, Any, Any] | None = None
    waits_for: Request | Together | None = None
    parked: trio.lowlevel.Task | None = None

    def __init__(
        self,
        source: Actor | None,
        target: Actor,
        command: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        checks: Sequence[object],
        trace: int,
    ) -> None:
        self.source = source
        self.target = target
        self.command = command
        self.args = args
        self.kwargs = kwargs
        self.checks = checks
        self.trace = trace

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.command} to {self.target.describe()}, {self.state.value}>"

    # what is known of the sender

    def source_handle(self) -> Handle | None:
        """The handle of the sending service, or None for code outside any service."""
        return None if self.source is None else self.source.handle

    def source_node(self) -> int:
        """The incarnation of the sending node."""
        return self.target.handle.incarnation

    def settle(self) -> None:
        """Find out what was put off until somebody needs it, as tasks may that the handler starts."""

    def info(self) -> RequestInfo:
        """What a handler may know."""
        return RequestInfo(
            self.source_handle(),
            self.source_node(),
            self.session,
            self.deadline,
            id_of(self.trace),
            self.command,
        )

    def time_left_bound(self) -> float:
        """The deadline at which the handler will be cancelled, for the calls that it makes itself."""
        if self.shielded or self.state is not RUNNING or self.cut is not None:
            return inf  # of a handler that was cut, only what is shielded can still call
        return self.deadline

    @property
    def task(self) -> trio.lowlevel.Task | None:
        """While running: the task that drives the handler."""
        return None if self.worker is None else self.worker.task

    def blocker(self) -> Request | Together | None:
        """What the running handler's own task waits for; None if it can go on."""
        return self.waits_for

    def body(self) -> Coroutine[Any, Any, Any] | AsyncGenerator[Any, Any] | None:
        """While running: the code of the handler, as its author wrote it."""
        return self.coroutine

    # where it runs

    def encloses_current_task(self) -> bool:
        """Tell whether the current task ends with the handler; a helper of the service does not."""
        worker = self.worker
        task = trio.lowlevel.current_task()
        while worker is not None and task is not worker.task:
            nursery = task.parent_nursery
            if nursery is None or nursery is self.target.nursery:
                return False
            task = nursery.parent_task
        return worker is not None

    def is_abandoned(self) -> bool:
        """Tell whether its handler still runs although its caller has gone."""
        return False

    # cutting short

    def cut_unasked(self, error: BaseException) -> None:
        """The handler ended by a cancellation that was not meant for it alone: its service ended."""
        self.cut = Cut.STOP

    def cut_handler(self, why: Cut) -> None:
        """Cancel the running handler; the request ends when the handler has."""
        if self.cut is None:
            self.cut = why
        if self.worker is not None and self.worker.scope is not None:
            self.worker.scope.cancel(reason=why.value)

    def expire(self) -> None:
        """The deadline passed; a send has none."""

    # how it came into the inbox

    def admitted(self) -> None:
        """There was room at last: the message now lies in the inbox."""
        self.wake()

    def left_inbox(self) -> None:
        """It was taken out of the inbox; told only where ``from_link`` is set."""

    def wake(self) -> None:
        """Let the waiting task go on."""
        task, self.parked = self.parked, None
        if task is not None:
            wake(task)

    # its end

    def succeed(self, value: Any, checks: Sequence[object]) -> None:
        """The handler returned; ``value`` is a copy that the caller may keep, once it is checked."""
        self.state = DONE

    def fail(self, error: Exception) -> None:
        """The handler raised, or the message could not reach one."""
        self.state = DONE

    def cancelled(self) -> None:
        """The handler ended by cancellation, for the reason in :attr:`cut`."""
        self.state = DONE

    def undeliverable(self, error: CallError) -> None:
        """It never reached a handler: a call fails, a send is a dead letter (C5)."""
        self.state = DONE
        self.target.node.dead_letters.report(self, str(error))
        self.wake()
