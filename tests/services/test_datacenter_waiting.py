"""Waiting for a path of the datacenter, and watching a part of it."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.services.datacenter_kit import info, open_datacenter, settle, told
from trionet import Node
from trionet.services import Change, Datacenter, DatacenterBusy, DatacenterClient, WatchOverflow


class Waits:
    """Calls of ``wait`` and what they return."""

    def __init__(self, dc: DatacenterClient, nursery: trio.Nursery) -> None:
        self.results: dict[str, Any] = {}
        self._dc = dc
        self._nursery = nursery

    async def begin(self, *paths: str) -> None:
        for path in paths:
            self._nursery.start_soon(self._wait, path)
        await settle()
        assert not self.results.keys() & set(paths)

    async def _wait(self, path: str) -> None:
        self.results[path] = await self._dc.wait(path)


async def test_what_is_there_is_not_waited_for(node: Node) -> None:
    dc = await open_datacenter(node)
    await dc.set("a/b", None)
    assert await dc.wait("a/b") is None
    assert await dc.wait("a") == {"b": None}


async def test_any_write_that_makes_the_path_exist_ends_the_wait(node: Node) -> None:
    dc = await open_datacenter(node)
    async with trio.open_nursery() as nursery:
        waits = Waits(dc, nursery)
        await waits.begin("leaf", "branch", "parent/leaf", "parent/deep/leaf", "other/x", "via/none")
        await dc.set("leaf", False)
        await dc.set("branch/x", 1)
        await dc.set("parent", {"leaf": None, "deep": {"leaf": 2, "more": 3}})
        await dc.set("via", 5)  # a value in the way is no error for who waits
        await dc.set("via", {"none": 6})
        await settle()
        expected = {
            "leaf": False,
            "branch": {"x": 1},
            "parent/leaf": None,
            "parent/deep/leaf": 2,
            "via/none": 6,
        }
        assert expected == waits.results
        await dc.compare_and_set("other", 0, {"x": 7})
    assert waits.results["other/x"] == 7


async def test_a_wait_is_not_missed_where_the_value_does_not_stay(node: Node) -> None:
    dc = await open_datacenter(node)
    async with trio.open_nursery() as nursery:
        waits = Waits(dc, nursery)
        await waits.begin("a/b", "a")
        typed = node.ref("datacenter", Datacenter)
        typed.set.send_nowait("a/b", 1)
        typed.delete.send_nowait("a/b")
    assert {"a/b": 1, "a": {"b": 1}} == waits.results
    assert await dc.list() == ()


async def test_all_who_wait_are_woken(node: Node) -> None:
    dc = await open_datacenter(node)
    seen = []

    async def wait() -> None:
        seen.append(await dc.wait("a"))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(wait)
        await settle()
        assert info(node)["waiters"] == 10
        await dc.set("a", [1])
    assert seen == [[1]] * 10
    assert len({id(each) for each in seen}) == 10
    assert info(node)["waiters"] == 0


async def test_a_cancelled_wait_leaves_nothing(node: Node) -> None:
    dc = await open_datacenter(node)
    for _ in range(3):
        with trio.move_on_after(1) as scope:
            await dc.wait("a")
        assert scope.cancelled_caught
        with trio.move_on_after(1):
            async with dc.watch("a") as changes:
                await changes.receive()
    assert (info(node)["waiters"], info(node)["watchers"]) == (0, 0)


async def test_only_so_many_may_wait_and_watch(node: Node) -> None:
    """And those who do hold up nobody else."""
    dc = await open_datacenter(node, most_waiters=2, most_watchers=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dc.wait, "a")
        nursery.start_soon(dc.wait, "b")
        await settle()
        with pytest.raises(DatacenterBusy, match="2 calls wait already, which is the most"):
            await dc.wait("c")
        async with dc.watch():
            with pytest.raises(DatacenterBusy, match="1 watches are open already"):
                await dc.watch().__aenter__()
            await dc.set("a", 1)
            await dc.set("b", 1)
        async with dc.watch():
            pass
    assert await dc.wait("a") == 1


async def take(count: int, changes: Any) -> list[Change]:
    with trio.fail_after(5):
        return [await changes.receive() for _ in range(count)]


async def test_a_watch_tells_of_every_change_below_its_path(node: Node) -> None:
    dc = await open_datacenter(node)
    await dc.set("rooms/lobby", 0)
    async with dc.watch("rooms") as changes, dc.watch() as all_changes:
        await dc.set("rooms/lobby", 1)
        await dc.set("roomsx", 2)
        await dc.set("rooms", {"cellar": {"size": 3}, "attic": {}})
        await dc.delete("rooms/cellar")
        await dc.set("rooms", 5)
        await dc.delete("rooms")
        seen = await take(8, changes)
        expected = [
            ("rooms/lobby", 1),
            ("rooms/lobby", ...),
            ("rooms/cellar/size", 3),
            ("rooms/attic", {}),
            ("rooms/cellar/size", ...),
            ("rooms/attic", ...),
            ("rooms", 5),
            ("rooms", ...),
        ]
        assert expected == [told(each) for each in seen]
        versions = [each.version for each in seen]
        assert sorted(versions) == versions
        assert len(set(versions)) == 5
        assert [told(each) for each in await take(9, all_changes)] == [
            *expected[:1],
            ("roomsx", 2),
            *expected[1:],
        ]
        with trio.move_on_after(1) as scope:
            await changes.receive()
        assert scope.cancelled_caught


async def test_a_watch_can_begin_with_what_is_there(node: Node) -> None:
    dc = await open_datacenter(node)
    await dc.set("a", {"x": 1, "y": {}})
    await dc.set("b", 2)
    async with dc.watch("a", present=True) as changes, dc.watch("none", present=True) as none:
        await dc.set("a/x", 3)
        assert [told(each) for each in await take(3, changes)] == [("a/x", 1), ("a/y", {}), ("a/x", 3)]
        await dc.set("none", 1)
        assert told(await none.receive()) == ("none", 1)
    async with dc.watch(present=True) as changes:
        assert [told(each) for each in await take(3, changes)] == [("a/x", 3), ("a/y", {}), ("b", 2)]


async def test_who_watches_too_slowly_is_told(node: Node) -> None:
    """Others are not held up; one write may have as many changes as it likes."""
    dc = await open_datacenter(node, most_queued=10)
    async with dc.watch("a") as slow, dc.watch("b") as patient:
        for number in range(600):  # more than the stream itself holds
            await dc.set("a", number)
        with pytest.raises(WatchOverflow, match="more than 10 changes waited for who watches"):
            async for _ in slow:
                pass
        await dc.set("b", {str(number): number for number in range(600)})
        assert len(await take(600, patient)) == 600
