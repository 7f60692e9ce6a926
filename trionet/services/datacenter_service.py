"""The datacenter: a tree of values for the whole cluster, kept on disk or in memory.

Duty: the service and its commands; who uses it has :func:`trionet.services.datacenter`.
May import: Trio, trionet and the datacenter's parts.

Theory of operation.  The tree is in memory; a file, where there is one, follows it.  A write is done in the
tree at once and answered when it is safe.  A read that meets a write which is not safe yet waits for that,
and looks again if it was undone: so nobody ever sees what a crash could take back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from math import inf
from typing import Any, Final, TypeVar

import trio

from trionet import Handle, Service, ValueCodec, command, stream
from trionet.services.datacenter_journal import Batch, Journal
from trionet.services.datacenter_leases import Leases
from trionet.services.datacenter_listeners import Audience, Waiter, Watcher
from trionet.services.datacenter_nodes import Sight, change_of
from trionet.services.datacenter_store import SYNCS, Store, Sync
from trionet.services.datacenter_tree import Tree, Write
from trionet.services.datacenter_values import (
    Change,
    Entry,
    Keys,
    NotABranch,
    split_path,
    split_prefix,
)

T = TypeVar("T")

#: Handlers that may run at a time: all who wait and who watch, and as many more.
_CONCURRENCY: Final = 30_000


class Datacenter(Service, concurrency=_CONCURRENCY):
    """A tree of values for the whole cluster, under the global name ``datacenter``.

    Start one in a cluster, on whatever node, by its configuration or by
    ``await node.start(spec(Datacenter, "world.db"), name="datacenter")``, and use it through
    :func:`~trionet.services.datacenter`, whose methods its commands are: ``changes`` is what ``watch`` opens.
    The file belongs to one datacenter at a time.

    Args:
        path: the file; None keeps the tree in memory only.
        sync: when a write is safe: ``"full"``, when the disk has it; ``"normal"``, when the system has it, so
            that a loss of power, but no crash of the process, may cost the last ones; ``"off"``, as before,
            but then a loss of power may cost the whole file.
        most_waiters: calls of ``wait`` that may wait at a time, at most 10,000.
        most_watchers: streams of changes that may be open at a time, at most 10,000.
        most_queued: changes that may wait for one who watches.
        lease_grace: seconds that the node of an owner may take to be linked when the datacenter starts; then
            the values of the owner vanish.

    Raises:
        ValueError: if one of them is out of its range.
    """

    __module__ = "trionet.services"  # its references are known by that name, too

    def __init__(
        self,
        path: str | None = None,
        *,
        sync: Sync = "full",
        most_waiters: int = 10_000,
        most_watchers: int = 10_000,
        most_queued: int = 10_000,
        lease_grace: float = 20.0,
    ) -> None:
        if sync not in SYNCS:
            raise ValueError(f"sync: found {sync!r}, expected one of {', '.join(SYNCS)}")
        for name, number in (("most_waiters", most_waiters), ("most_watchers", most_watchers)):
            if not 0 <= number <= _CONCURRENCY // 3:
                raise ValueError(f"{name}: found {number}, expected 0 to {_CONCURRENCY // 3}")
        if most_queued < 1 or not lease_grace >= 0:
            raise ValueError("most_queued is 1 or more, lease_grace 0 seconds or more")
        self._path = path
        self._sync: Sync = sync
        self._most_queued = most_queued
        self._lease_grace = lease_grace
        self._audience = Audience(most_waiters, most_watchers)

    async def setup(self) -> None:
        """Read the file.

        Cancellation: the file is closed.

        Raises:
            StorageFailed: if it cannot be used: it is damaged, newer, in use, or none of a datacenter.
        """
        if self._path is None:
            # Another life of this service must not give out the same versions for other values.
            self._begin(Tree((self.handle.incarnation & 0xFFFF_FFFF ^ self.handle.local) << 28), None)
        else:
            await self.nursery.start(self._keep, self._path)
        self._leases.look(self._tree.owners, self._lease_grace)

    async def _keep(self, path: str, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hold the file open as long as the service lives, and write to it."""
        store = await self.node.run_sync(Store, path, self._sync)
        try:
            self._begin(await self.node.run_sync(store.load, ValueCodec(self.node).decode), store)
            task_status.started()
            await self._journal.run(store)
        finally:
            with trio.CancelScope(shield=True):
                await self.node.run_sync(store.close)

    def _begin(self, tree: Tree, store: Store | None) -> None:
        self._tree = tree
        self._leases = Leases(self, tree, self._done)
        self._journal = Journal(self.node, tree, store, self._audience.safe, self._undone)

    # reading

    @command
    async def get(self, path: str, default: Any = None) -> Any:
        """Read the value at a path; a dict for a branch.

        Cancellation: as :meth:`DatacenterClient.get`.
        """
        return await self._look(path, lambda sight: sight.value(default))

    @command
    async def entry(self, path: str) -> Entry | None:
        """Read the value at a path with its version and its owner; None if there is none.

        Cancellation: as :meth:`DatacenterClient.entry`.
        """
        return await self._look(path, Sight.entry)

    @command
    async def list(self, path: str = "") -> tuple[str, ...]:
        """The keys of a branch, sorted; without a path those of the whole tree.

        Cancellation: as :meth:`DatacenterClient.list`.

        Raises:
            NotABranch: if the path leads through a value, or to one.
        """
        keys = await self._look(path, Sight.keys, split_prefix)
        if keys is None:
            raise NotABranch(f"{path!r:.80} is a value and no branch")
        return keys

    @command(endless=True, deadline=inf)
    async def wait(self, path: str) -> Any:
        """Wait until there is a value at a path, and return it.

        Cancellation: as :meth:`DatacenterClient.wait`.
        """
        keys = split_path(path)
        with self._audience.waiters.listening(keys, Waiter()) as waiter:
            found = await self._settled(keys, Sight.present)
            return found[0] if found else await waiter.value()

    @stream(endless=True)
    async def changes(self, prefix: str = "", *, present: bool = False) -> AsyncIterator[Change]:
        """The changes at a path and below it; if asked for, first what is there.

        Cancellation: as :meth:`DatacenterClient.watch`.
        """
        keys = split_prefix(prefix)
        watcher = Watcher(self._journal.stored, self._most_queued)
        with self._audience.watchers.listening(keys, watcher):
            if present:
                for change in await self._present(keys, watcher):
                    yield change
            while True:
                yield await watcher.next()

    async def _present(self, keys: Keys, watcher: Watcher) -> Sequence[Change]:
        """What is safely there; the watcher is told of what comes after it."""

        def look(_: Sight) -> Sequence[Change]:
            watcher.restart(self._tree.version)
            return [change_of(at, node) for at, node in self._tree.present(keys)]

        return await self._settled(keys, look)

    async def _look(
        self, path: str, look: Callable[[Sight], T], split: Callable[[object], Keys] = split_path
    ) -> T:
        """Look at a path; what was seen there is safe.

        Raises:
            BadPath: if the path is malformed.
            NotABranch: if it leads through a leaf.
        """

        def checked(sight: Sight) -> tuple[Sight, T]:
            return sight, look(sight)

        sight, seen = await self._settled(split(path), checked)
        sight.check_way(path)
        return seen

    async def _settled(self, keys: Keys, look: Callable[[Sight], T]) -> T:
        """Look at once, and again where what was seen is undone later."""
        while True:
            sight = self._tree.sight(keys)
            seen = look(sight)
            if await self._journal.is_safe(sight.version):
                return seen

    # writing

    @command
    async def set(self, path: str, value: Any, *, owner: Any = None) -> Any:
        """Set the value at a path; returns the old one.

        Cancellation: as :meth:`DatacenterClient.set`.
        """
        holder = self._holder(owner)
        write = await self._write(path, lambda keys, _: self._tree.put(keys, value, holder))
        assert write is not None
        return write.old

    @command
    async def compare_and_set(self, path: str, version: int, value: Any, *, owner: Any = None) -> int | None:
        """Set the value at a path if it has a version, 0 for none; returns the new version, or None.

        Cancellation: as :meth:`DatacenterClient.compare_and_set`.
        """
        holder = self._holder(owner)

        def put(keys: Keys, sight: Sight) -> Write | None:
            return self._tree.put(keys, value, holder) if sight.version_there == version else None

        write = await self._write(path, put)
        return None if write is None else write.version

    @command
    async def delete(self, path: str) -> Any:
        """Delete what is at a path; returns the value that was there.

        Cancellation: as :meth:`DatacenterClient.delete`.
        """
        write = await self._write(path, lambda keys, _: self._tree.remove(keys))
        return None if write is None else write.old

    @command
    async def compare_and_delete(self, path: str, version: int) -> bool:
        """Delete what is at a path if it has a version; returns whether it had.

        Cancellation: as :meth:`DatacenterClient.compare_and_delete`.
        """

        def remove(keys: Keys, sight: Sight) -> Write | None:
            return self._tree.remove(keys) if sight.version_there == version else None

        return await self._write(path, remove) is not None

    async def _write(self, path: str, do: Callable[[Keys, Sight], Write | None]) -> Write | None:
        """Do a write, and wait until it is safe; or until what made it do nothing is.

        Raises:
            BadPath: if the path is malformed.
            NotABranch: if it leads through a leaf.
            StorageFailed: if it was undone.
        """
        keys = split_path(path)
        while True:
            sight = self._tree.sight(keys)
            write = do(keys, sight) if sight.in_the_way is None else None
            if write is not None:
                await self._done(write).wait()
                return write
            if await self._journal.is_safe(sight.version):
                sight.check_way(path)
                return None

    def _done(self, write: Write) -> Batch:
        self._audience.done(write, self._tree)
        self._leases.look(write.owners)
        return self._journal.add(write)

    def _undone(self, write: Write) -> None:
        self._audience.undone(write)
        self._leases.look(write.owners)

    def _holder(self, owner: Any) -> Handle | None:
        if owner is None or isinstance(owner, Handle):
            return owner
        if isinstance(owner, str):
            raise TypeError(f"owner: found {owner!r:.80}, expected a handle or a reference")
        return self.node.handle_of(owner)

    def debug_info(self) -> object:
        """How much there is of what."""
        return {
            "path": self._path,
            "sync": self._sync,
            "version": self._journal.stored,
            "commits": self._journal.commits,
            "waiters": len(self._audience.waiters),
            "watchers": len(self._audience.watchers),
            "owners": len(self._leases),
        }
