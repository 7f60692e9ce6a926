"""What the other node says over one link: its calls and sends for services here, and its answers.

Duty: from a link's events to requests of the kernel, and from the ends of these to answers.
"""

from __future__ import annotations

import logging
from typing import Any, cast

import trio

from trionet.errors import BadMessage, CallError, NoSuchService, ServiceBusy, ServiceExited
from trionet.handle import Handle
from trionet.kernel.direct import run_here
from trionet.kernel.messaging import SLICE
from trionet.net.desk import NODE_ID, UNDELIVERED, NodeDesk
from trionet.net.failures import decode_failure, encode_failure
from trionet.net.inbound import InboundCall, InboundSend
from trionet.net.link_end import LinkEnd
from trionet.net.streams import Awaited
from trionet.wire import link_events as events
from trionet.wire.link_errors import LinkNotOpen, MessageTooLarge

_log = logging.getLogger("trionet.link")


class Serving(LinkEnd):
    """The part of a peer that serves the other node."""

    _serving: dict[int, InboundCall]
    _desk: NodeDesk
    _batch = 0
    _slice_ends = 0.0

    def _on_call(self, event: events.CallReceived) -> None:
        request: InboundCall | None = None
        try:
            args, kwargs, checks = self.arguments(event.payload)
            if event.target == NODE_ID:
                self._desk.asked(event.session, event.command, args)
                self.link.consumed(NODE_ID, 1, len(event.payload))
                return
            actor = self.receiver(event.target)
            trace = int.from_bytes(event.trace[:16], "big")
            request = InboundCall(self, event.source, actor, event.command, trace, len(event.payload))
            request.begin(event.session, trio.current_time() + event.remaining)
            request.args, request.kwargs, request.checks = args, kwargs, checks
            if self._runs_here(request):
                self._serving[event.session] = request
                self._run_here(request)
            else:
                self.serve(event.session, request)
        except CallError as error:
            self.refuse(event.session, event.target, len(event.payload), error)
        else:
            if request.watches_time and request.is_open():
                self.node.deadlines.add(request)
        finally:
            self.link.delivered()

    def serve(self, session: int, request: InboundCall) -> None:
        """Put a call of the other node into the inbox of its target.

        Raises:
            ServiceBusy: if there is no room and the service rejects what finds none.
        """
        self._serving[session] = request
        self._accept(request)

    def refuse(self, session: int, target: int, size: int, error: CallError) -> None:
        """Answer a call with an error, unless the link has ended, or this end has said its last."""
        self._serving.pop(session, None)
        self.link.consumed(target, 1, size)
        if self.link.is_open:
            self.link.fail(session, *encode_failure(error, self.codec))

    def _on_send(self, event: events.SendReceived) -> None:
        try:
            args, kwargs, checks = self.arguments(event.payload)
            if event.target == NODE_ID:
                self._desk.undelivered(args)
                self.link.consumed(event.target, 1, len(event.payload))
                return
            actor = self.receiver(event.target)
            trace = int.from_bytes(event.trace[:16], "big")
            request = InboundSend(self, event.source, actor, event.command, trace, len(event.payload))
            request.args, request.kwargs, request.checks = args, kwargs, checks
            if self._runs_here(request):
                self._run_here(request)
            else:
                self._accept(request)
        except CallError as error:
            self.link.consumed(event.target, 1, len(event.payload))
            if event.target != NODE_ID:
                target = self.local_handle(event.target)
                self.report_undelivered(event.source, target, event.command, str(error))
        finally:
            self.link.delivered()

    def _runs_here(self, request: InboundSend) -> bool:
        """Tell whether the link's own task may run the handler, which neither waits nor is to wait (C2, C7).

        It does so for as long as a caller may go on without letting others run, and never with validators.
        """
        declared = request.target.commands.get(request.command)
        if declared is None or not declared.inline or declared.is_async or request.checks:
            return False
        now = self.node.stopwatch()
        if self._batch != self._pump.batch:
            self._batch, self._slice_ends = self._pump.batch, now + SLICE
        return now < self._slice_ends and request.target.is_idle()

    def _run_here(self, request: InboundSend) -> None:
        request.left_inbox()
        run_here(request, request.target.commands[request.command])

    def arguments(self, payload: bytes) -> tuple[tuple[Any, ...], dict[str, Any], list[object]]:
        """Read the arguments of a message, and the instances in them that have validators.

        Raises:
            BadMessage: if they are malformed.
        """
        content, checks = self.codec.decode(payload)
        if not (isinstance(content, list) and len(content) == 2 and isinstance(content[0], list)):
            raise BadMessage("the arguments are no pair of list and dict", executed=False)
        args, kwargs = content
        if not isinstance(kwargs, dict) or (kwargs and not all(isinstance(key, str) for key in kwargs)):
            raise BadMessage("the arguments by name are no dict with keys of str", executed=False)
        return tuple(args), kwargs, checks

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

    def _on_reply(self, event: events.ReplyReceived) -> None:
        call = cast(Awaited, event.token)
        try:
            value, checks = self.codec.decode(event.payload)
        except BadMessage as error:
            call.fail(BadMessage(f"the result could not be read: {error}", executed=True), [])
        else:
            call.succeed(value, checks)

    def _on_failure(self, event: events.FailureReceived) -> None:
        call = cast(Awaited, event.token)
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
        if self._serving.pop(session, None) is not None:
            try:
                self.link.reply(session, payload)
            except MessageTooLarge as error:
                self.link.fail(
                    session, *encode_failure(BadMessage(f"the result: {error}", executed=True), self.codec)
                )
            except LinkNotOpen:
                return
            self._pump.kick()

    def fail(self, session: int, code: int, executed: bool | None, payload: bytes) -> None:
        """Answer a call with an error."""
        if self._serving.pop(session, None) is not None and self.link.is_open:
            self.link.fail(session, code, executed, payload)
            self._pump.kick()

    def confirm_cancel(self, session: int) -> None:
        """Tell that a cancelled call is over."""
        if self._serving.pop(session, None) is not None and self.link.is_open:
            self.link.confirm_cancel(session)
            self._pump.kick()

    def answer(self, session: int, value: Any) -> None:
        """Answer what the other node asked of this one."""
        if self.link.is_open:
            self.link.reply(session, self.codec.encode(value))
            self._pump.kick()

    def consumed(self, target: int, size: int, *, at_once: bool = False) -> None:
        """A message left an inbox: its sender's window has room again."""
        if self.is_open:
            self.link.consumed(target, 1, size, at_once=at_once)
            self._pump.kick()

    def report_undelivered(self, source: int, target: Handle, command: str, reason: str) -> None:
        """Tell the other node that a message which it sent reached nobody."""
        payload = self.codec.encode([[source, target, command, reason], {}])
        if self.is_open and self.link.is_open and self.link.can_send(NODE_ID, len(payload)):
            self.link.send(NODE_ID, NODE_ID, UNDELIVERED, payload)
            self._pump.kick()
        else:
            _log.warning("dead letter of %s: %s to %s: %s", self.describe(), command, target, reason)
