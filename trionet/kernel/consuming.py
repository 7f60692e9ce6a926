"""The consumer's side of a stream: what ``async with`` opens, and what its block reads from (C4, C6, C7).

Duty: the waits of a consumer, and what becomes of errors.  The buffer is in :mod:`trionet.kernel.feed`; it is
the same whether the producer is on this node or behind a link.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

import attrs
import trio

from trionet.errors import CallError, Deadlock, RemoteError
from trionet.kernel.deadlock import find_circle
from trionet.kernel.feed import Feed
from trionet.kernel.request import Request, State
from trionet.kernel.together import Branch

T_co = TypeVar("T_co", covariant=True)

#: Items that may wait at a consumer who chose nothing else.
BUFFER: Final = 256
#: Bytes of items that may wait there before no more are sent.
BUFFER_BYTES: Final = 1024 * 1024

_log = logging.getLogger("trionet.streams")


@attrs.frozen
class StreamStatistics:
    """An open stream, measured at its consumer.

    Args:
        received: items that were received.
        buffered: items that have come and wait to be received.
        buffered_bytes: their bytes.
        buffer: items that may wait.
        buffer_bytes: bytes from which on no more are sent.
        is_over: whether nothing more comes after what is buffered.
    """

    received: int
    buffered: int
    buffered_bytes: int
    buffer: int
    buffer_bytes: int
    is_over: bool


class StreamReader(Generic[T_co]):
    """An open stream: iterate over it with ``async for``, within the block that opened it."""

    __slots__ = ()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        """Wait for the next item, as :meth:`receive` does, and end the iteration at the end.

        Cancellation: as usual; nothing is lost.
        """
        raise NotImplementedError

    async def receive(self) -> T_co:
        """Wait for the next item.

        Cancellation: nothing is lost; the next call returns the item.

        Returns:
            A copy of what the generator yielded.

        Raises:
            trio.EndOfChannel: if the generator has returned.
            CallError: if the stream ended otherwise: as for a call.  Items that came before are received
                before it, and it is raised once.
            BadMessage: if a validator refuses the item; the stream goes on.
            Deadlock: if the producer waits for this handler, and so would never go on.
            trio.BusyResourceError: if another task is receiving.
            trio.ClosedResourceError: if the block was left.
        """
        raise NotImplementedError

    def statistics(self) -> StreamStatistics:
        """Measure the stream."""
        raise NotImplementedError

    async def _close(self) -> None:
        """Leave the stream."""
        raise NotImplementedError


class FedReader(StreamReader[Any]):
    """A stream that comes through a feed.

    Args:
        feed: the feed.
        what: the stream, for error texts.
        pause: a cancellation point, and now and then a schedule point.
        opener: the handler that opened it in its own task, or the branch of one, if any.
    """

    __slots__ = ("_feed", "_opener", "_pause", "_what")

    def __init__(
        self, feed: Feed, what: str, pause: Callable[[], Awaitable[None]], opener: Request | Branch | None
    ) -> None:
        self._feed = feed
        self._what = what
        self._pause = pause
        self._opener = opener

    async def opened(self) -> None:
        """Wait until the handler has started.

        Cancellation: cancels the handler and waits for its end.

        Raises:
            CallError: if it did not start, or failed in its first step.
        """
        feed = self._feed
        try:
            with _Waiting(self._waiter(), feed):
                await feed.wait_begun()
        except Deadlock:
            feed.leave()
            raise
        if feed.is_over and not feed.items and (error := feed.take_error()) is not None:
            raise error

    async def __anext__(self) -> Any:
        """Wait for the next item."""
        await self._pause()
        if not self._feed.items and not await self._wait_item():
            raise StopAsyncIteration
        return self._feed.take()

    async def receive(self) -> Any:
        """Wait for the next item."""
        await self._pause()
        if not self._feed.items and not await self._wait_item():
            raise trio.EndOfChannel
        return self._feed.take()

    async def _wait_item(self) -> bool:
        """Wait until there is an item; False at the end."""
        feed = self._feed
        while not feed.items:
            if feed.is_closed:
                raise trio.ClosedResourceError(f"{self._what}: the block that opened the stream was left")
            if feed.is_over:
                error = feed.take_error()
                if error is None:
                    return False
                try:
                    raise error
                finally:
                    del error  # no cycle between the traceback and this frame
            with _Waiting(self._waiter(), feed):
                await feed.wait_news()
        return True

    def statistics(self) -> StreamStatistics:
        """Measure the stream."""
        feed = self._feed
        return StreamStatistics(
            feed.received, len(feed.items), feed.bytes, feed.limit, feed.limit_bytes, feed.is_over
        )

    async def _close(self) -> None:
        feed = self._feed
        with _Waiting(self._waiter(), feed, checked=False):
            await feed.wait_end()
        unseen = feed.take_error()
        if unseen is not None and (isinstance(unseen, RemoteError) or not isinstance(unseen, CallError)):
            _log.error("%s failed when its consumer was leaving", self._what, exc_info=unseen)
        await trio.lowlevel.cancel_shielded_checkpoint()

    def _waiter(self) -> Request | Branch | None:
        """Whoever opened the stream, if it is the current task; any other one shares the stream."""
        opener = self._opener
        if opener is None or opener.task is trio.lowlevel.current_task():
            return opener
        self._feed.is_shared = True
        return None


class _Waiting:
    """While a handler, or a branch of one, waits for a feed; entering refuses to close a circle."""

    __slots__ = ("_checked", "_feed", "_request", "_waiter")

    def __init__(self, waiter: Request | Branch | None, feed: Feed, *, checked: bool = True) -> None:
        source: object = feed.source
        self._feed = feed
        self._checked = checked
        self._request = source if isinstance(source, Request) else None
        self._waiter = waiter

    def __enter__(self) -> None:
        waiter, request = self._waiter, self._request
        if waiter is not None and request is not None:
            waiter.waits_for = request
            if self._checked and _may_close_a_circle(request):
                chain = find_circle(request)
                if chain is not None:
                    waiter.waits_for = None
                    raise Deadlock(chain)
        self._feed.waiter = waiter

    def __exit__(self, *_: object) -> None:
        if self._waiter is not None:
            self._waiter.waits_for = self._feed.waiter = None


def _may_close_a_circle(request: Request) -> bool:
    """Tell whether the other end has to wait itself."""
    if request.state is State.RUNNING:
        return request.waits_for is not None
    return len(request.target.handlers) >= request.target.concurrency


class OwnReader(StreamReader[Any]):
    """A stream of ``self``: the generator runs in place, as the call of a method does."""

    __slots__ = ("_generator", "_is_closed", "_is_over", "_received")

    def __init__(self, generator: AsyncGenerator[Any, None]) -> None:
        self._generator = generator
        self._received = 0
        self._is_over = False
        self._is_closed = False

    async def __anext__(self) -> Any:
        """Wait for the next item."""
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def receive(self) -> Any:
        """Wait for the next item."""
        if self._is_closed:
            raise trio.ClosedResourceError("the block that opened the stream was left")
        try:
            item = await self._generator.__anext__()
        except StopAsyncIteration:
            self._is_over = True
            raise trio.EndOfChannel from None
        self._received += 1
        return item

    def statistics(self) -> StreamStatistics:
        """Measure the stream; nothing is ever buffered."""
        return StreamStatistics(self._received, 0, 0, 0, 0, self._is_over)

    async def _close(self) -> None:
        self._is_closed = True
        await self._generator.aclose()


class StreamCall(Generic[T_co]):
    """A stream that was called and is not open yet: ``async with`` opens it, once.

    Entering waits until the generator has made its first step: to where it first waits, or has yielded.
    What it raises before that is raised there.  The deadline of a call is that of opening; an open stream
    has none.

    Leaving the block before the end cancels the generator and waits until it has ended, over a link for at
    most ``cancel_grace``.  What it raises then is logged, and not raised.
    """

    __slots__ = ("_begin", "_reader", "_was_begun")

    def __init__(self, begin: Callable[[], Awaitable[StreamReader[T_co]]]) -> None:
        self._begin = begin
        self._reader: StreamReader[T_co] | None = None
        self._was_begun = False

    async def __aenter__(self) -> StreamReader[T_co]:
        """Open the stream.

        Cancellation: cancels the generator, or withdraws the message if it has not started.

        Raises:
            CallError: one of its subclasses says why the stream is not open, and ``executed`` whether the
                generator started.
            Exception: a declared exception class that the generator raised in its first step.
            RuntimeError: if it was opened before.
        """
        if self._was_begun:
            raise RuntimeError("this stream was opened already; call it again for another one")
        self._was_begun = True
        self._reader = await self._begin()
        return self._reader

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the stream, and wait for the end of the generator.

        Cancellation: is passed on when the generator has ended.
        """
        assert self._reader is not None
        await self._reader._close()

    if not TYPE_CHECKING:  # for a checker they are not there, and so an error

        def __aiter__(self) -> Any:
            raise TypeError("open it first: `async with ... as stream: async for item in stream: ...`")

        def __await__(self) -> Any:
            raise TypeError("a stream is not awaited but opened: `async with ... as stream: ...`")
