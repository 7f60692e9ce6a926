"""Messages of another node for services of this one.

Duty: the receiver's side of a remote call and a remote send: requests whose callers are elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from trionet.errors import BadMessage, CallError, DeadlineExceeded, ServiceExited
from trionet.handle import MAX_LOCAL, Handle
from trionet.kernel.calls import NO_KWARGS
from trionet.kernel.request import DONE, QUEUED, RUNNING, Cut, Request, State
from trionet.net.failures import encode_failure
from trionet.wire.codec import Arguments
from trionet.wire.link_events import Route

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor
    from trionet.net.serving import Serving


class InboundSend(Request):
    """A one-way message from another node."""

    from_link = True
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    checks: Sequence[object]

    def __init__(
        self, peer: Serving, route: Route, target: Actor, trace: int, size: int, arguments: Arguments
    ) -> None:
        self.source: Actor | None = None
        self.target: Actor = target
        self.command: str = route.command
        self.args, self.kwargs, self.checks = arguments
        self.trace: int = trace
        self.peer: Serving = peer
        self.source_id: int = route.source
        self.size: int = size

    def source_handle(self) -> Handle | None:
        """The handle of the sending service, or None for code outside any service."""
        if self.source_id == 0:
            return None
        return Handle.make(self.peer.harbor, self.source_id, self.peer.incarnation)

    def source_node(self) -> int:
        """The incarnation of the sending node."""
        return self.peer.incarnation

    def left_inbox(self) -> None:
        """It was taken out of the inbox: the sender's window has room again, at once if it was withdrawn."""
        self.peer.consumed(self.target.handle.value & MAX_LOCAL, self.size, at_once=self.state is DONE)

    def undeliverable(self, error: CallError) -> None:
        """It never reached a handler: the sending node has a dead letter."""
        self.state = DONE
        self.peer.report_undelivered(self.source_id, self.target.handle, self.command, str(error))


class InboundCall(InboundSend):
    """A call from another node; who makes it sets session and deadline.

    Attributes:
        answered: whether its caller has been told, or waits no more.
    """

    one_way = False

    state: State
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    checks: Sequence[object]
    answered: bool = False
    _left_at = inf

    # its time, and its caller

    def is_open(self) -> bool:
        """Tell whether the caller still waits."""
        return not self.answered

    def is_abandoned(self) -> bool:
        """Tell whether the handler still runs although nobody waits, or its caller's patience is over."""
        return self.state is RUNNING and (self.answered or trio.current_time() >= self._left_at)

    def expire(self) -> None:
        """The time that came with the call is over."""
        self._cut(Cut.DEADLINE)

    def cancel(self) -> None:
        """The caller was cancelled."""
        self._cut(Cut.CALLER)

    def forget(self) -> None:
        """The link has ended: nobody waits any more."""
        self.answered = True
        self._cut(Cut.CALLER)

    def _cut(self, why: Cut) -> None:
        if self.state is RUNNING and not self.shielded:
            self._left_at = min(self._left_at, trio.current_time() + self.peer.cancel_grace)
            self.cut_handler(why)
            return
        state = self.state
        if state is QUEUED:
            self.target.inbox.withdraw(self)
            self.args, self.kwargs, self.checks = (), NO_KWARGS, []
        elif state is not RUNNING:
            self.state = DONE
        if why is Cut.CALLER:
            self._confirm()
        else:
            text = f"{self.command} of {self.target.describe()} was still {state.value} at its deadline"
            self._fail(DeadlineExceeded(text, state is not QUEUED))

    # its end

    def succeed(self, value: Any, checks: Sequence[object]) -> None:
        """The handler returned."""
        self.state = DONE
        if self.answered:
            return
        if self.peer.return_small(self.session, value):
            self.answered = True
            return
        try:
            payload = self.peer.codec.encode(value)
        except BadMessage as error:
            self._fail(BadMessage(f"the result of {self.command}: {error}", executed=True))
            return
        self.answered = True
        self.peer.reply(self.session, payload)

    def fail(self, error: Exception) -> None:
        """The handler raised, or was never reached."""
        self.state = DONE
        self._fail(error)

    def cancelled(self) -> None:
        """The handler ended by cancellation."""
        self.state = DONE
        if self.cut is Cut.CALLER:
            self._confirm()
        elif self.cut is Cut.DEADLINE:
            text = f"{self.command} of {self.target.describe()} ran out of time and was cancelled"
            self._fail(DeadlineExceeded(text, executed=True))
        else:
            text = f"{self.target.describe()} ended while it handled {self.command}"
            self._fail(ServiceExited(text, executed=True))

    def undeliverable(self, error: CallError) -> None:
        """It never reached a handler."""
        self.state = DONE
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self.answered:
            self.answered = True
            self.peer.fail(self.session, *encode_failure(error, self.peer.codec))

    def _confirm(self) -> None:
        if not self.answered:
            self.answered = True
            self.peer.confirm_cancel(self.session)
