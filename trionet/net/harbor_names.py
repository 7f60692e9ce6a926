"""Global names and groups: asked of the master, looked up in the local copy of the table (C11).

Duty: what the kernel does with names and groups, as inputs of the slave's machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trionet.handle import Handle
from trionet.net.asks import Asks
from trionet.net.slave import SlaveTask
from trionet.wire.slave import Slave

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor


class HarborNames:
    """The part of a harbor that deals with names and groups."""

    machine: Slave
    _slave: SlaveTask
    _asks: Asks
    _kept: dict[str, Handle]
    _memberships: dict[Handle, set[str]]

    def lookup(self, name: str) -> Handle | None:
        """The owner of a global name, from the local copy of the table."""
        return None if name in self._kept else self.machine.lookup(name)

    def stamp(self, name: str) -> tuple[int, int] | None:
        """When the owner of a global name was registered: the epoch of the master, and a counter."""
        row = self.machine.row(name)
        return None if row is None or name in self._kept else (row.stamp.epoch, row.stamp.counter)

    def global_names(self) -> dict[str, Handle]:
        """All global names, sorted, from the local copy of the table."""
        return {row.name: row.handle for row in self.machine.names()}

    async def register(self, name: str, actor: Actor, *, exclusive: bool, replacing: Handle | None) -> None:
        """Register a global name; returns when the master accepted.

        Cancellation: the registration is taken back.

        Raises:
            NameTaken: if another service owns it.
            ClusterError: if the master has no room for it.
        """
        former = self._kept.get(name) if replacing is not None else None
        token = self._asks.open(name)
        self._slave.apply(
            self.machine.register(
                token, name, actor.handle, trio.current_time(), exclusive=exclusive, replace=former
            )
        )
        await self._answer(token)
        self._kept.pop(name, None)

    async def _answer(self, token: int) -> Handle:
        try:
            return await self._asks.answer(token)
        except trio.Cancelled:
            self._slave.apply(self.machine.cancel(token, trio.current_time()))
            raise

    def withdraw(self, name: str, handle: Handle, *, keep: bool) -> None:
        """Give back a global name, or hide it until its service has ended or is started again."""
        if keep:
            self._kept.setdefault(name, handle)
            return
        if self._kept.get(name, handle) != handle:
            return  # kept for another service
        self._kept.pop(name, None)
        self._slave.apply(self.machine.unregister(name, handle, trio.current_time()))

    async def wait_for_name(self, name: str) -> Handle:
        """Wait until a global name has an owner.

        Cancellation: leaves nothing behind.
        """
        token = self._asks.open(name)
        self._slave.apply(self.machine.wait_for_name(token, name, trio.current_time()))
        return await self._answer(token)

    # groups

    def join_group(self, group: str, handle: Handle) -> None:
        """Make a service of this node member of a group."""
        self._slave.apply(self.machine.join_group(group, handle, trio.current_time()))
        self._memberships.setdefault(handle, set()).add(group)

    def leave_group(self, group: str, handle: Handle) -> None:
        """End a membership."""
        self._slave.apply(self.machine.leave_group(group, handle, trio.current_time()))
        self._memberships.get(handle, set()).discard(group)

    def leave_groups(self, handle: Handle) -> None:
        """A service has ended: it is no member of anything any more."""
        for group in self._memberships.pop(handle, ()):
            self._slave.apply(self.machine.leave_group(group, handle, trio.current_time()))

    def members(self, group: str) -> tuple[Handle, ...]:
        """The members of a group, sorted, from the local copy of the table."""
        return self.machine.members(group)

    def groups(self) -> tuple[str, ...]:
        """The groups that have members, sorted."""
        return self.machine.groups()
