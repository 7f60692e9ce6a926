"""The directory: who is in the cluster and who owns which name, as a pure state machine.

Duty: the decisions.  A command comes in, the changes that it makes come out; the tables already hold
them.  Nothing here knows of connections or messages.
May import: the standard library, attrs, the handles of trionet, wire.schema and wire.tables.

Theory of operation
-------------------
*Stamps.*  Every registration and admission gets a stamp (epoch, counter).  The epoch of a restarted
master is above the highest that any slave reports, so later stamps are greater, across masters too.

*Absent nodes.*  A restarted master learns from the first slave's copy of nodes that are not back yet.
They and all they own stay in the tables for the ``hold`` time; then they are lost.

*Exclusive names.*  Their owner holds them on a lease of one heartbeat timeout, counted from when it
asked for it.  ``hold`` is twice that.  The name of an owner that vanished stays reserved for ``hold``,
so its lease has ended long before.  A master that has just started cannot know who holds a lease of
its forerunner: until ``hold`` after its start it grants no exclusive name that it does not know.

*Two owners who meet.*  A slave that comes back claims the names that it owns.  The higher stamp wins,
except that a connected owner of an exclusive name keeps it.  Plain names are granted at once, also by
a master that has just started: when an older owner then comes back, the higher stamp decides.  The
promise "never two owners" therefore needs ``exclusive`` from all who register that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from trionet.handle import MAX_HARBOR, Handle
from trionet.wire.schema import MOST_COUNT
from trionet.wire.tables import (
    MAX_WEIGHT,
    NEVER,
    Change,
    GroupRow,
    Leaving,
    MembersChanged,
    NameGone,
    NameRow,
    NameSet,
    NodeJoined,
    NodeLeft,
    NodeRow,
    Stamp,
    Tables,
    lives_on,
    name_weight,
)


@attrs.frozen
class Granted:
    """The name belongs to that row's handle, from now or since before."""

    row: NameRow


@attrs.frozen
class Taken:
    """Another service owns the name."""

    owner: Handle


@attrs.frozen
class Full:
    """The tables have no room left."""


@attrs.frozen
class Later:
    """An exclusive name cannot be granted yet: ask again when the master has settled."""


Verdict = Granted | Taken | Full | Later

FULL: Final = Full()
LATER: Final = Later()


class Directory:
    """The tables of the master, and all decisions about them.

    Args:
        hold: seconds for which the place of an absent node, and an exclusive name of a vanished one,
            are kept: twice the heartbeat timeout.
        settled: the time from which unknown exclusive names are granted.
    """

    def __init__(self, *, hold: float, settled: float) -> None:
        self.tables: Tables = Tables()
        self.epoch: int = 1
        self.settled = settled
        self._hold = hold
        self._counter = 0
        self._absent: dict[int, float] = {}
        self._reserved: dict[str, float] = {}

    @property
    def deadline(self) -> float | None:
        """The time at which :meth:`expire` has something to do."""
        return min([*self._absent.values(), *self._reserved.values()], default=None)

    def is_absent(self, harbor: int) -> bool:
        """Tell whether the node of that id is known only from a copy."""
        return harbor in self._absent

    def free_harbor(self, hint: int, taken: Iterable[int]) -> int | None:
        """Find a free harbor id, or None.

        The search begins at a place that depends on ``hint``: a node that comes to a master which has
        just started rarely gets the id of one that is not back yet.
        """
        used = {*self.tables.nodes, *taken}
        for step in range(MAX_HARBOR):
            harbor = (hint + step) % MAX_HARBOR + 1
            if harbor not in used:
                return harbor
        return None

    def raise_epoch(self, seen: int) -> None:
        """Move to an epoch above one that another master has used; to the last one if there is none above."""
        self.epoch = min(max(self.epoch, seen + 1), MOST_COUNT)

    # --- nodes --------------------------------------------------------------------------------------

    def admit(
        self, node: NodeRow, names: Iterable[NameRow], groups: Iterable[GroupRow], now: float
    ) -> list[Change]:
        """Let a node in, or back in, with what it owns.

        Args:
            node: its row; the admission (0, 0) stands for a new one.
            names: all names that it owns; it owns no others after this.
            groups: all memberships of its services, likewise.
            now: the present time.
        """
        changes: list[Change] = []
        old = self.tables.nodes.get(node.harbor)
        if old is not None and old.incarnation != node.incarnation:
            changes += self.lose(node.harbor, Leaving.SUPERSEDED, now)
            old = None
        self._absent.pop(node.harbor, None)
        admission = node.admission if old is None else max(old.admission, node.admission)
        row = attrs.evolve(node, admission=self._stamp() if admission == NEVER else admission)
        if row != old:
            changes += self._make(NodeJoined(row))
        claimed = {claim.name: claim for claim in names}
        for known in self.tables.owned(node.harbor, node.incarnation):
            if known.name not in claimed:
                changes += self._make(NameGone(known.name, known.handle))
        for claim in claimed.values():
            changes += self._claim(claim)
        return changes + self._regroup(row, {each.group: each.members for each in groups})

    def lose(self, harbor: int, reason: Leaving, now: float) -> list[Change]:
        """Take a node out; its exclusive names stay reserved unless it said goodbye."""
        node = self.tables.nodes.get(harbor)
        if node is None:
            return []
        changes: list[Change] = []
        self._absent.pop(harbor, None)
        for row in self.tables.owned(harbor, node.incarnation):
            if row.exclusive and reason is Leaving.GOODBYE:
                changes += self._make(NameGone(row.name, row.handle))
            elif row.exclusive:
                self._reserved[row.name] = now + self._hold
        return changes + self._make(NodeLeft(harbor, node.incarnation, reason))

    def restore(
        self,
        nodes: Iterable[NodeRow],
        names: Iterable[NameRow],
        groups: Iterable[GroupRow],
        now: float,
    ) -> list[Change]:
        """Take over from a copy what is not known yet; nodes that are not connected are absent."""
        changes: list[Change] = []
        until = now + self._hold
        for node in nodes:
            if node.harbor not in self.tables.nodes:
                self._absent[node.harbor] = until
                changes += self._make(NodeJoined(node))
        for row in names:
            if self._is_away(row.handle):
                changes += self._claim(row)
            elif row.exclusive and not self._is_present(row.handle):
                changes += self._claim(row)
                if self.tables.names.get(row.name, row).handle == row.handle:
                    self._reserved[row.name] = until
        for group in groups:
            members = tuple([each for each in group.members if self._is_away(each)])
            changes += self._add_members(group.group, members)
        return changes

    def expire(self, now: float) -> list[Change]:
        """Give up absent nodes and reserved names whose time is over."""
        changes: list[Change] = []
        for harbor in sorted(each for each, until in self._absent.items() if until <= now):
            node = self.tables.nodes[harbor]
            for row in self.tables.owned(harbor, node.incarnation):
                if row.exclusive:
                    changes += self._make(NameGone(row.name, row.handle))
            changes += self.lose(harbor, Leaving.LOST, now)
        for name in sorted(each for each, until in self._reserved.items() if until <= now):
            changes += self._make(NameGone(name, self.tables.names[name].handle))
        return changes

    # --- names --------------------------------------------------------------------------------------

    def register(
        self, name: str, handle: Handle, *, exclusive: bool, replace: Handle | None, now: float
    ) -> tuple[Verdict, list[Change]]:
        """Ask for a name; the first one gets it, and its owner gets it again."""
        row = self.tables.names.get(name)
        if row is None:
            if exclusive and now < self.settled:
                return LATER, []
            if not self._has_room(name):
                return FULL, []
        elif row.handle == handle and row.exclusive == exclusive:
            return Granted(row), []
        elif row.handle != handle and (row.handle != replace or not _same_node(row.handle, handle)):
            return Taken(row.handle), []
        granted = NameRow(name, handle, self._stamp(), exclusive)
        return Granted(granted), self._make(NameSet(granted))

    def unregister(self, name: str, handle: Handle) -> list[Change]:
        """Free a name; only its owner can."""
        row = self.tables.names.get(name)
        if row is None or row.handle != handle:
            return []
        return self._make(NameGone(name, handle))

    def _claim(self, claim: NameRow) -> list[Change]:
        """Decide between the row that is known and one that was granted elsewhere."""
        row = self.tables.names.get(claim.name)
        if row is None:
            return self._make(NameSet(claim)) if self._has_room(claim.name) else []
        if row.handle == claim.handle:
            self._reserved.pop(row.name, None)
            winner = attrs.evolve(claim, stamp=max(row.stamp, claim.stamp))
            return self._make(NameSet(winner)) if winner != row else []
        if _same_node(row.handle, claim.handle):
            return self._make(NameSet(attrs.evolve(claim, stamp=self._stamp())))
        if claim.rank < row.rank or (row.exclusive and self._is_connected(row.handle)):
            return []
        return self._make(NameSet(claim))

    # --- groups -------------------------------------------------------------------------------------

    def join_group(self, group: str, handle: Handle) -> list[Change] | None:
        """Add a member; None if there is no room."""
        if handle in self.tables.groups.get(group, ()):
            return []
        return self._add_members(group, (handle,)) or None

    def leave_group(self, group: str, handle: Handle) -> list[Change]:
        """Take out a member."""
        if handle not in self.tables.groups.get(group, ()):
            return []
        return self._make(MembersChanged(group, (), (handle,)))

    def _regroup(self, node: NodeRow, claimed: dict[str, tuple[Handle, ...]]) -> list[Change]:
        changes: list[Change] = []
        for group, members in self.tables.memberships(node.harbor, node.incarnation).items():
            left = tuple([each for each in members if each not in claimed.get(group, ())])
            if left:
                changes += self._make(MembersChanged(group, (), left))
        for group, handles in claimed.items():
            changes += self._add_members(group, handles)
        return changes

    def _add_members(self, group: str, handles: tuple[Handle, ...]) -> list[Change]:
        known = self.tables.groups.get(group, {})
        joined = tuple([each for each in handles if each not in known])
        if not joined or self.tables.weight + len(joined) * name_weight(group) > MAX_WEIGHT:
            return []
        return self._make(MembersChanged(group, joined, ()))

    # --- inside -------------------------------------------------------------------------------------

    def _make(self, change: Change) -> list[Change]:
        names, _ = self.tables.touched(change)
        if not isinstance(change, NodeLeft):
            for name in names:
                self._reserved.pop(name, None)
        self.tables.apply(change)
        return [change]

    def _stamp(self) -> Stamp:
        self._counter += 1
        return Stamp(self.epoch, self._counter)

    def _has_room(self, name: str) -> bool:
        return self.tables.weight + name_weight(name) <= MAX_WEIGHT

    def _is_present(self, handle: Handle) -> bool:
        return self.tables.has(handle.harbor, handle.incarnation)

    def _is_away(self, handle: Handle) -> bool:
        return self._is_present(handle) and self.is_absent(handle.harbor)

    def _is_connected(self, handle: Handle) -> bool:
        return self._is_present(handle) and not self.is_absent(handle.harbor)


def _same_node(one: Handle, other: Handle) -> bool:
    return lives_on(one, other.harbor, other.incarnation)
