"""Messages of this node that go out over one link, and those that wait for room on it (C2, C10).

Duty: the lines of messages, one for each receiving service.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from trionet.errors import BadMessage, CallError, NodeDown, ServiceBusy
from trionet.kernel.traces import LARGEST_ID
from trionet.net.link_end import LinkEnd
from trionet.net.outbound import Outbound, OutboundCall
from trionet.net.streams import OutboundStream
from trionet.wire.link_errors import LinkBusy, LinkNotOpen, MessageTooLarge, WindowFull
from trionet.wire.link_frames import CHUNK

if TYPE_CHECKING:
    from trionet.kernel.network import Outgoing


class Sending(LinkEnd):
    """The part of a peer that sends."""

    _lines: dict[int, OrderedDict[Outbound, None]]
    _pending_limit: int

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
        if self.try_submit(outbound):
            return True
        self._lines.setdefault(outbound.message.target.local, OrderedDict())[outbound] = None
        return False

    def try_submit(self, outbound: Outbound) -> bool:
        """Hand a message to the link if there is room; errors as in :meth:`submit`."""
        if not self.is_open:
            raise NodeDown(f"the link to {self.describe()} has ended", executed=False)
        if outbound.message.target.local in self._lines or self._is_congested(len(outbound.payload)):
            return False
        try:
            self._transmit(outbound)
        except WindowFull:
            return False
        if isinstance(outbound, OutboundCall) and self.link.calls == 1:
            self._pump.write()  # nobody is about to join it
        else:
            self._pump.kick()
        return True

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
