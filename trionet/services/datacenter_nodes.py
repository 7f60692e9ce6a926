"""What the tree of the datacenter is made of: leaves and branches.

Duty: the nodes, what a value becomes in the tree and what becomes of it again, and what is seen at a path.
May import: trionet and the datacenter's values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from trionet import Handle
from trionet.services.datacenter_values import (
    Change,
    Entry,
    Keys,
    NotABranch,
    check_depth,
    check_key,
    join_keys,
)


@attrs.frozen(eq=False)
class Leaf:
    """A value."""

    value: Any
    version: int
    owner: Handle | None = None


@attrs.define(eq=False)
class Branch:
    """What is below a key, and the version of the last write there."""

    version: int
    children: dict[str, Node] = attrs.field(factory=dict)


Node = Branch | Leaf


@attrs.frozen
class Sight:
    """What is to be seen at a path.

    Args:
        node: what is there, or None.
        version: of what is there, or of the branch in which it is missing, or of what is in the way.
        in_the_way: the path of a leaf that the path leads through, if there is one.
    """

    node: Node | None
    version: int
    in_the_way: str | None = None

    def value(self, default: Any = None) -> Any:
        """The value that is there."""
        return default if self.node is None else value_of(self.node)

    def present(self) -> tuple[Any] | None:
        """The value that is there, in a tuple as it may be None; or None."""
        return None if self.node is None else (self.value(),)

    @property
    def version_there(self) -> int:
        """The version of what is there; 0 for nothing."""
        return 0 if self.node is None else self.version

    def entry(self) -> Entry | None:
        """The value with all that is known of it."""
        if self.node is None:
            return None
        return Entry(self.value(), self.version, self.node.owner if isinstance(self.node, Leaf) else None)

    def keys(self) -> tuple[str, ...] | None:
        """The keys of a branch, sorted; none for nothing; None for a leaf."""
        if self.node is None:
            return ()
        return tuple(sorted(self.node.children)) if isinstance(self.node, Branch) else None

    def check_way(self, path: str) -> None:
        """Refuse a path through a leaf.

        Raises:
            NotABranch: if it is one.
        """
        if self.in_the_way is not None:
            text = f"{path!r:.80} leads through {self.in_the_way!r:.80}, which is a value and no branch"
            raise NotABranch(text)


def value_of(node: Node) -> Any:
    """The value of a leaf, or a dict of all that is in a branch."""
    if isinstance(node, Leaf):
        return node.value
    return {key: value_of(child) for key, child in node.children.items()}


def change_of(keys: Keys, node: Node) -> Change:
    """The change that set a leaf or an empty branch."""
    if isinstance(node, Branch):
        return Change(join_keys(keys), node.version, {})
    return Change(join_keys(keys), node.version, node.value, owner=node.owner)


def grown(keys: Keys, value: Any, version: int, owner: Handle | None) -> Node:
    """Make the nodes of a value: a branch of a dict, a leaf of all else."""
    if type(value) is not dict:
        return Leaf(value, version, owner)
    where = join_keys(keys)
    branch = Branch(version)
    for key, each in value.items():
        check_key(key, where)
        check_depth(len(keys) + 1, where)
        branch.children[key] = grown((*keys, key), each, version, owner)
    return branch


def ends(keys: Keys, node: Node) -> Iterator[tuple[Keys, Node]]:
    """Leaves and empty branches, with where they are."""
    if isinstance(node, Leaf) or not node.children:
        yield keys, node
        return
    for key, child in node.children.items():
        yield from ends((*keys, key), child)
