"""The tree of the datacenter: a pure state machine, in which each write can be undone.

Duty: values by path, their versions and owners; what a write changes, for those who watch and for the disk.
May import: trionet and the datacenter's nodes and values.

Theory of operation.  A dict is a branch: its keys are keys of the tree, its values are spread out.  Every
other value is a leaf.  A branch that loses its last key by a deletion vanishes; an empty dict that was set
stays.  Every write has a version, larger than all before, which it leaves on what it wrote and on all
branches above.  A write notes what it replaced; writes are undone youngest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from trionet import Handle
from trionet.services.datacenter_nodes import Branch, Leaf, Node, Sight, change_of, ends, grown
from trionet.services.datacenter_values import Change, Keys, NotABranch, join_keys


@attrs.frozen
class Row:
    """What the disk has to keep of a write.

    Args:
        path: where; what was there and below it is forgotten if ``clears``.
        version: of the write.
        node: what is there now: a leaf, a branch, or None for nothing.
        clears: whether it replaces what was there.
    """

    path: str
    version: int
    node: Node | None
    clears: bool = False


@attrs.define(eq=False)
class Write:
    """What one write did.

    Args:
        version: its version.
        old: the value that was there, or None.
        changes: of values, deletions first.
        rows: for the disk, to be kept in this order.
        owners: whose values came or went.
    """

    version: int
    old: Any = None
    changes: Sequence[Change] = ()
    rows: list[Row] = attrs.field(factory=list)
    owners: set[Handle] = attrs.field(factory=set)
    _steps: list[tuple[Branch, int, str | None, Node | None]] = attrs.field(factory=list)
    _gone: list[tuple[Keys, Node]] = attrs.field(factory=list)
    _come: list[tuple[Keys, Node]] = attrs.field(factory=list)


class Tree:
    """The tree.

    Args:
        version: the first write has the next one.

    Attributes:
        version: of the last write, undone or not.
        owners: who has values that vanish with them, and where.
    """

    def __init__(self, version: int = 0) -> None:
        self.version: int = version
        self.owners: dict[Handle, set[Keys]] = {}
        self._root = Branch(version)

    def sight(self, keys: Keys) -> Sight:
        """Look what is at a path."""
        node: Node = self._root
        for depth, key in enumerate(keys):
            if isinstance(node, Leaf):
                return Sight(None, node.version, join_keys(keys[:depth]))
            child = node.children.get(key)
            if child is None:
                return Sight(None, node.version)
            node = child
        return Sight(node, node.version)

    def put(self, keys: Keys, value: Any, owner: Handle | None = None) -> Write:
        """Set a value, and make the branches above it.

        Raises:
            BadPath: if a dict in it has other keys than texts, or is too deep.
            NotABranch: if the path leads through a leaf.
        """
        seen = self.sight(keys)
        seen.check_way(join_keys(keys))
        write = Write(self.version + 1, seen.value())
        node = grown(keys, value, write.version, owner)
        self.version = write.version
        branch = self._root
        for key in keys[:-1]:
            _step(write, branch, None)
            child = branch.children.get(key)
            if child is None:
                child = Branch(write.version)
                _step(write, branch, key, child)
            assert isinstance(child, Branch)
            branch = child
        _step(write, branch, keys[-1], node)
        self._account(write, keys, seen.node, node)
        if isinstance(seen.node, Branch) or (seen.node is not None and isinstance(node, Branch)):
            write.rows.append(Row(join_keys(keys), write.version, None, clears=True))
        write.rows += (Row(join_keys(at), write.version, each) for at, each in write._come)
        return write

    def remove(self, keys: Keys) -> Write | None:
        """Delete what is at a path, and branches above it that are empty then; None if nothing is there.

        Raises:
            NotABranch: if the path leads through a leaf.
        """
        seen = self.sight(keys)
        seen.check_way(join_keys(keys))
        if seen.node is None:
            return None
        self.version += 1
        write = Write(self.version, seen.value())
        branches = [self._root]
        for key in keys[:-1]:
            child = branches[-1].children[key]
            assert isinstance(child, Branch)
            branches.append(child)
        while len(branches) > 1 and len(branches[-1].children) == 1:
            branches.pop()
        self._account(write, keys, seen.node, None)
        write.rows.append(Row(join_keys(keys[: len(branches)]), write.version, None, clears=True))
        for depth, branch in enumerate(branches):
            _step(write, branch, None)
            write.rows.append(Row(join_keys(keys[:depth]), write.version, branch))
        _step(write, branches[-1], keys[len(branches) - 1], None)
        return write

    def undo(self, write: Write) -> None:
        """Undo the last write that was not undone."""
        for branch, version, key, child in reversed(write._steps):
            branch.version = version
            if key is not None:
                _link(branch, key, child)
        self._own(write._come, write._gone)

    def restore(self, keys: Keys, node: Node) -> None:
        """Put back what was kept on a disk, in any order; a branch without what is below it.

        Raises:
            NotABranch: if leaves are below leaves.
        """
        branch = self._root
        branch.version = max(branch.version, node.version)
        for depth, key in enumerate(keys):
            is_last = depth == len(keys) - 1
            found = branch.children.get(key)
            if found is None:
                found = node if is_last else Branch(node.version)
                branch.children[key] = found
            elif isinstance(found, Leaf) or (is_last and isinstance(node, Leaf)):
                raise NotABranch(f"there are values at {join_keys(keys[: depth + 1])!r:.80} and below it")
            if isinstance(found, Branch):
                found.version = max(found.version, node.version)
                branch = found
        self._own((), ((keys, node),))
        self.version = max(self.version, node.version)

    def present(self, keys: Keys) -> Iterator[tuple[Keys, Node]]:
        """All leaves and empty branches at a path and below it."""
        node = self.sight(keys).node
        if node is not None and (keys or self._root.children):
            yield from ends(keys, node)

    def _account(self, write: Write, keys: Keys, old: Node | None, new: Node | None) -> None:
        """Note what came and went by a write."""
        if old is not None:
            write._gone.extend(ends(keys, old))
        if new is not None:
            write._come.extend(ends(keys, new))
        self._own(write._gone, write._come)
        write.owners.update(
            each.owner
            for _, each in (*write._gone, *write._come)
            if isinstance(each, Leaf) and each.owner is not None
        )
        stays = {at for at, _ in write._come}
        write.changes = (
            *(
                Change(join_keys(at), write.version, deleted=True)
                for at, each in write._gone
                if at not in stays
            ),
            *(change_of(at, each) for at, each in write._come),
        )

    def _own(self, gone: Sequence[tuple[Keys, Node]], come: Sequence[tuple[Keys, Node]]) -> None:
        for at, each in gone:
            if isinstance(each, Leaf) and each.owner is not None:
                owned = self.owners[each.owner]
                owned.discard(at)
                if not owned:
                    del self.owners[each.owner]
        for at, each in come:
            if isinstance(each, Leaf) and each.owner is not None:
                self.owners.setdefault(each.owner, set()).add(at)


def _step(write: Write, branch: Branch, key: str | None, child: Node | None = None) -> None:
    """Change one child of a branch, or only its version, and note what was there."""
    before = None if key is None else branch.children.get(key)
    write._steps.append((branch, branch.version, key, before))
    branch.version = write.version
    if key is not None:
        _link(branch, key, child)


def _link(branch: Branch, key: str, child: Node | None) -> None:
    if child is None:
        branch.children.pop(key, None)
    else:
        branch.children[key] = child
