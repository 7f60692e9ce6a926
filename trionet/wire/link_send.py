"""The sending half of a link: calls, sends, watches and answers become frames.

Duty: what this side opened (calls, watches), the windows it must keep, and its frames.
May import: the standard library, attrs, the other modules of links in trionet.wire, but not link_receive.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from trionet.wire.chunks import ANSWER, END, UNCOUNTED, Pair
from trionet.wire.credit import SendWindows
from trionet.wire.errors import ProtocolError
from trionet.wire.framing import LENGTH_SIZE
from trionet.wire.link_errors import LinkBusy, LinkNotOpen, MessageTooLarge, WindowFull
from trionet.wire.link_frames import (
    BARE_HEAD,
    BEGUN,
    CALL,
    CALL_HEAD,
    CANCEL,
    CANCELLED,
    EXECUTED,
    EXIT,
    FAIL,
    FAIL_HEAD,
    HALF,
    ITEMS,
    ITEMS_HEAD,
    LOWER_HALF,
    MAX_TEXT,
    NUMBER_HEAD,
    PAYLOAD,
    REPLY,
    ROUTE,
    SEND,
    SEND_HEAD,
    STREAM,
    STREAM_HEAD,
    TAKEN,
    TAKEN_HEAD,
    UNWATCH,
    WANT_CREDIT,
    WANT_HEAD,
    WATCH,
    WATCH_HEAD,
    LinkSettings,
    numbered,
)
from trionet.wire.link_streams import Inflow
from trionet.wire.outbox import OpenCall, Outbox

#: Routes that each end of a link remembers, at most.
MOST_ROUTES: Final = 1024
_NODE: Pair = (0, 0)
_CALL_SIZE = CALL_HEAD.size - LENGTH_SIZE
_SEND_SIZE = SEND_HEAD.size - LENGTH_SIZE
_STREAM_SIZE = STREAM_HEAD.size - LENGTH_SIZE
_FAIL_SIZE = FAIL_HEAD.size - LENGTH_SIZE


class LinkSender:
    """The sending half; everything raises LinkNotOpen before :meth:`open` and after :meth:`close`."""

    __slots__ = (
        "_next_session",
        "_next_watch",
        "_peer",
        "_routes",
        "_sends",
        "_windows",
        "calls",
        "leaving",
        "outbox",
        "watches",
    )

    def __init__(self) -> None:
        self.outbox: Outbox = Outbox()
        self._peer: LinkSettings | None = None
        self._windows = SendWindows(1, 1)
        self._next_session = 0
        self._next_watch = 0
        self._sends = 0
        #: Routes as they are written, of the messages that were sent last.
        self._routes: dict[tuple[int, int, str], bytes] = {}
        #: Calls without an outcome, by session.
        self.calls: dict[int, OpenCall] = {}
        #: Tokens of watches, by number.
        self.watches: dict[int, Any] = {}
        #: Watches that this side left and that the peer has not confirmed.
        self.leaving: set[int] = set()

    def open(self, peer: LinkSettings) -> None:
        """Begin to send, within the limits that the peer told."""
        self._peer = peer
        self._windows = SendWindows(peer.window_messages, peer.window_bytes)
        self.outbox.lanes.limit(peer.slots, peer.slot_bytes)

    def close(self) -> None:
        """Send no more."""
        self._peer = None

    @property
    def handed_over(self) -> int:
        """Sends, calls and streams that were ever taken."""
        return self._sends + self._next_session

    # --- messages ------------------------------------------------------------------------------------

    def call(
        self, source: int, target: int, command: str, payload: bytes, remaining: float, trace: int, token: Any
    ) -> int:
        """Open a call; see ``Link.call``."""
        route = self._routes.get((source, target, command)) or self._route(source, target, command)
        session, call = self._open_call(target, len(payload), token)
        head = CALL_HEAD.pack(
            _CALL_SIZE + len(route) + len(payload),
            CALL,
            session,
            remaining if remaining > 0 else 0.0,
            trace >> HALF,
            trace & LOWER_HALF,
            len(route) - ROUTE.size,
        )
        self.outbox.push((source, target), head + route, payload, call)
        return session

    def stream(
        self,
        source: int,
        target: int,
        command: str,
        payload: bytes,
        items: int,
        size: int,
        trace: int,
        token: Any,
    ) -> int:
        """Open a stream; see ``Link.stream``."""
        route = self._routes.get((source, target, command)) or self._route(source, target, command)
        session, call = self._open_call(target, len(payload), token)
        call.inflow = Inflow(items, size)
        head = STREAM_HEAD.pack(
            _STREAM_SIZE + len(route) + len(payload),
            STREAM,
            session,
            items,
            size,
            trace >> HALF,
            trace & LOWER_HALF,
            len(route) - ROUTE.size,
        )
        self.outbox.push((source, target), head + route, payload, call)
        return session

    def _open_call(self, target: int, size: int, token: Any) -> tuple[int, OpenCall]:
        peer = self._settings()
        if len(self.calls) >= peer.sessions:
            raise LinkBusy(f"{len(self.calls)} calls are open, as many as the peer allows")
        if size > peer.message_size:
            self._too_large(size)
        if not self._windows.charge(target, size):
            self._no_room(target, size)
        self._next_session = session = self._next_session + 1
        self.calls[session] = call = OpenCall(token, target, size)
        return session, call

    def send(self, source: int, target: int, command: str, payload: bytes, trace: int, token: Any) -> None:
        """Send a one-way message; see ``Link.send``."""
        route = self._routes.get((source, target, command)) or self._route(source, target, command)
        size = len(payload)
        peer = self._peer
        if peer is None or size > peer.message_size:
            self._too_large(size)
        if not self._windows.charge(target, size):
            self._no_room(target, size)
        length = _SEND_SIZE + len(route) + size
        high, low = trace >> HALF, trace & LOWER_HALF
        head = SEND_HEAD.pack(length, SEND, high, low, len(route) - ROUTE.size)
        self._sends += 1
        self.outbox.send((source, target), head, route, payload, token)

    def _route(self, source: int, target: int, command: str) -> bytes:
        """Write a route, and remember it."""
        name = command.encode()
        if not 0 < len(name) <= MAX_TEXT or (source | target) >> 24:
            raise ValueError(f"{command[:40]!r} from {source} to {target}: a name or local id out of range")
        if len(self._routes) >= MOST_ROUTES:
            self._routes.clear()
        self._routes[source, target, command] = route = ROUTE.pack(source, target) + name
        return route

    def has_room(self, target: int, size: int) -> bool:
        """Tell whether a message may go now; if not, ``CreditAvailable`` follows once it may."""
        self.check_size(size)
        if self._windows.has_room(target, size):
            return True
        self._want(target, size)
        return False

    def cancel(self, session: int) -> bool:
        """Cancel a call; see ``Link.cancel``."""
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
        return False

    def refund(self, target: int, size: int) -> bool:
        """Give the room of a message back that was never sent; tells whether somebody waits for it."""
        return self._windows.refund(target, size)

    def taken(self, session: int, items: int, size: int) -> None:
        """Give credit for items of a stream; see ``Link.taken``."""
        call = self.calls.get(session)
        if call is not None and call.inflow is not None:
            call.inflow.give(items, size)
            length = TAKEN_HEAD.size - LENGTH_SIZE
            self.outbox.control(TAKEN_HEAD.pack(length, TAKEN, session, items, size))

    # --- answers -------------------------------------------------------------------------------------

    def reply(self, session: int, pair: Pair, payload: bytes) -> None:
        """Send the result of a call of the peer."""
        head = NUMBER_HEAD.pack(9 + len(payload), REPLY, session)
        self.outbox.push(pair, head, payload, ANSWER)

    def fail(self, session: int, pair: Pair, code: int, executed: bool | None, payload: bytes) -> None:
        """Send the error of a call of the peer."""
        length = _FAIL_SIZE + len(payload)
        head = FAIL_HEAD.pack(length, FAIL, session, code, EXECUTED.index(executed))
        self.outbox.push(pair, head, payload, ANSWER)

    def confirm(self, session: int, pair: Pair) -> None:
        """Send that a call of the peer ended by its cancellation."""
        self.outbox.push(pair, numbered(CANCELLED, session), b"", ANSWER)

    def begun(self, session: int, pair: Pair) -> None:
        """Send that the handler of a stream of the peer has started."""
        self.outbox.push(pair, numbered(BEGUN, session), b"", UNCOUNTED)

    def items(self, session: int, pair: Pair, items: int, payload: bytes) -> None:
        """Send items of a stream of the peer."""
        head = ITEMS_HEAD.pack(ITEMS_HEAD.size - LENGTH_SIZE + len(payload), ITEMS, session, items)
        self.outbox.push(pair, head, payload, UNCOUNTED)

    def exit(self, watch: int, pair: Pair, payload: bytes) -> None:
        """Send the end of a watched service."""
        self.outbox.push(pair, numbered(EXIT, watch, len(payload)), payload, END)

    def check_size(self, size: int) -> None:
        """Refuse a payload that cannot be sent; see ``Link.check_size``."""
        peer = self._peer
        if peer is None or size > peer.message_size:
            self._too_large(size)

    # --- the rest ------------------------------------------------------------------------------------

    def watch(self, source: int, target: int, token: Any) -> int:
        """Open a watch; see ``Link.watch``."""
        peer = self._settings()
        if len(self.watches) + len(self.leaving) >= peer.watches:
            raise LinkBusy(f"{peer.watches} watches are open, as many as the peer allows")
        self._next_watch = watch = self._next_watch + 1
        self.watches[watch] = token
        self.outbox.control(WATCH_HEAD.pack(WATCH_HEAD.size - LENGTH_SIZE, WATCH, watch, source, target))
        return watch

    def unwatch(self, watch: int) -> None:
        """Leave a watch; see ``Link.unwatch``."""
        if self.watches.pop(watch, _GONE) is not _GONE:
            self.leaving.add(watch)
            self.outbox.control(numbered(UNWATCH, watch))

    def payload(self, payload: bytes) -> None:
        """Send a message of a dialogue."""
        self.check_size(len(payload))
        self.outbox.push(_NODE, BARE_HEAD.pack(1 + len(payload), PAYLOAD), payload, UNCOUNTED)

    # --- what the peer answered ----------------------------------------------------------------------

    def credited(self, target: int, messages: int, size: int) -> bool:
        """Take credit of the peer; tells whether somebody waits for it."""
        return self._windows.credit(target, messages, size)

    def ended(self, session: int) -> OpenCall:
        """Return the call that an answer of the peer ends, and forget it.

        Raises:
            ProtocolError: if this side has no such call open, or has not sent all of it.
        """
        call = self.calls.pop(session, None)
        if call is None or call.message is not None:
            raise ProtocolError(f"an answer to session {session}, which is not open")
        return call

    def exited(self, watch: int) -> Any:
        """Return the token of a watch that ended and forget it; :data:`LEFT` where this side had left it.

        Raises:
            ProtocolError: if this side has no such watch.
        """
        token = self.watches.pop(watch, _GONE)
        if token is not _GONE:
            return token
        if watch not in self.leaving:
            raise ProtocolError(f"the end of watch {watch}, which is not open")
        self.leaving.discard(watch)
        return LEFT

    def _too_large(self, size: int) -> NoReturn:
        peer = self._settings()
        raise MessageTooLarge(f"{size} bytes, the peer takes {peer.message_size}")

    def _settings(self) -> LinkSettings:
        if self._peer is None:
            raise LinkNotOpen("the link is not open")
        return self._peer

    def _no_room(self, target: int, size: int) -> NoReturn:
        self._want(target, size)
        raise WindowFull(f"the window of service {target} has no room for {size} bytes")

    def _want(self, target: int, size: int) -> None:
        if self._windows.refuse(target, size):
            self.outbox.control(WANT_HEAD.pack(WANT_HEAD.size - LENGTH_SIZE, WANT_CREDIT, target))


#: Stands for the token of a watch that this side had left before it ended.
LEFT = object()
_GONE = object()
