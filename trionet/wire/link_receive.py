"""The receiving half of a link: what frames bring is told to the user, or it is a breach.

Duty: the structure of every frame, and the rules about what a peer may send when: only for sessions and
watches that are open, only from its own services, never beyond a window or a limit.
May import: the standard library, the other modules of links in trionet.wire.

Theory of operation.  A table says for each kind of frame who reads it; a kind that is not in the table is a
breach.  Which table is in use is the state of the link: before the peer's ``open`` only that, or a final
goodbye instead; then the table of the link's purpose; after the peer's final goodbye nothing.  A reader gets
the bytes in which the frame lies, where its fields begin and where it ends; for a message that came in chunks
it also gets the payload.

Of one route there are mostly many messages, so a route that was read once is known by its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from trionet.wire import link_events as events
from trionet.wire import link_frames as frames
from trionet.wire.bundle import SMALL
from trionet.wire.chunks import Assembler
from trionet.wire.credit import Credit
from trionet.wire.errors import ProtocolError
from trionet.wire.framing import LENGTH_SIZE, Spans
from trionet.wire.hellos import Purpose
from trionet.wire.link_answers import LinkAnswers
from trionet.wire.link_bundle_receive import BundleReceiver
from trionet.wire.link_events import Route
from trionet.wire.link_frames import (
    CALL_BODY,
    HALF,
    ROUTE,
    SEND_BODY,
    LinkSettings,
    exactly,
    number_of,
    numbered,
    tail,
)
from trionet.wire.link_send import MOST_ROUTES
from trionet.wire.link_times import LinkTimes
from trionet.wire.link_user import LinkUser

_Reader = Callable[[bytes, int, int, bytes | None], None]
_CALL_SIZE: Final = CALL_BODY.size
_SEND_SIZE: Final = SEND_BODY.size
_ROUTE_SIZE: Final = ROUTE.size
_READ_CALL: Final = CALL_BODY.unpack_from
_READ_SEND: Final = SEND_BODY.unpack_from
#: Bytes of control frames that may wait for a peer that makes this end send ever more of them.
MAX_CONTROL: Final = 16 * 1024 * 1024


class LinkReceiver(BundleReceiver):
    """The receiving half.

    Args:
        purpose: what the link is for.
        settings: the limits of this end.
        sender: the other half, which knows what this side opened, and gets what the peer opens.
        user: is told of what comes.
        times: the times of the link.
    """

    def __init__(
        self,
        purpose: Purpose,
        settings: LinkSettings,
        sender: LinkAnswers,
        user: LinkUser,
        times: LinkTimes,
    ) -> None:
        super().__init__(settings, sender, user)
        self._times = times
        self._called = user.called
        self._sent = user.sent
        self._routes: dict[bytes, Route] = {}
        self._outbox = sender.outbox
        self._readers: list[_Reader | None] = [None] * 256
        self._readers[frames.OPEN] = self._open
        self._readers[frames.GOODBYE] = self._goodbye
        self._next_readers = self._peer_readers() if purpose is Purpose.PEER else self._dialogue_readers()
        self._assembler = Assembler(settings.slots, settings.slot_bytes, settings.message_size)
        self._last_watch = 0
        #: What the peer told when it opened, or None.
        self.peer: LinkSettings | None = None
        #: The peer's goodbye, once it came.
        self.goodbye: events.GoodbyeReceived | None = None
        #: Sends that came, counted as the peer counts them.
        self.arrived: int = 0
        #: Calls and streams that came.
        self.opened: int = 0

    def frames(self, data: bytes, spans: Spans) -> None:
        """Read frames.

        Raises:
            ProtocolError: if one is malformed, or not allowed now; those before it were read.
        """
        for start, end in spans:
            reader = self._readers[data[start]]
            if reader is None:
                raise ProtocolError(f"a frame of kind {data[start]}, which is not allowed now")
            try:
                reader(data, start + 1, end, None)
            except struct.error:
                raise ProtocolError(f"a malformed frame of kind {data[start]}") from None

    def _peer_readers(self) -> list[_Reader | None]:
        readers = self._common_readers()
        readers[frames.ACK] = self._ack
        readers[frames.CREDIT] = self._credit
        readers[frames.WANT_CREDIT] = self._want
        readers[frames.CALL] = self._call
        readers[frames.SEND] = self._send
        readers[frames.REPLY] = self._reply
        readers[frames.FAIL] = self._fail
        readers[frames.CANCEL] = self._cancel
        readers[frames.CANCELLED] = self._cancelled
        readers[frames.STREAM] = self._stream
        readers[frames.BEGUN] = self._begun
        readers[frames.ITEMS] = self._items
        readers[frames.TAKEN] = self._taken
        readers[frames.WATCH] = self._watch
        readers[frames.UNWATCH] = self._unwatch
        readers[frames.UNWATCHED] = self._unwatched
        readers[frames.EXIT] = self._exit
        if self._message_size >= SMALL:
            readers[frames.BUNDLE] = self._bundle
        return readers

    def _dialogue_readers(self) -> list[_Reader | None]:
        readers = self._common_readers()
        readers[frames.PAYLOAD] = self._payload
        return readers

    def _common_readers(self) -> list[_Reader | None]:
        readers: list[_Reader | None] = [None] * 256
        readers[frames.HEARTBEAT] = self._heartbeat
        readers[frames.GOODBYE] = self._goodbye
        readers[frames.CHUNK_OPEN] = self._chunk_open
        readers[frames.CHUNK_DATA] = self._chunk
        readers[frames.CHUNK_ABORT] = self._chunk_abort
        return readers

    # --- messages ------------------------------------------------------------------------------------

    def _send(self, data: bytes, start: int, end: int, payload: bytes | None) -> None:
        high, low, name_size = _READ_SEND(data, start)
        route_at = start + _SEND_SIZE
        payload_at = route_at + _ROUTE_SIZE + name_size
        if payload is None and payload_at <= end:
            payload = data[payload_at:end]
        elif payload is None or payload_at != end:
            raise ProtocolError("a send of the wrong length, shorter than its fields or longer")
        key = data[route_at:payload_at]
        route = self._routes.get(key) or self._route(key)
        size = len(payload)
        self.arrived += 1
        if size > self._message_size or self.windows.charge(route.target, size):
            self._check_room(size)
        if self._sent(route, high << HALF | low if high else low, payload):
            credit = self.windows.take(route.target, 1, size)
            if credit is not None:
                self.give([credit])

    def _call(self, data: bytes, start: int, end: int, payload: bytes | None) -> None:
        session, remaining, high, low, name_size = _READ_CALL(data, start)
        route_at = start + _CALL_SIZE
        payload_at = route_at + _ROUTE_SIZE + name_size
        if payload is None and payload_at <= end:
            payload = data[payload_at:end]
        elif payload is None or payload_at != end:
            raise ProtocolError("a call of the wrong length, shorter than its fields or longer")
        if not remaining >= 0:
            raise ProtocolError("a message with a field out of range")
        key = data[route_at:payload_at]
        route = self._routes.get(key) or self._route(key)
        target, size = route.target, len(payload)
        self._open_session(session)
        if size > self._message_size or self.windows.charge(target, size):
            self._check_room(size)
        self._sender.serving[session] = (target, route.source)
        if self._called(session, route, remaining, high << HALF | low if high else low, payload):
            credit = self.windows.take(target, 1, size)
            if credit is not None:
                self.give([credit])

    def _route(self, key: bytes) -> Route:
        """Read a route, and remember it."""
        source, target = ROUTE.unpack_from(key)
        try:
            name = key[ROUTE.size :].decode()
        except UnicodeDecodeError:
            raise ProtocolError("a command whose name is no text") from None
        if (source | target) >> 24 or not name:
            raise ProtocolError("a message with a field out of range")
        if len(self._routes) >= MOST_ROUTES:
            self._routes.clear()
        self._routes[key] = route = Route(source, target, name)
        return route

    def _open_session(self, session: int) -> None:
        if session in self._sender.serving or not session:
            raise ProtocolError(f"session {session}, which is open already")
        if len(self._sender.serving) + self._outbox.answers >= self._settings.sessions:
            raise ProtocolError(f"more than {self._settings.sessions} calls at a time")
        if session > self._last_session:
            self._last_session = session
        self.opened += 1

    def _admit(self, target: int, size: int) -> None:
        if size > self._message_size or self.windows.charge(target, size):
            self._check_room(size)

    def _check_room(self, size: int) -> None:
        """Refuse a message that is too large; be rid of accounts where there are many."""
        if size > self._message_size:
            raise ProtocolError(f"a message of {size} bytes")
        self._sweep()

    def _payload(self, data: bytes, start: int, end: int, payload: bytes | None) -> None:
        if payload is None:
            payload = self._sized(tail(data, start, end))
        self._happened(events.PayloadReceived(payload))

    # --- what the peer opened ------------------------------------------------------------------------

    def _cancel(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        session = number_of(data, start, end)
        if session in self._sender.serving:
            self._happened(events.CancelReceived(session))
        elif session > self._last_session:
            raise ProtocolError(f"session {session} was cancelled, which never was")

    def _watch(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        watch, source, target = exactly(frames.WATCH_BODY, data, start, end)
        if watch <= self._last_watch or (source | target) >> 24:
            raise ProtocolError("a watch with a field out of range")
        if len(self._sender.watched) + self._outbox.ends >= self._settings.watches:
            raise ProtocolError(f"more than {self._settings.watches} watches at a time")
        self._last_watch = watch
        self._sender.watched[watch] = (target, source)
        self._happened(events.WatchReceived(watch, source, target))

    def _unwatch(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        watch = number_of(data, start, end)
        if watch > self._last_watch:
            raise ProtocolError(f"watch {watch} was left, which never was")
        if self._sender.watched.pop(watch, None) is not None:
            self._outbox.end(numbered(frames.UNWATCHED, watch))
            self._happened(events.UnwatchReceived(watch))

    # --- the link itself -----------------------------------------------------------------------------

    def _open(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        self.peer = frames.decode_settings(data, start, end)
        self._readers = self._next_readers
        self._sender.peer_opened(self.peer)
        self._happened(events.Opened(self.peer))

    def _heartbeat(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        self._times.heartbeat_came(*exactly(frames.HEARTBEAT_BODY, data, start, end))

    def _goodbye(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        (final,) = frames.GOODBYE_BODY.unpack_from(data, start)
        reason = tail(data, start + 1, end)
        if final > 1 or len(reason) > frames.MAX_REASON or not (final or self.peer):
            raise ProtocolError("a malformed goodbye")
        if final:
            self._readers = [None] * 256
        try:
            self.goodbye = events.GoodbyeReceived(reason.decode(), bool(final))
        except UnicodeDecodeError:
            raise ProtocolError("a goodbye that is no text") from None
        self._happened(self.goodbye)

    def _ack(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        self._outbox.acknowledge(number_of(data, start, end))

    def _credit(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        target, messages, size = exactly(frames.CREDIT_BODY, data, start, end)
        if self._sender.credited(target, messages, size):
            self._happened(events.CreditAvailable(target))

    def _want(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        (target,) = exactly(frames.WANT_BODY, data, start, end)
        if target >> 24:
            raise ProtocolError("a wish for credit with a field out of range")
        credit = self.windows.want(target)
        if credit is not None:
            self.give([credit])
        if self.windows.crowded or self._outbox.control_bytes > MAX_CONTROL:
            self._sweep()

    def _sweep(self) -> None:
        """Be rid of idle accounts, unless the peer provokes credit that it does not read."""
        self._check_reading()
        self.give(self.windows.sweep())

    def _check_reading(self) -> None:
        if self._outbox.control_bytes > MAX_CONTROL:
            raise ProtocolError("the peer does not read what it provokes")

    def give(self, given: list[Credit]) -> None:
        """Queue credit for the peer."""
        for target, messages, size in given:
            head = frames.CREDIT_HEAD
            length = head.size - LENGTH_SIZE
            self._outbox.control(head.pack(length, frames.CREDIT, target, messages, size))

    # --- large messages ------------------------------------------------------------------------------

    def _chunk_open(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        slot, size = frames.CHUNK_OPEN_BODY.unpack_from(data, start)
        self._assembler.open(slot, size, tail(data, start + frames.CHUNK_OPEN_BODY.size, end))

    def _chunk(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        if start >= end:
            raise ProtocolError("a chunk without a slot")
        whole = self._assembler.add(data[start], data[start + 1 : end])
        if whole is None:
            return
        head, payload = whole
        reader = self._readers[head[0]]
        if reader is None:
            raise ProtocolError(f"a large message of kind {head[0]}, which is not allowed now")
        reader(head, 1, len(head), payload)

    def _chunk_abort(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        (slot,) = exactly(frames.CHUNK_BODY, data, start, end)
        self._assembler.abort(slot)
