"""Looking at a node: its services, its memory, its links, its log, its messages.

Duty: the commands by which other nodes and the console look; the launcher has them.
May import: trionet and the measures.
"""

from __future__ import annotations

import gc
import heapq
import logging
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from trionet import (
    CommandStatistics,
    DeadLetter,
    Handle,
    LinkReport,
    MessageEvent,
    NodeStatistics,
    Service,
    ServiceStatistics,
    TrionetError,
    command,
    stream,
    value,
)
from trionet.services.measures import Collected, MemoryStatistics, NodeLoad, Rates
from trionet.services.ping import ping

#: Services that are listed at once; more would make too large a message.
MOST_LISTED: Final = 1_000
#: Messages of a service that are logged before its message log ends by itself.
MOST_LOGGED: Final = 10_000
#: Loggers and dead receivers that are told at once.
MOST_TOLD: Final = 1_000
#: Seconds between two looks at the load, at least.
LEAST_INTERVAL: Final = 0.1
#: Bytes of the unit in which the system tells the greatest memory.
_PEAK_UNIT: Final = 1 if sys.platform == "darwin" else 1024

_log: Final = logging.getLogger("trionet.messages")


@value(name="trionet.NoSuchLevel")
class NoSuchLevel(TrionetError):
    """There is no log level of that name."""


class Inspection(Service):
    """The commands of the launcher that look, and change no service."""

    # services

    @command
    def services(self, after: int = 0, most: int = MOST_LISTED) -> tuple[ServiceStatistics, ...]:
        """Measure services of the node, those with the smallest local ids; without their running handlers.

        Args:
            after: only those with a larger local id.
            most: how many, at most 1,000.
        """
        later = (handle for handle in self.node.services() if handle.local > after)
        listed = heapq.nsmallest(min(most, MOST_LISTED), later)
        return tuple(attrs.evolve(self.node.service_statistics(each), handlers=()) for each in listed)

    @command
    def stat(self, target: Any) -> ServiceStatistics:
        """Measure one service of the node."""
        return self.node.service_statistics(target)

    @command
    def names(self) -> dict[str, Handle]:
        """All names that the node knows, local ones first."""
        return self.node.names()

    @command
    def info(self, target: Any) -> Any:
        """What a service of the node tells of itself; see :meth:`trionet.Service.debug_info`."""
        return self.node.service_info(target)

    @command
    async def ping(self, target: Any) -> float:
        """Send a message the way of all messages to a service: through its inbox, to a free slot.

        Cancellation: nothing is left.

        Returns:
            The seconds that it took.
        """
        began = trio.current_time()
        await ping(self.node, target)
        return trio.current_time() - began

    # the node

    @command
    def node_stat(self) -> NodeStatistics:
        """Measure the node."""
        return self.node.statistics()

    @command
    def profile(self) -> tuple[CommandStatistics, ...]:
        """What each command of each class of services of the node costs; see :meth:`trionet.Node.profile`."""
        return self.node.profile()

    @command
    def links(self) -> tuple[LinkReport, ...]:
        """Measure the links of the node."""
        return self.node.cluster.links()

    @command
    def memory(self) -> MemoryStatistics:
        """Measure the memory of the node's process."""
        collections = tuple(each["collections"] for each in gc.get_stats())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT
        return MemoryStatistics(_resident(), peak, sys.getallocatedblocks(), gc.get_count(), collections)

    @command
    def collect(self) -> Collected:
        """Run the garbage collector; nothing else runs meanwhile."""
        began = trio.current_time()
        found = gc.collect()
        return Collected(found, trio.current_time() - began, _resident())

    @command
    def dead_letters(self, most: int = MOST_TOLD) -> dict[str, int]:
        """How many dead letters there were for each handle or name, the most frequent first."""
        return dict(self.node.dead_letters.by_target.most_common(min(most, MOST_TOLD)))

    @stream(endless=True)
    async def follow_dead_letters(self) -> AsyncIterator[DeadLetter]:
        """The dead letters from now on, without their arguments.

        Cancellation: leaves nothing behind.
        """
        async with self.node.dead_letters.subscribe() as letters:
            async for letter in letters:
                yield attrs.evolve(letter, args=(), kwargs={})

    @stream(endless=True, buffer=1)
    async def load(self, interval: float = 1.0, most: int = 20) -> AsyncIterator[NodeLoad]:
        """What the node did, again and again.

        Cancellation: leaves nothing behind.

        Args:
            interval: seconds between two looks, at least 0.1.
            most: the busiest services of which it tells.
        """
        before, began = self.node.samples(), trio.current_time()
        while True:
            await trio.sleep(max(interval, LEAST_INTERVAL))
            after, now = self.node.samples(), trio.current_time()
            yield self._load(Rates(before, after, now - began), min(most, MOST_LISTED))
            before, began = after, now

    def _load(self, rates: Rates, most: int) -> NodeLoad:
        busiest = tuple(rates.of(each, self._label(each)) for each in rates.busiest(most))
        node = self.node.statistics()
        return NodeLoad(node, rates.seconds, *rates.total(), self.node.cluster.links(), busiest)

    def _label(self, handle: Handle) -> str:
        found = self.node.service_statistics(handle)
        return found.names[0] if found.names else found.service_class.rpartition(":")[2]

    # logs

    @command
    def log_levels(self) -> dict[str, str]:
        """The loggers that have a level of their own, with it; the root is named ``root``."""
        root = logging.getLogger()
        known = {"root": root, **root.manager.loggerDict}
        found = ((name, each) for name, each in known.items() if isinstance(each, logging.Logger))
        levels = {name: logging.getLevelName(each.level) for name, each in found if each.level}
        return dict(list(levels.items())[:MOST_TOLD])

    @command
    def set_log_level(self, logger: str, level: str) -> None:
        """Set the least level that a logger of the node's process logs.

        Args:
            logger: its name; ``root`` for all that have none of their own.
            level: DEBUG, INFO, WARNING, ERROR, CRITICAL, or NOTSET to take that of the logger above.

        Raises:
            NoSuchLevel: if it is another word.
        """
        known = logging.getLevelNamesMapping()
        if level.upper() not in known:
            raise NoSuchLevel(f"found {level!r}, expected one of {', '.join(known)}")
        logging.getLogger(None if logger == "root" else logger).setLevel(known[level.upper()])

    @stream(endless=True)
    async def messages(self, target: Any) -> AsyncIterator[MessageEvent]:
        """The messages of a service of the node; see :meth:`trionet.Node.tap`.

        Cancellation: leaves nothing behind.
        """
        async with self.node.tap(target) as events:
            async for event in events:
                yield event

    @command
    async def log_messages(self, target: Any, most: int = MOST_LOGGED) -> None:
        """Log the messages of a service: logger ``trionet.messages``, level INFO.

        Cancellation: nothing is left, or it logs.

        Args:
            target: a service of the node.
            most: lines after which it ends by itself.
        """
        handle = self.node.handle_of(target)
        self._stop_logging(handle)
        await self.nursery.start(self._log_messages, handle, most)

    @command
    def log_no_messages(self, target: Any) -> bool:
        """End the message log of a service; tells whether there was one."""
        return self._stop_logging(self.node.handle_of(target))

    def _stop_logging(self, handle: Handle) -> bool:
        scope = self._logged().pop(handle, None)
        if scope is not None:
            scope.cancel()
        return scope is not None

    def _logged(self) -> dict[Handle, trio.CancelScope]:
        """The services whose messages are logged, each with the scope that ends it."""
        found: dict[Handle, trio.CancelScope] = self.__dict__.setdefault("_message_logs", {})
        return found

    async def _log_messages(self, handle: Handle, most: int, task_status: trio.TaskStatus[None]) -> None:
        label = self._label(handle)
        with trio.CancelScope() as scope:
            async with self.node.tap(handle) as events:
                self._logged()[handle] = scope
                task_status.started()
                async for event in events:
                    _log.info("%s %s %s", handle, label, line_of(event))
                    most -= 1
                    if most <= 0:
                        _log.info("%s %s: the message log ends here", handle, label)
                        break
        if self._logged().get(handle) is scope:
            del self._logged()[handle]


def line_of(event: MessageEvent) -> str:
    """A message as one line for people."""
    missed = f"({event.missed} events missed) " if event.missed else ""
    if event.stage == "begun":
        source = "the node" if event.source is None else event.source
        return f"{missed}#{event.number} {event.kind} {event.command}({event.text}) from {source}"
    took = f"after {event.seconds * 1000:.3f} ms"
    return f"{missed}#{event.number} {event.command} {event.text} {took}"


def _resident() -> int | None:
    """Bytes of main memory that this process has, where the system tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * resource.getpagesize()
