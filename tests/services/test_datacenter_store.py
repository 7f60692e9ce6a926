"""The file of the datacenter: what is read again, and every way in which it can be unusable."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
import trio
import trio.lowlevel
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.datacenter_kit import Owner, info, open_datacenter
from tests.services.datacenter_model import Model, ThroughValueError, everything, keys, leaves, owners, values
from tests.values_table import VALUES, same
from trionet import Node, StartFailed, ValueCodec, value
from trionet.message._classes import BY_NAME
from trionet.services import Datacenter, DatacenterClient, NotABranch, StorageFailed
from trionet.services.datacenter_store import DiskFull, Store, statement_of
from trionet.services.datacenter_tree import Tree, Write
from trionet.services.datacenter_values import Keys
from trionet.testing import open_simulated_node, run_simulated

pytestmark = pytest.mark.usefixtures("virtual_run")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "world.db"


async def test_all_is_there_after_a_restart(node: Node, file: Path) -> None:
    dc = await open_datacenter(node, file)
    await dc.set("a", {"x": 1, "y": {"z": [1, 2]}, "e": {}})
    await dc.set("b/c/d", 2)
    await dc.delete("a/x")
    await dc.delete("b/c/d")
    before = await dc.entry("a")
    await node.stop("datacenter")
    dc = await open_datacenter(node, file)
    assert before == await dc.entry("a")
    assert await dc.list() == ("a",)
    await dc.set("new", 1)
    entry = await dc.entry("new")
    assert before is not None
    assert entry is not None
    assert entry.version > before.version
    assert os.listdir(file.parent) != []


async def test_every_value_is_kept(node: Node, file: Path) -> None:
    """All of the table of values, type and equality compared; without a branch's own dict."""
    dc = await open_datacenter(node, file)
    table = {
        name: each for name, each in VALUES.items() if "reference" not in name and "handle-keys" not in name
    }
    table["reference"] = [node.ref("world"), node.ref(node.handle_of("datacenter"), Datacenter)]
    for name, each in table.items():
        await dc.set(f"values/{name}", (each,))
    await node.kill("datacenter")
    dc = await open_datacenter(node, file)
    for name, each in table.items():
        assert same((each,), await dc.get(f"values/{name}")), name


async def test_without_a_path_nothing_is_kept(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dc = await open_datacenter(node)
    await dc.set("a", 1)
    await node.stop("datacenter")
    dc = await open_datacenter(node)
    assert await dc.list() == ()
    assert os.listdir(tmp_path) == []


async def test_owners_are_kept(file: Path) -> None:
    async with open_simulated_node() as node:
        dc = await open_datacenter(node, file)
        owner = await node.start(Owner)
        await owner.own("a")
        await node.stop("datacenter")
        dc = await open_datacenter(node, file)
        assert await dc.get("a") == "mine"
        await node.stop(owner)
        await trio.lowlevel.checkpoint()
        assert await dc.get("a") is None
        await (await node.start(Owner)).own("b")
        await node.kill("datacenter")
    async with open_simulated_node(seed=1) as node:  # its services have other handles
        dc = await open_datacenter(node, file)
        await trio.lowlevel.checkpoint()
        assert await dc.list() == ()
        assert info(node)["owners"] == 0


# a crash at any point


class Disk:
    """A store whose files are copied before each step that it takes, as a crash would leave them."""

    def __init__(self, node: Node, folder: Path) -> None:
        self._codec = ValueCodec(node)
        self._folder = folder
        self._numbers = count()
        self.store = Store(str(folder / "world.db"), "off")
        self.tree = Tree()
        self.copies: list[Path] = []
        self.store._database.set_trace_callback(lambda _: self.copy())

    def copy(self) -> None:
        there = self._folder / f"copy{next(self._numbers)}"
        there.mkdir()
        for name in ("world.db", "world.db-wal"):
            if (self._folder / name).exists():
                shutil.copyfile(self._folder / name, there / name)
        self.copies.append(there)

    def commit(self, writes: list[Write]) -> list[Any]:
        """Commit; returns what each crash on the way would have left, the last one right after the end."""
        self.copies.clear()
        self.store.commit([statement_of(row, self._codec.encode) for each in writes for row in each.rows])
        self.copy()
        left = []
        for each in self.copies:
            with closing(Store(str(each / "world.db"), "off")) as store:
                left.append(everything(store.load(self._codec.decode)))
            shutil.rmtree(each)
        return left


operations = st.lists(st.tuples(keys, st.just(...) | values | leaves, owners), min_size=1, max_size=4)


def do(tree: Tree, path: Keys, item: Any, owner: Any) -> Iterator[Write]:
    """Set or delete, if the path leads nowhere through a value."""
    try:
        write = tree.remove(path) if item is ... else tree.put(path, item, owner)
    except NotABranch:
        return
    if write is not None:
        yield write


@settings(max_examples=15)
@given(batches=st.lists(operations, min_size=1, max_size=4))
def test_a_crash_at_any_point_leaves_all_or_nothing_of_a_batch(batches: Any) -> None:
    """And all, once the commit has ended."""

    async def run(folder: Path) -> None:
        async with open_simulated_node() as node:
            disk = Disk(node, folder)
            with closing(disk.store):
                for batch in batches:
                    before = everything(disk.tree)
                    writes = [write for each in batch for write in do(disk.tree, *each)]
                    left = disk.commit(writes)
                    after = everything(disk.tree)
                    assert before == left[0]
                    assert after == left[-1]
                    assert all(each in (before, after) for each in left)

    with TemporaryDirectory() as folder:
        run_simulated(run, Path(folder))


@settings(max_examples=15)
@given(batches=st.lists(operations, min_size=1, max_size=4))
def test_the_service_beside_a_model(batches: Any) -> None:
    """All that was acknowledged is there after a kill."""

    async def run(file: str) -> None:
        model = Model()
        async with open_simulated_node() as node:
            for batch in batches:
                dc = await open_datacenter(node, file, sync="off")
                for path, item, _ in batch:
                    await do_beside(dc, model, path, item)
                await node.kill("datacenter")
            dc = await open_datacenter(node, file)
            assert model.root == {key: await dc.get(key) for key in await dc.list()}

    with TemporaryDirectory() as folder:
        run_simulated(run, f"{folder}/world.db")


async def do_beside(dc: DatacenterClient, model: Model, path: Keys, item: Any) -> None:
    """Set or delete in both."""
    where = "/".join(path)
    try:
        old = model.get(path)
    except ThroughValueError:
        with pytest.raises(NotABranch):
            await dc.set(where, item if item is not ... else 1)
        return
    if item is ...:
        assert old == await dc.delete(where)
        model.delete(path)
    else:
        assert old == await dc.set(where, item)
        model.set(path, item)


# files that cannot be used


def content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


async def refused(node: Node, file: Path, text: str) -> None:
    """The datacenter does not start, says why, and leaves the file as it is."""
    before = content(file)
    with pytest.raises(StartFailed, match=text) as caught:
        await open_datacenter(node, file)
    assert isinstance(caught.value.__cause__, StorageFailed)
    assert str(file) in str(caught.value)
    assert before == content(file)
    assert node.lookup("datacenter") is None


async def filled(node: Node, file: Path) -> None:
    dc = await open_datacenter(node, file)
    for number in range(200):
        await dc.set(f"many/{number}", "x" * 100)
    await node.stop("datacenter")


def change(file: Path, *sql: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        for each in sql:
            database.execute(each)


def damage(file: Path, where: float, size: int) -> None:
    data = bytearray(content(file) or b"")
    begin = int(len(data) * where)
    data[begin : begin + size] = b"\x5a" * size
    file.write_bytes(data)


async def test_a_file_that_is_no_database(node: Node, file: Path) -> None:
    damage(file, 0, 5000)
    await refused(node, file, "it is no database")


async def test_a_database_of_another_program(node: Node, file: Path) -> None:
    change(file, "CREATE TABLE t (x)")
    await refused(node, file, "it is a database of another program")


async def test_a_newer_file(node: Node, file: Path) -> None:
    await filled(node, file)
    change(file, "PRAGMA user_version=2")
    await refused(node, file, "its format is 2, and this version of trionet knows 1 at most")


@pytest.mark.parametrize("where", [0.3, 0.6, 0.9])
async def test_a_damaged_file(node: Node, file: Path, where: float) -> None:
    await filled(node, file)
    damage(file, where, 2000)
    await refused(node, file, "the file is damaged")


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("UPDATE nodes SET value = 'text' WHERE path = 'many/1'", "found str, expected bytes"),
        ("UPDATE nodes SET value = x'ff' WHERE path = 'many/1'", "value at 'many/1' cannot be read"),
        ("UPDATE nodes SET value = x'0101' WHERE path = 'many/1'", "1 bytes after the message"),
        ("UPDATE nodes SET version = 'x' WHERE path = 'many/1'", "found 'x' for a version"),
        ("UPDATE nodes SET owner = x'01' WHERE path = 'many/1'", "found 1 for an owner"),
        ("UPDATE nodes SET path = 'many//1' WHERE path = 'many/1'", "'' is no key"),
        (
            "UPDATE nodes SET path = 'many' WHERE path = 'many/1'",
            "values at 'many/.*' and below it|'many' and",
        ),
        ("DROP TABLE nodes", "no such table"),
    ],
)
async def test_a_file_with_other_rows(node: Node, file: Path, sql: str, text: str) -> None:
    await filled(node, file)
    change(file, sql)
    await refused(node, file, text)


async def test_a_value_of_a_class_that_is_gone(
    node: Node, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @value(name="tests.Gone")
    @attrs.frozen
    class Gone:
        x: int

    dc = await open_datacenter(node, file)
    await dc.set("a", Gone(1))
    await node.stop("datacenter")
    with monkeypatch.context() as patch:
        patch.delitem(BY_NAME, "tests.Gone")
        with pytest.raises(StartFailed, match=r"the value at 'a' cannot be read: .*tests\.Gone"):
            await open_datacenter(node, file)
    dc = await open_datacenter(node, file)
    assert await dc.get("a") == Gone(1)


async def test_a_folder_that_is_not_there(node: Node, tmp_path: Path) -> None:
    await refused(node, tmp_path / "none" / "world.db", "there is no such folder")
    await refused(node, tmp_path, "unable to open")


def open_elsewhere(file: Path) -> subprocess.CompletedProcess[str]:
    """Open the file in another process."""
    code = "import sys; from trionet.services.datacenter_store import Store; Store(sys.argv[1])"
    return subprocess.run(
        [sys.executable, "-c", code, str(file)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=Path(__file__).parents[2],
    )


async def test_a_file_in_use(node: Node, file: Path) -> None:
    """By another datacenter of this process, and by one of another process."""
    dc = await open_datacenter(node, file)
    await dc.set("a", 1)
    async with open_simulated_node(seed=1) as other:
        with pytest.raises(StartFailed, match="it is in use by another datacenter"):
            await open_datacenter(other, file)
    done = open_elsewhere(file)
    assert done.returncode == 1
    assert "StorageFailed" in done.stderr
    assert "it is in use by another datacenter" in done.stderr
    await dc.set("a", 2)
    await node.kill("datacenter")
    Store(str(file)).close()


def test_a_full_disk_undoes_the_whole_batch(file: Path) -> None:
    with closing(Store(str(file))) as store:
        encode: Callable[[Any], bytes] = lambda each: each  # noqa: E731
        tree = Tree()
        store.commit([statement_of(row, encode) for row in tree.put(("a",), b"1").rows])
        store._database.execute("PRAGMA max_page_count=4")
        writes = [tree.put(("b",), b"2"), tree.put(("c",), bytes(100_000))]
        with pytest.raises(DiskFull, match=r"world.db: the disk is full \(database or disk is full\)"):
            store.commit([statement_of(row, encode) for each in writes for row in each.rows])
        store._database.execute("PRAGMA max_page_count=1000")
        store.commit([statement_of(row, encode) for row in writes[0].rows])
        assert store.load(lambda each: each).sight(()).value() == {"a": b"1", "b": b"2"}
