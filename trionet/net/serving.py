"""What the other node says over one link: its calls and sends for services here, and its answers.

Duty: from a link's events to requests of the kernel, and from the ends of these to answers.
"""

from __future__ import annotations

from math import inf
from typing import Any

from trionet.errors import BadMessage, CallError, NoSuchService, ServiceBusy, ServiceExited
from trionet.handle import LOCAL_BITS, Handle
from trionet.kernel.declaration import Declaration
from trionet.kernel.direct import begin_here
from trionet.kernel.messaging import SLICE
from trionet.kernel.network import Outgoing
from trionet.net.desk import NODE_ID, UNDELIVERED, NodeDesk
from trionet.net.failures import decode_failure, encode_failure
from trionet.net.inbound import InboundCall, InboundSend
from trionet.net.outbound_send import OutboundReport
from trionet.net.sending import Sending
from trionet.net.streams import Awaited
from trionet.wire import link_events as events
from trionet.wire.link_errors import LinkNotOpen, MessageTooLarge
from trionet.wire.link_events import Route


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
            actor = self.node.actors.get(route.target)
            if route.target == NODE_ID:
                self._desk.asked(session, route.command, arguments[0])
                return True
            if actor is None or not actor.accepting:
                actor = self.receiver(route.target)
            request = InboundCall(self, route, actor, trace, len(payload), arguments)
            request.session = session
            request.deadline = self._pump.now + remaining
            command = self._begins_here(request)
            if command is None:
                self.serve(session, request)
            else:
                begin_here(request, command)
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
        """Answer a call with an error, unless the link has ended, or this end has said its last."""
        self._serving.pop(session, None)
        if self.link.is_open:
            self.link.fail(session, *encode_failure(error, self.codec))

    def sent(self, route: Route, trace: int, payload: bytes) -> bool:
        """A service of the other node sends to one of this; tells whether that is over with its inbox."""
        try:
            arguments = self.codec.decode_arguments(payload)
            actor = self.node.actors.get(route.target)
            if route.target == NODE_ID:
                self._desk.undelivered(arguments[0])
                return True
            if actor is None or not actor.accepting:
                actor = self.receiver(route.target)
            request = InboundSend(self, route, actor, trace, len(payload), arguments)
            command = self._begins_here(request)
            if command is None:
                self._accept(request)
                return False
            begin_here(request, command)
        except CallError as error:
            if route.target != NODE_ID:
                target = self.local_handle(route.target)
                self.report_undelivered(route.source, target, route.command, str(error))
        return True

    def _begins_here(self, request: InboundSend) -> Declaration | None:
        """The command, if its handler may begin before this task goes on (C2, C7).

        It does so for as long as a caller may go on without letting others run, and never with validators.
        """
        actor = request.target
        command = actor.commands.get(request.command)
        if command is None or request.checks or not actor.may_begin(command):
            return None
        now = self.node.stopwatch()
        if self._batch != self._pump.batch:
            self._batch, self._slice_ends = self._pump.batch, now + SLICE
        return command if now < self._slice_ends else None

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
        """Answer a call with an error."""
        self._serving.pop(session, None)
        if self.link.is_open:
            self.link.fail(session, code, executed, payload)
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
        args = (source, target, command, reason)
        node = Handle(self.harbor << LOCAL_BITS | NODE_ID, self.incarnation)
        message = Outgoing(None, node, UNDELIVERED, args, {}, inf, False, 0, None)
        self.send_report(OutboundReport(self, message, self.codec.encode_arguments(args, {})))
