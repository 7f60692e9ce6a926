"""The datacenter while its disk is slow, full or broken: what is acknowledged, seen and undone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.services.datacenter_kit import Owner, SlowDisk, info, open_datacenter, settle, told
from trionet import BadMessage, CallError, Node, Restart, ServiceExited, ValueCodec
from trionet.services import DatacenterClient, NotABranch, StorageFailed
from trionet.services.datacenter_store import DiskFull, Store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "world.db"


class Calls:
    """Calls that are under way, and how they ended."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.ends: dict[str, Any] = {}
        self._nursery = nursery

    async def begin(self, **calls: Callable[[], Awaitable[Any]]) -> None:
        """Begin calls one after another."""
        for name, call in calls.items():
            self._nursery.start_soon(self._run, name, call)
            await settle()

    async def _run(self, name: str, call: Callable[[], Awaitable[Any]]) -> None:
        try:
            self.ends[name] = await call()
        except (StorageFailed, NotABranch, ServiceExited) as error:
            self.ends[name] = type(error)


def fill(node: Node, *, full: bool) -> None:
    """Let the disk of the datacenter be full, or not."""
    database = store_of(node)._database
    database.execute(f"PRAGMA max_page_count={5 if full else 100_000}")


def service_of(node: Node) -> Any:
    handle = node.lookup("datacenter")
    assert handle is not None
    return node.actors[handle.local].instance


def store_of(node: Node) -> Store:
    store: Store = service_of(node)._journal._store
    return store


async def test_writers_share_commits(node: Node, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dc = await open_datacenter(node, file)
    disk = SlowDisk(node, monkeypatch)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        await calls.begin(first=lambda: dc.set("a", 1))
        for number in range(100):
            nursery.start_soon(dc.set, f"many/{number}", number)
        await settle()
        assert calls.ends == {}
        disk.hold.release()
    assert info(node)["commits"] == 2
    assert len(await dc.list("many")) == 100


async def test_nobody_sees_what_is_not_safe(node: Node, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what does not depend on it is not held up."""
    dc = await open_datacenter(node, file)
    await dc.set("old/x", 1)
    disk = SlowDisk(node, monkeypatch)
    async with trio.open_nursery() as nursery, dc.watch("new") as changes:
        calls = Calls(nursery)
        await calls.begin(
            waited=lambda: dc.wait("new"),
            set=lambda: dc.set("new/x", 1),
            get=lambda: dc.get("new/x"),
            entry=lambda: dc.entry("new"),
            list=lambda: dc.list("new"),
            compared=lambda: dc.compare_and_set("new/x", 0, 2),
            through=lambda: dc.get("new/x/y"),
            missing=lambda: dc.delete("new/none"),
            late=lambda: dc.wait("new/x"),
        )
        assert calls.ends == {}
        assert await dc.get("old/x") == 1
        with trio.move_on_after(1) as scope:
            await changes.receive()
        assert scope.cancelled_caught
        disk.hold.release()
        assert told(await changes.receive()) == ("new/x", 1)
    entry = calls.ends.pop("entry")
    assert entry.value == {"x": 1}
    assert calls.ends == {
        "waited": {"x": 1},
        "set": None,
        "get": 1,
        "list": ("x",),
        "compared": None,
        "through": NotABranch,
        "missing": None,
        "late": 1,
    }


async def test_a_deletion_is_not_seen_before_it_is_safe(
    node: Node, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dc = await open_datacenter(node, file)
    await dc.set("a/b", 1)
    disk = SlowDisk(node, monkeypatch)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        await calls.begin(
            delete=lambda: dc.delete("a/b"), get=lambda: dc.get("a/b"), again=lambda: dc.delete("a")
        )
        assert calls.ends == {}
        disk.hold.release()
    assert calls.ends == {"delete": 1, "get": None, "again": None}


async def test_a_watch_that_begins_while_a_write_is_under_way(
    node: Node, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Misses nothing, and tells nothing twice."""
    dc = await open_datacenter(node, file)
    disk = SlowDisk(node, monkeypatch)
    seen: dict[bool, list[Any]] = {False: [], True: []}

    async def watch(present: bool) -> None:
        async with dc.watch("a", present=present) as changes:
            for _ in range(3):
                seen[present].append(told(await changes.receive()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dc.set, "a/x", 1)
        await settle()
        nursery.start_soon(watch, False)
        nursery.start_soon(watch, True)
        await settle()
        nursery.start_soon(dc.set, "a/y", 2)
        await settle()
        assert seen == {False: [], True: []}
        disk.hold.release()
        await settle()
        await dc.set("a/z", 3)
    assert seen == {each: [("a/x", 1), ("a/y", 2), ("a/z", 3)] for each in (False, True)}


async def test_a_full_disk_undoes_all_that_is_not_safe(
    node: Node, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what was built on it; who only looked sees what was there before; later writes work."""
    dc = await open_datacenter(node, file)
    await dc.set("a", {"x": 1, "y": {}})
    fill(node, full=True)
    disk = SlowDisk(node, monkeypatch)
    async with trio.open_nursery() as nursery, dc.watch() as changes:
        calls = Calls(nursery)
        await calls.begin(
            wait=lambda: dc.wait("c/new"),
            large=lambda: dc.set("a", {"z": "x" * 100_000}),
            get=lambda: dc.get("a"),
            present=lambda: first(dc, "a"),
            small=lambda: dc.set("a/z", 2),
            new=lambda: dc.set("c", {"new": 3}),
            missing=lambda: dc.compare_and_set("a/z", 9, 5),
            through=lambda: dc.get("a/z/y"),
        )
        assert calls.ends == {}
        disk.hold.release()
        await settle()
        assert calls.ends == {
            "large": StorageFailed,
            "small": StorageFailed,
            "new": StorageFailed,
            "get": {"x": 1, "y": {}},
            "present": ("a/x", 1),
            "missing": None,
            "through": None,
        }
        with pytest.raises(StorageFailed, match="the disk is full"):
            await dc.set("b", "x" * 100_000)
        assert not service_of(node)._audience._woken  # nothing is kept for writes that were undone
        assert await dc.get("a") == {"x": 1, "y": {}}
        fill(node, full=False)
        await dc.set("c/new", 4)
        assert told(await changes.receive()) == ("c/new", 4)
    assert calls.ends["wait"] == 4
    await node.kill("datacenter")
    dc = await open_datacenter(node, file)
    assert {key: await dc.get(key) for key in await dc.list()} == {"a": {"x": 1, "y": {}}, "c": {"new": 4}}


async def first(dc: DatacenterClient, path: str) -> Any:
    """The first of what is there."""
    async with dc.watch(path, present=True) as changes:
        return told(await changes.receive())


async def test_values_of_the_dead_vanish_when_there_is_room_again(
    node: Node, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dc = await open_datacenter(node, file)
    owner = await node.start(Owner)
    for number in range(3):
        await owner.own(f"a/{number}")

    def commit(*_: object) -> None:
        raise DiskFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "commit", commit)
        await node.stop(owner)
        await trio.sleep(5)
        assert len(await dc.list("a")) == 3
    await trio.sleep(1.5)
    assert await dc.list() == ()
    assert info(node)["owners"] == 0
    assert not service_of(node)._leases._expiring


async def test_a_broken_disk_ends_the_service(
    node: Node, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its restart policy starts it again, with all that was acknowledged; who reads waits for that."""
    dc = await open_datacenter(node, file, restart=Restart("failure", delay=1))
    await dc.set("a", 1)

    def commit(*_: object) -> None:
        raise StorageFailed("the disk is broken")

    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "commit", commit)
            disk = SlowDisk(node, patch)
            await calls.begin(
                write=lambda: dc.set("a", 2), read=lambda: dc.get("a"), wait=lambda: dc.wait("b")
            )
            assert calls.ends == {}
            disk.hold.release()
            await settle()
        assert calls.ends.pop("write") in (StorageFailed, ServiceExited)
        await trio.sleep(5)
        assert calls.ends == {"read": 1}
        await dc.set("b", 3)
    assert calls.ends == {"read": 1, "wait": 3}
    assert "the disk is broken" in caplog.text


async def test_a_write_whose_caller_left_is_done_all_the_same(
    node: Node, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dc = await open_datacenter(node, file)
    disk = SlowDisk(node, monkeypatch)
    for path in ("a", "b"):
        with trio.move_on_after(1) as scope:
            await dc.set(path, 1)
        assert scope.cancelled_caught
    disk.hold.release()
    assert await dc.list() == ("a", "b")


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_stop_waits_for_writes_and_a_kill_for_the_disk(
    node: Node, file: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    dc = await open_datacenter(node, file)
    with monkeypatch.context() as patch:
        disk = SlowDisk(node, patch)
        async with trio.open_nursery() as nursery:
            calls = Calls(nursery)
            await calls.begin(set=lambda: dc.set("a", 1))
            nursery.start_soon(getattr(node, end), "datacenter")
            await settle()
            disk.hold.release()
    assert calls.ends == {"set": None if end == "stop" else ServiceExited}
    dc = await open_datacenter(node, file)
    assert await dc.list() == (("a",) if end == "stop" else ())


async def test_a_value_that_cannot_be_encoded_is_undone(
    node: Node, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else is lost, neither what was under way nor who is watched."""
    dc = await open_datacenter(node, file)
    owner = await node.start(Owner)
    disk = SlowDisk(node, monkeypatch)
    encode = ValueCodec.encode

    def refusing(codec: ValueCodec, item: object) -> bytes:
        if item == "bad":
            raise BadMessage("cannot be encoded")
        return encode(codec, item)

    monkeypatch.setattr(ValueCodec, "encode", refusing)
    async with trio.open_nursery() as nursery:
        calls = Calls(nursery)
        await calls.begin(good=lambda: dc.set("a/x", 1))
        with pytest.raises(CallError, match="cannot be encoded"):
            await dc.set("a", {"y": "bad"}, owner=owner)
        disk.hold.release()
    assert await dc.get("a") == {"x": 1}
    assert info(node)["owners"] == 0
