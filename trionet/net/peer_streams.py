"""The streams of one link: what the other node says of them, and what waits for the link's writer.

Duty: join a link's events about streams and the two kinds of streams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trionet.errors import BadMessage, CallError
from trionet.kernel.streaming import check_is_stream
from trionet.net.streams import InboundStream
from trionet.wire import link_events as events

if TYPE_CHECKING:
    from trionet.net.peer import Peer


class PeerStreams:
    """What a peer needs for streams.

    Args:
        peer: the other node.
        limit: bytes that may wait for the socket before items wait at their producers.
    """

    def __init__(self, peer: Peer, limit: int) -> None:
        self._peer = peer
        self._limit = limit
        #: Those that have something for the link's writer.
        self.waiting: dict[InboundStream, None] = {}

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """Who handles which event."""
        return {
            events.StreamReceived: self._on_stream,
            events.StreamBegun: lambda event: event.token.begun(),
            events.ItemsReceived: lambda event: event.token.came(event.items, event.payload),
            events.ItemsTaken: self._on_taken,
        }

    def gather_later(self, stream: InboundStream) -> None:
        """A stream has something for the link's writer."""
        if not self.waiting:
            self._peer.rouse()
        self.waiting[stream] = None

    def gather(self) -> None:
        """Give the link what streams have for it, as long as not too much waits for the socket."""
        link = self._peer.link
        while self.waiting and link.is_open and link.pending_bytes <= self._limit:
            stream = next(iter(self.waiting))
            del self.waiting[stream]
            stream.gather()

    def close(self) -> None:
        """The link has ended."""
        self.waiting.clear()

    def _on_stream(self, event: events.StreamReceived) -> None:
        peer, route, size = self._peer, event.route, len(event.payload)
        try:
            arguments = peer.codec.decode_arguments(event.payload)
        except BadMessage as error:
            self._refuse(event, peer.unreadable(error))
            return
        try:
            actor = peer.receiver(route.target)
            check_is_stream(actor, route.command)
            request = InboundStream(peer, route, actor, event.trace, size, arguments)
            request.open(event.session, event.outflow)
            peer.serve(event.session, request)
        except CallError as error:
            self._refuse(event, error)

    def _refuse(self, event: events.StreamReceived, error: CallError) -> None:
        self._peer.link.consumed(event.route.target, 1, len(event.payload))
        self._peer.refuse(event.session, error)

    def _on_taken(self, event: events.ItemsTaken) -> None:
        request = self._peer.serving(event.session)
        if isinstance(request, InboundStream) and request.has_room():
            request.go_on()
