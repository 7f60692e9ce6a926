"""Values of the datacenter that vanish with their owners.

Duty: watch every owner as long as it has values, with one task each.
May import: Trio and trionet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from contextlib import suppress

import trio

from trionet import Handle, Node, NodeDown


class Leases:
    """The owners that are watched.

    Args:
        node: watches.
        nursery: for the tasks.
        expire: called when an owner has ended; returns when it has no values any more.
    """

    def __init__(
        self, node: Node, nursery: trio.Nursery, expire: Callable[[Handle], Awaitable[object]]
    ) -> None:
        self._node = node
        self._nursery = nursery
        self._expire = expire
        self._scopes: dict[Handle, trio.CancelScope] = {}
        self._expiring: set[Handle] = set()

    def __len__(self) -> int:
        return len(self._scopes)

    def look(self, owner: Handle, owners: Container[Handle], patience: float = 0) -> None:
        """An owner may have got its first value or lost its last one.

        Args:
            owner: the owner.
            owners: all who have values.
            patience: seconds that its node may take to be linked.
        """
        scope = self._scopes.get(owner)
        if owner in owners:
            if scope is None:
                scope = self._scopes[owner] = trio.CancelScope()
                self._nursery.start_soon(self._guard, owner, scope, patience)
        elif scope is not None and owner not in self._expiring:
            scope.cancel()
            del self._scopes[owner]

    async def _guard(self, owner: Handle, scope: trio.CancelScope, patience: float) -> None:
        with scope:
            if patience and owner.harbor != self._node.harbor:
                with suppress(NodeDown), trio.move_on_after(patience):
                    await self._node.cluster.wait_connected(owner.harbor)
            async with self._node.watch(owner) as watch:
                await watch.wait()
            self._expiring.add(owner)
            try:
                await self._expire(owner)
            finally:
                self._expiring.discard(owner)
                del self._scopes[owner]
