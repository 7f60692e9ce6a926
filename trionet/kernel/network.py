"""The one hook through which the kernel sees other nodes.

Duty: what the kernel asks of a network (:class:`Network`), and the part of it that user code sees
(:class:`Cluster`).  :class:`trionet.kernel.single_node.SingleNode` stands there when there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import trio

from trionet.cluster_events import ClusterEvent
from trionet.handle import Handle
from trionet.kernel.statistics import LinkReport
from trionet.kernel.watch import Exit

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor
    from trionet.kernel.feed import Feed
    from trionet.kernel.node import Node
    from trionet.kernel.request import Request


@attrs.define  # a frozen one takes four times as long to make
class Outgoing:
    """A message for a service on another node, never changed; its values are snapshots already.

    Args:
        source: the sending service, or None for code outside any service.
        target: the receiving service.
        command: the name of the command.
        args: the positional arguments.
        kwargs: the arguments by name.
        deadline: on the clock of ``trio.current_time()``; infinity for none.
        enforced: whether the deadline must be watched here, because no cancel scope of the caller does.
        trace: the id that all messages of one chain share.
        parent: the request whose handler makes the call in its own task, if any.
    """

    source: Actor | None
    target: Handle
    command: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    deadline: float
    enforced: bool
    trace: int
    parent: Request | None


class Cluster(Protocol):
    """The cluster, as code on a node sees it; there is one also on a node without a network."""

    @property
    def harbor(self) -> int:
        """The harbor id of this node; 0 without a network."""

    def nodes(self) -> dict[int, str]:
        """The nodes of the cluster: harbor id and address, this one included."""

    def linked(self) -> tuple[int, ...]:
        """The harbor ids of the nodes to which there is a link, sorted."""

    def links(self) -> tuple[LinkReport, ...]:
        """Measure the links to other nodes, sorted by harbor id."""

    async def wait_connected(self, harbor: int) -> None:
        """Wait until there is a link to another node.

        Cancellation: leaves nothing behind.

        Raises:
            NodeDown: if this node has no network.
        """

    async def wait_disconnected(self, harbor: int) -> None:
        """Wait until there is no link to another node; returns at once if there is none.

        Cancellation: leaves nothing behind.
        """

    async def wait_master_lost(self) -> None:
        """Wait until the connection to the master is lost; returns at once if it is.

        Cancellation: leaves nothing behind.

        Raises:
            NodeDown: if this node has no network, and so no master.
        """

    def events(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[ClusterEvent]]:
        """Open a stream of what happens in the cluster from now on: nodes, master, names, groups."""

    def members(self, group: str) -> tuple[Handle, ...]:
        """The members of a group, sorted, from the local copy of the table."""

    def groups(self) -> tuple[str, ...]:
        """The groups that have members, sorted."""


class Network(Cluster, Protocol):
    """Other nodes, as the kernel sees them."""

    def incarnation(self, harbor: int) -> int:
        """The present incarnation of another node.

        Raises:
            NodeDown: if there is no link to it.
        """

    def call(self, message: Outgoing) -> Coroutine[Any, Any, Any]:
        """Call a service on another node; returns the wait for the end of the call."""

    def stream(self, message: Outgoing, feed: Feed) -> None:
        """Open a stream of a service on another node, and become the source of the feed."""

    def send(
        self,
        source: Actor | None,
        target: Handle,
        command: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        trace: int,
    ) -> Coroutine[Any, Any, None] | None:
        """Send to a service on another node; arguments as in :class:`Outgoing`.

        Returns:
            The wait for room in the window, if there is none.
        """

    def send_nowait(
        self,
        source: Actor | None,
        target: Handle,
        command: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        trace: int,
    ) -> None:
        """As :meth:`send`, if there is room now.

        Raises:
            trio.WouldBlock: if there is no room in the window.
        """

    def watch(self, handle: Handle, tell: Callable[[Exit], None]) -> Callable[[], None]:
        """Tell once of the end of a service on another node; returns what ends the watch."""

    async def stop(self, handle: Handle, *, kill: bool) -> None:
        """Stop or kill a service on another node and wait for its end."""

    def lookup(self, name: str) -> Handle | None:
        """The owner of a global name, from the local copy of the table."""

    def global_names(self) -> dict[str, Handle]:
        """All global names, sorted, from the local copy of the table."""

    async def register(self, name: str, actor: Actor, *, exclusive: bool, replacing: Handle | None) -> None:
        """Register a global name for a service of this node; returns when the master accepted.

        Args:
            name: the name.
            actor: its new owner.
            exclusive: whether two parts of a split cluster must never both have an owner.
            replacing: the former self of a restarted service, for which the name was kept.

        Raises:
            NameTaken: if another service owns it.
        """

    def withdraw(self, name: str, handle: Handle, *, keep: bool) -> None:
        """Give back a global name of a service of this node, or only hide it until it is given back.

        It does nothing where that service neither has the name, nor has it kept, nor is registering it.
        """

    def stamp(self, name: str) -> tuple[int, int] | None:
        """When the owner of a global name was registered: later registrations have greater stamps."""

    async def wait_for_name(self, name: str) -> Handle:
        """Wait until a global name has an owner."""

    def join_group(self, group: str, handle: Handle) -> None:
        """Make a service of this node member of a group."""

    def leave_group(self, group: str, handle: Handle) -> None:
        """End a membership."""

    def leave_groups(self, handle: Handle) -> None:
        """A service has ended: it is no member of anything any more."""

    def running(self, node: Node) -> AbstractAsyncContextManager[None]:
        """Take part in the cluster for the block."""

    def leaving(self) -> None:
        """The node begins to stop: give up its names and announce the goodbye."""
