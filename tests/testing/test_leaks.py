"""The leak check finds each thing that can be left on a node, and says what it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trionet import Handle, Node, Reply, Restart, Service, command, defer, open_node, spec
from trionet.kernel.seams import simulated
from trionet.testing import Hold, assert_no_leaks, fail_service, find_leaks, full_inbox, open_simulated_node

pytestmark = pytest.mark.usefixtures("virtual_time")


class Busy(Service, concurrency=1):
    """Has all that a service can have."""

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.reply: Reply | None = None

    @command
    async def stand(self) -> None:
        await self.hold.here()

    @command
    async def leave(self) -> None:
        self.reply = defer()


@asynccontextmanager
async def used_node() -> AsyncIterator[Node]:
    """A node that nobody checks at its end."""
    async with open_node(seams=simulated(0)) as node:
        yield node
        node.abort()


async def test_a_node_is_empty_before_and_after(node: Node) -> None:
    assert () == find_leaks(node)
    assert_no_leaks(node)
    await node.start(spec(Busy, Hold()))
    assert () != find_leaks(node)
    await node.close()
    await trio.lowlevel.checkpoint()
    assert_no_leaks(node)


async def test_a_service_is_listed_with_all_that_it_has() -> None:
    hold = Hold()
    async with used_node() as node, trio.open_nursery() as nursery:
        busy = await node.start(spec(Busy, hold), name=".busy")
        nursery.start_soon(busy.leave)
        await wait_all_tasks_blocked()
        await busy.stand.send()
        await wait_all_tasks_blocked()
        await busy.stand.send()
        async with node.watch(busy):
            with full_inbox(node, busy):
                nursery.start_soon(busy.stand.send)
                await wait_all_tasks_blocked()
                found = find_leaks(node)
        assert (
            "service :00000001 .busy (Busy), running, messages in its inbox: 1, "
            "senders that wait for room: 1, running handlers: 1, deferred replies: 1, watchers: 1"
        ) == found[0]
        assert f"task {__name__}:Busy" in found
        assert "name '.busy', of :00000001" in found
        assert 1 == len([each for each in found if "leave to :00000001 .busy (Busy), deferred" in each[:99]])
        nursery.cancel_scope.cancel()


async def test_a_call_is_listed_with_its_deadline_and_who_waits_for_it() -> None:
    hold = Hold()
    async with used_node() as node, trio.open_nursery() as nursery:
        busy = await node.start(spec(Busy, hold))
        nursery.start_soon(busy.stand)
        await hold.wait_held()
        found = find_leaks(node)
        request = "<LocalCall stand to :00000001 (Busy), running>"
        assert f"deadline of {request}" in found
        assert any(each.endswith(f"which waits for {request}") for each in found)
        nursery.cancel_scope.cancel()


async def test_names_and_who_waits_for_them_are_listed() -> None:
    async with used_node() as node, trio.open_nursery() as nursery:
        await node.start(spec(Busy, Hold()), name="global")
        await node.start(spec(Busy, Hold()), name=".kept", restart=Restart(delay=9))
        await fail_service(node, ".kept", KeyError())
        await wait_all_tasks_blocked()
        nursery.start_soon(node.wait_for_name, ".awaited")
        nursery.start_soon(node.wait_for_name, "awaited")
        await wait_all_tasks_blocked()
        found = find_leaks(node)
        assert {
            "name 'global', of :00000001",
            "name '.kept', reserved",
            "somebody who waits for the name '.awaited'",
            "somebody who waits for the name 'awaited'",
            "a supervised service that began as :00000002",
        } <= set(found)
        nursery.cancel_scope.cancel()


async def test_tasks_and_subscribers_are_listed() -> None:
    async with used_node() as node, node.dead_letters.subscribe():
        node.nursery.start_soon(trio.sleep_forever)
        assert ("task trio.sleep_forever", "a subscriber of dead letters") == find_leaks(node)


async def test_the_text_of_the_failure_has_a_line_for_each() -> None:
    async with used_node() as node:
        await node.start(spec(Busy, Hold()), name=".busy")
        with pytest.raises(AssertionError) as caught:
            assert_no_leaks(node)
        first, *lines = str(caught.value).splitlines()
    assert "left on the node:" == first
    assert [
        "  service :00000001 .busy (Busy), running",
        f"  task {__name__}:Busy",
        "  name '.busy', of :00000001",
    ] == lines


async def test_a_simulated_node_checks_itself_at_its_end() -> None:
    async def leak() -> None:
        async with open_simulated_node() as node:
            node.nursery.start_soon(trio.sleep_forever)

    with pytest.raises(AssertionError, match=r"task trio\.sleep_forever"):
        await leak()


async def test_a_simulated_node_whose_block_fails_is_not_checked() -> None:
    """The failure is what the reader of the test shall see."""

    async def fail() -> None:
        async with open_simulated_node() as node:
            node.nursery.start_soon(trio.sleep_forever)
            raise KeyError("the failure")

    with pytest.raises(KeyError, match="the failure"):
        await fail()


async def test_two_simulated_nodes_in_one_test() -> None:
    async with open_simulated_node(seed=1) as one, open_simulated_node(seed=2) as two:
        assert one.incarnation != two.incarnation
        await one.start(spec(Busy, Hold()), name=".busy")
        assert isinstance(one.lookup(".busy"), Handle)
        assert two.lookup(".busy") is None
        assert () == find_leaks(two)
