"""What a consumer has of a stream: a call that ``async with`` opens, and what its block reads from (C4, C6).

Duty: the public side of consumers, and streams of ``self``, which need no more than that.  What comes from
other services is read by :mod:`trionet.kernel.consuming`.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import attrs
import trio

T_co = TypeVar("T_co", covariant=True)


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

    __slots__ = ("_begin", "_label", "_reader", "_was_begun")

    def __init__(self, begin: Callable[[], Awaitable[StreamReader[T_co]]], label: str) -> None:
        self._was_begun = False
        self._begin = begin
        self._label = label
        self._reader: StreamReader[T_co] | None = None

    def __del__(self) -> None:
        """Warn as Python does of a call that is not awaited."""
        if not self._was_begun:
            text = f"stream '{self._label}' was never opened: `async with ... as items`"
            warnings.warn(text, RuntimeWarning, stacklevel=2)

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
            self._was_begun = True  # told here
            raise TypeError("open it first: `async with ... as stream: async for item in stream: ...`")

        def __await__(self) -> Any:
            self._was_begun = True  # told here
            raise TypeError("a stream is not awaited but opened: `async with ... as stream: ...`")
