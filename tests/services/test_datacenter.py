"""The datacenter in memory, used from its own node: reading, writing, bad input, values with owners."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.lowlevel

from tests.services.datacenter_kit import Owner, info, open_datacenter
from trionet import BadMessage, Node, RemoteError, ServiceExited, StartFailed, spec
from trionet.services import BadPath, Datacenter, Entry, NotABranch, datacenter


async def test_what_is_set_is_there(node: Node) -> None:
    dc = await open_datacenter(node)
    assert await dc.get("rooms/lobby/size") is None
    assert await dc.get("rooms/lobby/size", 5) == 5
    assert await dc.set("rooms/lobby/size", 10) is None
    assert await dc.set("rooms/lobby/size", 20) == 10
    assert await dc.set("rooms/cellar", {"size": 3, "doors": ["north"]}) is None
    assert await dc.get("rooms") == {"lobby": {"size": 20}, "cellar": {"size": 3, "doors": ["north"]}}
    assert await dc.list("rooms") == ("cellar", "lobby")
    assert await dc.list() == ("rooms",)
    assert await dc.list("nothing/here") == ()
    assert await dc.delete("rooms/lobby/size") == 20
    assert await dc.delete("rooms/lobby/size") is None
    assert await dc.list("rooms") == ("cellar",)
    assert await dc.set("rooms", None) == {"cellar": {"size": 3, "doors": ["north"]}}
    assert await dc.entry("rooms") == Entry(None, (await dc.entry("rooms") or Entry(0, 0)).version)
    assert await dc.delete("rooms") is None
    assert await dc.entry("rooms") is None


async def test_an_empty_dict_is_a_branch_that_stays(node: Node) -> None:
    dc = await open_datacenter(node)
    await dc.set("rooms", {})
    assert (await dc.get("rooms"), await dc.list("rooms")) == ({}, ())
    await dc.set("rooms/lobby", 1)
    await dc.delete("rooms/lobby")
    assert await dc.list() == ()


async def test_nobody_shares_a_value_with_the_tree(node: Node) -> None:
    dc = await open_datacenter(node)
    item: dict[str, Any] = {"list": [1]}
    await dc.set("a", item)
    item["list"].append(2)
    for path in ("a", "a/list"):
        seen = await dc.get(path)
        (seen["list"] if path == "a" else seen).append(3)
        assert await dc.get("a/list") == [1]
    old = await dc.set("a", 1)
    assert old == {"list": [1]}


async def test_versions_grow_and_tell_of_changes(node: Node) -> None:
    dc = await open_datacenter(node)

    async def version(path: str) -> int:
        entry = await dc.entry(path)
        return 0 if entry is None else entry.version

    await dc.set("a/x", 1)
    await dc.set("a/y", 1)
    await dc.set("b", 1)
    seen = [await version(each) for each in ("a", "a/x", "a/y", "b")]
    assert seen[1] < seen[2] == seen[0] < seen[3]
    await dc.delete("a/x")
    assert await version("a") > seen[3]
    assert await version("a/y") == seen[2]
    assert await version("a/x") == 0


async def test_another_life_has_other_versions(node: Node) -> None:
    """Or a value of the former one could be taken for one of the next."""
    dc = await open_datacenter(node)
    await dc.set("a", 1)
    former = await dc.entry("a")
    assert former is not None
    await node.stop("datacenter")
    await node.start(Datacenter, name="datacenter")
    await dc.set("a", 2)
    assert await dc.compare_and_set("a", former.version, 3) is None


async def test_compare_and_set(node: Node) -> None:
    dc = await open_datacenter(node)
    version = await dc.compare_and_set("a", 0, 1)
    assert version is not None
    assert await dc.compare_and_set("a", 0, 2) is None
    following = await dc.compare_and_set("a", version, 2)
    assert following is not None
    assert following > version
    assert await dc.compare_and_set("a", version, 3) is None
    assert await dc.compare_and_delete("a", version) is False
    assert await dc.get("a") == 2
    assert await dc.compare_and_delete("a", following) is True
    assert await dc.compare_and_delete("a", following) is False


async def test_counting_together_loses_nothing(node: Node) -> None:
    dc = await open_datacenter(node)

    async def count() -> None:
        while True:
            entry = await dc.entry("count") or Entry(0, 0)
            if await dc.compare_and_set("count", entry.version, entry.value + 1):
                return

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(count)
    assert await dc.get("count") == 20


@pytest.mark.parametrize("what", ["get", "entry", "list", "set", "compare_and_set", "delete"])
async def test_a_path_through_a_value(node: Node, what: str) -> None:
    dc = await open_datacenter(node)
    await dc.set("a/b", 5)
    more = {"set": (1,), "compare_and_set": (0, 1)}.get(what, ())
    with pytest.raises(NotABranch, match="'a/b/c' leads through 'a/b', which is a value and no branch"):
        await getattr(dc, what)("a/b/c", *more)
    assert await dc.get("a") == {"b": 5}


async def test_a_value_has_no_keys(node: Node) -> None:
    dc = await open_datacenter(node)
    await dc.set("a/b", 5)
    with pytest.raises(NotABranch, match="'a/b' is a value and no branch"):
        await dc.list("a/b")


@pytest.mark.parametrize("path", ["", "/", "a//b", "a/", "\0", "a/" * 32 + "a", "k" * 256, 5, None])
async def test_a_path_that_is_none(node: Node, path: Any) -> None:
    dc = await open_datacenter(node)
    with pytest.raises(BadPath):
        await dc.get(path)
    with pytest.raises(BadPath):
        await dc.set(path, 1)
    with pytest.raises(BadPath):
        await dc.wait(path)
    if path != "":
        with pytest.raises(BadPath):
            await dc.list(path)
        with pytest.raises(BadPath):
            await dc.watch(path).__aenter__()
    assert await dc.list() == ()


async def test_what_is_no_value(node: Node) -> None:
    dc = await open_datacenter(node)
    with pytest.raises(BadMessage, match=r"\['door'\]: object"):
        await dc.set("a", {"door": object()})
    with pytest.raises(BadPath, match="5 is no key of the tree"):
        await dc.set("a", {5: 1})
    with pytest.raises(BadPath, match="more than 32 keys deep"):
        await dc.set("k/" * 31 + "k", {"k": 1})
    assert await dc.list() == ()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sync": "sometimes"}, "found 'sometimes', expected one of full, normal, off"),
        ({"most_waiters": -1}, "most_waiters: found -1, expected 0 to 10000"),
        ({"most_watchers": 10_001}, "most_watchers: found 10001"),
        ({"most_queued": 0}, "most_queued is 1 or more"),
        ({"lease_grace": -1.0}, "lease_grace 0 seconds or more"),
    ],
)
async def test_options_out_of_range(node: Node, options: dict[str, Any], text: str) -> None:
    with pytest.raises(StartFailed, match=text):
        await open_datacenter(node, **options)


# owners


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_values_vanish_with_their_owner(node: Node, end: str) -> None:
    dc = await open_datacenter(node)
    owner = await node.start(Owner)
    await owner.own("servers/1", {"address": "x", "load": 0})
    await owner.own("servers/2")
    await owner.own("shared/1")
    await dc.set("shared/2", "stays")
    entry = await dc.entry("servers/1/load")
    assert entry is not None
    assert entry.owner == node.handle_of(owner)
    assert info(node)["owners"] == 1
    async with dc.watch("servers") as changes:
        await getattr(node, end)(owner)
        gone = [await changes.receive() for _ in range(3)]
    assert [each.path for each in gone] == ["servers/1/address", "servers/1/load", "servers/2"]
    assert all(each.deleted for each in gone)
    assert await dc.list() == ("shared",)
    assert info(node)["owners"] == 0


async def test_what_was_set_anew_has_the_new_owner(node: Node) -> None:
    dc = await open_datacenter(node)
    first, second = await node.start(Owner), await node.start(Owner)
    for path in ("a", "b", "c", "d"):
        await first.own(path)
    await second.own("a")
    await dc.set("b", "nobody's")
    await dc.delete("c")
    await node.stop(first)
    await trio.lowlevel.checkpoint()
    assert await dc.list() == ("a", "b")
    await node.stop(second)
    await trio.lowlevel.checkpoint()
    assert await dc.list() == ("b",)


async def test_an_owner_by_reference_and_one_that_is_dead(node: Node) -> None:
    dc = await open_datacenter(node)
    owner = await node.start(Owner, name=".owner")
    await dc.set("a", 1, owner=node.ref(".owner", Owner))
    await dc.compare_and_set("b", 0, 1, owner=owner)
    assert await dc.list() == ("a", "b")
    await node.stop(owner)
    await dc.set("c", 1, owner=owner)
    await trio.sleep(1)
    assert await dc.list() == ()
    assert info(node)["owners"] == 0
    with pytest.raises(RemoteError, match="expected a handle or a reference"):
        await node.ref("datacenter", Datacenter).set("d", 1, owner=".owner")


async def test_an_owner_without_values_is_not_watched(node: Node) -> None:
    dc = await open_datacenter(node)
    owner = await node.start(Owner)
    for _ in range(3):
        await owner.own("a")
        await dc.delete("a")
    assert info(node)["owners"] == 0
    assert not node.actors[node.handle_of(owner).local].watchers


# its end


async def test_it_stops_at_once_and_tells_who_waits(node: Node) -> None:
    await node.start(spec(Datacenter), name="datacenter")
    typed = node.ref("datacenter", Datacenter)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(ServiceExited):
                await typed.wait("a")

        async def watch() -> None:
            async with typed.changes() as changes:
                with pytest.raises(ServiceExited):
                    await changes.receive()

        nursery.start_soon(wait)
        nursery.start_soon(watch)
        await trio.sleep(1)
        await node.stop("datacenter")
    assert trio.current_time() - began == pytest.approx(1, abs=0.1)


async def test_another_name(node: Node) -> None:
    await node.start(Datacenter, name="spare")
    spare = datacenter(node, "spare")
    await spare.set("a", 1)
    assert await spare.get("a") == 1
