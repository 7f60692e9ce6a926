"""The messages that the user of a link hands over.

Duty: the public methods of :class:`~.link.Link` that call, send, watch and answer, with their rules.
May import: the standard library, the other modules of links in trionet.wire, but not link.
"""

from __future__ import annotations

import abc
import math
from typing import Any

from trionet.wire.chunks import Pair
from trionet.wire.link_events import CreditAvailable, LinkEvent
from trionet.wire.link_send import LinkSender
from trionet.wire.link_streams import Outflow


class LinkMessages(abc.ABC):
    """The part of a link that takes messages; see :class:`~.link.Link`."""

    def __init__(self) -> None:
        self._sender = LinkSender()
        #: Calls and watches of the peer without an answer, with the pair that the answer belongs to.
        self._serving: dict[int, Pair] = {}
        self._watched: dict[int, Pair] = {}
        #: The accounts of those of these calls that are streams.
        self._outflows: dict[int, Outflow] = {}

    @abc.abstractmethod
    def _happened(self, event: LinkEvent) -> None:
        """Tell of an event that no frame of the peer brought."""

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
            AbandonedEnded; or by :meth:`close`.

        Raises:
            WindowFull: if the window has no room; ``CreditAvailable`` follows once it has.
            LinkBusy: if too many calls are open.
            MessageTooLarge: if the payload is too large.
            LinkNotOpen: if the link is not open.
            ValueError: if an id or the name is out of its range.
        """
        return self._sender.call(source, target, command, payload, remaining, trace, token)

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
        return self._sender.stream(source, target, command, payload, items, size, trace, token)

    def taken(self, session: int, items: int, size: int) -> None:
        """Give credit for items that were taken out of the buffer of a stream of this side.

        Args:
            session: the stream; one that has ended is passed over.
            items: how many.
            size: their bytes.

        Raises:
            ValueError: if it is more than what came.
        """
        self._sender.taken(session, items, size)

    def begun(self, session: int) -> None:
        """Tell that the handler of a stream of the peer has started; not needed where items are sent.

        Raises:
            KeyError: if the session is not open.
            LinkNotOpen: if the link is not open.
        """
        self._sender.check_size(0)
        self._sender.begun(session, self._serving[session])

    def items(self, session: int, items: int, payload: bytes) -> None:
        """Send items of a stream of the peer, all of which were charged to its ``outflow``.

        Args:
            session: the stream.
            items: how many; more than one only where they have at most MAX_BATCH_BYTES.
            payload: the encoded items, one after another; not copied.

        Raises:
            KeyError: if the session is not open.
            MessageTooLarge: if an item is too large.
            LinkNotOpen: if the link is not open.
        """
        self._sender.check_size(len(payload))
        self._sender.items(session, self._serving[session], items, payload)

    def send(
        self, source: int, target: int, command: str, payload: bytes, *, trace: int = 0, token: Any = None
    ) -> None:
        """Send a one-way message; arguments and errors as in :meth:`call`, ``token`` is for :meth:`close`."""
        self._sender.send(source, target, command, payload, trace, token)

    def can_send(self, target: int, size: int) -> bool:
        """Tell whether a message of ``size`` bytes has room; if not, ``CreditAvailable`` follows.

        Raises:
            MessageTooLarge: if it is too large at any time.
            LinkNotOpen: if the link is not open.
        """
        return self._sender.has_room(target, size)

    def check_size(self, size: int) -> None:
        """Refuse a payload that the peer would not take.

        Raises:
            MessageTooLarge: if it is too large.
            LinkNotOpen: if the link is not open.
        """
        self._sender.check_size(size)

    def cancel(self, session: int) -> bool:
        """Cancel a call.

        Returns:
            True if an event will tell how it ended.  False if it ended at once, because it had not been sent.

        Raises:
            KeyError: if the session is not open.
        """
        call = self._sender.calls[session]
        if self._sender.cancel(session):
            return True
        if self._sender.refund(call.target, call.size):
            self._happened(CreditAvailable(call.target))
        return False

    def abandon(self, session: int) -> None:
        """Wait no longer for a cancelled call; it stays counted until ``AbandonedEnded``.

        Raises:
            KeyError: if the session is not open.
        """
        if self.cancel(session):
            self._sender.calls[session].abandoned = True

    def reply(self, session: int, payload: bytes) -> None:
        """Answer a call of the peer with its result.

        Raises:
            KeyError: if the session is not open.
            MessageTooLarge: if the payload is too large; the session is still open then.
            LinkNotOpen: if the link is not open.
        """
        sender = self._sender
        sender.check_size(len(payload))
        pair = self._serving.pop(session)
        if self._outflows:
            self._outflows.pop(session, None)
        sender.reply(session, pair, payload)

    def fail(self, session: int, code: int, executed: bool | None, payload: bytes = b"") -> None:
        """Answer a call of the peer with an error.

        Args:
            session: the call.
            code: kind of the error, 0 to 255.
            executed: whether the handler started; None for unknown.
            payload: the encoded rest of the error.

        Raises:
            KeyError: if the session is not open.
            MessageTooLarge: if the payload is too large; the session is still open then.
            LinkNotOpen: if the link is not open.
        """
        self._sender.check_size(len(payload))
        pair = self._serving.pop(session)
        self._outflows.pop(session, None)
        self._sender.fail(session, pair, code, executed, payload)

    def confirm_cancel(self, session: int) -> None:
        """Tell the peer that a call which it cancelled has ended by that; errors as in :meth:`reply`."""
        self._sender.check_size(0)
        pair = self._serving.pop(session)
        self._outflows.pop(session, None)
        self._sender.confirm(session, pair)

    def watch(self, source: int, target: int, *, token: Any = None) -> int:
        """Watch a service of the peer until ``ExitReceived``, :meth:`unwatch` or :meth:`close`.

        Args:
            source: local id of the watcher, 0 for the node.
            target: local id of the service.
            token: comes back with the event.

        Raises:
            LinkBusy: if too many watches are open.
            LinkNotOpen: if the link is not open.
        """
        return self._sender.watch(source, target, token)

    def unwatch(self, watch: int) -> None:
        """Leave a watch; nothing is heard of it any more.  One that has ended is left already."""
        self._sender.unwatch(watch)

    def exited(self, watch: int, payload: bytes) -> None:
        """Tell the peer that a service which it watches has ended, after what that sent to the watcher.

        Args:
            watch: the watch; one that the peer has left is passed over.
            payload: the encoded reason.

        Raises:
            MessageTooLarge: if the payload is too large.
            LinkNotOpen: if the link is not open.
        """
        self._sender.check_size(len(payload))
        pair = self._watched.pop(watch, None)
        if pair is not None:
            self._sender.exit(watch, pair, payload)

    def send_payload(self, payload: bytes) -> None:
        """Send a message of the dialogue of a master or console link.

        Raises:
            MessageTooLarge: if it is too large.
            LinkNotOpen: if the link is not open.
        """
        self._sender.payload(payload)
