"""Names and groups (C11), within a node and across two."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.lives import Failing, Quiet
from tests.sim.places import REST, Placement, everywhere, open_places
from trionet import NameTaken, Node, NoSuchService, Restart, ServiceRestarting, StartFailed, spec
from trionet.cluster_events import GroupChanged, NameAdded, NameRemoved
from trionet.testing import fail_service


@everywhere
async def test_c11_a_name_stands_for_its_owner_everywhere(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        await places.there.start(Quiet, name="x")
        handle = await places.here.wait_for_name("x")
        assert handle == places.there.lookup("x") == places.here.lookup("x")
        assert places.here.names() == places.there.names() == {"x": handle}
        assert await places.here.call("x", "answer") == 42
        assert await places.here.ref("x", Quiet).answer() == 42


@everywhere
async def test_c11_a_local_name_is_known_on_its_node_only(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        await places.there.start(Quiet, name=".x")
        assert await places.there.call(".x", "answer") == 42
        assert (places.here.lookup(".x") is None) == (placement == "remote")


@everywhere
async def test_c11_the_first_registration_wins(autojump_clock: MockClock, placement: Placement) -> None:
    """The loser gets NameTaken with the owner's handle, by register as by start."""
    async with open_places(placement) as places:
        await places.there.start(Quiet, name="x")
        handle = await places.here.wait_for_name("x")
        second = await places.here.start(Quiet)
        with pytest.raises(NameTaken) as caught:
            await places.here.register("x", second)
        assert (caught.value.name, caught.value.owner) == ("x", handle)
        with pytest.raises(NameTaken) as caught:
            await places.here.start(Quiet, name="x")
        assert caught.value.owner == handle
        assert places.here.lookup("x") == handle
        await places.there.stop("x")
        await trio.sleep(REST)
        await places.here.register("x", second)
        assert await places.there.wait_for_name("x") != handle


@everywhere
async def test_c11_of_two_at_the_same_time_one_wins(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        ends: list[str] = []
        for node in (places.here, places.there):
            nursery.start_soon(try_start, node, ends)
        await trio.sleep(REST)
        assert sorted(ends) == ["NameTaken", "started"]
        assert places.here.lookup("z") == places.there.lookup("z") is not None


async def try_start(node: Node, ends: list[str]) -> None:
    try:
        await node.start(Quiet, name="z")
        ends.append("started")
    except NameTaken:
        ends.append("NameTaken")


@everywhere
@pytest.mark.parametrize("how", ["stop", "kill", "fail"])
async def test_c11_names_go_with_their_owner(
    autojump_clock: MockClock, placement: Placement, how: str
) -> None:
    async with open_places(placement) as places:
        quiet = await places.there.start(Quiet, name="one")
        await places.there.register("two", quiet)
        await places.here.wait_for_name("two")
        if how == "fail":
            await fail_service(places.there, quiet, KeyError())
        else:
            await getattr(places.there, how)(quiet)
        await trio.sleep(REST)
        assert places.here.names() == places.there.names() == {}
        for name in ("one", "two"):
            with pytest.raises(NoSuchService):
                await places.here.call(name, "answer")
            await places.here.start(Quiet, name=name)


@everywhere
async def test_c11_wait_for_name_waits(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        waiting = await places.begin(nursery, lambda: places.here.wait_for_name("x"))
        left = await places.begin(nursery, lambda: places.here.wait_for_name("x"))
        assert waiting.end == "none"
        left.scope.cancel()
        await places.there.start(Quiet, name="x")
        await trio.sleep(REST)
        assert waiting.end == f"value {places.there.lookup('x')}"
        assert left.end == "cancelled"


@everywhere
async def test_c11_unregister_takes_one_name(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        quiet = await places.there.start(Quiet, name="one")
        await places.there.register("two", quiet)
        places.there.unregister("one")
        await trio.sleep(REST)
        assert list(places.here.names()) == ["two"]
        if placement == "remote":
            with pytest.raises(NoSuchService, match="no service of this node has the name"):
                places.here.unregister("two")


@everywhere
async def test_c11_a_restart_keeps_its_names(autojump_clock: MockClock, placement: Placement) -> None:
    """Meanwhile nobody gets them; a reference by name follows."""
    async with open_places(placement) as places:
        failing = await places.there.start(spec(Failing), name="x", restart=Restart(delay=5))
        handle = await places.here.wait_for_name("x")
        named = places.here.ref("x", Failing)
        assert await named.identity() == str(handle)
        await fail_service(places.there, failing, KeyError("x"))
        await trio.sleep(REST)
        with pytest.raises(NameTaken):
            await places.here.start(Quiet, name="x")
        with pytest.raises(ServiceRestarting):
            await places.there.call("x", "identity")
        await trio.sleep(6)
        assert await named.identity() == str(places.there.lookup("x")) != str(handle)
        await places.there.stop("x")
        await trio.sleep(REST)
        assert places.here.names() == {}


@everywhere
async def test_c11_a_restart_that_gives_up_frees_its_names(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        await places.there.start(spec(Failing), name="x", restart=Restart(delay=1, most=1, within=100))
        await places.here.wait_for_name("x")
        await fail_service(places.there, "x", KeyError("x"))
        await trio.sleep(2)
        await fail_service(places.there, "x", KeyError("x"))
        await trio.sleep(REST)
        assert places.here.lookup("x") is places.there.lookup("x") is None
        await places.here.start(Quiet, name="x")


@everywhere
async def test_c11_a_start_that_fails_leaves_no_name(autojump_clock: MockClock, placement: Placement) -> None:
    class Broken(Quiet):
        async def setup(self) -> None:
            raise ValueError("no")

    async with open_places(placement) as places:
        with pytest.raises(StartFailed):
            await places.there.start(Broken, name="x")
        await places.here.start(Quiet, name="x")


# --- groups -------------------------------------------------------------------------------------------


@everywhere
async def test_c11_groups_have_members_of_any_node(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        here, there = await places.here.start(Quiet), await places.there.start(Quiet)
        places.here.join_group("workers", here)
        places.there.join_group("workers", there)
        places.there.join_group("others", there)
        await trio.sleep(REST)
        handles = tuple(sorted({*places.here.services(), *places.there.services()}))
        for node in (places.here, places.there):
            assert node.cluster.members("workers") == handles
            assert node.cluster.groups() == ("others", "workers")
            assert node.cluster.members("nobody") == ()
        places.there.leave_group("others", there)
        await places.there.stop(there)
        await trio.sleep(REST)
        for node in (places.here, places.there):
            assert len(node.cluster.members("workers")) == 1
            assert node.cluster.groups() == ("workers",)


async def test_c11_events_tell_of_names_and_groups(autojump_clock: MockClock) -> None:
    async with open_places("remote") as places:
        seen = []
        async with places.here.cluster.events() as events:
            quiet = await places.there.start(Quiet, name="x")
            handle = places.there.services()[0]
            places.there.join_group("g", quiet)
            await trio.sleep(REST)
            await places.there.stop(quiet)
            await trio.sleep(REST)
            while events.statistics().current_buffer_used:
                seen.append(events.receive_nowait())
        assert seen[:2] == [NameAdded("x", handle), GroupChanged("g", (handle,), ())]
        rest = [NameRemoved("x", handle), GroupChanged("g", (), (handle,))]
        assert sorted(map(repr, seen[2:])) == sorted(map(repr, rest))
