"""The sending half of a link: calls and sends become frames.

Duty: what this side calls and sends, and the windows that it must keep.
May import: the standard library, attrs, the other modules of links in trionet.wire, but not link_receive.
"""

from __future__ import annotations

import abc
import math
from typing import Any, Final, NoReturn

from trionet.wire.credit import SendWindows
from trionet.wire.errors import ProtocolError
from trionet.wire.framing import LENGTH_SIZE
from trionet.wire.link_errors import LinkBusy, LinkNotOpen, MessageTooLarge, WindowFull
from trionet.wire.link_events import CreditAvailable, LinkEvent
from trionet.wire.link_frames import (
    CALL,
    CALL_HEAD,
    CANCEL,
    HALF,
    LOWER_HALF,
    MAX_TEXT,
    ROUTE,
    SEND,
    SEND_HEAD,
    STREAM,
    STREAM_HEAD,
    TAKEN,
    TAKEN_HEAD,
    WANT_CREDIT,
    WANT_HEAD,
    LinkSettings,
    numbered,
)
from trionet.wire.link_streams import Inflow
from trionet.wire.outbox import OpenCall, Outbox

#: Routes that each end of a link remembers, at most.
MOST_ROUTES: Final = 1024
_CALL_SIZE: Final = CALL_HEAD.size - LENGTH_SIZE
_SEND_SIZE: Final = SEND_HEAD.size - LENGTH_SIZE
_STREAM_SIZE: Final = STREAM_HEAD.size - LENGTH_SIZE
_NAME_AT: Final = ROUTE.size


class LinkSender(abc.ABC):
    """The part of a link that calls and sends; see :class:`~.link.Link`.

    Attributes:
        outbox: what waits for ``Link.data_to_send``; only to be looked at.
        calls: calls and streams of this side that have no outcome yet, by session; only to be looked at.
    """

    def __init__(self) -> None:
        self.outbox: Outbox = Outbox()
        self.calls: dict[int, OpenCall] = {}
        self._limits: LinkSettings | None = None
        self._windows = SendWindows(1, 1)
        self._next_session = 0
        self._sends = 0
        #: Routes as they are written, of the messages that were sent last.
        self._routes: dict[tuple[int, int, str], bytes] = {}

    @abc.abstractmethod
    def _happened(self, event: LinkEvent) -> None:
        """Tell of an event that no frame of the peer brought."""

    def peer_opened(self, limits: LinkSettings) -> None:
        """Begin to send, within the limits that the peer told."""
        self._limits = limits
        self._windows = SendWindows(limits.window_messages, limits.window_bytes)
        self.outbox.lanes.limit(limits.slots, limits.slot_bytes)

    # --- messages ------------------------------------------------------------------------------------

    def call(
        self,
        source: int,
        target: int,
        command: str,
        payload: bytes,
        *,
        remaining: float = math.inf,
        trace: int = 0,
        token: Any = None,
    ) -> int:
        """Call a service of the peer.

        Args:
            source: local id of the caller, 0 for the node.
            target: local id of the service.
            command: the command's name, at most 255 bytes of UTF-8.
            payload: the encoded arguments; not copied.
            remaining: seconds that are left until the caller's deadline; infinite for none.
            trace: the number of the call chain, at most 128 bits.
            token: comes back with the outcome.

        Returns:
            The session.  It ends by exactly one of: ``LinkUser.replied``, FailureReceived, CancelConfirmed,
            AbandonedEnded; or by ``Link.close``.

        Raises:
            WindowFull: if the window has no room; ``CreditAvailable`` follows once it has.
            LinkBusy: if too many calls are open.
            MessageTooLarge: if the payload is too large.
            LinkNotOpen: if the link is not open.
            ValueError: if an id or the name is out of its range.
        """
        route = self._routes.get((source, target, command)) or self._route(source, target, command)
        size = len(payload)
        call = self._open_call(target, size, token)
        session = self._next_session
        head = CALL_HEAD.pack(
            _CALL_SIZE + len(route) + size,
            CALL,
            session,
            remaining if remaining > 0 else 0.0,
            trace >> HALF,
            trace & LOWER_HALF,
            len(route) - _NAME_AT,
        )
        self.outbox.push((source, target), head + route, payload, call)
        return session

    def stream(
        self,
        source: int,
        target: int,
        command: str,
        payload: bytes,
        *,
        items: int,
        size: int,
        trace: int = 0,
        token: Any = None,
    ) -> int:
        """Open a stream of a service of the peer; it is a call that brings items before it ends.

        Raises, Returns: as :meth:`call`.

        Args:
            source: local id of the consumer, 0 for the node.
            target: local id of the service.
            command: the stream's name.
            payload: the encoded arguments; not copied.
            items: how many items the buffer holds.
            size: bytes of items from which on it gets no more.
            trace: the number of the call chain, at most 128 bits.
            token: comes back with each event of the stream.
        """
        route = self._routes.get((source, target, command)) or self._route(source, target, command)
        call = self._open_call(target, len(payload), token)
        call.inflow = Inflow(items, size)
        session = self._next_session
        head = STREAM_HEAD.pack(
            _STREAM_SIZE + len(route) + len(payload),
            STREAM,
            session,
            items,
            size,
            trace >> HALF,
            trace & LOWER_HALF,
            len(route) - _NAME_AT,
        )
        self.outbox.push((source, target), head + route, payload, call)
        return session

    def send(
        self, source: int, target: int, command: str, payload: bytes, *, trace: int = 0, token: Any = None
    ) -> None:
        """Send a one-way message; as :meth:`call` does, but ``token`` is for ``Link.close`` only."""
        route = self._routes.get((source, target, command)) or self._route(source, target, command)
        size = len(payload)
        limits = self._limits
        if limits is None or size > limits.message_size:
            self._refuse(size)
        if not self._windows.charge(target, size):
            self._no_room(target, size)
        self._sends += 1
        names = len(route)
        high, low = trace >> HALF, trace & LOWER_HALF
        head = SEND_HEAD.pack(_SEND_SIZE + names + size, SEND, high, low, names - _NAME_AT)
        self.outbox.send((source, target), head, route, payload, token)

    def can_send(self, target: int, size: int) -> bool:
        """Tell whether a message of ``size`` bytes has room; if not, ``CreditAvailable`` follows.

        Raises:
            MessageTooLarge: if it is too large at any time.
            LinkNotOpen: if the link is not open.
        """
        self.check_size(size)
        if self._windows.has_room(target, size):
            return True
        self._want(target, size)
        return False

    def check_size(self, size: int) -> None:
        """Refuse a payload that the peer would not take.

        Raises:
            MessageTooLarge: if it is too large.
            LinkNotOpen: if the link is not open.
        """
        limits = self._limits
        if limits is None or size > limits.message_size:
            self._refuse(size)

    def cancel(self, session: int) -> bool:
        """Cancel a call.

        Returns:
            True if an event will tell how it ended.  False if it ended at once, because it had not been sent.

        Raises:
            KeyError: if the session is not open.
        """
        call = self.calls[session]
        if call.cancelled:
            return True
        if call.message is None:
            call.cancelled = True
            self.outbox.control(numbered(CANCEL, session))
            return True
        del self.calls[session]
        self.outbox.take_back(call.message)
        call.message = None
        if self._windows.refund(call.target, call.size):
            self._happened(CreditAvailable(call.target))
        return False

    def abandon(self, session: int) -> None:
        """Wait no longer for a cancelled call; it stays counted until ``AbandonedEnded``.

        Raises:
            KeyError: if the session is not open.
        """
        if self.cancel(session):
            self.calls[session].abandoned = True

    def taken(self, session: int, items: int, size: int) -> None:
        """Give credit for items that were taken out of the buffer of a stream of this side.

        Args:
            session: the stream; one that has ended is passed over.
            items: how many.
            size: their bytes.

        Raises:
            ValueError: if it is more than what came.
        """
        call = self.calls.get(session)
        if call is not None and call.inflow is not None:
            call.inflow.give(items, size)
            length = TAKEN_HEAD.size - LENGTH_SIZE
            self.outbox.control(TAKEN_HEAD.pack(length, TAKEN, session, items, size))

    # --- what the peer answered ----------------------------------------------------------------------

    def credited(self, target: int, messages: int, size: int) -> bool:
        """Take credit of the peer; tells whether somebody waits for it."""
        return self._windows.credit(target, messages, size)

    def call_ended(self, session: int) -> OpenCall:
        """Return the call that an answer of the peer ends, and forget it.

        Raises:
            ProtocolError: if this side has no such call open, or has not sent all of it.
        """
        call = self.calls.pop(session, None)
        if call is None or call.message is not None:
            raise ProtocolError(f"an answer to session {session}, which is not open")
        return call

    # --- within --------------------------------------------------------------------------------------

    def _open_call(self, target: int, size: int, token: Any) -> OpenCall:
        """Count a call, the session of which is then the latest."""
        limits = self._limits
        if limits is None or size > limits.message_size:
            self._refuse(size)
        if len(self.calls) >= limits.sessions:
            raise LinkBusy(f"{len(self.calls)} calls are open, as many as the peer allows")
        if not self._windows.charge(target, size):
            self._no_room(target, size)
        self._next_session = session = self._next_session + 1
        self.calls[session] = call = OpenCall(token, target, size)
        return call

    def _route(self, source: int, target: int, command: str) -> bytes:
        """Write a route, and remember it."""
        name = check_route(source, target, command)
        if len(self._routes) >= MOST_ROUTES:
            self._routes.clear()
        self._routes[source, target, command] = route = ROUTE.pack(source, target) + name
        return route

    def _refuse(self, size: int) -> NoReturn:
        limits = self._open_limits()
        raise MessageTooLarge(f"{size} bytes, the peer takes {limits.message_size}")

    def _open_limits(self) -> LinkSettings:
        if self._limits is None:
            raise LinkNotOpen("the link is not open")
        return self._limits

    def _no_room(self, target: int, size: int) -> NoReturn:
        self._want(target, size)
        raise WindowFull(f"the window of service {target} has no room for {size} bytes")

    def _want(self, target: int, size: int) -> None:
        if self._windows.refuse(target, size):
            self.outbox.control(WANT_HEAD.pack(WANT_HEAD.size - LENGTH_SIZE, WANT_CREDIT, target))


def check_route(source: int, target: int, command: str) -> bytes:
    """Return the name of the command as it is written.

    Raises:
        ValueError: if an id or the name is out of its range.
    """
    name = command.encode()
    if not 0 < len(name) <= MAX_TEXT or (source | target) >> 24:
        raise ValueError(f"{command[:40]!r} from {source} to {target}: a name or local id out of range")
    return name
