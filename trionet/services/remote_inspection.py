"""Looking at another node from here: what the launcher there tells.

Duty: find the launcher of a node, and give its commands that look their types.
May import: trionet, the launcher and the measures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import trio

from trionet import (
    CommandStatistics,
    DeadLetter,
    Handle,
    LinkReport,
    MessageEvent,
    Node,
    NodeDown,
    NodeStatistics,
    NoSuchService,
    RemoteError,
    ServiceStatistics,
    StreamReader,
)
from trionet.services.inspection import MOST_LISTED, MOST_LOGGED
from trionet.services.launcher import LAUNCHER, LAUNCHERS, Launcher
from trionet.services.measures import Collected, MemoryStatistics, NodeLoad
from trionet.services.unique import unique

#: Seconds to wait for the launcher of a node that is there; it may just be starting.
PATIENCE: Final = 5.0


class RemoteInspection:
    """What one can see of a node; :class:`RemoteNode` adds what one can do.

    Args:
        node: this node.
        harbor: the harbor id of the other.
    """

    def __init__(self, node: Node, harbor: int) -> None:
        self.node = node
        self.harbor = harbor

    # services

    async def services(self) -> tuple[ServiceStatistics, ...]:
        """Measure all services of that node; without their running handlers.

        Cancellation: nothing is left.
        """
        launcher = await self.launcher()
        found: list[ServiceStatistics] = []
        while True:
            more = await launcher.services(found[-1].handle.local if found else 0)
            found += more
            if len(more) < MOST_LISTED:
                return tuple(found)

    async def stat(self, target: Any) -> ServiceStatistics:
        """Measure one service of that node, with its running handlers.

        Cancellation: nothing is left.

        Args:
            target: as for :meth:`stop`.

        Raises:
            NoSuchService: if it is no living service of that node.
        """
        launcher = await self.launcher()
        with looked_for_there():
            return await launcher.stat(target)

    async def names(self) -> dict[str, Handle]:
        """All names that that node knows, its local ones first.

        Cancellation: nothing is left.
        """
        return await (await self.launcher()).names()

    async def info(self, target: Any) -> Any:
        """What a service of that node tells of itself; see :meth:`trionet.Service.debug_info`.

        Cancellation: nothing is left.

        Args, Raises: as :meth:`stat`.
        """
        launcher = await self.launcher()
        with looked_for_there():
            return await launcher.info(target)

    async def ping(self, target: Any) -> float:
        """Measure the way of a message from that node's launcher to one of its services.

        Cancellation: nothing is left.

        Args, Raises: as :meth:`stat`.

        Returns:
            The seconds from sending it until the service has a free slot for it and has answered.
        """
        launcher = await self.launcher()
        with looked_for_there():
            return await launcher.ping(target)

    @asynccontextmanager
    async def messages(self, target: Any) -> AsyncIterator[StreamReader[MessageEvent]]:
        """Look at the messages of a service of that node for the block; see :meth:`trionet.Node.tap`.

        Cancellation: leaves nothing behind.

        Args, Raises: as :meth:`stat`.
        """
        launcher = await self.launcher()
        with looked_for_there():
            async with launcher.messages(target) as events:
                yield events

    async def log_messages(self, target: Any, most: int = MOST_LOGGED) -> None:
        """Let that node log the messages of one of its services: logger ``trionet.messages``, level INFO.

        Cancellation: it may log them all the same.

        Args:
            target: as for :meth:`stat`.
            most: lines after which it ends by itself.

        Raises:
            NoSuchService: if it is no living service of that node.
        """
        launcher = await self.launcher()
        with looked_for_there():
            await launcher.log_messages(target, most)

    async def log_no_messages(self, target: Any) -> bool:
        """End the message log of a service of that node; tells whether there was one.

        Cancellation, Args, Raises: as :meth:`log_messages`.
        """
        launcher = await self.launcher()
        with looked_for_there():
            return await launcher.log_no_messages(target)

    # the node

    async def node_stat(self) -> NodeStatistics:
        """Measure that node.

        Cancellation: nothing is left.
        """
        return await (await self.launcher()).node_stat()

    async def profile(self) -> tuple[CommandStatistics, ...]:
        """Measure each command of each class of services of that node; see :meth:`trionet.Node.profile`.

        Cancellation: nothing is left.
        """
        return await (await self.launcher()).profile()

    async def links(self) -> tuple[LinkReport, ...]:
        """Measure the links of that node.

        Cancellation: nothing is left.
        """
        return await (await self.launcher()).links()

    async def memory(self) -> MemoryStatistics:
        """Measure the memory of that node's process.

        Cancellation: nothing is left.
        """
        return await (await self.launcher()).memory()

    async def collect(self) -> Collected:
        """Let that node run the garbage collector; it does nothing else meanwhile.

        Cancellation: it runs all the same.
        """
        return await (await self.launcher()).collect()

    async def dead_letters(self) -> dict[str, int]:
        """How many dead letters of that node there were for each handle or name, the most frequent first.

        Cancellation: nothing is left.
        """
        return await (await self.launcher()).dead_letters()

    @asynccontextmanager
    async def follow_dead_letters(self) -> AsyncIterator[StreamReader[DeadLetter]]:
        """Look at the dead letters of that node, without their arguments, for the block.

        Cancellation: leaves nothing behind.
        """
        async with (await self.launcher()).follow_dead_letters() as letters:
            yield letters

    @asynccontextmanager
    async def load(self, interval: float = 1.0, most: int = 20) -> AsyncIterator[StreamReader[NodeLoad]]:
        """Look at what that node does, again and again, for the block.

        Cancellation: leaves nothing behind.

        Args:
            interval: seconds between two looks, at least 0.1.
            most: the busiest services of which it tells, at most 1,000.
        """
        async with (await self.launcher()).load(interval, most) as loads:
            yield loads

    async def log_levels(self) -> dict[str, str]:
        """The loggers of that node that have a level of their own, with it; the root is named ``root``.

        Cancellation: nothing is left.
        """
        return await (await self.launcher()).log_levels()

    async def set_log_level(self, logger: str, level: str) -> None:
        """Set the least level that a logger of that node's process logs.

        Cancellation: it may be set all the same.

        Args:
            logger: its name; ``root`` for all that have none of their own.
            level: DEBUG, INFO, WARNING, ERROR, CRITICAL, or NOTSET to take that of the logger above.

        Raises:
            NoSuchLevel: if it is another word.
        """
        await (await self.launcher()).set_log_level(logger, level)

    # finding it

    async def launcher(self) -> Launcher:
        """The launcher of that node; waits a moment for one that is about to start.

        Cancellation: nothing is left.

        Raises:
            NodeDown: if there is no such node.
            NoSuchService: if it has no launcher.
        """
        if self.harbor == self.node.harbor:
            return await unique(self.node, Launcher, LAUNCHER)
        handle = self._member()
        if handle is None:
            with trio.move_on_after(PATIENCE):
                handle = await self._wait_for_member()
        if handle is None:
            text = f"harbor {self.harbor} has no launcher: its program opens the node without one"
            raise NoSuchService(text, executed=False)
        return self.node.ref(handle, Launcher)

    async def _wait_for_member(self) -> Handle:
        async with self.node.cluster.events() as events:
            while (handle := self._member()) is None:
                await events.receive()
        return handle

    def _member(self) -> Handle | None:
        cluster = self.node.cluster
        if self.harbor not in cluster.nodes():
            raise NodeDown(f"there is no harbor {self.harbor} in the cluster", executed=False)
        return next((each for each in cluster.members(LAUNCHERS) if each.harbor == self.harbor), None)


@contextmanager
def looked_for_there() -> Iterator[None]:
    """Raise what says that a target is not there as if it had been looked for here."""
    try:
        yield
    except RemoteError as error:
        if error.type_name == f"{NoSuchService.__module__}.{NoSuchService.__qualname__}":
            raise NoSuchService(error.text, executed=False) from error
        raise
