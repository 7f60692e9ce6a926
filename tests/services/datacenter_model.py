"""What the datacenter's tree shall be, as plain dicts; strategies for what is done to it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from trionet import Handle
from trionet.services import Change
from trionet.services.datacenter_nodes import Branch, Leaf, Node
from trionet.services.datacenter_tree import Row, Tree
from trionet.services.datacenter_values import Keys, split_prefix

OWNERS = [Handle.make(1, local, 7) for local in (1, 2)]

keys = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple)
leaves = st.none() | st.integers(0, 9) | st.just([1, {2: 3}])
values = st.recursive(
    leaves, lambda each: st.dictionaries(st.sampled_from("abc"), each, max_size=2), max_leaves=4
)
owners = st.none() | st.sampled_from(OWNERS)


class ThroughValueError(Exception):
    """The model's word for a path through a value."""


class Model:
    """A tree of dicts."""

    def __init__(self, root: dict[str, Any] | None = None) -> None:
        self.root: dict[str, Any] = root or {}

    def _branch(self, path: Keys, *, made: bool = False) -> dict[str, Any] | None:
        here: Any = self.root
        for key in path:
            if not isinstance(here, dict):
                raise ThroughValueError
            if key not in here and made:
                here[key] = {}
            here = here.get(key, here if key in here else _NOTHING)
            if here is _NOTHING:
                return None
        if not isinstance(here, dict):
            raise ThroughValueError
        return here

    def get(self, path: Keys) -> Any:
        branch = self._branch(path[:-1])
        return None if branch is None else copied(branch.get(path[-1]))

    def has(self, path: Keys) -> bool:
        branch = self._branch(path[:-1])
        return branch is not None and path[-1] in branch

    def set(self, path: Keys, value: Any) -> None:
        self._branch(path[:-1])  # nothing is made where the path leads through a value
        branch = self._branch(path[:-1], made=True)
        assert branch is not None
        branch[path[-1]] = copied(value)

    def delete(self, path: Keys) -> None:
        branch = self._branch(path[:-1])
        if branch is None or path[-1] not in branch:
            return
        del branch[path[-1]]
        if not branch and path[1:]:
            self.delete(path[:-1])

    def apply(self, change: Change) -> None:
        path = split_prefix(change.path)
        if change.deleted:
            self.delete(path)
        else:
            self.set(path, change.value)


_NOTHING: Any = object()


def copied(value: Any) -> Any:
    """A copy of a tree of dicts."""
    return {key: copied(each) for key, each in value.items()} if type(value) is dict else value


def everything(tree: Tree) -> Any:
    """All of a tree: values, versions, owners, and the branches that are there."""

    def look(node: Node) -> Any:
        if isinstance(node, Leaf):
            return node.value, node.version, node.owner
        return node.version, {key: look(child) for key, child in node.children.items()}

    root = tree.sight(()).node
    assert isinstance(root, Branch)
    return look(root), {owner: set(paths) for owner, paths in tree.owners.items()}


class Disk:
    """What rows leave on a disk."""

    def __init__(self) -> None:
        self.rows: dict[str, Node] = {}

    def keep(self, row: Row) -> None:
        if row.clears:
            gone = [each for each in self.rows if each == row.path or each.startswith(f"{row.path}/")]
            for each in gone:
                del self.rows[each]
        elif isinstance(row.node, Leaf):
            self.rows[row.path] = row.node
        else:
            self.rows[row.path] = Branch(row.version)

    def tree(self) -> Tree:
        tree = Tree()
        for path, node in reversed(self.rows.items()):
            tree.restore(split_prefix(path), Branch(node.version) if isinstance(node, Branch) else node)
        return tree
