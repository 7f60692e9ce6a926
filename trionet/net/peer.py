"""One other node, over one link: its messages for services here, and ours for services there.

Duty: join a link's events and the kernel; the lines of messages that wait for room.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, cast

import trio

from trionet.cluster_config import ClusterConfig
from trionet.errors import BadMessage, CallError, NodeDown, NoSuchService, ServiceBusy, ServiceExited
from trionet.handle import Handle
from trionet.kernel.context import current_actor
from trionet.kernel.direct import run_here
from trionet.kernel.messaging import SLICE
from trionet.kernel.network import Outgoing
from trionet.kernel.request import Request
from trionet.kernel.statistics import LinkReport
from trionet.kernel.traces import LARGEST_ID
from trionet.kernel.watch import Exit, Reason
from trionet.net.desk import NODE_ID, UNDELIVERED, Chain, Hops, NodeDesk
from trionet.net.failures import decode_failure, encode_failure
from trionet.net.inbound import InboundCall, InboundSend
from trionet.net.outbound import Outbound, OutboundCall, OutboundSend
from trionet.net.peer_streams import PeerStreams
from trionet.net.pump import Pump
from trionet.net.streams import Awaited, OutboundStream
from trionet.net.transport import Connection
from trionet.wire import link_events as events
from trionet.wire.agreement import Agreement
from trionet.wire.codec import Codec
from trionet.wire.link import Link
from trionet.wire.link_errors import LinkBusy, LinkNotOpen, MessageTooLarge
from trionet.wire.link_frames import CHUNK, LinkSettings

if TYPE_CHECKING:
    from trionet.kernel.node import Node

_log = logging.getLogger("trionet.link")

_REASONS: Final = ("stopped", "failed", "killed", "node down", "gone")


class Peer:
    """The node at the other end of a link.

    Attributes:
        harbor: its harbor id.
        incarnation: its incarnation.
        is_open: whether both ends said open, and the link has not ended.
    """

    def __init__(
        self,
        node: Node,
        config: ClusterConfig,
        connection: Connection,
        agreement: Agreement,
        make_reference: Callable[[Handle | str, str | None], object],
        opened: Callable[[Peer], None],
        chain_of: Callable[[Request, Hops], Awaitable[Chain]],
    ) -> None:
        self.node = node
        self.harbor: int = agreement.peer.harbor
        self.incarnation: int = agreement.peer.incarnation
        self.cancel_grace: float = config.cancel_grace
        self.codec: Codec = Codec(node.limits, make_reference)
        self.is_open: bool = False
        self._batch = 0
        self._slice_ends = 0.0
        self._opened = opened
        self._pending_limit = config.pending_bytes
        self._lines: dict[int, OrderedDict[Outbound, None]] = {}
        self._serving: dict[int, InboundCall] = {}
        self._desk = NodeDesk(self, chain_of)
        self._watched: dict[int, Callable[[], None]] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            events.CallReceived: self._on_call,
            events.SendReceived: self._on_send,
            events.ReplyReceived: self._on_reply,
            events.FailureReceived: self._on_failure,
            events.CancelConfirmed: lambda event: event.token.cancel_confirmed(),
            events.CancelReceived: self._on_cancel,
            events.CreditAvailable: lambda event: self._fill(event.target),
            events.WatchReceived: self._on_watch,
            events.UnwatchReceived: self._on_unwatch,
            events.ExitReceived: self._on_exit,
        }
        settings = LinkSettings(
            window_messages=config.window_messages,
            window_bytes=config.window_bytes,
            message_size=self.codec.max_bytes,
            slot_bytes=max(4 * node.limits.size, self.codec.max_bytes),
            heartbeat=config.heartbeat,
            heartbeat_timeout=config.heartbeat_timeout,
            ack_delay=min(1.0, config.heartbeat),
        )
        self.streams: PeerStreams = PeerStreams(self, self._pending_limit)
        self._handlers |= self.streams.handlers()
        self._pump = Pump(
            connection,
            agreement,
            settings,
            self._on_event,
            self._on_drained,
            self._on_opened,
            self.streams.gather,
        )

    @property
    def link(self) -> Link:
        """The machine of the link."""
        return self._pump.link

    def describe(self) -> str:
        """Who it is, for error texts and logs."""
        return f"harbor {self.harbor}"

    def report(self, address: str) -> LinkReport:
        """Measure the link to it; ``address`` is where it listens."""
        link, pump = self.link.statistics(), self._pump
        return LinkReport(
            harbor=self.harbor,
            address=address,
            sent=link.sent,
            unacknowledged=link.sent - link.acknowledged,
            arrived=link.arrived,
            calls=link.calls,
            serving=link.serving,
            waiting=sum(map(len, self._lines.values())),
            pending_bytes=link.pending_bytes,
            bytes_sent=pump.bytes_sent,
            bytes_received=pump.bytes_received,
            silent=trio.current_time() - link.heard,
        )

    async def run(self) -> str:
        """Serve the link until it ends, and tell everybody who waits on it; returns the reason.

        Cancellation: ends the link at once.
        """
        try:
            return await self._pump.run()
        finally:
            self.is_open = False
            if self._pump.fates is not None:
                self._settle(self._pump.reason, self._pump.fates)

    def end(self, reason: str) -> None:
        """End the link at once."""
        self._pump.end(reason)

    async def finish(self, reason: str) -> None:
        """Send what is queued and a goodbye, then end the link."""
        await self._pump.finish(reason)

    def announce_goodbye(self, reason: str) -> None:
        """Tell the other node that this one is about to leave."""
        if self.is_open and self.link.is_open:
            self.link.goodbye(reason)
            self._pump.kick()

    def kick(self) -> None:
        """Have written what is queued."""
        self._pump.kick()

    def rouse(self) -> None:
        """Have gathered, and then written, what streams have for the link."""
        self._pump.rouse()

    def _settle(self, reason: str, fates: events.LinkFates) -> None:
        text = f"the link to {self.describe()} ended: {reason}"
        for line in list(self._lines.values()):
            for outbound in list(line):
                outbound.lost(text, executed=False)
        self._lines.clear()
        for call, executed in fates.calls:
            call.lost(text, executed=executed)
        for send in fates.unsent:
            _lost(send, text, executed=False)
        for send in fates.unknown:
            _lost(send, text, executed=None)
        for handle, tell in fates.watches:
            tell(Exit(handle, "node down"))
        for request in list(self._serving.values()):
            request.forget()
        self._serving.clear()
        self.streams.close()
        self._desk.close()
        for leave in self._watched.values():
            leave()
        self._watched.clear()

    # --- messages that go out ------------------------------------------------------------------------

    def encode(self, message: Outgoing) -> bytes:
        """Write the arguments of a message.

        Raises:
            BadMessage: if they are too large.
        """
        return self.codec.encode_arguments(message.args, message.kwargs)

    def encode_trace(self, trace: int) -> bytes:
        """Write the number of a call chain; those that are recorded have a longer one."""
        return trace.to_bytes(8 if trace <= LARGEST_ID else 16, "big")

    def submit(self, outbound: Outbound) -> bool:
        """Hand a message to the link, or let it stand in the line of its target; tell which.

        Raises:
            NodeDown: if the link has ended.
            BadMessage: if the message is larger than the other node takes.
            ServiceBusy: if the other node takes no more calls.
        """
        if not self.is_open:
            raise NodeDown(f"the link to {self.describe()} has ended", executed=False)
        target = outbound.message.target.local
        line = self._lines.get(target)
        if line is None and self.has_room(target, len(outbound.payload)):
            self._transmit(outbound)
            if self.link.calls == 1 and isinstance(outbound, OutboundCall):
                self._pump.write()  # nobody is about to join it
            else:
                self._pump.kick()
            return True
        self._lines.setdefault(target, OrderedDict())[outbound] = None
        return False

    def has_room(self, target: int, size: int) -> bool:
        """Tell whether a message would go to the link at once.

        Raises:
            NodeDown: if the link is closing.
        """
        if target in self._lines or self._is_congested(size):
            return False
        try:
            return self.link.can_send(target, size)
        except LinkNotOpen:
            raise NodeDown(f"the link to {self.describe()} is closing", executed=False) from None

    def _is_congested(self, size: int) -> bool:
        """Tell whether too much waits for the socket; a small message does not wait for large ones (C2)."""
        ahead = self.link.pending_bytes if size > CHUNK else self.link.queued_bytes
        return ahead > self._pending_limit

    def _transmit(self, outbound: Outbound) -> None:
        target = outbound.message.target
        if self.streams.has_items:
            self.streams.gather()  # what was yielded before goes before
        try:
            outbound.transmit()
        except MessageTooLarge as error:
            raise BadMessage(f"{outbound.message.command} to {target}: {error}", executed=False) from None
        except LinkBusy as error:
            raise ServiceBusy(f"{self.describe()} takes no more: {error}", executed=False) from None
        except LinkNotOpen:
            raise NodeDown(f"the link to {self.describe()} is closing", executed=False) from None

    def leave_line(self, outbound: Outbound) -> None:
        """A message no longer waits for room."""
        target = outbound.message.target.local
        line = self._lines.get(target)
        if line is not None:
            line.pop(outbound, None)
            if not line:
                del self._lines[target]

    def fill_windows(self) -> None:
        """Let messages go for which there may be room now; a link that is closing has none any more."""
        if self.link.is_open:
            for target in list(self._lines):
                self._fill(target)

    def _fill(self, target: int) -> None:
        line = self._lines.get(target)
        while line:
            outbound = next(iter(line))
            size = len(outbound.payload)
            if self._is_congested(size) or not self.link.can_send(target, size):
                break
            del line[outbound]
            self._transmit_waiting(outbound)
        if not line:
            self._lines.pop(target, None)
        self._pump.kick()

    def _transmit_waiting(self, outbound: Outbound) -> None:
        try:
            self._transmit(outbound)
        except CallError as error:
            if isinstance(outbound, OutboundCall | OutboundStream):
                outbound.fail(error, [])
            else:
                outbound.lost(str(error), executed=False)

    def _on_drained(self) -> None:
        if self._lines and self.link.queued_bytes <= self._pending_limit:
            self.fill_windows()

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

    # --- what is under way ---------------------------------------------------------------------------

    def waiting(self) -> list[Awaited]:
        """What somebody here waits for at the other node: calls, and streams that have nothing at present."""
        lines = [each for line in self._lines.values() for each in line]
        return [
            each
            for each in lines + self.link.waiting()
            if isinstance(each, OutboundCall) or (isinstance(each, OutboundStream) and each.is_awaited)
        ]

    def consuming(self, session: int) -> OutboundStream | None:
        """The stream of the other node with that session, if it is open."""
        streams = (each for each in self.link.waiting() if isinstance(each, OutboundStream))
        return next((each for each in streams if each.session == session), None)

    def serving(self, session: int) -> InboundCall | None:
        """The call of the other node with that session, if it has no answer yet."""
        return self._serving.get(session)

    def watch(self, handle: Handle, tell: Callable[[Exit], None]) -> Callable[[], None]:
        """Watch a service of the other node; returns what ends the watch.

        Who watches is the service of the current task, so that it is told after what was sent to it (C15).
        """
        watcher = current_actor.get()
        source = NODE_ID if watcher is None else watcher.handle.local
        try:
            watch = self.link.watch(source, handle.local, token=(handle, tell))
        except (LinkNotOpen, LinkBusy):
            tell(Exit(handle, "node down"))
            return lambda: None
        self._pump.kick()

        def leave() -> None:
            if self.is_open and self.link.is_open:
                self.link.unwatch(watch)
                self._pump.kick()

        return leave

    # --- events --------------------------------------------------------------------------------------

    def _on_event(self, event: events.LinkEvent) -> None:
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _on_opened(self) -> None:
        self.is_open = True
        self._opened(self)

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

    def local_handle(self, local: int) -> Handle:
        """The handle of a service of this node."""
        return Handle.make(self.node.harbor, local, self.node.incarnation)

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

    def _on_watch(self, event: events.WatchReceived) -> None:
        actor = self.node.actors.get(event.target)
        watch = event.watch

        def tell(exit_: Exit) -> None:
            self._watched.pop(watch, None)
            if self.link.is_open:
                self.link.exited(watch, self.codec.encode([exit_.reason, exit_.error]))
                self._pump.kick()

        if actor is None:
            tell(self.node.remembered_exit(self.local_handle(event.target)))
        else:
            self._watched[watch] = actor.watch(tell)

    def _on_unwatch(self, event: events.UnwatchReceived) -> None:
        leave = self._watched.pop(event.watch, None)
        if leave is not None:
            leave()

    def _on_exit(self, event: events.ExitReceived) -> None:
        handle, tell = event.token
        reason: Reason = "gone"
        text: str | None = None
        try:
            content, _ = self.codec.decode(event.payload)
        except BadMessage:
            content = None
        if isinstance(content, list) and len(content) == 2 and content[0] in _REASONS:
            reason = content[0]
            text = content[1] if isinstance(content[1], str) else None
        tell(Exit(handle, reason, text))


def _lost(send: OutboundSend | None, text: str, *, executed: bool | None) -> None:
    """A send of a service; reports between nodes have no token and are not missed."""
    if send is not None:
        send.lost(text, executed=executed)
