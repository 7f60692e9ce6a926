"""Who waits for a path of the datacenter, and who watches a part of the tree.

Duty: find those whom a write concerns, and hold what they have not taken yet, within bounds.
May import: Trio, trionet and the datacenter's tree and values.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import trio

from trionet.services.datacenter_tree import Tree, Write
from trionet.services.datacenter_values import Change, DatacenterBusy, Keys, WatchOverflow, split_prefix

T = TypeVar("T")


class Listeners(Generic[T]):
    """Those who listen, by the path at which they do; bounded.

    Args:
        most: how many there may be.
        what: what they are, for the error.
    """

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._by_keys: dict[Keys, dict[T, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @contextmanager
    def listening(self, keys: Keys, listener: T) -> Iterator[T]:
        """Be one of them for the block.

        Raises:
            DatacenterBusy: if there are too many.
        """
        if self._count >= self._most:
            raise DatacenterBusy(f"{self._most} {self._what} already, which is the most")
        self._count += 1
        self._by_keys.setdefault(keys, {})[listener] = None
        try:
            yield listener
        finally:
            self._count -= 1
            here = self._by_keys[keys]
            del here[listener]
            if not here:
                del self._by_keys[keys]

    def above(self, keys: Keys) -> Iterator[tuple[Keys, Sequence[T]]]:
        """Those at a path, and at all paths that lead to it."""
        if self._by_keys:
            for length in range(len(keys) + 1):
                here = self._by_keys.get(keys[:length])
                if here:
                    yield keys[:length], tuple(here)


class Waiter:
    """One who waits for a path to exist."""

    __slots__ = ("_event", "_value")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._value: Any = None

    def tell(self, value: Any) -> None:
        """It exists; only the first telling counts."""
        if not self._event.is_set():
            self._value = value
            self._event.set()

    async def value(self) -> Any:
        """Wait until it exists.

        Cancellation: changes nothing.

        Returns:
            The value that made it exist.
        """
        await self._event.wait()
        return self._value


class Watcher:
    """One who watches a part of the tree.

    Args:
        after: only changes of later versions concern it.
        most: changes that may wait for it; a single write may have more.
    """

    def __init__(self, after: int, most: int) -> None:
        self.after: int = after
        self._most = most
        self._waiting: deque[Change] = deque()
        self._news = trio.Event()
        self._is_late = False

    def restart(self, after: int) -> None:
        """Only changes of later versions concern it from now on; forget those that wait."""
        self.after = after
        self._waiting.clear()

    def tell(self, changes: Sequence[Change]) -> None:
        """One write changed this."""
        if self._is_late or changes[0].version <= self.after:
            return
        if self._waiting and len(self._waiting) + len(changes) > self._most:
            self._is_late = True
            self._waiting.clear()
        else:
            self._waiting.extend(changes)
        self._news.set()

    async def next(self) -> Change:
        """Wait for the next change.

        Cancellation: nothing is lost.

        Raises:
            WatchOverflow: if more changes came than may wait.
        """
        while not self._waiting:
            if self._is_late:
                raise WatchOverflow(f"more than {self._most} changes waited for who watches")
            self._news = trio.Event()
            await self._news.wait()
        return self._waiting.popleft()


class Audience:
    """All who wait and all who watch.

    Args:
        most_waiters: how many may wait.
        most_watchers: how many may watch.
    """

    def __init__(self, most_waiters: int, most_watchers: int) -> None:
        self.waiters: Listeners[Waiter] = Listeners(most_waiters, "calls wait")
        self.watchers: Listeners[Watcher] = Listeners(most_watchers, "watches are open")
        self._woken: dict[Write, list[tuple[Waiter, Any]]] = {}

    def done(self, write: Write, tree: Tree) -> None:
        """A write was done in the tree: keep for those who wait for it what they wait for."""
        if not self.waiters:
            return
        paths: dict[Keys, Sequence[Waiter]] = {}
        for change in write.changes:
            if not change.deleted:
                paths.update(self.waiters.above(split_prefix(change.path)))
        woken = [(each, tree.sight(keys).value()) for keys, here in paths.items() for each in here]
        if woken:
            self._woken[write] = woken

    def safe(self, write: Write) -> None:
        """A write is safe: tell all whom it concerns."""
        for waiter, value in self._woken.pop(write, ()):
            waiter.tell(value)
        if not self.watchers:
            return
        told: dict[Watcher, list[Change]] = {}
        for change in write.changes:
            for _, here in self.watchers.above(split_prefix(change.path)):
                for watcher in here:
                    told.setdefault(watcher, []).append(change)
        for watcher, changes in told.items():
            watcher.tell(changes)

    def undone(self, write: Write) -> None:
        """A write was undone: nobody is told."""
        self._woken.pop(write, None)
