"""The journal of the datacenter: makes writes safe, many with one wait for the disk.

Duty: which writes are safe, who waits for that, and what becomes of writes that cannot be stored.
May import: Trio, trionet and the datacenter's tree, store and values.

Theory of operation.  A write is done in the tree at once, so that the next one builds on it, and joins the
batch that is open.  While one batch is on its way to the disk, the next one fills; so under load each
commit carries many writes.  Nobody is told of a write, nor of what it left in the tree, before it is safe.
If a batch cannot be stored, all writes that are not safe are undone, since the later ones built on it.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from trionet import Node, ValueCodec
from trionet.services.datacenter_store import DiskFull, Statement, Store, statement_of
from trionet.services.datacenter_tree import Tree, Write
from trionet.services.datacenter_values import StorageFailed


@attrs.define(eq=False)
class Batch:
    """Writes that become safe together.

    Attributes:
        error: why they were undone, if they were.
    """

    last: int = 0
    writes: list[Write] = attrs.field(factory=list)
    statements: list[Statement] = attrs.field(factory=list)
    error: str | None = None
    _over: trio.Event = attrs.field(factory=trio.Event)

    async def wait(self) -> None:
        """Wait until they are safe.

        Cancellation: changes nothing.

        Raises:
            StorageFailed: if they were undone.
        """
        await self._over.wait()
        if self.error is not None:
            raise StorageFailed(self.error)

    def end(self, error: str | None = None) -> None:
        """They are safe, or were undone."""
        self.error = error
        self._over.set()


class Journal:
    """Makes the writes of a tree safe.

    Args:
        node: encodes values, and has the threads.
        tree: told of what has to be undone.
        store: where they are kept, or None to keep them in memory only.
        safe: told of each write that is safe.
        undone: told of each write that was undone.

    Attributes:
        commits: how many batches were stored.
        stored: the version of the last write that is safe.
    """

    def __init__(
        self,
        node: Node,
        tree: Tree,
        store: Store | None,
        safe: Callable[[Write], None],
        undone: Callable[[Write], None],
    ) -> None:
        self.commits: int = 0
        self.stored: int = tree.version
        self._node = node
        self._codec = ValueCodec(node)
        self._tree = tree
        self._store = store
        self._safe = safe
        self._undone = undone
        self._current: Batch | None = None
        self._next = Batch()
        self._news = trio.Event()

    def add(self, write: Write) -> Batch:
        """Take over a write that the tree has just done; returns what to wait for."""
        if self._store is None:
            self.stored = write.version
            self._safe(write)
            return _SAFE
        try:
            statements = [statement_of(row, self._codec.encode) for row in write.rows]
        except BaseException:
            self._undo(write)
            raise
        batch = self._next
        batch.last = write.version
        batch.writes.append(write)
        batch.statements += statements
        self._news.set()
        return batch

    async def is_safe(self, version: int) -> bool:
        """Wait until what has this version is safe; False if it was undone.

        Cancellation: changes nothing.
        """
        if version <= self.stored:
            return True
        current = self._current
        batch = self._next if current is None or version > current.last else current
        await batch._over.wait()
        return batch.error is None

    async def run(self, store: Store) -> None:
        """Store one batch after another.

        Cancellation: a batch that is on its way to the disk is waited for.

        Raises:
            StorageFailed: if the file cannot be written any more, for another reason than that there is no
                room.
        """
        while True:
            await self._news.wait()
            self._news = trio.Event()
            self._current, self._next = self._next, Batch()
            try:
                await self._node.run_sync(store.commit, self._current.statements)
            except DiskFull as error:
                self._fail(str(error))
            except StorageFailed as error:
                self._fail(str(error))
                raise
            else:
                self._succeed(self._current)
            self._current = None

    def _succeed(self, batch: Batch) -> None:
        self.commits += 1
        self.stored = batch.last
        for write in batch.writes:
            self._safe(write)
        batch.end()

    def _fail(self, error: str) -> None:
        """Undo all that is not safe, youngest first."""
        current, following = self._current, self._next
        assert current is not None
        self._next, self._news = Batch(), trio.Event()
        for write in reversed(current.writes + following.writes):
            self._undo(write)
        current.end(error)
        following.end(error)

    def _undo(self, write: Write) -> None:
        self._tree.undo(write)
        self._undone(write)


def _safe_batch() -> Batch:
    batch = Batch()
    batch.end()
    return batch


_SAFE = _safe_batch()
