"""Those who want to know of all that happens from now on, each through a channel of its own.

Duty: give everybody everything, never wait, and let who lags miss something.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Subscribers(Generic[T]):
    """The subscribers to one source.

    Args:
        buffer: items that one may lag behind before it misses further ones.
    """

    def __init__(self, buffer: int) -> None:
        self._buffer = buffer
        self._channels: dict[trio.MemorySendChannel[T], None] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def offer(self, item: T) -> int:
        """Give an item to each; returns how many lag so far that they miss it."""
        missed = 0
        for channel in self._channels:
            try:
                channel.send_nowait(item)
            except trio.WouldBlock:
                missed += 1
            except trio.BrokenResourceError:
                continue  # it has closed its end
        return missed

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[trio.MemoryReceiveChannel[T]]:
        """Open a stream of the items from now on; leaving the block closes it.

        Cancellation: entering and leaving never wait.
        """
        send, receive = trio.open_memory_channel[T](self._buffer)
        self._channels[send] = None
        try:
            with send, receive:
                yield receive
        finally:
            del self._channels[send]
