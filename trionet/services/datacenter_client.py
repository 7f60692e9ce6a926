"""The datacenter, as one uses it from any node.

Duty: find it, wait for it while it is away, and give its commands their deadlines.
May import: Trio, trionet and the datacenter's service and values.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from math import inf
from typing import Any, Final, TypeVar

import trio

from trionet import (
    CallError,
    Handle,
    Node,
    NodeDown,
    NoSuchService,
    ServiceExited,
    ServiceRestarting,
    StreamReader,
)
from trionet.services.datacenter_service import Datacenter
from trionet.services.datacenter_values import DATACENTER, Change, DatacenterAway, Entry

T = TypeVar("T")

#: Seconds between two attempts to reach what has a name and cannot be reached.
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
#: What a call ends with when the datacenter is not there, or goes.
_AWAY: Final = (NoSuchService, NodeDown, ServiceExited, ServiceRestarting)


class DatacenterClient:
    """The datacenter of the cluster, from one node; made by :func:`datacenter`.

    A path is a text of keys with slashes between them, as ``rooms/lobby/size``.  A dict is a branch: its keys
    are keys of the tree, so they are texts, and its values are spread out.  Any other value is kept as it is.

    While the datacenter is away, a call waits for it, within its deadline: that of the caller, or that of the
    client, or else the node's ``call_deadline``.  What only reads is asked again when the datacenter went
    before it answered.  A write is not, as it may have been done: then the call raises
    :exc:`~trionet.NodeDown` or :exc:`~trionet.ServiceExited`, whose ``executed`` is not False.

    All methods raise these:

    * :exc:`BadPath` if a path, or a key of a dict that is to be set, is malformed, or too deep;
    * :exc:`NotABranch` if a path leads through a value that is no dict (but :meth:`wait` waits);
    * :exc:`StorageFailed` if a write could not be stored; nothing was changed;
    * :exc:`DatacenterAway` if there was no datacenter until the deadline of the client or the node;
    * :exc:`~trionet.BadMessage` if a value is none, or too large for a message;
    * :exc:`~trionet.CallError` as any call does.
    """

    def __init__(self, node: Node, name: str = DATACENTER, deadline: float | None = None) -> None:
        self._node = node
        self._name = name
        self._deadline = deadline

    async def get(self, path: str, default: Any = None) -> Any:
        """Read the value at a path.

        Cancellation: nothing is left.

        Args:
            path: where.
            default: what to return where nothing is.

        Returns:
            The value; of a branch a dict of all that is in it.
        """
        return await self._read(lambda it, left: it.get.options(deadline=left)(path, default))

    async def entry(self, path: str) -> Entry | None:
        """Read the value at a path with its version and its owner.

        Cancellation: nothing is left.

        Returns:
            All that, or None where nothing is.
        """
        return await self._read(lambda it, left: it.entry.options(deadline=left)(path))

    async def list(self, path: str = "") -> tuple[str, ...]:
        """List the keys of a branch; without a path those of the whole tree.

        Cancellation: nothing is left.

        Returns:
            The keys, sorted; none where nothing is.
        """
        return await self._read(lambda it, left: it.list.options(deadline=left)(path))

    async def wait(self, path: str) -> Any:
        """Wait until there is a value at a path: any write that makes the path exist ends the wait.

        Waits for ever, also for a datacenter that is away, unless the caller has a deadline.

        Cancellation: nothing is left.

        Returns:
            The value; of a branch a dict of all that is in it.

        Raises:
            DatacenterBusy: if as many wait as the datacenter allows.
        """
        return await self._read(lambda it, left: it.wait.options(deadline=left)(path), inf)

    @asynccontextmanager
    async def watch(self, prefix: str = "", *, present: bool = False) -> AsyncIterator[StreamReader[Change]]:
        """Watch what changes at a path and below it: ``async with dc.watch("rooms") as changes: ...``.

        The block gets a stream of :class:`Change`, in the order of their versions.  It ends with an error
        when the datacenter goes, and with :exc:`WatchOverflow` when changes come faster than they are taken;
        watch again, with ``present=True``.

        Cancellation: nothing is left.

        Args:
            prefix: the path; without one it is the whole tree.
            present: whether to get first what is there, as changes.

        Raises:
            DatacenterBusy: if as many watch as the datacenter allows.
        """
        async with AsyncExitStack() as stack:

            def open_stream(it: Datacenter, left: float) -> Awaitable[StreamReader[Change]]:
                opened: AbstractAsyncContextManager[StreamReader[Change]] = it.changes.options(deadline=left)(
                    prefix, present=present
                )
                return stack.enter_async_context(opened)

            yield await self._read(open_stream)

    async def set(self, path: str, value: Any, *, owner: Any = None) -> Any:
        """Set the value at a path; branches above it are made, what was there is replaced.

        Cancellation: the value may have been set.

        Args:
            path: where.
            value: the value.
            owner: a service by its handle or a reference: what is set vanishes when the service ends, or
                its node is lost.

        Returns:
            The value that was there, or None.

        Raises:
            NoSuchService: if nobody owns the name to which ``owner`` is bound.
        """
        holder = self._holder(owner)
        return await self._write(lambda it, left: it.set.options(deadline=left)(path, value, owner=holder))

    async def compare_and_set(self, path: str, version: int, value: Any, *, owner: Any = None) -> int | None:
        """Set the value at a path if what is there has a certain version.

        Cancellation: the value may have been set.

        Args:
            path: where.
            version: that of :meth:`entry`; 0 if nothing shall be there.
            value: the value.
            owner: as for :meth:`set`.

        Returns:
            The new version; None if it had another one, and nothing was changed.

        Raises:
            NoSuchService: as :meth:`set`.
        """
        holder = self._holder(owner)
        return await self._write(
            lambda it, left: it.compare_and_set.options(deadline=left)(path, version, value, owner=holder)
        )

    async def delete(self, path: str) -> Any:
        """Delete what is at a path and below it; branches above it that are empty then vanish.

        Cancellation: it may have been deleted.

        Returns:
            The value that was there, or None.
        """
        return await self._write(lambda it, left: it.delete.options(deadline=left)(path))

    async def compare_and_delete(self, path: str, version: int) -> bool:
        """Delete what is at a path if it has a certain version.

        Cancellation: it may have been deleted.

        Args:
            path: where.
            version: that of :meth:`entry`.

        Returns:
            Whether it had that version.
        """
        return await self._write(lambda it, left: it.compare_and_delete.options(deadline=left)(path, version))

    def _holder(self, owner: Any) -> Handle | None:
        return None if owner is None else self._node.handle_of(owner)

    async def _read(
        self, call: Callable[[Datacenter, float], Awaitable[T]], seconds: float | None = None
    ) -> T:
        return await self._persist(call, self._patience() if seconds is None else seconds, again=True)

    async def _write(self, call: Callable[[Datacenter, float], Awaitable[T]]) -> T:
        return await self._persist(call, self._patience(), again=False)

    def _patience(self) -> float:
        """Seconds that a call may take."""
        if self._deadline is not None:
            return self._deadline
        return self._node.config.call_deadline if trio.current_effective_deadline() == inf else inf

    async def _persist(
        self, call: Callable[[Datacenter, float], Awaitable[T]], seconds: float, *, again: bool
    ) -> T:
        """Call until it is answered: also anew, if that can do no harm.

        Raises:
            DatacenterAway: if there was nobody to answer within the time.
        """
        deadline = trio.current_time() + seconds
        reference = self._node.ref(self._name, Datacenter)
        pause = _FIRST_PAUSE
        while True:
            try:
                return await call(reference, max(0.0, deadline - trio.current_time()))
            except _AWAY as error:
                if error.executed is not False and not again:
                    raise
                last: CallError = error
            with trio.move_on_at(deadline):
                await trio.sleep(pause)
                await self._node.wait_for_name(self._name)
            if trio.current_time() >= deadline:
                text = f"{self._name!r} was away for the {seconds:g} s that the call could wait"
                raise DatacenterAway(text, last.executed) from last
            pause = min(2 * pause, _LONGEST_PAUSE)


def datacenter(node: Node, name: str = DATACENTER, *, deadline: float | None = None) -> DatacenterClient:
    """Use the datacenter of the cluster.

    Args:
        node: from where.
        name: its global name.
        deadline: seconds that a call may take, waiting for the datacenter included; None takes the node's
            ``call_deadline`` where the caller has no deadline.
    """
    return DatacenterClient(node, name, deadline)
