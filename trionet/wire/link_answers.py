"""What a link answers to the peer, and the watches of both sides.

Duty: results, errors, items and ends become frames; each call and each watch of the peer is answered once.
May import: the standard library, the other modules of links in trionet.wire, but not link_receive.
"""

from __future__ import annotations

from typing import Any, Final

from trionet.wire.bundle import SMALL, size_of
from trionet.wire.chunks import ANSWER, END, UNCOUNTED, Pair
from trionet.wire.errors import ProtocolError
from trionet.wire.framing import LENGTH_SIZE
from trionet.wire.link_errors import LinkBusy
from trionet.wire.link_frames import (
    BARE_HEAD,
    BEGUN,
    CANCELLED,
    EXECUTED,
    EXIT,
    FAIL,
    FAIL_HEAD,
    ITEMS,
    ITEMS_HEAD,
    NUMBER_HEAD,
    PAYLOAD,
    REPLY,
    UNWATCH,
    WATCH,
    WATCH_HEAD,
    numbered,
)
from trionet.wire.link_small_send import SmallSender
from trionet.wire.link_streams import Outflow

_NODE: Final[Pair] = (0, 0)
_NUMBER_SIZE: Final = NUMBER_HEAD.size - LENGTH_SIZE


class LinkAnswers(SmallSender):
    """The part of a link that answers; see :class:`~.link.Link`.

    Attributes:
        serving: calls of the peer without an answer, with the pair that the answer belongs to.
        outflows: the accounts of those of these calls that are streams.
        watched: watches of the peer without an answer, with the pair that the answer belongs to.
        watches: tokens of the watches of this side, by number.
    """

    def __init__(self) -> None:
        super().__init__()
        self.serving: dict[int, Pair] = {}
        self.outflows: dict[int, Outflow] = {}
        self.watched: dict[int, Pair] = {}
        self.watches: dict[int, Any] = {}
        #: Watches that this side left and that the peer has not confirmed.
        self._leaving: set[int] = set()
        self._next_watch = 0

    # --- calls of the peer -----------------------------------------------------------------------------

    def reply(self, session: int, payload: bytes) -> None:
        """Answer a call of the peer with its result.

        Raises:
            KeyError: if the session is not open.
            MessageTooLarge: if the payload is too large; the session is still open then.
            LinkNotOpen: if the link is not open.
        """
        limits, size = self._limits, len(payload)
        if limits is None or size > limits.message_size:
            self._refuse(size)
        pair = self.serving.pop(session)
        if self.outflows:
            self.outflows.pop(session, None)
        self.outbox.push(pair, NUMBER_HEAD.pack(_NUMBER_SIZE + size, REPLY, session), payload, ANSWER)

    def return_small(self, session: int, value: Any) -> bool:
        """Answer a call of the peer with its result, in a bundle; False if it is not small, or not now.

        Raises:
            KeyError: if the session is not open.
        """
        size, limits = size_of((value,)), self._limits
        if not size or limits is None or limits.message_size < SMALL:
            return False
        lanes = self.outbox.lanes.by_pair
        if lanes and self.serving[session] in lanes:
            return False
        del self.serving[session]
        if self.outflows:
            self.outflows.pop(session, None)
        self.outbox.return_small(session, value, size)
        return True

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
        self.check_size(len(payload))
        pair = self.serving.pop(session)
        self.outflows.pop(session, None)
        length = FAIL_HEAD.size - LENGTH_SIZE + len(payload)
        head = FAIL_HEAD.pack(length, FAIL, session, code, EXECUTED.index(executed))
        self.outbox.push(pair, head, payload, ANSWER)

    def confirm_cancel(self, session: int) -> None:
        """Tell the peer that a call which it cancelled has ended by that; errors as in :meth:`reply`."""
        self.check_size(0)
        pair = self.serving.pop(session)
        self.outflows.pop(session, None)
        self.outbox.push(pair, numbered(CANCELLED, session), b"", ANSWER)

    def begun(self, session: int) -> None:
        """Tell that the handler of a stream of the peer has started; not needed where items are sent.

        Raises:
            KeyError: if the session is not open.
            LinkNotOpen: if the link is not open.
        """
        self.check_size(0)
        self.outbox.push(self.serving[session], numbered(BEGUN, session), b"", UNCOUNTED)

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
        self.check_size(len(payload))
        head = ITEMS_HEAD.pack(ITEMS_HEAD.size - LENGTH_SIZE + len(payload), ITEMS, session, items)
        self.outbox.push(self.serving[session], head, payload, UNCOUNTED)

    # --- watches -----------------------------------------------------------------------------------------

    def watch(self, source: int, target: int, *, token: Any = None) -> int:
        """Watch a service of the peer until ``ExitReceived``, :meth:`unwatch` or ``Link.close``.

        Args:
            source: local id of the watcher, 0 for the node.
            target: local id of the service.
            token: comes back with the event.

        Raises:
            LinkBusy: if too many watches are open.
            LinkNotOpen: if the link is not open.
        """
        limits = self._open_limits()
        if len(self.watches) + len(self._leaving) >= limits.watches:
            raise LinkBusy(f"{limits.watches} watches are open, as many as the peer allows")
        self._next_watch = watch = self._next_watch + 1
        self.watches[watch] = token
        self.outbox.control(WATCH_HEAD.pack(WATCH_HEAD.size - LENGTH_SIZE, WATCH, watch, source, target))
        return watch

    def unwatch(self, watch: int) -> None:
        """Leave a watch; nothing is heard of it any more.  One that has ended is left already."""
        if self.watches.pop(watch, _GONE) is not _GONE:
            self._leaving.add(watch)
            self.outbox.control(numbered(UNWATCH, watch))

    def watch_ended(self, watch: int) -> Any:
        """Return the token of a watch that ended and forget it; :data:`LEFT` where this side had left it.

        Raises:
            ProtocolError: if this side has no such watch.
        """
        token = self.watches.pop(watch, _GONE)
        if token is not _GONE:
            return token
        if watch not in self._leaving:
            raise ProtocolError(f"the end of watch {watch}, which is not open")
        self._leaving.discard(watch)
        return LEFT

    def exited(self, watch: int, payload: bytes) -> None:
        """Tell the peer that a service which it watches has ended, after what that sent to the watcher.

        Args:
            watch: the watch; one that the peer has left is passed over.
            payload: the encoded reason.

        Raises:
            MessageTooLarge: if the payload is too large.
            LinkNotOpen: if the link is not open.
        """
        self.check_size(len(payload))
        pair = self.watched.pop(watch, None)
        if pair is not None:
            self.outbox.push(pair, numbered(EXIT, watch, len(payload)), payload, END)

    # --- dialogues ---------------------------------------------------------------------------------------

    def send_payload(self, payload: bytes) -> None:
        """Send a message of the dialogue of a master or console link.

        Raises:
            MessageTooLarge: if it is too large.
            LinkNotOpen: if the link is not open.
        """
        self.check_size(len(payload))
        self.outbox.push(_NODE, BARE_HEAD.pack(1 + len(payload), PAYLOAD), payload, UNCOUNTED)


#: Stands for the token of a watch that this side had left before it ended.
LEFT: Final = object()
_GONE: Final = object()
