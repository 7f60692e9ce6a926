"""The caller's side of a call on one node: it waits, is told, is cancelled, runs out of time (C4, C6).

Duty: :class:`LocalCall`, the request behind which a task of this node waits.

Theory of operation.  The caller parks once, for the end of the call, whether the message waits for room,
lies in the inbox or is being handled.  Its cancellation then depends on the state:

* queued: the message is withdrawn and the wait ends at once; the handler never starts;
* running: the handler is cancelled, and the wait goes on until it has ended.  What it still returned or
  raised is the outcome; if it ended by cancellation, the caller raises its own ``Cancelled``;
* running and shielded, or its reply deferred: the wait ends at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import trio
from trio.lowlevel import Abort

from trionet.errors import BadMessage, CallError, DeadlineExceeded, ServiceExited
from trionet.kernel.context import RequestInfo
from trionet.kernel.request import DONE, QUEUED, RUNNING, Cut, Request, State
from trionet.kernel.trio_inside import park
from trionet.message import NO_CHECKS, check

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: What a call that has ended holds of its arguments.
NO_KWARGS: Final[dict[str, Any]] = {}


class LocalCall(Request):
    """A request of this node that a task waits for."""

    one_way = False

    state: State
    session: int
    args: tuple[Any, ...]
    checks: Sequence[object]
    value: Any = None
    error: BaseException | None = None
    raise_cancel: Callable[[], NoReturn] | None = None
    cut_short: bool = False

    def info(self) -> RequestInfo:
        """What a handler may know; the call has a number as soon as somebody asks for it."""
        if not self.session:
            self.session = next(self.target.node.sessions)
        return super().info()

    # the caller's side

    async def outcome(self) -> Any:
        """Wait for the end of the call.

        Cancellation: withdraws the message, or cancels its handler and waits for that one's end.

        Returns:
            What the handler returned.

        Raises:
            CallError: one of its subclasses, or a declared exception that the handler raised.
        """
        if self.state is not DONE:
            self.parked = trio.lowlevel.current_task()
            await park(self._abort)
        return self.result()

    def result(self) -> Any:
        """How a call that is over ended, for its caller.

        Returns:
            What the handler returned.

        Raises:
            CallError: one of its subclasses, or a declared exception that the handler raised.
            trio.Cancelled: if its caller was cancelled.
        """
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # no cycle between the traceback and this frame
        if self.cut_short and self.raise_cancel is not None:
            self.raise_cancel()
        if self.checks:
            self._check_result()
        value, self.value = self.value, None
        return value

    def _check_result(self) -> None:
        checks, self.checks = self.checks, NO_CHECKS
        try:
            check(checks)
        except BadMessage as error:
            error.executed = True
            raise

    def _abort(self, raise_cancel: Callable[[], NoReturn]) -> Abort:
        if self.state is RUNNING and not self.shielded:
            self.raise_cancel = raise_cancel
            self.cut_handler(Cut.CALLER)
            return Abort.FAILED
        self._leave()
        self.parked = None
        return Abort.SUCCEEDED

    def _leave(self) -> None:
        """Nobody waits any more; only a handler that has started goes on."""
        if self.state is QUEUED:
            self.target.inbox.withdraw(self)
        if self.state is not RUNNING:
            self.state = DONE
            self.checks = NO_CHECKS
            self._let_go()

    def _let_go(self) -> None:
        """Drop what may be large; the heap of deadlines may keep the request itself for a while."""
        self.args = ()
        self.kwargs = NO_KWARGS

    def is_abandoned(self) -> bool:
        """Tell whether its handler still runs although its caller has gone."""
        return self.state is RUNNING and self.parked is None

    # its time

    def is_open(self) -> bool:
        """Tell whether the caller still waits."""
        return self.state is not DONE

    def expire(self) -> None:
        """The deadline passed: end the call, or cancel its handler and wait for that one's end."""
        if self.state is RUNNING and not self.shielded:
            self.cut_handler(Cut.DEADLINE)
            return
        text = f"{self.command} of {self.target.describe()} was still {self.state.value} at its deadline"
        self.error = DeadlineExceeded(text, self.state is not QUEUED)
        self._leave()
        self.wake()

    # the callee's side

    def admitted(self) -> None:
        """There was room at last; the caller goes on waiting for the end."""

    def succeed(self, value: Any, checks: Sequence[object]) -> None:
        """The handler returned."""
        self.checks = checks
        self._end(value, None)

    def fail(self, error: Exception) -> None:
        """The handler raised, or was never reached."""
        self._end(None, error)

    def cancelled(self) -> None:
        """The handler ended by cancellation: the caller's own, its deadline's, or its service's."""
        if self.raise_cancel is not None:
            self.cut_short = True
            self._end(None, None)
        elif self.cut is Cut.DEADLINE:
            text = f"{self.command} of {self.target.describe()} ran out of time and was cancelled"
            self._end(None, DeadlineExceeded(text, executed=True))
        else:
            text = f"{self.target.describe()} ended while it handled {self.command}"
            self._end(None, ServiceExited(text, executed=True))

    def undeliverable(self, error: CallError) -> None:
        """It never reached a handler."""
        self._end(None, error)

    def _end(self, value: Any, error: BaseException | None) -> None:
        if self.state is DONE:
            return
        self.state = DONE
        self.value = value
        self.error = error
        self._let_go()
        self.wake()
