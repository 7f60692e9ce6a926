"""What becomes of a handler: its result, its error, its cancellation, its deferred reply (C4, C6, C9).

Duty: turn the end of a handler into the end of its request.
"""

from __future__ import annotations

import traceback
from contextlib import suppress
from logging import ERROR
from typing import TYPE_CHECKING, Any

import trio

from trionet.errors import (
    BadMessage,
    CallError,
    InternalError,
    RemoteError,
    ServiceExited,
    printable,
    text_of,
)
from trionet.kernel.exceptions import log_with_trace, split_cancelled
from trionet.kernel.request import DONE, QUEUED, RUNNING, Cut, Request
from trionet.kernel.trio_inside import POSSIBLE, close_left_open
from trionet.message import NO_CHECKS, is_plain, snapshot, value_class

if TYPE_CHECKING:
    import logging
    from collections.abc import Sequence

    from trionet.handle import Handle
    from trionet.kernel.declaration import Declaration
    from trionet.kernel.node import Node


class HandlerEnds:
    """The part of a running service that deals with handlers that end."""

    __slots__ = ("commands", "concurrency", "cpu_time", "handle", "messages", "node")

    if TYPE_CHECKING:
        node: Node
        handle: Handle
        handlers: dict[Request, None]
        commands: dict[str, Declaration]
        concurrency: int
        messages: int
        cpu_time: float
        stop_deadline: float

        @property
        def log(self) -> logging.Logger:
            """The logger of the service."""

        def describe(self) -> str:
            """Who it is."""

        def wind_up(self) -> None:
            """Go on with stopping."""

    def returned(self, request: Request, value: Any) -> None:
        """The handler returned."""
        if request.worker is not None:
            self._over(request)
        if request.state is not RUNNING:
            return  # deferred, or nobody waits any more
        if request.one_way:
            request.state = DONE
            return
        checks: Sequence[object] = NO_CHECKS
        if not is_plain(value, self.node.limits):
            try:
                value, checks = snapshot(value, "result", self.node.limits, self.node.resolve_reference)
            except BadMessage as error:
                request.fail(
                    BadMessage(f"{request.command} of {self.describe()} returned {error}", executed=True)
                )
                return
        request.succeed(value, checks)

    def raised(self, request: Request, error: BaseException) -> None:
        """The handler raised, or ended by cancellation."""
        self._over(request)
        _, rest = split_cancelled(error)
        if isinstance(error, KeyboardInterrupt | InternalError):
            request.cancelled()
            raise error
        if rest is not None:
            self.refused(request, rest)
            return
        if request.cut is None:
            request.cut_unasked(error)
        if request.cut is Cut.STOP and trio.current_time() >= self.stop_deadline:
            self.node.note_cut_off(f"{request.command} of {self.describe()}")
        request.cancelled()

    def not_started(self, request: Request, error: CallError) -> None:
        """The handler could not even be called."""
        self._over(request)
        request.state = QUEUED
        self.refused(request, error)

    def refused(self, request: Request, error: BaseException) -> None:
        """The message could not be handled: a call fails, a send is logged (C9)."""
        if request.one_way:
            request.state = DONE
            text = "%s, sent to %s, failed"
            log_with_trace(self.log, ERROR, text, printable(request.command), self.describe(), error=error)
            return
        ended = request.state is DONE
        if ended or request.is_abandoned():
            text = "%s of %s raised when nobody waited"
            log_with_trace(self.log, ERROR, text, request.command, self.describe(), error=error)
        if isinstance(error, CallError) and request.state is QUEUED:
            request.fail(error)
        elif not ended:
            request.fail(portable(error, self.node))

    def broke(self, request: Request, bug: Exception) -> None:
        """A bug of trionet ended the handling of a message: nobody shall wait for it while the node ends."""
        request.fail(ServiceExited(f"{self.describe()} broke: {bug!r}", executed=True))

    def _over(self, request: Request) -> None:
        worker: Any = request.worker
        if worker is not None and POSSIBLE and worker.task._cancel_status is not worker.scope._cancel_status:
            self._close_left_open(request, worker.task, worker.scope)
        self.handlers.pop(request, None)
        request.worker = request.context = request.coroutine = None
        if self.stop_deadline < float("inf"):
            self.wind_up()

    def _close_left_open(self, request: Request, task: trio.lowlevel.Task, scope: trio.CancelScope) -> None:
        """The handler left a cancel scope open, in which its task would be for all that comes after it."""
        count = close_left_open(task, scope)
        text = "%s of %s ended with %d cancel scopes of its own still open; they were closed"
        self.log.error(text, request.command, self.describe(), count)


def portable(error: BaseException, node: Node) -> Exception:
    """The exception that the caller raises: a declared one as itself, all others as RemoteError."""
    text = traceback_text(error)
    info = value_class(type(error))
    if info is not None and isinstance(error, Exception):
        try:
            copied, _ = snapshot(error, "error", node.limits, node.resolve_reference)
        except BadMessage as refused:
            text += f"(its class is declared, but it cannot travel: {refused})\n"
        else:
            if not _is_all_of_trionet(error):
                inside = "".join(f"  | {line}\n" for line in text.splitlines())
                with suppress(Exception):  # a class may have notes of its own, or refuse attributes
                    copied.add_note("  | --- in the service that was called ---\n" + inside.rstrip())
            return copied  # type: ignore[no-any-return]
    name = type(error).__qualname__
    if type(error).__module__ != "builtins":
        name = f"{type(error).__module__}.{name}"
    return RemoteError(name, text_of(error), text)


def _is_all_of_trionet(error: BaseException) -> bool:
    """Whether a service of trionet refused something: where in it that was tells a user nothing."""
    if error.__cause__ is not None or (error.__context__ is not None and not error.__suppress_context__):
        return False  # such as what a constructor raised
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    modules = [type(error).__module__, *(frame.f_globals.get("__name__", "") for frame in frames)]
    return all(f"{each}.".startswith("trionet.") for each in modules)


def traceback_text(error: BaseException) -> str:
    """The traceback as the callee would print it, without the frames of trionet."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("trionet.kernel"):
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except Exception as odd:  # what it tells of itself is not what its class says, or has no end
        return f"{type(error).__qualname__}: {text_of(error)}\n(no traceback: {type(odd).__qualname__})\n"
