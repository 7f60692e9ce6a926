"""A link between two incarnations, after the handshake: bytes in, events out, messages in, bytes out.

Duty: the machine as a whole, and its times.  The halves are in link_send and link_receive.
May import: the standard library, attrs, the other modules of links in trionet.wire.

Theory of operation.  A link begins *opening*: each end says ``open``, with its limits, once it has decided
for the link, and nothing else is sent until both have.  Then it is *open*.  A goodbye announces the end; a
final goodbye is the last frame of its direction, so that a stream which ends without one was cut.  A breach
of the protocol by the peer and :meth:`Link.close` make it *closed*: then nothing can be sent, and
:meth:`Link.close` has told the fate of everything that was under way.

The user has three duties.  After each call that may queue something, have :meth:`Link.data_to_send`
written while :attr:`Link.sendable`.  Call :meth:`Link.tick` at :meth:`Link.next_deadline`.  For each message
that came call :meth:`Link.delivered` when it was put into the inbox (or refused) and :meth:`Link.consumed`
when it was taken out of it (or refused).
"""

from __future__ import annotations

import math
from typing import Any, Final

from trionet.wire import link_frames as frames
from trionet.wire.agreement import Agreement, LinkPeer
from trionet.wire.errors import ProtocolError
from trionet.wire.framing import FrameBuffer
from trionet.wire.link_errors import LinkNotOpen
from trionet.wire.link_events import LinkEvent, LinkFates, LinkStatistics, PeerSilent
from trionet.wire.link_frames import LinkSettings, bare, goodbye, numbered
from trionet.wire.link_messages import LinkMessages
from trionet.wire.link_receive import LinkReceiver
from trionet.wire.link_send import OpenCall, settle
from trionet.wire.link_times import LinkTimes
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


class Link(LinkMessages):
    """One end of a link.

    Args:
        agreement: what the handshake gave.
        settings: the limits of this end.
        now: the time in seconds, on any clock that never goes back.

    Raises:
        ProtocolError: if the peer has sent more than its ``open`` before this end had agreed.
    """

    def __init__(self, agreement: Agreement, settings: LinkSettings, now: float) -> None:
        super().__init__()
        self._outbox = self._sender.outbox
        self._receiver = LinkReceiver(
            agreement.peer.purpose, settings, self._sender, self._serving, self._watched, self._outflows
        )
        self._frame_buffer = FrameBuffer(frames.MAX_FRAME)
        self._input: FrameBuffer | RecordOpener = self._frame_buffer
        self._sealer: RecordSealer | None = None
        if agreement.send_key is not None and agreement.receive_key is not None:
            self._input = RecordOpener(agreement.receive_key, self._frame_buffer)
            self._sealer = RecordSealer(agreement.send_key)
        self._peer = agreement.peer
        self._times = LinkTimes(settings, now)
        self._closed: str | None = None
        self._final: str | None = None
        self._final_sent = False
        self._delivered = 0
        self._acked = 0
        self._outbox.control(settings.encode())
        self._said_open = False
        if agreement.received:
            self.receive_data(agreement.received, now)

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
        return self._outbox.pending

    @property
    def queued_bytes(self) -> int:
        """The same without large messages and what waits behind them: what a small message waits for."""
        return self._outbox.queued

    @property
    def calls(self) -> int:
        """Calls and streams of this side that have no outcome yet."""
        return len(self._sender.calls)

    @property
    def sendable(self) -> bool:
        """Whether :meth:`data_to_send` has something that should not wait."""
        if self._closed is not None or self._final_sent:
            return False
        return bool(self._outbox) or self._delivered - self._acked >= ACK_BATCH or self._final is not None

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes that arrived; what follows from them is in :meth:`events`.

        Args:
            data: the bytes, however the stream was split.
            now: the time in seconds.

        Raises:
            ProtocolError: if the peer broke the protocol.  The events of the frames before the breach are
                still there; then call :meth:`close` and close the stream.
        """
        if self._closed is not None:
            return
        self._times.received = now
        try:
            self._input.feed(data, self._receiver.frame if self._said_open else self._early_frame)
        except ProtocolError as error:
            self._closed = str(error)
            self._sender.close()
            raise

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

    def events(self) -> list[LinkEvent]:
        """Return what happened since the last time, in order, and forget it."""
        happened = self._receiver.events
        self._receiver.events = []
        return happened

    def data_to_send(self, now: float) -> bytes:
        """Return what is to be written next, and count it as sent; empty if there is nothing.

        Args:
            now: the time in seconds.
        """
        if self._closed is not None or self._final_sent:
            return b""
        if self._delivered != self._acked and (self.sendable or now >= self._times.ack_due):
            self._acknowledge()
        if self._final is not None and not self._outbox.lanes.by_pair:
            self._outbox.control(goodbye(self._final, True))
            self._final_sent = True
        data, left_lanes = self._outbox.flush()
        settle(left_lanes)
        if not data:
            return data
        self._said_open = True
        self._times.sent = now
        return data if self._sealer is None else self._sealer.seal(data)

    # --- what became of messages ---------------------------------------------------------------------

    def delivered(self, messages: int = 1) -> None:
        """Note that messages, calls and sends alike, were put into their inboxes, in the order they came.

        One that was refused, because its service is gone or busy, counts as well.

        Raises:
            ValueError: if it is more than what came.
        """
        if self._delivered + messages > self._receiver.arrived:
            raise ValueError("more messages were delivered than had come")
        if self._delivered == self._acked:
            self._times.acknowledge_later()
        self._delivered += messages

    def consumed(self, target: int, messages: int, size: int, *, at_once: bool = False) -> None:
        """Note that messages left the inbox of a service, or were never put there.

        Args:
            target: local id of the service.
            messages: how many.
            size: bytes of their payloads.
            at_once: give the credit now, not in a batch: nobody knows when the next message leaves.

        Raises:
            ValueError: if it is more than what came.
        """
        credit = self._receiver.windows.take(target, messages, size, at_once=at_once)
        if credit is not None:
            self._receiver.give([credit])

    # --- time and end --------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when :meth:`tick` is due; it moves with what is sent and received."""
        return self._times.next if self.is_open else math.inf

    def tick(self, now: float) -> None:
        """Do what is due: heartbeat, acknowledgement, left-over credit; ``PeerSilent`` once it is.

        Args:
            now: the time in seconds.
        """
        if not self.is_open:
            return
        due = self._times.tick(now)
        if due.acknowledge:
            self._acknowledge()
        if due.sweep:
            self._receiver.give(self._receiver.windows.sweep())
        if due.heartbeat and not self._outbox:
            self._outbox.control(bare(frames.HEARTBEAT))
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
            self._sender.close()
        else:
            self._outbox.control(goodbye(reason, False))

    def close(self, reason: str) -> LinkFates:
        """End the link, for whatever reason, and learn what became of everything that was under way.

        Args:
            reason: why; the first one is kept.

        Returns:
            The fates; empty if it was called before.
        """
        if self._closed is None:
            self._closed = reason
        self._sender.close()
        unknown, unsent = self._outbox.fates()
        fates = self._fates(unknown, unsent)
        self._outbox.clear()
        for table in (
            self._sender.calls,
            self._sender.watches,
            self._serving,
            self._outflows,
            self._watched,
        ):
            table.clear()
        return fates

    def waiting(self) -> list[Any]:
        """Return the tokens of the calls of this side that have no outcome and were not abandoned."""
        return [call.token for call in self._sender.calls.values() if not call.abandoned]

    def statistics(self) -> LinkStatistics:
        """Return what the link holds and has done."""
        return LinkStatistics(
            pending_bytes=self.pending_bytes,
            sent=self._outbox.counted,
            acknowledged=self._outbox.acknowledged,
            arrived=self._receiver.arrived,
            calls=len(self._sender.calls),
            serving=len(self._serving),
            watches=len(self._sender.watches),
            watched=len(self._watched),
            lanes=len(self._outbox.lanes.by_pair),
            heard=self._times.received,
        )

    def _happened(self, event: LinkEvent) -> None:
        self._receiver.events.append(event)

    def _early_frame(self, data: bytes, start: int, end: int) -> None:
        if self._receiver.peer is not None:
            raise ProtocolError("a message before this end had said open")
        self._receiver.frame(data, start, end)

    def _acknowledge(self) -> None:
        self._acked = self._delivered
        self._times.ack_due = math.inf
        self._outbox.control(numbered(frames.ACK, self._acked))

    def _fates(self, unknown: list[Any], unsent: list[Any]) -> LinkFates:
        never = {id(each) for each in unsent if type(each) is OpenCall}
        calls = self._sender.calls.values()
        return LinkFates(
            unsent=tuple(each for each in unsent if type(each) is not OpenCall),
            unknown=tuple(each for each in unknown if type(each) is not OpenCall),
            calls=tuple(
                (each.token, False if id(each) in never else None) for each in calls if not each.abandoned
            ),
            abandoned=tuple(each.token for each in calls if each.abandoned),
            watches=tuple(self._sender.watches.values()),
            serving=tuple(self._serving),
            watched=tuple(self._watched),
        )
