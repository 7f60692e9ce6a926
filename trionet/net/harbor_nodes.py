"""The nodes of the cluster as this one sees them: who is there, who is linked, what changes (C13).

Duty: the view of the cluster that code on the node has.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import trio

from trionet.cluster_events import ClusterEvent
from trionet.errors import NodeDown
from trionet.kernel.event_streams import EventStreams
from trionet.kernel.statistics import LinkReport
from trionet.net.links import Links
from trionet.wire import effects
from trionet.wire.slave import Slave


class HarborNodes:
    """The part of a harbor that deals with the other nodes.

    Attributes:
        harbor: the harbor id; 0 until the master has given one.
    """

    harbor: int
    machine: Slave
    _links: Links
    _events: EventStreams

    def incarnation(self, harbor: int) -> int:
        """The present incarnation of another node.

        Raises:
            NodeDown: if it is not in the table of the cluster.
        """
        row = self.machine.node(harbor)
        if row is None:
            raise NodeDown(f"there is no harbor {harbor} in the cluster", executed=False)
        return row.incarnation

    def nodes(self) -> dict[int, str]:
        """The nodes of the cluster: harbor id and address, this one included."""
        return {row.harbor: row.address for row in self.machine.nodes()}

    def linked(self) -> tuple[int, ...]:
        """The harbor ids of the nodes to which there is a link, sorted."""
        return tuple(sorted(harbor for harbor, link in self._links.open.items() if link.peer.is_open))

    def links(self) -> tuple[LinkReport, ...]:
        """Measure the links to other nodes, sorted by harbor id."""
        addresses = self.nodes()
        peers = sorted(self._links.peers(), key=lambda peer: peer.harbor)
        return tuple(peer.report(addresses.get(peer.harbor, "")) for peer in peers)

    async def wait_connected(self, harbor: int) -> None:
        """Wait until there is a link to another node.

        Cancellation: leaves nothing behind.
        """
        while harbor != self.harbor and harbor not in self.linked():
            await self._events.next_link_change()

    async def wait_disconnected(self, harbor: int) -> None:
        """Wait until there is no link to another node.

        Cancellation: leaves nothing behind.
        """
        while harbor in self.linked():
            await self._events.next_link_change()

    async def wait_master_lost(self) -> None:
        """Wait until the connection to the master is lost; returns at once if it is.

        Cancellation: leaves nothing behind.
        """
        if not self.machine.is_admitted:
            await trio.lowlevel.checkpoint()
            return
        async with self._events.subscribe() as stream:
            async for event in stream:
                if isinstance(event, effects.MasterLost):
                    return

    def events(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[ClusterEvent]]:
        """Open a stream of the changes in the cluster: nodes, master, names, groups."""
        return self._events.subscribe()
