"""Calls of this node of services of another (C2, C4, C6, C10).

Duty: the caller's side of a remote call, from the wait for room to the end, and what it shares with sends.

Theory of operation.  A message stands in the line of its target until the link takes it, so messages for
one service never overtake each other.  A caller parks once, for the end of the call.  Its cancellation
then depends on where the message is: in the line, it is withdrawn; on its way, the other node is told,
and the caller waits for the confirmation, but at most ``cancel_grace``; then the call is abandoned.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

import trio
from trio.lowlevel import Abort

from trionet.errors import BadMessage, DeadlineExceeded, NodeDown, ServiceExited
from trionet.handle import MAX_LOCAL
from trionet.kernel.network import Outgoing
from trionet.kernel.trio_inside import park, wake
from trionet.message import NO_CHECKS, check

if TYPE_CHECKING:
    from trionet.net.sending import Sending


class Stage(enum.Enum):
    """Where an outgoing message is."""

    IN_LINE = "waiting for room"
    SENT = "on its way or being handled"
    DONE = "over"


# In Python 3.11 it takes longer to look a member up than to enter a function.
IN_LINE: Final = Stage.IN_LINE
SENT: Final = Stage.SENT
DONE: Final = Stage.DONE


def source_id(message: Outgoing) -> int:
    """The local id of the sender; 0 for code outside any service."""
    source = message.source
    return 0 if source is None else source.handle.value & MAX_LOCAL


class Outbound:
    """A message in the line of its target.

    Attributes:
        message: what is sent.
        payload: its arguments, encoded.
    """

    stage: Stage = IN_LINE
    parked: trio.lowlevel.Task | None = None

    def __init__(self, peer: Sending, message: Outgoing, payload: bytes) -> None:
        self.peer = peer
        self.message = message
        self.payload = payload

    def transmit(self) -> None:
        """The link has room: hand the message to it."""
        raise NotImplementedError

    def lost(self, reason: str, *, executed: bool | None) -> None:
        """The link ended."""
        raise NotImplementedError

    def wake(self) -> None:
        """Let the waiting task go on."""
        task, self.parked = self.parked, None
        if task is not None:
            wake(task)


class OutboundCall(Outbound):
    """A call; its caller waits for the end.

    Attributes:
        session: what ties the answer to it, once it is sent.
        deadline: when its time is over.
        progress: how often what it waits for has changed: never.
    """

    progress = 0
    stage: Stage
    payload: bytes
    parked: trio.lowlevel.Task | None

    session: int = 0
    _value: Any = None
    _checks: Sequence[Any] = NO_CHECKS
    _error: Exception | None = None
    _raise_cancel: Callable[[], NoReturn] | None = None
    _cancelled = False
    _out_of_time = False

    def __init__(self, peer: Sending, message: Outgoing, payload: bytes) -> None:
        self.peer = peer
        self.message = message
        self.payload = payload
        self.deadline: float = message.deadline

    def transmit(self) -> None:
        """The link has room: hand the call to it, with the time that is left."""
        message = self.message
        remaining = inf if self.deadline == inf else self.deadline - trio.current_time()
        source = message.source
        self.session = self.peer.link.call(
            0 if source is None else source.handle.value & MAX_LOCAL,
            message.target.value & MAX_LOCAL,
            message.command,
            self.payload,
            remaining=remaining,
            trace=message.trace,
            token=self,
        )
        self.stage = SENT
        self.payload = b""

    def transmit_small(self) -> bool:
        """As :meth:`transmit`, in a bundle; False if it is not small, or there is no room now."""
        message = self.message
        source = message.source
        self.session = self.peer.link.call_small(
            0 if source is None else source.handle.value & MAX_LOCAL,
            message.target.value & MAX_LOCAL,
            message.command,
            message.args,
            inf if self.deadline == inf else self.deadline - trio.current_time(),
            message.trace,
            self,
        )
        if not self.session:
            return False
        self.stage = SENT
        return True

    # the caller's side

    async def outcome(self) -> Any:
        """Wait for the end of the call.

        Cancellation: withdraws the message, or cancels its handler and waits for that one's end, at most
        ``cancel_grace``.

        Returns:
            What the handler returned.

        Raises:
            CallError: one of its subclasses, or a declared exception that the handler raised.
        """
        if self.stage is not DONE:
            self.parked = trio.lowlevel.current_task()
            await park(self._abort)
        if self._cancelled and self._raise_cancel is not None:
            self._raise_cancel()
        if self._checks:
            self._check_result()
        if isinstance(self._error, DeadlineExceeded) and self._ends_with_the_caller_s_time():
            await self._let_the_caller_s_time_end()
        if self._error is not None:
            try:
                raise self._error
            finally:
                del self._error
        return self._value

    async def _let_the_caller_s_time_end(self) -> None:
        """The other node was first to notice; the caller is told by its own scope, or as a handler."""
        await trio.sleep_until(self.deadline)
        parent = self.message.parent
        if parent is not None:
            if parent.time_left_bound() <= self.deadline:
                parent.expire()
            await trio.lowlevel.checkpoint_if_cancelled()

    def _ends_with_the_caller_s_time(self) -> bool:
        """Tell whether the deadline is that of a scope of the caller, or of the message that it handles."""
        if self.deadline == inf:
            return False
        parent = self.message.parent
        if parent is None or not self.message.enforced:
            return not self.message.enforced
        return parent.cut is not None or parent.time_left_bound() <= self.deadline

    def _check_result(self) -> None:
        try:
            check(self._checks)
        except BadMessage as error:
            error.executed = True
            raise

    def _abort(self, raise_cancel: Callable[[], NoReturn]) -> Abort:
        if self.stage is IN_LINE:
            self.parked = None
            self.stage = DONE
            self.peer.leave_line(self)
            return Abort.SUCCEEDED
        self._raise_cancel = raise_cancel
        if not self._ask_to_cancel():
            self.parked = None
            return Abort.SUCCEEDED
        return Abort.FAILED

    def _ask_to_cancel(self) -> bool:
        """Tell the other node; False if the call was not even sent, and so is over."""
        if not self.peer.link.cancel(self.session):
            self.stage = DONE
            self.peer.fill_windows()
            return False
        self.peer.kick()
        self.peer.node.deadlines.add(Grace(self, self.peer.cancel_grace))
        return True

    def grace_over(self) -> None:
        """The confirmation did not come in time: leave."""
        self.peer.link.abandon(self.session)
        if self._out_of_time:
            text = f"{self._what()} ran out of time, and its node did not confirm the end"
            self._end(error=DeadlineExceeded(text, None))
        else:
            self._cancelled = True
            self._end()

    # its time

    def is_open(self) -> bool:
        """Tell whether the caller still waits."""
        return self.stage is not DONE

    def expire(self) -> None:
        """The deadline passed."""
        if self.stage is IN_LINE:
            self.peer.leave_line(self)
            self._end(error=DeadlineExceeded(f"{self._what()} found no room before its deadline", False))
        elif self._raise_cancel is None:
            self._out_of_time = True
            if not self._ask_to_cancel():
                self._end(error=DeadlineExceeded(f"{self._what()} was not sent before its deadline", False))

    def _what(self) -> str:
        return f"{self.message.command} of {self.message.target} on {self.peer.describe()}"

    # the link's side

    def succeed(self, value: Any, checks: Sequence[Any]) -> None:
        """The handler returned."""
        self._value = value
        self._checks = checks
        self.stage = DONE
        task, self.parked = self.parked, None
        if task is not None:
            wake(task)

    def fail(self, error: Exception, checks: list[Any]) -> None:
        """The handler raised, was cut short, or was never reached."""
        if self._raise_cancel is not None and isinstance(error, DeadlineExceeded | ServiceExited):
            self.cancel_confirmed()  # it ended by cancellation; that of the caller was only not the first
            return
        self._checks = checks
        self._end(error=error)

    def cancel_confirmed(self) -> None:
        """The handler ended by the cancellation, or never started."""
        if self._raise_cancel is not None:
            self._cancelled = True
            self._end()
        else:
            self._end(error=DeadlineExceeded(f"{self._what()} ran out of time and was cancelled", None))

    def lost(self, reason: str, *, executed: bool | None) -> None:
        """The link ended."""
        self._end(error=NodeDown(f"{self._what()}: {reason}", executed))

    def _end(self, *, error: Exception | None = None) -> None:
        if self.stage is DONE:
            return
        self.stage = DONE
        self._error = error
        self.wake()


class Cancelled(Protocol):
    """What waits for the confirmation that it is over."""

    def is_open(self) -> bool:
        """Tell whether the confirmation is still awaited."""

    def grace_over(self) -> None:
        """Be told that it did not come in time."""


class Grace:
    """The time that a cancelled caller waits for the confirmation."""

    def __init__(self, call: Cancelled, grace: float) -> None:
        self._call = call
        self.deadline: float = trio.current_time() + grace

    def is_open(self) -> bool:
        """Tell whether the confirmation is still awaited."""
        return self._call.is_open()

    def expire(self) -> None:
        """The time is over."""
        self._call.grace_over()
