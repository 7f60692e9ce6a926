"""One other node, over one link: its messages for services here, and ours for services there.

Duty: the parts of it together (sending, serving, watching, streams), and what becomes of all at the end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio

from trionet.cluster_config import ClusterConfig
from trionet.handle import Handle
from trionet.kernel.request import Request
from trionet.kernel.statistics import LinkReport
from trionet.kernel.watch import Exit
from trionet.net.desk import Chain, Hops, NodeDesk
from trionet.net.inbound import InboundCall
from trionet.net.outbound import Outbound, OutboundCall
from trionet.net.peer_streams import PeerStreams
from trionet.net.pump import Pump
from trionet.net.serving import Serving
from trionet.net.streams import Awaited, OutboundStream
from trionet.net.transport import Connection
from trionet.net.watching import Watching
from trionet.wire import link_events as events
from trionet.wire.agreement import Agreement
from trionet.wire.link import Link
from trionet.wire.link_frames import LinkSettings

if TYPE_CHECKING:
    from trionet.kernel.node import Node


class Peer(Serving, Watching):
    """The node at the other end of a link."""

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
        super().__init__(node, config, agreement, make_reference)
        self._opened = opened
        self._pending_limit = config.pending_bytes
        self._lines: dict[int, OrderedDict[Outbound, None]] = {}
        self._serving: dict[int, InboundCall] = {}
        self._desk = NodeDesk(self, chain_of)
        self._watched: dict[int, Callable[[], None]] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
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
            self,
        )
        self.link: Link = self._pump.link

    def report(self, address: str) -> LinkReport:
        """Measure the link to it; ``address`` is where it listens."""
        link, pump = self.link.statistics(), self._pump
        return LinkReport(
            harbor=self.harbor,
            address=address,
            sent=link.sent,
            unacknowledged=link.unacknowledged,
            arrived=link.arrived,
            calls=link.calls,
            serving=link.serving,
            waiting=sum(map(len, self._lines.values())),
            pending_bytes=link.pending_bytes,
            bytes_sent=pump.bytes_sent,
            bytes_received=pump.bytes_received,
            silent=trio.current_time() - link.heard,
            round_trip=link.round_trip,
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
        for sends, known in ((fates.unsent, False), (fates.unknown, None)):
            for sent in sends:
                if sent is not None:  # reports between nodes have no token and are not missed
                    self.lost_send(sent, text, executed=known)
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

    # --- events --------------------------------------------------------------------------------------

    def _on_event(self, event: events.LinkEvent) -> None:
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _on_opened(self) -> None:
        self.is_open: bool = True
        self._opened(self)
