"""The tables of the cluster: nodes, names and groups, and the changes that are made to them.

Duty: rows, changes, and :class:`Tables`, the container that master and slaves hold alike.  A change
has the same effect on equal tables, whoever applies it; that is why all copies end equal.
May import: the standard library, attrs, the handles of trionet and wire.schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from trionet.cluster_events import Leaving as Leaving
from trionet.handle import MAX_HARBOR, Handle, check_name, is_local_name
from trionet.wire.schema import (
    COUNT,
    FLAG,
    GLOBAL_NAME,
    HANDLE,
    HARBOR,
    U64,
    choice,
    many,
    record,
    text,
    union,
)

#: Longest address of a node, in bytes.
MAX_ADDRESS: Final = 512
#: Longest name of a node, in bytes.
MAX_NODE_NAME: Final = 255
#: Rows of names or groups in one message.
MAX_ROWS: Final = 250_000
#: Bytes that names and groups may take, so that a snapshot fits into one message of a link.
MAX_WEIGHT: Final = 8 * 1024 * 1024
#: Bytes that a row takes on the wire beside its name, rounded up.
ROW_WEIGHT: Final = 48


@attrs.frozen(order=True)
class Stamp:
    """When a master accepted something: later stamps are greater, across masters too.

    Args:
        epoch: the master's epoch; a restarted master takes one above all that it hears of.
        counter: counts what was stamped.
    """

    epoch: int
    counter: int


#: The stamp of what no master has accepted yet.
NEVER: Final = Stamp(0, 0)


@attrs.frozen
class NodeRow:
    """A node of the cluster.

    Args:
        harbor: its harbor id.
        incarnation: its incarnation.
        address: where other nodes dial it.
        name: its name, for people.
        admission: when it was admitted; of a pair, the later admitted dials.
    """

    harbor: int
    incarnation: int
    address: str
    name: str
    admission: Stamp

    def dials(self, other: NodeRow) -> bool:
        """Tell whether this one of a pair dials: the later admitted does, at first and ever after."""
        mine, its = self.admission, other.admission
        return (mine.epoch, mine.counter, self.harbor) > (its.epoch, its.counter, other.harbor)


@attrs.frozen
class NameRow:
    """A global name and its owner."""

    name: str
    handle: Handle
    stamp: Stamp
    exclusive: bool

    @property
    def rank(self) -> tuple[Stamp, Handle]:
        """What decides between two owners of one name: the higher rank wins everywhere."""
        return self.stamp, self.handle


@attrs.frozen
class GroupRow:
    """A group and its members, in the order of their handles."""

    group: str
    members: tuple[Handle, ...]


@attrs.frozen
class NodeJoined:
    """A node was admitted, or its row has changed."""

    node: NodeRow


@attrs.frozen
class NodeLeft:
    """A node left: its plain names and memberships go with it, its exclusive names go later."""

    harbor: int
    incarnation: int
    reason: Leaving


@attrs.frozen
class NameSet:
    """A name has this owner from now on."""

    row: NameRow


@attrs.frozen
class NameGone:
    """A name has no owner any more."""

    name: str
    handle: Handle


@attrs.frozen
class MembersChanged:
    """Services joined or left a group."""

    group: str
    joined: tuple[Handle, ...]
    left: tuple[Handle, ...]


Change = NodeJoined | NodeLeft | NameSet | NameGone | MembersChanged

STAMP: Final = record(Stamp, COUNT, COUNT)
ADDRESS: Final = text(MAX_ADDRESS)
NODE_NAME: Final = text(MAX_NODE_NAME)
NODE: Final = record(NodeRow, HARBOR, U64, ADDRESS, NODE_NAME, STAMP)
NAME: Final = record(NameRow, GLOBAL_NAME, HANDLE, STAMP, FLAG)
HANDLES: Final = many(HANDLE, MAX_ROWS)
NODES: Final = many(NODE, MAX_HARBOR)
NAMES: Final = many(NAME, MAX_ROWS)
GROUPS: Final = many(record(GroupRow, GLOBAL_NAME, HANDLES), MAX_ROWS)
CHANGE: Final = union(
    {
        1: (NodeJoined, record(NodeJoined, NODE)),
        2: (NodeLeft, record(NodeLeft, HARBOR, U64, choice(Leaving))),
        3: (NameSet, record(NameSet, NAME)),
        4: (NameGone, record(NameGone, GLOBAL_NAME, HANDLE)),
        5: (MembersChanged, record(MembersChanged, GLOBAL_NAME, HANDLES, HANDLES)),
    }
)


def check_global_name(name: str) -> None:
    """Raise a ValueError if a name is none for the whole cluster."""
    if is_local_name(check_name(name)):
        raise ValueError(f"{name!r} is a name of its own node only")


def lives_on(handle: Handle, harbor: int, incarnation: int) -> bool:
    """Tell whether a handle is of that node."""
    return handle.incarnation == incarnation and handle.harbor == harbor


def name_weight(name: str) -> int:
    """Bytes that a row with this name takes, rounded up."""
    return ROW_WEIGHT + len(name.encode())


@attrs.define
class Tables:
    """Nodes by harbor id, names, and groups with their members.

    Args:
        nodes: the nodes.
        names: the names.
        groups: the groups; one without members does not exist.
        weight: bytes that names and groups take on the wire, rounded up.
    """

    nodes: dict[int, NodeRow] = attrs.Factory(dict)
    names: dict[str, NameRow] = attrs.Factory(dict)
    groups: dict[str, dict[Handle, None]] = attrs.Factory(dict)
    weight: int = 0

    @classmethod
    def of(cls, nodes: Iterable[NodeRow], names: Iterable[NameRow], groups: Iterable[GroupRow]) -> Tables:
        """Build tables from their rows."""
        made = cls(nodes={node.harbor: node for node in nodes})
        for row in names:
            made.apply(NameSet(row))
        for group in groups:
            made.apply(MembersChanged(group.group, group.members, ()))
        return made

    def node_rows(self) -> tuple[NodeRow, ...]:
        """All nodes in the order of their harbor ids."""
        return tuple([self.nodes[harbor] for harbor in sorted(self.nodes)])

    def name_rows(self) -> tuple[NameRow, ...]:
        """All names in their order."""
        return tuple([self.names[name] for name in sorted(self.names)])

    def group_rows(self) -> tuple[GroupRow, ...]:
        """All groups in the order of their names."""
        return tuple([GroupRow(group, tuple(sorted(self.groups[group]))) for group in sorted(self.groups)])

    def has(self, harbor: int, incarnation: int) -> bool:
        """Tell whether that incarnation is in the table."""
        node = self.nodes.get(harbor)
        return node is not None and node.incarnation == incarnation

    def owned(self, harbor: int, incarnation: int) -> list[NameRow]:
        """The names that a node owns."""
        found = [row for row in self.names.values() if lives_on(row.handle, harbor, incarnation)]
        return sorted(found, key=lambda row: row.name)

    def memberships(self, harbor: int, incarnation: int) -> dict[str, list[Handle]]:
        """The groups that services of a node are members of, with these."""
        found: dict[str, list[Handle]] = {}
        for group in sorted(self.groups):
            members = [each for each in self.groups[group] if lives_on(each, harbor, incarnation)]
            if members:
                found[group] = sorted(members)
        return found

    def touched(self, change: Change) -> tuple[list[str], list[str]]:
        """The names and the groups that a change concerns."""
        match change:
            case NameSet(row=row):
                return [row.name], []
            case NameGone(name=name):
                return [name], []
            case MembersChanged(group=group):
                return [], [group]
            case NodeLeft(harbor=harbor, incarnation=incarnation):
                names = [row.name for row in self.owned(harbor, incarnation)]
                return names, list(self.memberships(harbor, incarnation))
            case _:
                return [], []

    def apply(self, change: Change) -> None:
        """Make a change; one that is already made has no effect."""
        match change:
            case NodeJoined(node=node):
                self.nodes[node.harbor] = node
            case NodeLeft():
                self._leave(change)
            case NameSet(row=row):
                self._forget(row.name)
                self.names[row.name] = row
                self.weight += name_weight(row.name)
            case NameGone(name=name, handle=handle):
                known = self.names.get(name)
                if known is not None and known.handle == handle:
                    self._forget(name)
            case MembersChanged(group=group, joined=joined, left=left):
                self._members(group, joined, left)

    def _leave(self, change: NodeLeft) -> None:
        harbor, incarnation = change.harbor, change.incarnation
        if self.has(harbor, incarnation):
            del self.nodes[harbor]
        for row in self.owned(harbor, incarnation):
            if not row.exclusive:
                self._forget(row.name)
        for group, members in self.memberships(harbor, incarnation).items():
            self._members(group, (), members)

    def _forget(self, name: str) -> None:
        if self.names.pop(name, None) is not None:
            self.weight -= name_weight(name)

    def _members(self, group: str, joined: Iterable[Handle], left: Iterable[Handle]) -> None:
        members = self.groups.pop(group, {})
        before = len(members)
        for handle in joined:
            members[handle] = None
        for handle in left:
            members.pop(handle, None)
        if members:
            self.groups[group] = members
        self.weight += (len(members) - before) * name_weight(group)
