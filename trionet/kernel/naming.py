"""Names of services: reserved, announced, looked up, awaited, withdrawn (C11).

Duty: the part of a node that deals with names, local ones by itself and global ones through the network.
"""

from __future__ import annotations

from typing import Any

import trio

from trionet.errors import NameTaken, NoSuchService
from trionet.handle import Handle, check_name, is_local_name
from trionet.kernel.actor import Actor
from trionet.kernel.names import Reserved
from trionet.kernel.reference import target_of
from trionet.kernel.streaming import Streaming


class Naming(Streaming):
    """What a node needs for names."""

    def lookup(self, name: str) -> Handle | None:
        """The owner of a name, from what this node knows, or None.

        Raises:
            ValueError: if the name is malformed.
        """
        check_name(name)
        return self.local_names.handle(name) if is_local_name(name) else self.network.lookup(name)

    def names(self) -> dict[str, Handle]:
        """All names that this node knows, local ones first, each kind sorted."""
        return {**self.local_names.names(), **self.network.global_names()}

    def stamp(self, name: str) -> tuple[int, int] | None:
        """When the owner of a global name was registered, from what this node knows, or None.

        A later registration has a greater stamp, also after a restart of the master.  So an owner can show
        it to a store outside of the cluster, which then refuses a smaller one than it has seen.

        Raises:
            ValueError: if the name is malformed, or a local one.
        """
        if is_local_name(check_name(name)):
            raise ValueError(f"{name!r} is a local name; only registrations in the cluster have stamps")
        return self.network.stamp(name)

    async def wait_for_name(self, name: str) -> Handle:
        """Wait until a name has an owner.

        Cancellation: leaves nothing behind.

        Returns:
            The owner's handle.

        Raises:
            ValueError: if the name is malformed.
        """
        check_name(name)
        if is_local_name(name):
            return await self.local_names.wait(name)
        return await self.network.wait_for_name(name)

    async def register(self, name: str, target: Any, *, exclusive: bool = False) -> None:
        """Give a service of this node one more name; it goes with the service.

        Waits for the master, for a global name.

        Cancellation: the name is not registered.

        Raises:
            NameTaken: if another service owns the name.
            NoSuchService: if the target is no living service of this node.
            ValueError: if the name is malformed.
        """
        await trio.lowlevel.checkpoint()
        actor = self._own(target)
        if check_name(name) in actor.names and self.lookup(name) == actor.handle:
            return
        self._reserve(name, actor)
        actor.names += (name,)
        actor.exclusive = actor.exclusive or exclusive
        try:
            await self._announce_name(actor, name)
        except BaseException:
            actor.names = tuple(each for each in actor.names if each != name)
            raise
        finally:
            self._free(name, actor)
        if not actor.accepting:
            raise NoSuchService(f"{actor.describe()} has ended meanwhile", executed=False)

    def unregister(self, name: str) -> None:
        """Take a name from a service of this node.

        Raises:
            NoSuchService: if no service of this node has it.
        """
        handle = self.lookup(name)
        actor = None if handle is None else self.actors.get(handle.local)
        if actor is None or name not in actor.names or actor.handle != handle:
            raise NoSuchService(f"no service of this node has the name {name!r}", executed=False)
        actor.names = tuple(each for each in actor.names if each != name)
        self._withdraw(name, actor)

    def _reserve(self, name: str, actor: Actor) -> None:
        """Keep a name from all others of this node, be it local or global."""
        if not is_local_name(name) and (owner := self.network.lookup(name)) is not None:
            raise NameTaken(name, owner)
        self.local_names.reserve(name, _holder(actor))

    def _reserved_for(self, name: str, actor: Actor) -> Reserved | None:
        reserved = self.local_names.reservation(name)
        return None if reserved is None or reserved.holder is not _holder(actor) else reserved

    async def announce(self, actor: Actor, *, before_setup: bool) -> None:
        """Make the names of a service known: exclusive global ones before its setup, others after it.

        Raises:
            NameTaken: if a global name has another owner.
        """
        for name in actor.names:
            if before_setup == (actor.exclusive and not is_local_name(name)):
                await self._announce_name(actor, name)

    async def _announce_name(self, actor: Actor, name: str) -> None:
        if is_local_name(name):
            self.local_names.announce(name, actor.handle, actor)
            return
        reserved = self._reserved_for(name, actor)
        former = None if reserved is None else reserved.former
        try:
            await self.network.register(name, actor, exclusive=actor.exclusive, replacing=former)
            if reserved is not None:
                self.local_names.withdraw(name)
        finally:
            if not actor.accepting:  # it has ended meanwhile, and gave back a name that it did not have yet
                self.network.withdraw(name, actor.handle, keep=False)

    def withdraw_names(self, actor: Actor, *, keep: bool) -> None:
        """Take all names from a service that is ending; free them, or keep them, to be freed later.

        Args:
            actor: the service.
            keep: whether a successor is to have them; exclusive names are kept until the service has ended.
        """
        for name in actor.names:
            self._withdraw(name, actor, keep=keep or actor.exclusive, restarting=keep)
        self.network.leave_groups(actor.handle)

    def _withdraw(self, name: str, actor: Actor, *, keep: bool = False, restarting: bool = False) -> None:
        if self._reserved_for(name, actor) is not None:  # it never got so far as to have it
            if not keep:
                self._free(name, actor)
            return
        if not is_local_name(name):
            self.network.withdraw(name, actor.handle, keep=keep)
        elif self.local_names.handle(name) != actor.handle:
            return
        if keep:
            self.local_names.keep(name, _holder(actor), actor.handle, restarting=restarting)
        elif is_local_name(name):
            self.local_names.withdraw(name)

    def free_kept_names(self, actor: Actor) -> None:
        """Free the names that were kept when a service ended: it has ended, and has no successor."""
        for name in actor.names:
            self._free(name, actor)

    def _free(self, name: str, actor: Actor) -> None:
        reserved = self._reserved_for(name, actor)
        if reserved is None:
            return
        if reserved.former is not None and not is_local_name(name):
            self.network.withdraw(name, reserved.former, keep=False)
        self.local_names.withdraw(name)

    # groups

    def join_group(self, group: str, target: Any) -> None:
        """Make a service of this node member of a group; it leaves when it ends.

        Args:
            group: a global name; groups and names do not collide.
            target: a reference, handle or name.

        Raises:
            NoSuchService: if it is no living service of this node.
            ValueError: if the name of the group is malformed.
        """
        self.network.join_group(self._group_name(group), self._own(target).handle)

    def leave_group(self, group: str, target: Any) -> None:
        """End the membership of a service of this node.

        Raises:
            NoSuchService: if it is no living service of this node.
            ValueError: if the name of the group is malformed.
        """
        self.network.leave_group(self._group_name(group), self._own(target).handle)

    def _group_name(self, group: str) -> str:
        if is_local_name(check_name(group)):
            raise ValueError(f"{group!r} is no name of a group: expected a global name, without the dot")
        return group

    def _own(self, target: Any) -> Actor:
        actor = self.locate(target_of(target))
        if not isinstance(actor, Actor):
            text = f"{actor} is not on this node; its own node registers names for it, and memberships"
            raise NoSuchService(text, executed=False)
        if not actor.accepting:
            raise NoSuchService(f"{actor.describe()} is ending", executed=False)
        return actor


def _holder(actor: Actor) -> object:
    """For whom names are reserved: the one that stays the same through all restarts."""
    return actor.keeper or actor
