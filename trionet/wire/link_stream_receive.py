"""The receiving half of a link, as far as streams go: their frames become events, or a breach.

Duty: the structure of these frames, and the rules about what a peer may send of a stream when: items only
within the buffer of a stream that this side has opened, credit only for items that it was sent.
May import: the standard library, the other modules of links in trionet.wire, but not link_receive.
"""

from __future__ import annotations

import abc

from trionet.wire import link_events as events
from trionet.wire import link_frames as frames
from trionet.wire.errors import ProtocolError
from trionet.wire.link_answers import LinkAnswers
from trionet.wire.link_events import Route
from trionet.wire.link_frames import HALF, ROUTE, STREAM_BODY, LinkSettings, exactly, tail
from trionet.wire.link_streams import Inflow, Outflow
from trionet.wire.link_user import LinkUser
from trionet.wire.outbox import OpenCall


class StreamReceiver(abc.ABC):
    """The part of a receiver that reads the frames of streams; see :class:`~.link_receive.LinkReceiver`."""

    def __init__(self, settings: LinkSettings, sender: LinkAnswers, user: LinkUser) -> None:
        self._settings = settings
        self._message_size = settings.message_size
        self._sender = sender
        self._happened = user.happened
        self._last_session = 0

    @abc.abstractmethod
    def _open_session(self, session: int) -> None:
        """Check the number of a call that the peer opens."""

    @abc.abstractmethod
    def _route(self, key: bytes) -> Route:
        """Read the route of a message."""

    @abc.abstractmethod
    def _admit(self, target: int, size: int) -> None:
        """Count a message, and charge it to the window of its target."""

    @abc.abstractmethod
    def _check_reading(self) -> None:
        """Refuse what provokes frames, where the peer does not read them."""

    def _sized(self, payload: bytes) -> bytes:
        if len(payload) > self._message_size:
            raise ProtocolError(f"a message of {len(payload)} bytes")
        return payload

    # --- what the peer opened ------------------------------------------------------------------------

    def _stream(self, data: bytes, start: int, end: int, payload: bytes | None) -> None:
        session, items, size, high, low, name_size = STREAM_BODY.unpack_from(data, start)
        route_at = start + STREAM_BODY.size
        payload_at = route_at + ROUTE.size + name_size
        if payload is None:
            payload = tail(data, payload_at, end)
        elif payload_at != end:
            raise ProtocolError("a stream whose head has the wrong length")
        if not (items and size):
            raise ProtocolError("a stream without a buffer")
        route = self._route(data[route_at:payload_at])
        self._open_session(session)
        self._admit(route.target, len(payload))
        self._sender.serving[session] = (route.target, route.source)
        self._sender.outflows[session] = outflow = Outflow(items, size)
        self._happened(events.StreamReceived(session, route, high << HALF | low, payload, outflow))

    def _taken(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        session, items, size = exactly(frames.TAKEN_BODY, data, start, end)
        outflow = self._sender.outflows.get(session)
        if outflow is not None:
            outflow.credit(items, size)
            self._happened(events.ItemsTaken(session))
        elif session in self._sender.serving or session > self._last_session:
            raise ProtocolError(f"items taken of session {session}, which is no stream")

    # --- what this side opened ------------------------------------------------------------------------

    def _begun(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        (session,) = exactly(frames.NUMBER_BODY, data, start, end)
        call, inflow = self._open_stream(session)
        if inflow.has_begun:
            raise ProtocolError(f"the stream of session {session} began twice")
        inflow.has_begun = True
        if not call.abandoned:
            self._happened(events.StreamBegun(session, call.token))

    def _items(self, data: bytes, start: int, end: int, payload: bytes | None) -> None:
        session, items = frames.ITEMS_BODY.unpack_from(data, start)
        if payload is None:
            payload = self._sized(tail(data, start + frames.ITEMS_BODY.size, end))
        elif start + frames.ITEMS_BODY.size != end:
            raise ProtocolError("items whose head has the wrong length")
        call, inflow = self._open_stream(session)
        inflow.charge(items, len(payload))
        inflow.has_begun = True
        self._check_reading()
        if not call.abandoned:
            self._happened(events.ItemsReceived(session, call.token, items, payload))

    def _open_stream(self, session: int) -> tuple[OpenCall, Inflow]:
        call = self._sender.calls.get(session)
        if call is None or call.inflow is None or call.message is not None:
            raise ProtocolError(f"an item of session {session}, which is no open stream")
        return call, call.inflow
