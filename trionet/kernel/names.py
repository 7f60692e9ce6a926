"""A table of names on one node: owners, reservations, and those who wait for a name (C11).

Duty: a pure table; who may see it and when names come and go is decided by its callers.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs
import trio

from trionet.errors import NameTaken
from trionet.handle import Handle

T = TypeVar("T")


@attrs.frozen
class Reserved:
    """A name that nobody else may take, whose owner is not there (yet, or for now).

    Args:
        holder: for whom it is reserved: a service that starts, or who keeps one alive through its restarts.
        restarting: the owner failed and is about to be started again.
        former: the handle of the owner that failed, or is ending.
    """

    holder: object
    restarting: bool = False
    former: Handle | None = None


class NameTable(Generic[T]):
    """Names with their owners; the first registration wins."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Handle, T] | Reserved] = {}
        self._awaited: dict[str, trio.Event] = {}

    def reserve(self, name: str, holder: object) -> None:
        """Keep a name for a service that is starting.

        Raises:
            NameTaken: if it has an owner, or is reserved.
        """
        entry = self._entries.get(name)
        if entry is not None:
            raise NameTaken(name, None if isinstance(entry, Reserved) else entry[0])
        self._entries[name] = Reserved(holder)

    def keep(self, name: str, holder: object, former: Handle, *, restarting: bool) -> None:
        """Take the name from its owner, but keep it reserved until that has ended, or for its successor."""
        self._entries[name] = Reserved(holder, restarting, former)

    def announce(self, name: str, handle: Handle, owner: T) -> None:
        """Give a name to its owner and tell who waits for it."""
        self._entries[name] = (handle, owner)
        event = self._awaited.pop(name, None)
        if event is not None:
            event.set()

    def withdraw(self, name: str) -> None:
        """Free a name."""
        self._entries.pop(name, None)

    def handle(self, name: str) -> Handle | None:
        """The handle that the name stands for, if it has an owner."""
        entry = self._entries.get(name)
        return None if entry is None or isinstance(entry, Reserved) else entry[0]

    def owner(self, name: str) -> T | None:
        """The owner of the name, if it has one."""
        entry = self._entries.get(name)
        return None if entry is None or isinstance(entry, Reserved) else entry[1]

    def reservation(self, name: str) -> Reserved | None:
        """The reservation of the name, if it is reserved."""
        entry = self._entries.get(name)
        return entry if isinstance(entry, Reserved) else None

    def is_restarting(self, name: str) -> bool:
        """Tell whether the owner failed and is about to be started again."""
        reserved = self.reservation(name)
        return reserved is not None and reserved.restarting

    def names(self) -> dict[str, Handle]:
        """All names that have an owner, sorted."""
        return {
            name: entry[0] for name, entry in sorted(self._entries.items()) if not isinstance(entry, Reserved)
        }

    async def wait(self, name: str) -> Handle:
        """Wait until a name has an owner.

        Cancellation: leaves nothing behind.
        """
        await trio.lowlevel.checkpoint()
        while (handle := self.handle(name)) is None:
            event = self._awaited.setdefault(name, trio.Event())
            try:
                await event.wait()
            finally:
                if not event.is_set() and event.statistics().tasks_waiting == 0:
                    self._awaited.pop(name, None)
        return handle

    def waiting(self) -> list[str]:
        """The names that somebody waits for."""
        return sorted(self._awaited)
