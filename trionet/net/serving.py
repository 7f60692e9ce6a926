"""What the other node says over one link: its calls and sends for services here, and its answers.

Duty: from a link's events to requests of the kernel, and from the ends of these to answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, Final

from trionet.errors import BadMessage, CallError, NoSuchService, ServiceBusy, ServiceExited
from trionet.handle import LOCAL_BITS, Handle
from trionet.kernel.calls import NO_KWARGS
from trionet.kernel.declaration import Declaration
from trionet.kernel.direct import begin_here
from trionet.kernel.messaging import SLICE
from trionet.kernel.network import Outgoing
from trionet.message import NO_CHECKS
from trionet.net.desk import NODE_ID, UNDELIVERED, NodeDesk
from trionet.net.failures import cut, decode_failure, encode_failure
from trionet.net.inbound import InboundCall, InboundSend
from trionet.net.outbound_send import OutboundReport
from trionet.net.sending import BUNDLE_FROM, Sending
from trionet.net.streams import Awaited
from trionet.wire import link_events as events
from trionet.wire.bundle import SMALL
from trionet.wire.codec import Arguments
from trionet.wire.link_errors import LinkNotOpen, MessageTooLarge
from trionet.wire.link_events import Route

#: Bytes of answers that are written though more calls have come, so that their callers can go on meanwhile.
ANSWER_EARLY: Final = 2 * 1024


class Serving(Sending):
    """The part of a peer that serves the other node."""

    _serving: dict[int, InboundCall]
    _desk: NodeDesk
    _batch = 0
    _slice_ends = 0.0

    def called(self, session: int, route: Route, remaining: float, trace: int, payload: bytes) -> bool:
        """A service of the other node calls one of this; tells whether that is over with its inbox."""
        try:
            arguments = self.codec.decode_arguments(payload)
        except BadMessage as error:
            self.refuse(session, self.unreadable(error))
            return True
        return self._take_call(session, route, remaining, trace, arguments, len(payload))

    def unreadable(self, error: BadMessage) -> BadMessage:
        """What the other node is told of arguments that cannot be read; it reads where that was."""
        text = f"harbor {self.node.network.harbor} could not read the arguments: {error}"
        return BadMessage(text, executed=False)

    def called_small(
        self, session: int, route: Route, remaining: float, trace: int, arguments: tuple[Any, ...]
    ) -> bool:
        """As :meth:`called`, with arguments that are scalars."""
        return self._take_call(session, route, remaining, trace, (arguments, NO_KWARGS, NO_CHECKS), SMALL)

    def _take_call(
        self, session: int, route: Route, remaining: float, trace: int, arguments: Arguments, size: int
    ) -> bool:
        try:
            actor = self.node.actors.get(route.target)
            if route.target == NODE_ID:
                self._desk.asked(session, route.command, arguments[0])
                return True
            if actor is None or not actor.accepting:
                actor = self.receiver(route.target)
            request = InboundCall(self, route, actor, trace, size, arguments)
            request.session = session
            request.deadline = self._pump.now + remaining
            command = self._begins_here(request)
            if command is None:
                self.serve(session, request)
            else:
                begin_here(request, command, self.node.stopwatch())
                if request.answered:
                    return True
                self._serving[session] = request
        except CallError as error:
            self.refuse(session, error)
            return True
        if request.deadline < inf and not request.answered:
            self.node.deadlines.add(request)
        return command is not None

    def serve(self, session: int, request: InboundCall) -> None:
        """Put a call of the other node into the inbox of its target.

        Raises:
            ServiceBusy: if there is no room and the service rejects what finds none.
        """
        self._serving[session] = request
        self._accept(request)

    def refuse(self, session: int, error: CallError) -> None:
        """Answer a call that did not get to its target."""
        self.fail(session, *encode_failure(error, self.codec))

    def sent(self, route: Route, trace: int, payload: bytes) -> bool:
        """A service of the other node sends to one of this; tells whether that is over with its inbox."""
        try:
            arguments = self.codec.decode_arguments(payload)
        except BadMessage as error:
            self._not_delivered(route, self.unreadable(error))
            return True
        return self._take_send(route, trace, arguments, len(payload))

    def sent_small(self, route: Route, trace: int, messages: Sequence[tuple[Any, ...]]) -> int:
        """As :meth:`sent`, for many with arguments that are scalars; tells how many are over."""
        node = self.node
        actor = node.actors.get(route.target)
        command = None if actor is None else actor.commands.get(route.command)
        over, now = 0, self._begin_slice()
        for arguments in messages:
            message: Arguments = (arguments, NO_KWARGS, NO_CHECKS)
            if actor is None or command is None or now >= self._slice_ends or not actor.may_begin(command):
                over += self._take_send(route, trace, message, SMALL)
            else:
                now = begin_here(InboundSend(self, route, actor, trace, SMALL, message), command, now)
                over += 1
        return over

    def _take_send(self, route: Route, trace: int, arguments: Arguments, size: int) -> bool:
        try:
            actor = self.node.actors.get(route.target)
            if route.target == NODE_ID:
                self._desk.undelivered(arguments[0])
                return True
            if actor is None or not actor.accepting:
                actor = self.receiver(route.target)
            request = InboundSend(self, route, actor, trace, size, arguments)
            command = self._begins_here(request)
            if command is None:
                self._accept(request)
                return False
            begin_here(request, command, self.node.stopwatch())
        except CallError as error:
            self._not_delivered(route, error)
        return True

    def _not_delivered(self, route: Route, error: CallError) -> None:
        """A send reached nobody: its sender's node is told, unless it was such a report itself."""
        if route.target != NODE_ID:
            target = self.local_handle(route.target)
            self.report_undelivered(route.source, target, route.command, str(error))

    def _begins_here(self, request: InboundSend) -> Declaration | None:
        """The command, if its handler may begin before this task goes on (C2, C7).

        It does so for as long as a caller may go on without letting others run, and never with validators.
        """
        actor = request.target
        command = actor.commands.get(request.command)
        if command is None or request.checks or not actor.may_begin(command):
            return None
        return command if self._begin_slice() < self._slice_ends else None

    def _begin_slice(self) -> float:
        """The time now; if bytes have come since it was asked last, handlers may begin for a while."""
        now = self.node.stopwatch()
        if self._batch != self._pump.batch:
            self._batch, self._slice_ends = self._pump.batch, now + SLICE
        return now

    def receiver(self, local: int) -> Any:
        """Find the service that a message is for.

        Raises:
            NoSuchService: if there is none.
            ServiceExited: if it is ending.
        """
        actor = self.node.actors.get(local)
        if actor is None:
            raise NoSuchService(
                f"no service at {self.local_handle(local)}: it has ended, or never was", False
            )
        if not actor.accepting:
            raise ServiceExited(f"{actor.describe()} is ending", executed=False)
        return actor

    def _accept(self, request: InboundSend) -> None:
        actor = request.target
        inbox = actor.inbox
        if actor.spec.cls.__trionet_options__.overflow == "reject" and not inbox.has_room():
            raise ServiceBusy(f"the inbox of {actor.describe()} is full ({inbox.limit} messages)", False)
        self.node.deliver(request)

    def replied(self, session: int, token: Any, payload: bytes) -> None:
        """A service of the other node answers one of this."""
        call: Awaited = token
        try:
            value, checks = self.codec.decode(payload)
        except BadMessage as error:
            call.fail(BadMessage(f"the result could not be read: {error}", executed=True), [])
        else:
            call.succeed(value, checks)

    def returned(self, session: int, token: Any, value: Any) -> None:
        """As :meth:`replied`, with a result that is a scalar."""
        call: Awaited = token
        call.succeed(value, NO_CHECKS)

    def _on_failure(self, event: events.FailureReceived) -> None:
        call: Awaited = event.token
        try:
            error, checks = decode_failure(event.code, event.executed, event.payload, self.codec)
        except BadMessage as bad:
            call.fail(BadMessage(f"the error could not be read: {bad}", executed=event.executed), [])
        else:
            call.fail(error, checks)

    def _on_cancel(self, event: events.CancelReceived) -> None:
        request = self._serving.get(event.session)
        if request is not None:
            request.cancel()
        elif self._desk.cancelled(event.session) and self.link.is_open:
            self.link.confirm_cancel(event.session)
            self._pump.kick()

    # --- answers that go out -------------------------------------------------------------------------

    def return_small(self, session: int, value: Any) -> bool:
        """Answer a call with its result in a bundle, if there is one to join; else the call is still open."""
        if self.link.outbox.queued < BUNDLE_FROM or not self.link.return_small(session, value):
            return False
        self._serving.pop(session, None)
        if not self._pump.is_reading:
            self._pump.kick()
        elif self.link.outbox.queued >= ANSWER_EARLY:
            self._pump.write()
        return True

    def reply(self, session: int, payload: bytes) -> None:
        """Answer a call with its result."""
        self._serving.pop(session, None)
        try:
            self.link.reply(session, payload)
        except MessageTooLarge as error:
            refused = BadMessage(f"the result: {error}", executed=True)
            self.link.fail(session, *encode_failure(refused, self.codec))
        except LinkNotOpen:
            return
        if not self._pump.is_reading:
            self._pump.kick()

    def fail(self, session: int, code: int, executed: bool | None, payload: bytes) -> None:
        """Answer a call with an error, unless the link has ended, or this end has said its last."""
        self._serving.pop(session, None)
        if not self.link.is_open:
            return
        try:
            self.link.fail(session, code, executed, payload)
        except MessageTooLarge as error:
            refused = BadMessage(f"the error: {error}", executed=executed)
            self.link.fail(session, *encode_failure(refused, self.codec))
        self._pump.kick()

    def confirm_cancel(self, session: int) -> None:
        """Tell that a cancelled call is over."""
        self._serving.pop(session, None)
        if self.link.is_open:
            self.link.confirm_cancel(session)
            self._pump.kick()

    def answer(self, session: int, value: Any) -> None:
        """Answer what the other node asked of this one."""
        if self.link.is_open:
            self.link.reply(session, self.codec.encode(value))
            self._pump.kick()

    def consumed(self, target: int, size: int, *, at_once: bool = False) -> None:
        """A message left an inbox: its sender's window has room again."""
        if self.is_open and self.link.consumed(target, 1, size, at_once=at_once):
            self._pump.kick()

    def report_undelivered(self, source: int, target: Handle, command: str, reason: str) -> None:
        """Tell the other node that a message which it sent reached nobody."""
        args = (source, target, command, cut(reason))
        node = Handle(self.harbor << LOCAL_BITS | NODE_ID, self.incarnation)
        message = Outgoing(None, node, UNDELIVERED, args, {}, inf, False, 0, None)
        self.send_report(OutboundReport(self, message, self.codec.encode_arguments(args, {})))
