"""What happens in the cluster, as streams for those who want to know."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager
from typing import Final

import trio

from trionet.cluster_events import ClusterEvent
from trionet.kernel.subscribers import Subscribers

#: Events that a subscriber may lag behind before further ones are dropped for it.
SUBSCRIBER_BUFFER: Final = 10_000

_log = logging.getLogger("trionet.cluster")


class EventStreams:
    """The subscribers of one node."""

    def __init__(self) -> None:
        self._subscribers: Subscribers[ClusterEvent] = Subscribers(SUBSCRIBER_BUFFER)
        self._link_change = trio.Event()

    def publish(self, event: ClusterEvent) -> None:
        """Give an event to every subscriber."""
        for _ in range(self._subscribers.offer(event)):
            _log.warning("a subscriber of cluster events lags by %d and misses one", SUBSCRIBER_BUFFER)

    def subscribe(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[ClusterEvent]]:
        """Open a stream of the events from now on; leaving the block closes it."""
        return self._subscribers.subscribe()

    def link_changed(self) -> None:
        """A link opened or ended."""
        self._link_change.set()
        self._link_change = trio.Event()

    async def next_link_change(self) -> None:
        """Wait until a link opens or ends.

        Cancellation: leaves nothing behind.
        """
        await self._link_change.wait()
