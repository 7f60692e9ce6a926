"""The consumer's side of a stream of another service: its waits, and what becomes of errors (C4, C6, C7).

Duty: read from the buffer of a stream (:mod:`trionet.kernel.feed`); it is the same whether the producer is on
this node or behind a link.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from trionet.errors import CallError, Deadlock, RemoteError
from trionet.kernel.deadlock import find_circle
from trionet.kernel.feed import Feed
from trionet.kernel.request import RUNNING, Request
from trionet.kernel.stream_reader import StreamReader, StreamStatistics
from trionet.kernel.together import Branch

#: Items that may wait at a consumer who chose nothing else.
BUFFER: Final = 256
#: Bytes of items that may wait there before no more are sent.
BUFFER_BYTES: Final = 1024 * 1024

_log = logging.getLogger("trionet.streams")


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
    if request.state is RUNNING:
        return request.waits_for is not None
    return len(request.target.handlers) >= request.target.concurrency
