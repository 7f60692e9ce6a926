"""Streams between nodes: the two ends of each, on a link (C4, C6, C10).

Duty: items of a generator of this node on their way to another, and of another on their way to a feed here.

Theory of operation.  A stream is a call, and begins and ends as one does; so both ends derive from what
calls and messages are.  Its items are encoded one by one when they are yielded, so that what is no value
fails at the ``yield``.  They wait at the producer's end until the link's writer is about to write, and then
go out in as few frames as possible; a producer that is far ahead of the writer waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from trionet.errors import BadMessage, DeadlineExceeded, NodeDown, ServiceExited
from trionet.kernel.feed import Feed
from trionet.kernel.network import Outgoing
from trionet.kernel.producing import Producing, has_helpers
from trionet.kernel.request import Request
from trionet.message import is_plain, snapshot
from trionet.net.inbound import InboundCall
from trionet.net.outbound import DONE, IN_LINE, SENT, Grace, Outbound, OutboundCall, Stage, source_id
from trionet.wire.link_errors import LinkNotOpen, MessageTooLarge
from trionet.wire.link_frames import CHUNK
from trionet.wire.link_streams import MAX_BATCH_BYTES, Outflow

if TYPE_CHECKING:
    from trionet.net.sending import Sending

#: Items that wait for the link's writer, at most, before their producer waits for it.
MAX_BATCH: Final = 1_000


class InboundStream(Producing, InboundCall):
    """A stream of this node whose consumer is on another."""

    def open(self, session: int, outflow: Outflow) -> None:
        """Set what a stream has and a call has not."""
        self.session = session
        self._outflow = outflow
        self._items: list[bytes] = []
        self._size = 0
        self._has_told = False

    # --- the handler's side ------------------------------------------------------------------------------

    def begun(self) -> None:
        """The generator is about to make its first step; told when that is done, unless an item tells it."""
        self.peer.streams.gather_later(self)

    def put(self, item: Any) -> bool:
        """Hand over an item; tells whether there is room for one more.

        Raises:
            BadMessage: if the item is no value, or too large.
        """
        if self.deserted:
            return False
        peer = self.peer
        if not is_plain(item, peer.node.limits):
            item, _ = snapshot(item, "item", peer.node.limits, peer.node.resolve_reference)
        data = peer.codec.encode(item)
        size = len(data)
        if size > CHUNK:
            self._check_size(size)
        if not self._items:
            peer.streams.gather_later(self)
        self._items.append(data)
        self._size += size
        self._outflow.charge(size)
        return self.has_room()

    def _check_size(self, size: int) -> None:
        try:
            self.peer.link.check_size(size)
        except MessageTooLarge as error:
            raise BadMessage(f"item: {error}", executed=True) from None
        except LinkNotOpen:
            return  # the consumer is about to be told that the link has ended

    def has_room(self) -> bool:
        """Tell whether one more item may be handed over."""
        if len(self._items) >= MAX_BATCH or self._size >= MAX_BATCH_BYTES or self.deserted:
            return False
        return self._outflow.has_room()

    def gather(self) -> None:
        """Give the link what waits for its writer."""
        if self.answered:
            return
        items, self._items, self._size = self._items, [], 0
        if not items:
            if not self._has_told:
                self.peer.link.begun(self.session)
        elif len(items) > 1 and sum(map(len, items)) > MAX_BATCH_BYTES:  # by the last one only
            self.peer.link.items(self.session, len(items) - 1, b"".join(items[:-1]))
            self.peer.link.items(self.session, 1, items[-1])
        else:
            self.peer.link.items(self.session, len(items), b"".join(items))
        self._has_told = True
        self.go_on()

    # --- the consumer -------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """The consumer has left."""
        self._desert()
        super().cancel()

    def forget(self) -> None:
        """The link has ended: nobody wants items any more."""
        self._desert()
        super().forget()

    def _desert(self) -> None:
        self.deserted = True
        self._items.clear()
        self.go_on()

    # --- its end --------------------------------------------------------------------------------------------

    def succeed(self, value: Any, checks: Sequence[object]) -> None:
        """The generator has ended: that goes behind its last items."""
        self._gather_last()
        super().succeed(value, checks)

    def _fail(self, error: Exception) -> None:
        self._gather_last()
        super()._fail(error)

    def _gather_last(self) -> None:
        if self._items and self.peer.link.is_open:
            self.gather()


class OutboundStream(Outbound):
    """A stream of another node whose consumer is here.

    Args:
        peer: that node.
        message: what is sent.
        payload: its arguments, encoded.
        feed: where the items go.
    """

    stage: Stage

    def __init__(self, peer: Sending, message: Outgoing, payload: bytes, feed: Feed) -> None:
        super().__init__(peer, message, payload)
        self.session: int = 0
        self._feed = feed
        self._has_left = False

    def transmit(self) -> None:
        """The link has room: hand the stream to it."""
        message = self.message
        self.session = self.peer.link.stream(
            source_id(message),
            message.target.local,
            message.command,
            self.payload,
            items=self._feed.limit,
            size=self._feed.limit_bytes,
            trace=message.trace,
            token=self,
        )
        self.stage = SENT
        self.payload = b""

    # --- the consumer's side ------------------------------------------------------------------------------

    @property
    def is_awaited(self) -> bool:
        """Whether a handler waits for it now, in its own task."""
        return self._feed.waiter is not None and self.stage is not DONE

    @property
    def progress(self) -> int:
        """How often what a handler waits for has changed."""
        return self._feed.received

    @property
    def consumer(self) -> Request | None:
        """The handler that takes the items, if nobody else can do it."""
        parent = self.message.parent
        return None if parent is None or self._feed.is_shared or has_helpers(parent) else parent

    @property
    def executed(self) -> bool | None:
        """Whether the handler started, as far as it is known."""
        if self._feed.has_begun:
            return True
        return None if self.session else False

    def taken(self, items: int, size: int) -> None:
        """Items left the buffer."""
        if self.stage is SENT and self.peer.is_open:
            self.peer.link.taken(self.session, items, size)
            self.peer.kick()

    def leave(self) -> bool:
        """The consumer leaves; tells whether the end is still to come."""
        if self.stage is IN_LINE:
            self.peer.leave_line(self)
        elif self.stage is SENT and self.peer.link.cancel(self.session):
            self._has_left = True
            self.peer.kick()
            self.peer.node.deadlines.add(Grace(self, self.peer.cancel_grace))
            return True
        self.stage = DONE
        self.peer.fill_windows()
        return False

    def is_open(self) -> bool:
        """Tell whether the end is still to come."""
        return self.stage is not DONE

    def grace_over(self) -> None:
        """The confirmation did not come in time: leave."""
        self.peer.link.abandon(self.session)
        self._end(None)

    # --- the link's side ------------------------------------------------------------------------------------

    def begun(self) -> None:
        """The handler has started."""
        self._feed.begin()

    def came(self, count: int, payload: bytes) -> None:
        """Items have come; one that cannot be read ends the stream."""
        try:
            items = self.peer.codec.decode_items(count, payload)
        except BadMessage as error:
            self.peer.link.abandon(self.session)
            self.peer.kick()
            self._end(BadMessage(f"an item of {self._what()} could not be read: {error}", executed=True))
            return
        if not self._feed.has_begun:
            self._feed.begin()
        size, rest = divmod(len(payload), count)
        for number, (item, checks) in enumerate(items):
            self._feed.put(item, checks, size if number else size + rest)

    def succeed(self, value: Any, checks: Sequence[Any]) -> None:
        """The generator has ended."""
        self._end(None)

    def fail(self, error: Exception, checks: list[Any]) -> None:
        """The generator raised, was cut short, or was never reached."""
        if self._has_left and isinstance(error, DeadlineExceeded | ServiceExited):
            self._end(None)
        else:
            self._end(error, checks)

    def cancel_confirmed(self) -> None:
        """The handler ended by the cancellation, or never started."""
        self._end(None)

    def lost(self, reason: str, *, executed: bool | None) -> None:
        """The link ended."""
        self._end(NodeDown(f"{self._what()}: {reason}", self._feed.has_begun or executed))

    def _end(self, error: Exception | None, checks: list[Any] | None = None) -> None:
        if self.stage is not DONE:
            self.stage = DONE
            self._feed.end(error, checks or [])

    def _what(self) -> str:
        return f"{self.message.command} of {self.message.target} on {self.peer.describe()}"


#: What a handler can wait for on another node.
Awaited = OutboundCall | OutboundStream
