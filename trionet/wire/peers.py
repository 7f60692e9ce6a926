"""The other nodes as one node sees them: whom to dial, whom to await, whom to let in.

Duty: the part of the slave that turns the table of nodes into links, and knows when the node is ready.
May import: the standard library, attrs and other modules of wire.

Of a pair the later admitted dials.  An order to dial or to await stands until it is replaced or
dropped: the network keeps trying by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from trionet.handle import MAX_HARBOR
from trionet.wire.admission import Recent
from trionet.wire.effects import Dial, Drop, Expect, NodeGone, NodeUp, Ready, SlaveEffect
from trionet.wire.tables import Leaving, NodeRow

#: How many incarnations that have ended for good are remembered, the latest ones.
MAX_ENDED: Final = 4096


class Peers:
    """The links that a node should have.

    Args:
        out: where effects are put.
        incarnation: of this node.
        patience: seconds for which nodes that should dial are awaited before the node is ready.
    """

    def __init__(self, out: list[SlaveEffect], incarnation: int, patience: float) -> None:
        self.harbor = 0
        self.linked: dict[int, int] = {}
        self.unreachable: dict[int, int] = {}
        self._out = out
        self._incarnation = incarnation
        self._patience = patience
        self._orders: dict[int, Dial | Expect] = {}
        self._awaited: dict[int, int] | None = None
        self._until: float | None = None
        self._ready = False
        self._ended = Recent(MAX_ENDED)

    @property
    def deadline(self) -> float | None:
        """The time at which :meth:`advance` has something to do."""
        return self._until

    @property
    def is_ready(self) -> bool:
        """Whether every node of the first table is linked, has left, or was tried in vain."""
        return self._ready

    def load(self, nodes: Mapping[int, NodeRow], now: float) -> None:
        """Take over a whole table of nodes."""
        for harbor in sorted({*self._orders, *nodes}):
            self.change(nodes, harbor, Leaving.LOST)
        if self._awaited is None:
            self._awaited = {harbor: order.node.incarnation for harbor, order in self._orders.items()}
            self._until = now + self._patience
        self._check_ready()

    def change(self, nodes: Mapping[int, NodeRow], harbor: int, reason: Leaving) -> None:
        """Take over one row of the table.

        Args:
            nodes: the table.
            harbor: whose row may have changed.
            reason: why that node has left, if it is no longer there.
        """
        if harbor == self.harbor:
            return
        node = nodes.get(harbor)
        order = self._orders.get(harbor)
        if order is not None and node is None:
            self._drop(harbor, reason)
        elif order is not None and node is not None and node.incarnation != order.node.incarnation:
            self._drop(harbor, Leaving.SUPERSEDED)
        if node is not None:
            self._order(node, dial=nodes[self.harbor].dials(node))

    def set_linked(self, harbor: int, incarnation: int) -> None:
        """There is a link to that incarnation; one that is not in the table is told to be dropped."""
        order = self._orders.get(harbor)
        if order is not None and order.node.incarnation == incarnation:
            self.linked[harbor] = incarnation
            self.unreachable.pop(harbor, None)
            self._settle(harbor, incarnation)
        else:
            self._out.append(Drop(harbor, incarnation, Leaving.LOST))

    def set_unlinked(self, harbor: int, incarnation: int) -> None:
        """The link to that incarnation has ended."""
        if self.linked.get(harbor) == incarnation:
            del self.linked[harbor]

    def set_unreachable(self, harbor: int, incarnation: int) -> None:
        """That incarnation was tried in vain."""
        order = self._orders.get(harbor)
        if order is not None and order.node.incarnation == incarnation and harbor not in self.linked:
            self.unreachable[harbor] = incarnation
            self._settle(harbor, incarnation)

    def may_accept(self, harbor: int, incarnation: int) -> bool | Literal["hold"]:
        """Tell whether a link from that incarnation may be accepted.

        Returns:
            True or False; ``"hold"`` if news of it may be on the way: ask again after each effect
            :class:`NodeUp` or :class:`NodeGone`, until the handshake time is over.
        """
        order = self._orders.get(harbor)
        if order is not None and order.node.incarnation == incarnation:
            return True
        if not 1 <= harbor <= MAX_HARBOR or harbor == self.harbor or incarnation == self._incarnation:
            return False
        return False if (harbor, incarnation) in self._ended else "hold"

    def advance(self, now: float) -> None:
        """Give up waiting for nodes that should have dialled."""
        if self._until is not None and now >= self._until:
            self._until = None
            for harbor, incarnation in sorted((self._awaited or {}).items()):
                if isinstance(self._orders.get(harbor), Expect):
                    self.set_unreachable(harbor, incarnation)

    def _order(self, node: NodeRow, *, dial: bool) -> None:
        old = self._orders.get(node.harbor)
        new = Dial(node) if dial else Expect(node)
        if new == old:
            return
        if old is None:
            self._out.append(NodeUp(node.harbor, node.incarnation, node.address, node.name))
        self._orders[node.harbor] = new
        self._out.append(new)

    def _drop(self, harbor: int, reason: Leaving) -> None:
        node = self._orders.pop(harbor).node
        if reason.final:
            self._ended.add(harbor, node.incarnation)
        self.unreachable.pop(harbor, None)
        self.set_unlinked(harbor, node.incarnation)
        self._out.append(Drop(harbor, node.incarnation, reason))
        self._out.append(NodeGone(harbor, node.incarnation, reason))
        self._settle(harbor, node.incarnation)

    def _settle(self, harbor: int, incarnation: int) -> None:
        if self._awaited and self._awaited.get(harbor) == incarnation:
            del self._awaited[harbor]
            self._check_ready()

    def _check_ready(self) -> None:
        if self._awaited == {} and not self._ready:
            self._ready, self._until = True, None
            self._out.append(Ready(tuple(sorted(self.unreachable))))
