"""Messages of this node that go out over one link, and those that wait for room on it (C2, C10).

Duty: the lines of messages, one for each receiving service.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, NoReturn

from trionet.errors import BadMessage, CallError, NodeDown, ServiceBusy
from trionet.handle import MAX_LOCAL, Handle
from trionet.kernel.dead_letters import DeadLetter
from trionet.kernel.network import Outgoing
from trionet.net.desk import NODE_ID
from trionet.net.link_end import LinkEnd
from trionet.net.outbound import Outbound, OutboundCall
from trionet.net.outbound_send import OutboundReport, OutboundSend, Sent
from trionet.net.pump import WRITE_EARLY
from trionet.net.streams import OutboundStream
from trionet.wire.link_errors import LinkBusy, LinkError, MessageTooLarge, WindowFull
from trionet.wire.link_frames import CHUNK
from trionet.wire.link_send import check_route

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor

#: Bytes that wait to be written from which on a small message joins a bundle, and has no frame of its own.
BUNDLE_FROM: Final = 1
#: Reports of undelivered messages that wait for room in the window of the other node itself, at most.
MOST_REPORTS: Final = 10_000


class Sending(LinkEnd):
    """The part of a peer that sends."""

    _lines: dict[int, OrderedDict[Outbound, None]]
    _pending_limit: int

    def offer(
        self,
        source: Actor | None,
        target: Handle,
        command: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        trace: int,
    ) -> bytes | None:
        """Hand a one-way message to the link; where there is no room now, return its encoded arguments.

        Raises:
            NodeDown: if the link is closing.
            BadMessage: if the message is larger than the other node takes.
        """
        link = self.link
        local = target.value & MAX_LOCAL
        if local in self._lines or link.outbox.queued > self._pending_limit:
            return self.codec.encode_arguments(args, kwargs)
        if self.streams.waiting:
            self.streams.gather()  # what was yielded before goes before
        source_id = 0 if source is None else source.handle.value & MAX_LOCAL
        token: Sent = (source, target, command, args, kwargs)
        if (
            link.outbox.queued < BUNDLE_FROM
            or kwargs
            or not link.send_small(source_id, local, command, args, trace, token)
        ):
            payload = self.codec.encode_arguments(args, kwargs)
            if len(payload) > CHUNK and self._is_congested(len(payload)):
                return payload
            try:
                link.send(source_id, local, command, payload, trace=trace, token=token)
            except WindowFull:
                return payload
            except LinkError as error:
                self._refuse(target, command, error)
        if link.outbox.queued >= WRITE_EARLY:
            self._pump.write()
        elif self._pump.writer is not None:
            self._pump.kick()
        return None

    def let_wait(self, message: Outgoing, payload: bytes) -> Coroutine[Any, Any, None]:
        """Let a one-way message stand in the line of its target; returns the wait for its turn."""
        send = OutboundSend(self, message, payload)
        self._stand_in_line(send)
        return send.wait_for_room()

    def call(self, message: Outgoing) -> OutboundCall:
        """Hand a call to the link, or let it stand in the line of its target; as :meth:`submit` otherwise.

        Raises:
            BadMessage: also if the arguments cannot be written.
        """
        call = OutboundCall(self, message, b"")
        link, lines = self.link, self._lines
        queued = link.outbox.queued
        if (
            not BUNDLE_FROM <= queued <= self._pending_limit
            or message.kwargs
            or (lines and message.target.value & MAX_LOCAL in lines)
            or self.streams.waiting
            or not call.transmit_small()
        ):
            call.payload = self.codec.encode_arguments(message.args, message.kwargs)
            self.submit(call)
        elif self._pump.writer is not None:
            self._pump.kick()
        return call

    def submit(self, outbound: OutboundCall | OutboundStream) -> None:
        """Hand a call to the link, or let it stand in the line of its target.

        Raises:
            NodeDown: if the link is closing.
            BadMessage: if the message is larger than the other node takes.
            ServiceBusy: if the other node takes no more calls.
        """
        size, local = len(outbound.payload), outbound.message.target.value & MAX_LOCAL
        is_easy = size <= CHUNK and self.link.outbox.queued <= self._pending_limit
        if local in self._lines or (not is_easy and self._is_congested(size)):
            self._stand_in_line(outbound)
            return
        try:
            self._transmit(outbound)
        except WindowFull:
            self._stand_in_line(outbound)
            return
        if len(self.link.calls) == 1:
            self._pump.write()  # nobody is about to join it
        elif self._pump.writer is not None:
            self._pump.kick()

    def send_report(self, report: OutboundReport) -> None:
        """Hand a report for the other node itself to the link, or let it stand in line; too many are lost."""
        if not (self.is_open and self.link.is_open):
            report.lost("the link has ended", executed=False)
            return
        line = self._lines.get(NODE_ID)
        if line is None:
            try:
                report.transmit()
            except WindowFull:
                self._stand_in_line(report)
            else:
                self._pump.kick()
        elif len(line) < MOST_REPORTS:
            self._stand_in_line(report)
        else:
            report.lost("the other node takes no more reports", executed=False)

    def _stand_in_line(self, outbound: Outbound) -> None:
        """Let a message wait for room, unless the link will never take it.

        Raises:
            BadMessage: if it is larger than the other node takes.
            NodeDown: if the link is closing.
            ValueError: if the name of its command is too long.
        """
        message = outbound.message
        check_route(NODE_ID, message.target.local, message.command)
        try:
            self.link.check_size(len(outbound.payload))
        except LinkError as error:
            self._refuse(message.target, message.command, error)
        self._lines.setdefault(message.target.local, OrderedDict())[outbound] = None

    def _is_congested(self, size: int) -> bool:
        """Tell whether too much waits for the socket; a small message does not wait for large ones (C2)."""
        outbox = self.link.outbox
        return (outbox.pending if size > CHUNK else outbox.queued) > self._pending_limit

    def _transmit(self, outbound: Outbound) -> None:
        if self.streams.waiting:
            self.streams.gather()  # what was yielded before goes before
        try:
            outbound.transmit()
        except WindowFull:
            raise
        except LinkError as error:
            self._refuse(outbound.message.target, outbound.message.command, error)

    def _refuse(self, target: Handle, command: str, error: LinkError) -> NoReturn:
        """Say in the words of callers why the link does not take a message."""
        if isinstance(error, MessageTooLarge):
            raise BadMessage(f"{command} to {target}: {error}", executed=False) from None
        if isinstance(error, LinkBusy):
            raise ServiceBusy(f"{self.describe()} takes no more: {error}", executed=False) from None
        raise NodeDown(f"the link to {self.describe()} is closing", executed=False) from None

    def lost_send(self, sent: Sent, reason: str, *, executed: bool | None) -> None:
        """The link ended before a one-way message was acknowledged: a dead letter."""
        source, target, command, args, kwargs = sent
        fate = "not delivered" if executed is False else "unknown fate"
        handle = None if source is None else source.handle
        self.node.dead_letters.add(DeadLetter(handle, target, command, args, kwargs, f"{fate}: {reason}"))

    def leave_line(self, outbound: Outbound) -> None:
        """A message no longer waits for room."""
        target = outbound.message.target.local
        line = self._lines.get(target)
        if line is not None:
            line.pop(outbound, None)
            if not line:
                del self._lines[target]

    def fill_windows(self) -> None:
        """Let messages go for which there may be room now."""
        for target in list(self._lines):
            self._fill(target)

    def _fill(self, target: int) -> None:
        """Let messages for a service go; a link that is closing has no room any more."""
        if not self.link.is_open:
            return
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
        if self._lines and self.link.outbox.queued <= self._pending_limit:
            self.fill_windows()
