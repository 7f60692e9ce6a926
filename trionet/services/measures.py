"""What the inspection of a node gives: values that travel to other nodes and to the console.

Duty: the classes, and the rates between two samples.
May import: trionet.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import attrs

from trionet import Handle, LinkReport, NodeStatistics, Sample, value


@value(name="trionet.MemoryStatistics", unknown="drop")
@attrs.frozen
class MemoryStatistics:
    """The memory of a node's process.

    Args:
        resident: bytes of main memory that it has now; None where the system does not tell.
        peak: the most that it ever had, in bytes.
        blocks: pieces of memory that Python has allocated.
        counters: those of the garbage collector, by generation, the youngest first: how much was allocated,
            or how often the next younger one was collected, since it was collected itself.
        collections: how often it has collected each generation.
    """

    resident: int | None
    peak: int
    blocks: int
    counters: tuple[int, ...]
    collections: tuple[int, ...]


@value(name="trionet.Collected", unknown="drop")
@attrs.frozen
class Collected:
    """What a run of the garbage collector did.

    Args:
        objects: unreachable objects that it found.
        seconds: how long it took; nothing else ran meanwhile.
        resident: bytes of main memory that the process has now; None where the system does not tell.
    """

    objects: int
    seconds: float
    resident: int | None


@value(name="trionet.ServiceLoad", unknown="drop")
@attrs.frozen
class ServiceLoad:
    """What a service did in a period.

    Args:
        handle: its identity.
        label: its first name, or else the name of its class.
        rate: messages a second.
        cpu: share of the time for which its handlers held the event loop, 0 to 1.
        inbox: messages in its inbox at the end of the period.
        messages: messages handled since it started.
    """

    handle: Handle
    label: str
    rate: float
    cpu: float
    inbox: int
    messages: int


@value(name="trionet.NodeLoad", unknown="drop")
@attrs.frozen
class NodeLoad:
    """What a node did in a period.

    Args:
        node: the node, measured at the end of the period.
        seconds: the length of the period.
        rate: messages a second, of all services.
        cpu: share of the time for which handlers held the event loop, 0 to 1.
        links: its links.
        busiest: the services that handled most messages in the period, the busiest first.
    """

    node: NodeStatistics
    seconds: float
    rate: float
    cpu: float
    links: tuple[LinkReport, ...]
    busiest: tuple[ServiceLoad, ...]


@attrs.frozen
class Rates:
    """What happened between two samples of a node.

    Args:
        before: the first sample.
        after: the second.
        seconds: between them.
    """

    before: Mapping[Handle, Sample]
    after: Mapping[Handle, Sample]
    seconds: float

    def _change(self, handle: Handle) -> tuple[int, float]:
        new = self.after[handle]
        old = self.before.get(handle)
        if old is None:
            return new.messages, new.cpu_time
        return new.messages - old.messages, new.cpu_time - old.cpu_time

    def total(self) -> tuple[float, float]:
        """Messages a second, and the share of the processor, of all services."""
        changes = [self._change(handle) for handle in self.after]
        messages, cpu = sum(each for each, _ in changes), sum(each for _, each in changes)
        return messages / self.seconds, cpu / self.seconds

    def busiest(self, most: int) -> list[Handle]:
        """The services that handled most messages; of equals those with the longer inbox, then the older."""
        return heapq.nlargest(most, self.after, key=lambda each: (*self._rank(each), -each.local))

    def _rank(self, handle: Handle) -> tuple[int, float, int]:
        return *self._change(handle), self.after[handle].inbox

    def of(self, handle: Handle, label: str) -> ServiceLoad:
        """What one service did."""
        messages, cpu = self._change(handle)
        now = self.after[handle]
        return ServiceLoad(
            handle, label, messages / self.seconds, cpu / self.seconds, now.inbox, now.messages
        )
