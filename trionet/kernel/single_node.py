"""No network: what stands at the kernel's hook when a node is alone (harbor id 0).

Duty: implement :class:`trionet.kernel.network.Network` without any socket: global names and groups are
known on this node, every handle of another node is down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn

import trio

from trionet.cluster_events import ClusterEvent, GroupChanged, NameAdded, NameRemoved
from trionet.errors import NodeDown
from trionet.handle import Handle
from trionet.kernel.event_streams import EventStreams
from trionet.kernel.names import NameTable
from trionet.kernel.network import Outgoing
from trionet.kernel.statistics import LinkReport
from trionet.kernel.watch import Exit

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor
    from trionet.kernel.feed import Feed
    from trionet.kernel.node import Node


class SingleNode:
    """No network: harbor id 0."""

    harbor = 0

    def __init__(self) -> None:
        self._names: NameTable[Actor] = NameTable()
        self._stamps: dict[str, int] = {}
        self._registrations = count(1)
        self._groups: dict[str, dict[Handle, None]] = {}
        self._events = EventStreams()

    def incarnation(self, harbor: int) -> int:
        """There is no other node."""
        self._down(f"harbor {harbor}")

    def call(self, message: Outgoing) -> NoReturn:
        """There is no other node."""
        self._down(str(message.target))

    def stream(self, message: Outgoing, feed: Feed) -> None:
        """There is no other node."""
        self._down(str(message.target))

    def send(
        self,
        source: Actor | None,
        target: Handle,
        command: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        trace: int,
    ) -> NoReturn:
        """There is no other node."""
        self._down(str(target))

    def send_nowait(
        self,
        source: Actor | None,
        target: Handle,
        command: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        trace: int,
    ) -> None:
        """There is no other node."""
        self._down(str(target))

    def watch(self, handle: Handle, tell: Callable[[Exit], None]) -> Callable[[], None]:
        """What lives on another node is down."""
        tell(Exit(handle, "node down"))
        return lambda: None

    async def stop(self, handle: Handle, *, kill: bool) -> None:
        """There is no other node."""
        self._down(str(handle))

    def lookup(self, name: str) -> Handle | None:
        """The owner of a global name."""
        return self._names.handle(name)

    def global_names(self) -> dict[str, Handle]:
        """All global names, sorted."""
        return self._names.names()

    async def register(self, name: str, actor: Actor, *, exclusive: bool, replacing: Handle | None) -> None:
        """Register a global name."""
        await trio.lowlevel.checkpoint()
        self._names.reserve(name, actor)
        self._names.announce(name, actor.handle, actor)
        self._stamps[name] = next(self._registrations)
        self._events.publish(NameAdded(name, actor.handle))

    def withdraw(self, name: str, handle: Handle, *, keep: bool) -> None:
        """Give back a global name; the node itself keeps it reserved, and there is no other node."""
        if self._names.handle(name) == handle:
            self._names.withdraw(name)
            del self._stamps[name]
            self._events.publish(NameRemoved(name, handle))

    def stamp(self, name: str) -> tuple[int, int] | None:
        """When the owner of a global name was registered."""
        counter = self._stamps.get(name)
        return None if counter is None else (0, counter)

    async def wait_for_name(self, name: str) -> Handle:
        """Wait until a global name has an owner."""
        return await self._names.wait(name)

    def join_group(self, group: str, handle: Handle) -> None:
        """Make a service member of a group."""
        members = self._groups.setdefault(group, {})
        if handle not in members:
            members[handle] = None
            self._events.publish(GroupChanged(group, (handle,), ()))

    def leave_group(self, group: str, handle: Handle) -> None:
        """End a membership."""
        members = self._groups.get(group, {})
        if handle in members:
            del members[handle]
            self._events.publish(GroupChanged(group, (), (handle,)))
        if not members:
            self._groups.pop(group, None)

    def leave_groups(self, handle: Handle) -> None:
        """A service has ended: it is no member of anything any more."""
        for group in [group for group, members in self._groups.items() if handle in members]:
            self.leave_group(group, handle)

    # the cluster, as code on the node sees it

    def nodes(self) -> dict[int, str]:
        """No node has an address."""
        return {}

    def linked(self) -> tuple[int, ...]:
        """There are no links."""
        return ()

    def links(self) -> tuple[LinkReport, ...]:
        """There are none."""
        return ()

    async def wait_connected(self, harbor: int) -> None:
        """There is nothing to wait for.

        Cancellation: as usual.

        Raises:
            NodeDown: always, but for the node itself.
        """
        await trio.lowlevel.checkpoint()
        if harbor != self.harbor:
            self._down(f"harbor {harbor}")

    async def wait_disconnected(self, harbor: int) -> None:
        """Return at once.

        Cancellation: as usual.
        """
        await trio.lowlevel.checkpoint()

    async def wait_master_lost(self) -> None:
        """There is no master.

        Cancellation: as usual.

        Raises:
            NodeDown: always.
        """
        await trio.lowlevel.checkpoint()
        self._down("the master")

    def events(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[ClusterEvent]]:
        """Open a stream of what happens from now on: names and groups."""
        return self._events.subscribe()

    def members(self, group: str) -> tuple[Handle, ...]:
        """The members of a group, sorted."""
        return tuple(sorted(self._groups.get(group, ())))

    def groups(self) -> tuple[str, ...]:
        """The groups that have members, sorted."""
        return tuple(sorted(self._groups))

    # its life

    @asynccontextmanager
    async def running(self, node: Node) -> AsyncIterator[None]:
        """There is nothing to take part in."""
        yield

    def leaving(self) -> None:
        """Global names go with their services."""

    def _down(self, what: str) -> NoReturn:
        raise NodeDown(
            f"{what} is on another node, and this one has no network (harbor id 0)", executed=False
        )
