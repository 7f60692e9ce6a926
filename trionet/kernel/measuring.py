"""What a node tells of itself and its services.

Duty: the part of a node that measures.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import trio

from trionet.config import NodeConfig
from trionet.errors import NoSuchService
from trionet.handle import Handle
from trionet.kernel.actor import Actor
from trionet.kernel.lifecycle import Lifecycle
from trionet.kernel.network import Network
from trionet.kernel.profile import CommandStatistics
from trionet.kernel.reference import target_of
from trionet.kernel.seams import Seams
from trionet.kernel.spans import Span
from trionet.kernel.statistics import NodeStatistics, Sample, ServiceStatistics, measure, sample
from trionet.kernel.tapping import MessageEvent, Tap, tapped

if TYPE_CHECKING:
    from trionet.kernel.monitor import Monitor


class Measuring(Lifecycle):
    """What a node needs to be measured."""

    def __init__(
        self, nursery: trio.Nursery, config: NodeConfig, seams: Seams, network: Network | None
    ) -> None:
        super().__init__(nursery, config, seams, network)
        self.taps: dict[Handle, Tap] = {}

    if TYPE_CHECKING:
        monitor: Monitor

        @property
        def name(self) -> str:
            """The node's name in logs."""

        @property
        def harbor(self) -> int:
            """The node's harbor id."""

    def services(self) -> tuple[Handle, ...]:
        """The handles of all services of this node, oldest first."""
        return tuple(actor.handle for actor in self.actors.values())

    def service_statistics(self, target: Any) -> ServiceStatistics:
        """Measure one service of this node.

        Raises:
            NoSuchService: if it is no living service of this node.
        """
        return measure(self._actor_here(target))

    def samples(self) -> dict[Handle, Sample]:
        """Measure what changes most of all services of this node, oldest first; cheaper than the above."""
        return {actor.handle: sample(actor) for actor in self.actors.values()}

    def tap(self, target: Any) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[MessageEvent]]:
        """Look at the messages of a service: ``async with node.tap(".x") as events: async for e in events``.

        Each message gives an event when it begins to be handled and one when it has ended.  The stream ends
        with the service; a reader that lags by more than 1,000 events misses some.  Leaving the block leaves
        nothing behind; a service that nobody looks at pays nothing.

        Args:
            target: a reference, handle or name of a service of this node.

        Raises:
            NoSuchService: if it is no living service of this node.
        """
        return tapped(self._actor_here(target))

    def _actor_here(self, target: Any) -> Actor:
        actor = self.locate(target_of(target))
        if not isinstance(actor, Actor):
            raise NoSuchService(f"{actor} is not on this node", executed=False)
        return actor

    def service_info(self, target: Any) -> object:
        """What one service of this node tells of itself; see :meth:`Service.debug_info`.

        Raises:
            NoSuchService: if it is no living service of this node.
            Exception: what ``debug_info`` raised.
        """
        actor = self._actor_here(target)
        return None if actor.instance is None else actor.context.copy().run(actor.instance.debug_info)

    def statistics(self) -> NodeStatistics:
        """Measure the node."""
        actors = self.actors.values()
        return NodeStatistics(
            self.name,
            self.harbor,
            self.incarnation,
            len(actors),
            sum(actor.messages for actor in actors),
            sum(actor.cpu_time for actor in actors),
            sum(actor.inbox.size for actor in actors),
            sum(len(actor.handlers) for actor in actors),
            self.dead_letters.count,
            self.monitor.stalls,
            self.ended_messages,
            self.ended_cpu_time,
        )

    def profile(self) -> tuple[CommandStatistics, ...]:
        """Measure each command of each class of services, those that held the event loop longest first.

        There is nothing to tell unless ``node.profile`` is set (``trionet run --profile``).
        """
        return () if self.observer is None else self.observer.profile()

    def spans(self, trace: int | None = None) -> tuple[Span, ...]:
        """The recorded handlers of this node, as far as they are kept: those that ended, then those that run.

        There are none unless the node records call chains (:class:`trionet.TraceConfig`).

        Args:
            trace: the id of one chain; by default all.
        """
        if self.observer is None or self.observer.spans is None:
            return ()
        return tuple(self.observer.spans if trace is None else self.observer.spans.of(trace))

    def spans_since(self, number: int) -> tuple[tuple[Span, ...], int]:
        """The recorded handlers that ended since an earlier look, as far as they are kept.

        Args:
            number: what the earlier look returned; 0 for the first.

        Returns:
            The spans, oldest first, and the number to look from next.
        """
        if self.observer is None or self.observer.spans is None:
            return (), 0
        fresh, number = self.observer.spans.since(number)
        return tuple(fresh), number
