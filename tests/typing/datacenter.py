"""Type tests of the datacenter."""

from __future__ import annotations

from typing import Any, assert_type

from trionet import Node, StreamReader, spec
from trionet.services import Change, Datacenter, DatacenterClient, Entry, datacenter


async def check_client(node: Node) -> None:
    """What each call returns."""
    dc = datacenter(node, deadline=5)
    assert_type(dc, DatacenterClient)
    assert_type(await dc.get("a", 1), Any)
    assert_type(await dc.entry("a"), Entry | None)
    assert_type(await dc.list(), tuple[str, ...])
    assert_type(await dc.wait("a"), Any)
    assert_type(await dc.set("a", 1, owner=node.services()[0]), Any)
    assert_type(await dc.compare_and_set("a", 0, 1), int | None)
    assert_type(await dc.delete("a"), Any)
    assert_type(await dc.compare_and_delete("a", 1), bool)
    async with dc.watch("a", present=True) as changes:
        assert_type(changes, StreamReader[Change])
        assert_type((await changes.receive()).deleted, bool)


async def check_service(node: Node) -> None:
    """The service by itself."""
    made = await node.start(spec(Datacenter, "world.db", sync="normal"), name="datacenter")
    assert_type(await made.list("a"), tuple[str, ...])
    assert_type(await made.compare_and_set("a", 0, 1, owner=made), int | None)
    async with made.changes("a") as changes:
        assert_type(await changes.receive(), Change)


async def check_wrong_calls(node: Node) -> None:
    """Paths are texts, options are known."""
    dc = datacenter(node)
    await dc.get(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await dc.set("a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    spec(Datacenter, sync="often")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
