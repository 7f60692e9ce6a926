"""A link between two incarnations, after the handshake: bytes in, calls out, messages in, bytes out.

Duty: the machine as a whole, and its times.  The sending half is in link_send and link_answers, the
receiving one in link_receive.
May import: the standard library, attrs, the other modules of links in trionet.wire.

Theory of operation.  A link begins *opening*: each end says ``open``, with its limits, once it has decided
for the link, and nothing else is sent until both have.  Then it is *open*.  A goodbye announces the end; a
final goodbye is the last frame of its direction, so that a stream which ends without one was cut.  A breach
of the protocol by the peer and :meth:`Link.close` make it *closed*: then nothing can be sent, and
:meth:`Link.close` has told the fate of everything that was under way.

The user has three duties.  After each call that may queue something, have :meth:`Link.data_to_send`
written while :attr:`Link.sendable`.  Call :meth:`Link.tick` at :meth:`Link.next_deadline`.  For each message
that came call :meth:`Link.consumed` when it was taken out of the inbox; see :class:`~.link_user.LinkUser`.
"""

from __future__ import annotations

import math
from typing import Any, Final

from trionet.wire import link_frames as frames
from trionet.wire.agreement import Agreement, LinkPeer
from trionet.wire.errors import ProtocolError
from trionet.wire.framing import FrameBuffer, Spans
from trionet.wire.link_answers import LinkAnswers
from trionet.wire.link_errors import LinkNotOpen
from trionet.wire.link_events import LinkEvent, LinkFates, LinkStatistics, PeerSilent
from trionet.wire.link_frames import LinkSettings, goodbye, numbered
from trionet.wire.link_receive import LinkReceiver
from trionet.wire.link_times import LinkTimes
from trionet.wire.link_user import LinkUser
from trionet.wire.records import RecordOpener, RecordSealer

#: Messages after which an acknowledgement waits no longer for something to travel with.
ACK_BATCH: Final = 256


def turn_away(agreement: Agreement, reason: str) -> bytes:
    """Return all that an end says which decides against a link after all; then it closes the stream.

    Args:
        agreement: what the handshake gave.
        reason: why; cut to 400 bytes.
    """
    data = goodbye(reason, True)
    return data if agreement.send_key is None else RecordSealer(agreement.send_key).seal(data)


class Link(LinkAnswers):
    """One end of a link.

    Args:
        agreement: what the handshake gave.
        settings: the limits of this end.
        now: the time in seconds, on any clock that never goes back.
        user: is told of what happens.
    """

    def __init__(self, agreement: Agreement, settings: LinkSettings, now: float, user: LinkUser) -> None:
        super().__init__()
        #: When what is due; only to be looked at.
        self.times: LinkTimes = LinkTimes(settings, now)
        self._receiver = LinkReceiver(agreement.peer.purpose, settings, self, user, self.times)
        self._user = user
        self._frame_buffer = FrameBuffer(frames.MAX_FRAME)
        self._input: FrameBuffer | RecordOpener = self._frame_buffer
        self._sealer: RecordSealer | None = None
        if agreement.send_key is not None and agreement.receive_key is not None:
            self._input = RecordOpener(agreement.receive_key, self._frame_buffer)
            self._sealer = RecordSealer(agreement.send_key)
        self._peer = agreement.peer
        self._closed: str | None = None
        self._final: str | None = None
        self._final_sent = False
        self._delivered = 0
        self._acked = 0
        self._early = agreement.received
        self.outbox.control(settings.encode())
        self._said_open = False

    # --- bytes ---------------------------------------------------------------------------------------

    @property
    def peer(self) -> LinkPeer:
        """Who is at the other end."""
        return self._peer

    @property
    def is_open(self) -> bool:
        """Whether both ends said open and neither is done."""
        return self._receiver.peer is not None and self._closed is None and self._final is None

    @property
    def is_clean(self) -> bool:
        """Whether the peer said that nothing more will come, so that the end of the stream loses nothing."""
        said = self._receiver.goodbye
        return said is not None and said.final

    @property
    def pending_bytes(self) -> int:
        """Bytes that were handed over and not taken by :meth:`data_to_send`; bound it."""
        return self.outbox.pending

    @property
    def sendable(self) -> bool:
        """Whether :meth:`data_to_send` has something that should not wait."""
        if self._closed is not None or self._final_sent:
            return False
        outbox = self.outbox
        if outbox.queued or outbox.lanes.by_pair or self._final is not None:
            return True
        return self._delivered - self._acked >= ACK_BATCH

    def begin(self, now: float) -> None:
        """Take what had come before this end agreed, once the user is there.

        Args:
            now: the time in seconds.

        Raises:
            ProtocolError: if that is more than an ``open``.
        """
        early, self._early = self._early, b""
        if early:
            self.receive_data(early, now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes that arrived, and tell the user what follows from them.

        Args:
            data: the bytes, however the stream was split.
            now: the time in seconds.

        Raises:
            ProtocolError: if the peer broke the protocol.  The frames before the breach were read; now call
                :meth:`close` and close the stream.
        """
        if self._closed is not None:
            return
        self.times.received = now
        try:
            self._input.feed(data, self._receiver.frames if self._said_open else self._early_frames)
        except ProtocolError as error:
            self._closed = str(error)
            self._limits = None
            raise
        arrived = self._receiver.arrived
        if arrived != self._delivered:
            if self._delivered == self._acked:
                self.times.acknowledge_later()
            self._delivered = arrived

    @property
    def was_turned_away(self) -> bool:
        """Whether the peer said goodbye instead of ``open``; see :func:`turn_away`."""
        return self._receiver.goodbye is not None and self._receiver.peer is None

    def receive_eof(self) -> str:
        """Take note of the end of the stream; returns a reason for :meth:`close`."""
        if self._receiver.goodbye is not None:
            return f"the peer said goodbye: {self._receiver.goodbye.reason}"
        if len(self._input) or len(self._frame_buffer):
            return "the connection was lost in the middle of a message"
        return "the connection was lost"

    def data_to_send(self, now: float) -> bytes:
        """Return what is to be written next, and count it as sent; empty if there is nothing.

        Args:
            now: the time in seconds.
        """
        if self._closed is not None or self._final_sent:
            return b""
        if self._delivered != self._acked:
            if self.sendable or now >= self.times.ack_due:
                self._acknowledge()
        elif not self.outbox.queued and self._final is None and not self.outbox.lanes.by_pair:
            return b""
        if self._final is not None and not self.outbox.lanes.by_pair:
            self.outbox.control(goodbye(self._final, True))
            self._final_sent = True
        data = self.outbox.flush()
        if not data:
            return data
        self._said_open = True
        self.times.sent = now
        return data if self._sealer is None else self._sealer.seal(data)

    # --- what became of messages ---------------------------------------------------------------------

    def consumed(self, target: int, messages: int, size: int, *, at_once: bool = False) -> bool:
        """Note that messages left the inbox of a service; tell whether there is now credit to be sent.

        Args:
            target: local id of the service.
            messages: how many.
            size: bytes of their payloads.
            at_once: give the credit now, not in a batch: nobody knows when the next message leaves.

        Raises:
            ValueError: if it is more than what came.
        """
        credit = self._receiver.windows.take(target, messages, size, at_once=at_once)
        if credit is None:
            return False
        self._receiver.give([credit])
        return True

    # --- time and end --------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when :meth:`tick` is due; it moves with what is sent and received."""
        return self.times.next if self.is_open else math.inf

    def tick(self, now: float) -> None:
        """Do what is due: heartbeat, acknowledgement, left-over credit; ``PeerSilent`` once, if it is so.

        Args:
            now: the time in seconds.
        """
        if not self.is_open:
            return
        due = self.times.tick(now)
        if due.acknowledge:
            self._acknowledge()
        if due.sweep:
            self._receiver.give(self._receiver.windows.sweep())
        if due.heartbeat:
            self.outbox.control(self.times.heartbeat(now))
        if due.silence is not None:
            self._happened(PeerSilent(due.silence))

    def goodbye(self, reason: str, *, final: bool = False) -> None:
        """Tell the peer that this end is leaving.

        Args:
            reason: why; cut to 400 bytes.
            final: whether nothing more will be sent: what was handed over goes first, then the goodbye, and
                from now on nothing more is taken.  Acknowledgements of the peer are still read.

        Raises:
            LinkNotOpen: if the link is not open.
        """
        if not self.is_open:
            raise LinkNotOpen("the link is not open")
        if final:
            self._final = reason
            self._limits = None
        else:
            self.outbox.control(goodbye(reason, False))

    def close(self, reason: str) -> LinkFates:
        """End the link, for whatever reason, and learn what became of everything that was under way.

        Args:
            reason: why; the first one is kept.

        Returns:
            The fates; empty if it was called before.
        """
        if self._closed is None:
            self._closed = reason
        self._limits = None
        fates = self._fates()
        self.outbox.clear()
        for table in (
            self.calls,
            self.watches,
            self.serving,
            self.outflows,
            self.watched,
        ):
            table.clear()
        return fates

    def waiting(self) -> list[Any]:
        """Return the tokens of the calls of this side that have no outcome and were not abandoned."""
        return [call.token for call in self.calls.values() if not call.abandoned]

    def statistics(self) -> LinkStatistics:
        """Return what the link holds and has done."""
        return LinkStatistics(
            pending_bytes=self.pending_bytes,
            sent=self._sends + self._next_session,
            unacknowledged=self.outbox.unacknowledged,
            arrived=self._receiver.arrived + self._receiver.opened,
            calls=len(self.calls),
            serving=len(self.serving),
            watches=len(self.watches),
            watched=len(self.watched),
            lanes=len(self.outbox.lanes.by_pair),
            heard=self.times.received,
            round_trip=self.times.round_trip,
        )

    def _happened(self, event: LinkEvent) -> None:
        self._user.happened(event)

    def _early_frames(self, data: bytes, spans: Spans) -> None:
        for span in spans:
            if self._receiver.peer is not None:
                raise ProtocolError("a message before this end had said open")
            self._receiver.frames(data, [span])

    def _acknowledge(self) -> None:
        self._acked = self._delivered
        self.times.ack_due = math.inf
        self.outbox.control(numbered(frames.ACK, self._acked))

    def _fates(self) -> LinkFates:
        unknown, unsent = self.outbox.fates()
        never = self.outbox.unsent_calls()
        calls = self.calls.values()
        return LinkFates(
            unsent=tuple(unsent),
            unknown=tuple(unknown),
            calls=tuple(
                (each.token, False if id(each) in never else None) for each in calls if not each.abandoned
            ),
            abandoned=tuple(each.token for each in calls if each.abandoned),
            watches=tuple(self.watches.values()),
            serving=tuple(self.serving),
            watched=tuple(self.watched),
        )
