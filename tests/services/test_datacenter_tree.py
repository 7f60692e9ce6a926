"""The tree of the datacenter as a state machine, beside a model of plain dicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.services.datacenter_model import (
    Disk,
    Model,
    ThroughValueError,
    copied,
    everything,
    keys,
    leaves,
    owners,
    values,
)
from trionet import Handle
from trionet.services import BadPath, NotABranch
from trionet.services.datacenter_nodes import Leaf
from trionet.services.datacenter_tree import Tree, Write
from trionet.services.datacenter_values import Keys, join_keys, split_path, split_prefix


class TreeBesideModel(RuleBasedStateMachine):
    """Writes, some of which are kept on a disk and some of which are undone."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = Tree()
        self.model = Model()
        self.watched = Model()
        self.disk = Disk()
        self.kept: Any = everything(self.tree)
        self.kept_model: dict[str, Any] = {}
        self.unsafe: list[Write] = []
        self.last = 0

    def done(self, write: Write) -> None:
        assert write.version > self.last
        self.last = write.version
        self.unsafe.append(write)
        for change in write.changes:
            assert change.version == write.version
            self.watched.apply(change)

    @rule(path=keys, value=values | leaves, owner=owners)
    def put(self, path: Keys, value: Any, owner: Handle | None) -> None:
        try:
            old = self.model.get(path)
        except ThroughValueError:
            with pytest.raises(NotABranch):
                self.tree.put(path, value, owner)
            return
        self.model.set(path, value)
        write = self.tree.put(path, value, owner)
        assert old == write.old
        assert self.tree.sight(path).version_there == write.version
        self.done(write)

    @rule(path=keys)
    def remove(self, path: Keys) -> None:
        try:
            old, was_there = self.model.get(path), self.model.has(path)
        except ThroughValueError:
            with pytest.raises(NotABranch):
                self.tree.remove(path)
            return
        self.model.delete(path)
        write = self.tree.remove(path)
        assert was_there is (write is not None)
        if write is not None:
            assert old == write.old
            self.done(write)

    @rule()
    def keep(self) -> None:
        for write in self.unsafe:
            for row in write.rows:
                self.disk.keep(row)
        self.unsafe.clear()
        self.kept, self.kept_model = everything(self.tree), copied(self.model.root)

    @rule()
    def undo(self) -> None:
        for write in reversed(self.unsafe):
            self.tree.undo(write)
        self.unsafe.clear()
        self.model = Model(copied(self.kept_model))
        self.watched = Model(copied(self.kept_model))
        assert self.kept == everything(self.tree)

    @invariant()
    def same_values(self) -> None:
        assert self.model.root == self.tree.sight(()).value()
        assert self.model.root == self.watched.root
        replayed = Model()
        for path, node in self.tree.present(()):
            replayed.set(path, getattr(node, "value", {}))
        assert self.model.root == replayed.root

    @invariant()
    def disk_gives_the_same(self) -> None:
        assert self.kept == everything(self.disk.tree())


TestTree = TreeBesideModel.TestCase
TestTree.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize(
    "path", ["", "/", "a/", "/a", "a//b", "a\0", 5, None, ("a",), "a" * 256, "a/" * 32 + "a"]
)
def test_paths_that_are_none(path: object) -> None:
    with pytest.raises(BadPath):
        split_path(path)


def test_paths() -> None:
    longest = "/".join("k" for _ in range(32))
    for path in ("a", "rooms/lobby", ".", "日本/%", longest, "a" * 255):
        assert path == join_keys(split_path(path))
    assert () == split_prefix("")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1: 2}, "1 is no key of the tree"),
        ({"b": {"": 2}}, "'' is no key"),
        ({"b/c": 2}, "'b/c' is no key"),
        ({"b": {None: 2}}, "a/b: None is no key"),
    ],
)
def test_dicts_that_are_no_branches(value: object, text: str) -> None:
    tree = Tree()
    with pytest.raises(BadPath, match=text):
        tree.put(("a",), value)
    assert (0, {}) == everything(tree)[0]


def test_dicts_within_other_values_are_values() -> None:
    tree = Tree()
    tree.put(("a",), [{1: 2}, {"b/c": 3}])
    assert [{1: 2}, {"b/c": 3}] == tree.sight(("a",)).value()


def test_how_deep_a_tree_may_be() -> None:
    tree = Tree()
    deep: object = 1
    for _ in range(31):
        deep = {"k": deep}
    tree.put(("a",), deep)
    with pytest.raises(BadPath, match="more than 32 keys deep"):
        tree.put(("a",), {"k": deep})
    assert {"a": deep} == tree.sight(()).value()


@pytest.mark.parametrize("first", [("a",), ("a", "b")])
def test_values_below_values_cannot_be_restored(first: Keys) -> None:
    tree = Tree()
    tree.restore(first, Leaf(1, 1))
    second = ("a", "b") if first == ("a",) else ("a",)
    with pytest.raises(NotABranch, match="there are values at 'a' and below it"):
        tree.restore(second, Leaf(2, 2))
