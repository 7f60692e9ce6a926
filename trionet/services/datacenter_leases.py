"""Values of the datacenter that vanish with their owners.

Duty: watch every owner as long as it has values, with one task each, and remove the values when it has ended.
May import: Trio, trionet and the datacenter's journal, tree and values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import trio

from trionet import Handle, NodeDown, Service
from trionet.services.datacenter_journal import Batch
from trionet.services.datacenter_tree import Tree, Write
from trionet.services.datacenter_values import StorageFailed

#: Seconds before values of an owner that has ended are removed anew, where that could not be stored.
RETRY: Final = 1.0


class Leases:
    """The owners that are watched.

    Args:
        service: the datacenter, which watches them.
        tree: where their values are.
        done: told of each write that removed one; returns what to wait for.
    """

    def __init__(self, service: Service, tree: Tree, done: Callable[[Write], Batch]) -> None:
        self._service = service
        self._tree = tree
        self._done = done
        self._scopes: dict[Handle, trio.CancelScope] = {}
        self._expiring: set[Handle] = set()

    def __len__(self) -> int:
        return len(self._scopes)

    def look(self, owners: Iterable[Handle], patience: float = 0) -> None:
        """Some owners may have got their first value or lost their last one.

        Args:
            owners: the owners.
            patience: seconds that their nodes may take to be linked.
        """
        for owner in sorted(owners):
            scope = self._scopes.get(owner)
            if owner in self._tree.owners:
                if scope is None:
                    scope = self._scopes[owner] = trio.CancelScope()
                    self._service.nursery.start_soon(self._guard, owner, scope, patience)
            elif scope is not None and owner not in self._expiring:
                scope.cancel()
                del self._scopes[owner]

    async def _guard(self, owner: Handle, scope: trio.CancelScope, patience: float) -> None:
        node = self._service.node
        with scope:
            if patience and owner.harbor != node.harbor:
                with suppress(NodeDown), trio.move_on_after(patience):
                    await node.cluster.wait_connected(owner.harbor)
            async with node.watch(owner) as watch:
                await watch.wait()
            self._expiring.add(owner)
            try:
                await self._expire(owner)
            finally:
                self._expiring.discard(owner)
                del self._scopes[owner]

    async def _expire(self, owner: Handle) -> None:
        """Remove the values of an owner that has ended."""
        while owner in self._tree.owners:
            writes = [self._tree.remove(keys) for keys in sorted(self._tree.owners[owner])]
            batches = [self._done(write) for write in writes if write is not None]
            try:
                await batches[-1].wait()
            except StorageFailed as error:
                self._service.log.warning("values of %s cannot be removed: %s", owner, error)
                await trio.sleep(RETRY)
