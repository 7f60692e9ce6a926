"""The Trio side of one link: reads, writes, watches the time (the machine is trionet.wire.link).

Duty: bytes between a stream and a :class:`~trionet.wire.link.Link`, and what it tells to its handlers.

Theory of operation.  One task reads: all frames of what arrived are handled before it reads again, and a
handler never waits.  It reads as much at a time as it can handle in about half a millisecond, so that other
tasks have their turn.  What took it very long, it pays back by a pause as long: a peer whose messages are
costly to read takes no more than half of this node's time.  One task writes: it takes all that is queued,
writes what the socket takes of it now and waits with the rest, so what is handed over while it waits is
joined.  One task sleeps until the machine's next deadline.  The first of them that ends ends the link, and
:meth:`Pump.run` returns the reason.

A change of tasks can be saved while the writer does not write: the reader writes what came of the frames
that it has handled, a caller whom nobody is about to join its call, and a sender what has become much, as far
as the socket takes it now; the writer does the rest.

The end in order.  Who finishes says a last goodbye, and waits for the acknowledgement of what it sent: the
other end answers with that and a last goodbye of its own.  A write that fails may be late to a peer that has
already said all this; so the reader reads to the end of the stream first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final

import trio

from trionet.net.transport import Connection
from trionet.wire.agreement import Agreement
from trionet.wire.errors import ProtocolError
from trionet.wire.link import Link
from trionet.wire.link_events import (
    GoodbyeReceived,
    LinkEvent,
    LinkFates,
    Opened,
    PeerSilent,
    Route,
)
from trionet.wire.link_frames import CHUNK, LinkSettings
from trionet.wire.link_user import Messages, NoMessages

#: Bytes that are read at a time, at least and at most; how many follows from the time that reading takes.
READ_LEAST: Final = 2 * 1024
READ_MOST: Final = 256 * 1024
#: Seconds after which other tasks should have their turn.
READ_TIME: Final = 0.0005
#: Bytes that are written at once, so that the peer can begin with them, though more is about to come.
WRITE_EARLY: Final = 4 * 1024
#: Bytes that the peer must have read within the heartbeat timeout.
WRITE_SIZE: Final = 256 * 1024
#: Bytes that are never long to read.
QUICK_SIZE: Final = 512
#: Seconds that reading takes at a time before it counts as long, and those that a pause takes at most.
LONG_READING: Final = 0.1
LONGEST_PAUSE: Final = 2.0
#: Seconds that the last bytes of a link may take to be written.
FLUSH_TIME: Final = 2.0

#: A process that stood still looks again what arrived meanwhile before it believes in a peer's silence.
_LOOK_AGAIN: Final = 0.0


class Pump:
    """One link over one connection; owns the connection from now on.

    Args:
        connection: authenticated by a handshake.
        agreement: what the handshake gave.
        settings: the limits of this end.
        handle: called with each event in its place among the messages; it must not wait.
        drained: called when bytes have been written, so that more may be handed over.
        opened: called once, when both ends have said open and messages may be sent.
        gather: called when the link is about to write, to hand over what has waited for that.
        messages: takes calls, sends and replies.
        must_take: bytes that the peer must take in a message, so that nothing of this end fails by its size.

    Attributes:
        link: the machine; call :meth:`kick` after each use that may queue something.
        writer: the task that writes, while it has nothing to do.
        is_reading: whether the reader handles what came; then it writes what comes of it.
        batch: how often bytes have come.
        now: when they came last, on the clock of ``trio.current_time()``.
        fates: what became of everything that was under way when the link ended, also by cancellation.
        bytes_sent: bytes that were written.
        bytes_received: bytes that were read.
    """

    def __init__(
        self,
        connection: Connection,
        agreement: Agreement,
        settings: LinkSettings,
        handle: Callable[[LinkEvent], None],
        drained: Callable[[], None],
        opened: Callable[[], None],
        gather: Callable[[], None] = lambda: None,
        messages: Messages | None = None,
        must_take: int = CHUNK,
    ) -> None:
        takes = NoMessages() if messages is None else messages
        self.called: Callable[[int, Route, float, int, bytes], bool] = takes.called
        self.sent: Callable[[Route, int, bytes], bool] = takes.sent
        self.replied: Callable[[int, Any, bytes], None] = takes.replied
        self.called_small: Callable[[int, Route, float, int, tuple[Any, ...]], bool] = takes.called_small
        self.sent_small: Callable[[Route, int, Sequence[tuple[Any, ...]]], int] = takes.sent_small
        self.returned: Callable[[int, Any, Any], None] = takes.returned
        self.now: float = trio.current_time()
        self.link: Link = Link(agreement, settings, self.now, self)
        self._stream = connection.stream
        self._write_now = connection.write_now
        self._receive = connection.receive
        self._rest: bytes = b""
        self._read_size = READ_LEAST
        self.is_reading: bool = False
        self._is_writing = True  # until its task has begun
        self._patience = settings.heartbeat_timeout
        self._handle = handle
        self._drained = drained
        self._opened = opened
        self._gather = gather
        self._must_take = must_take
        self.writer: trio.lowlevel.Task | None = None
        self._timer = trio.CancelScope()
        self._timer_at = inf
        self._scope = trio.CancelScope()
        self._reason: str | None = None
        self.batch: int = 0
        self._finishing: str | None = None
        self._over = trio.Event()
        self.fates: LinkFates | None = None
        self.bytes_sent: int = 0
        self.bytes_received: int = 0

    @property
    def reason(self) -> str:
        """Why the link ended."""
        return self._reason or "it has not ended"

    async def run(self) -> str:
        """Serve the link until it ends; then :attr:`fates` tells what became of everything under way.

        Cancellation: ends the link at once, without a goodbye.

        Returns:
            Why it ended.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._watch_time)
                    self._take(b"")
                    nursery.start_soon(self._read)
        finally:
            try:
                await trio.aclose_forcefully(self._stream)
            finally:  # last, and without a wait after it: nobody may find a closed link and not know of it
                self._reason = self._reason or "this node closed the link"
                self.fates = self.link.close(self._reason)
                self._over.set()
        return self._reason

    def kick(self) -> None:
        """Have written what is queued, by the writer, or by the reader who is about to do it."""
        if self.writer is not None and not self.is_reading and self.link.sendable:
            self.rouse()

    def write(self) -> None:
        """Write what is queued at once, as far as the socket takes it; the writer does the rest."""
        if self._is_writing or self._rest or self._finishing is not None or self._reason is not None:
            self.kick()
            return
        self._gather()
        data = self.link.data_to_send(trio.current_time())
        if not data:
            return
        self._rest = self._put(data)
        if self._rest:
            self.rouse()
        else:
            self._drained()
            if self.link.outbox.lanes.by_pair:
                self.kick()  # of large messages, a flush takes some chunks only

    def _put(self, data: bytes) -> bytes:
        """Write as much as the socket takes now; returns the rest."""
        written = self._write_now(data) if len(data) <= WRITE_SIZE else 0
        self.bytes_sent += written
        return data[written:]

    def rouse(self) -> None:
        """Have gathered, and then written, what waits for the link to write."""
        writer, self.writer = self.writer, None
        if writer is not None:
            trio.lowlevel.reschedule(writer)

    def end(self, reason: str) -> None:
        """End the link at once."""
        if self._reason is None:
            self._reason = reason
        self._scope.cancel()

    async def finish(self, reason: str) -> None:
        """Send what is queued and a last goodbye, then end the link.

        Cancellation: ends the link at once.
        """
        if self.end_when_sent(reason):
            with trio.move_on_after(FLUSH_TIME):
                await self._over.wait()
        self.end(reason)

    def end_when_sent(self, reason: str) -> bool:
        """Let the link end when all that is queued and a last goodbye are sent; False if it is not open."""
        if not self.link.is_open:
            return False
        self.link.goodbye(reason, final=True)
        self._finishing = reason
        self.kick()
        return True

    # --- tasks --------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while True:
                data = await self._receive(self._read_size)
                if not data:
                    self.end(self.link.receive_eof())
                    return
                self.bytes_received += len(data)
                self.now = trio.current_time()
                self._take(bytes(data))
                if len(data) > QUICK_SIZE:
                    spent = trio.current_time() - self.now
                    self._fit_read_size(len(data), spent)
                    if spent > LONG_READING:
                        await trio.sleep(min(spent, LONGEST_PAUSE))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self.end(f"the connection was lost: {error.__cause__ or error}")

    def _fit_read_size(self, size: int, spent: float) -> None:
        """Read less at a time after what took long, and more after what was full and took little time."""
        if spent > READ_TIME:
            self._read_size = max(READ_LEAST, self._read_size // 2)
        elif size == self._read_size and 2 * spent < READ_TIME:
            self._read_size = min(READ_MOST, self._read_size * 2)

    def _take(self, data: bytes) -> None:
        self.is_reading = True
        self.batch += 1
        try:
            if data:
                self.link.receive_data(data, self.now)
            else:
                self.link.begin(self.now)
        except ProtocolError as error:
            if self._finishing is None or not self.link.is_clean:
                self.end(f"the peer broke the protocol: {error}")
            else:  # what comes after its last goodbye is not read
                self.end(self._finishing)
        finally:
            self.is_reading = False
        self.write()
        if self.link.times.ack_due < self._timer_at:
            self._set_timer()

    def happened(self, event: LinkEvent) -> None:
        """Deal with what concerns the connection; the rest is the handler's."""
        if isinstance(event, Opened):
            least = self._must_take
            if event.settings.message_size < least:
                text = "an open with messages of {} bytes at most; expected {} or more"
                raise ProtocolError(text.format(event.settings.message_size, least))
            self._opened()
            self._set_timer()
        elif isinstance(event, PeerSilent):
            self.end(f"nothing came from the peer for {event.seconds:.1f} seconds")
        elif isinstance(event, GoodbyeReceived) and event.final:
            reason = f"the peer said goodbye: {event.reason}"
            if not self.end_when_sent(reason):
                self.end(reason)
        else:
            self._handle(event)

    async def _write(self) -> None:
        self._is_writing = False
        try:
            while True:
                if self._rest:
                    await self._send_rest()
                    continue
                self._gather()
                data = self.link.data_to_send(trio.current_time())
                if data:  # of large messages others have a turn after each flush
                    self._rest = data if self.link.outbox.lanes.by_pair else self._put(data)
                    if not self._rest:
                        self._drained()
                elif self._finishing is not None:
                    if self._awaits_acknowledgement():
                        await self._until_read()
                    self.end(self._finishing)
                    return
                else:
                    await self._park()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            await self._until_read()
            self.end(f"the connection was lost: {error.__cause__ or error}")

    def _awaits_acknowledgement(self) -> bool:
        """Tell whether the peer may still acknowledge what was sent."""
        return self.link.statistics().unacknowledged > 0 and not self.link.is_clean

    async def _until_read(self) -> None:
        """Let the reader read what the peer said last; it ends the link, if it can, before this returns."""
        with trio.move_on_after(FLUSH_TIME):
            await self._over.wait()

    async def _send_rest(self) -> None:
        """Write what waits; a peer that reads nothing for the heartbeat timeout costs its own link."""
        data, self._rest = self._rest, b""
        self._is_writing = True
        for start in range(0, len(data), WRITE_SIZE):
            piece = data if len(data) <= WRITE_SIZE else memoryview(data)[start : start + WRITE_SIZE]
            with trio.move_on_after(self._patience) as scope:
                await self._stream.send_all(piece)
            if scope.cancelled_caught:
                self.end(f"the peer read nothing for {self._patience:g} seconds")
                await trio.lowlevel.checkpoint()
        self._is_writing = False
        self.bytes_sent += len(data)
        self._drained()

    async def _park(self) -> None:
        def abort(_: object) -> trio.lowlevel.Abort:
            self.writer = None
            return trio.lowlevel.Abort.SUCCEEDED

        self.writer = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    async def _watch_time(self) -> None:
        while True:
            self._timer_at = self.link.next_deadline()
            with trio.CancelScope(deadline=self._timer_at) as self._timer:
                await trio.sleep_forever()
            await trio.sleep(_LOOK_AGAIN)  # the reader takes what has arrived, before silence is believed
            self.link.tick(trio.current_time())
            self.kick()

    def _set_timer(self) -> None:
        deadline = self.link.next_deadline()
        if deadline < self._timer_at:
            self._timer.deadline = self._timer_at = deadline
