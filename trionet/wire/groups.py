"""The groups of the cluster as one node sees them.

Duty: the part of the slave that deals with groups.  A service of this node is a member when this node
says so; the copy of the tables tells about all others.
May import: the standard library, attrs, the handles of trionet and other modules of wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from trionet.handle import Handle
from trionet.wire.effects import GroupChanged, GroupLost, Loss, Send, SlaveEffect
from trionet.wire.master_messages import GroupJoin, GroupLeave, GroupRefused
from trionet.wire.tables import GroupRow, Tables


class GroupDesk:
    """The groups as one node sees them.

    Args:
        out: where effects are put.
        incarnation: of this node.
    """

    def __init__(self, out: list[SlaveEffect], incarnation: int) -> None:
        self.tables: Tables = Tables()
        self.online = False
        self._out = out
        self._incarnation = incarnation
        self._held: dict[str, dict[Handle, None]] = {}

    def members(self, group: str) -> tuple[Handle, ...]:
        """The members of a group as this node sees them, in the order of their handles."""
        others = [each for each in self.tables.groups.get(group, ()) if not self._is_mine(each)]
        return tuple(sorted([*others, *self._held.get(group, ())]))

    def names(self) -> tuple[str, ...]:
        """The groups that have members, in their order."""
        return tuple([each for each in sorted({*self.tables.groups, *self._held}) if self.members(each)])

    def held(self) -> tuple[GroupRow, ...]:
        """The memberships of this node's services."""
        return tuple([GroupRow(group, tuple(sorted(self._held[group]))) for group in sorted(self._held)])

    def join(self, group: str, handle: Handle) -> None:
        """Make a service of this node a member; the others hear of it when the master does."""
        if handle in self._held.get(group, ()):
            return
        with self.viewing([group]):
            self._held.setdefault(group, {})[handle] = None
        if self.online:
            self._out.append(Send(GroupJoin(group, handle)))

    def leave(self, group: str, handle: Handle) -> None:
        """End a membership; nothing happens if there is none."""
        if self._discard(group, handle) and self.online:
            self._out.append(Send(GroupLeave(group, handle)))

    def withdraw(self, handle: Handle) -> None:
        """A service has ended: it leaves all groups."""
        for group in sorted(self._held):
            self.leave(group, handle)

    def refused(self, answer: GroupRefused) -> None:
        """The master has no room for a member."""
        if self._discard(answer.group, answer.handle):
            self._out.append(GroupLost(answer.group, answer.handle, Loss.WITHDRAWN))

    def reconcile(self) -> None:
        """Tell the master of each difference between what it has of this node and what is so."""
        for group in sorted({*self.tables.groups, *self._held}):
            known = [each for each in self.tables.groups.get(group, ()) if self._is_mine(each)]
            held = self._held.get(group, {})
            for handle in sorted(set(known) - set(held)):
                self._out.append(Send(GroupLeave(group, handle)))
            for handle in sorted(set(held) - set(known)):
                self._out.append(Send(GroupJoin(group, handle)))

    @contextmanager
    def viewing(self, groups: Iterable[str]) -> Iterator[None]:
        """Tell how the view of these groups differs after the body from before."""
        before = {group: set(self.members(group)) for group in groups}
        yield
        for group, old in before.items():
            new = set(self.members(group))
            if new != old:
                self._out.append(GroupChanged(group, tuple(sorted(new - old)), tuple(sorted(old - new))))

    def _discard(self, group: str, handle: Handle) -> bool:
        held = self._held.get(group, {})
        if handle not in held:
            return False
        with self.viewing([group]):
            del held[handle]
            if not held:
                del self._held[group]
        return True

    def _is_mine(self, handle: Handle) -> bool:
        return handle.incarnation == self._incarnation
