"""Names on one node (C11): local ones, and global ones, which work without a cluster as well."""

from __future__ import annotations

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from tests.kernel.lives import Log, Quiet, actor_of
from trionet import (
    Handle,
    NameTaken,
    Node,
    NoSuchService,
    Service,
    command,
)
from trionet.kernel.names import NameTable
from trionet.testing import Hold, fail_service, find_leaks


@pytest.fixture(params=[".service", "service"], ids=["local", "global"])
def name(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


async def named(node: Node, name: str | None) -> tuple[Quiet, Handle]:
    """Start a service with a name; its reference and its handle."""
    quiet = await node.start(Quiet, name=name)
    return quiet, actor_of(node, quiet).handle


async def test_c11_a_name_stands_for_its_owner(node: Node, name: str) -> None:
    assert node.lookup(name) is None
    _, handle = await named(node, name)
    assert handle == node.lookup(name)
    assert {name: handle} == node.names()
    assert await node.call(name, "answer") == 42
    assert await node.ref(name, Quiet).answer() == 42
    assert (name,) == node.service_statistics(name).names


async def test_c11_local_and_global_names_do_not_collide(node: Node) -> None:
    _, local = await named(node, ".x")
    _, global_ = await named(node, "x")
    assert [(".x", local), ("x", global_)] == list(node.names().items())


async def test_c11_names_are_sorted_local_ones_first(node: Node) -> None:
    quiet, handle = await named(node, ".b")
    for name in ("b", ".a", "a"):
        await node.register(name, quiet)
    assert [".a", ".b", "a", "b"] == list(node.names())
    assert {handle} == set(node.names().values())


async def test_c11_the_first_registration_wins(node: Node, name: str) -> None:
    first, handle = await named(node, name)
    second, _ = await named(node, None)
    with pytest.raises(NameTaken) as caught:
        await node.register(name, second)
    assert (name, handle) == (caught.value.name, caught.value.owner)
    assert f"the name {name!r} is owned by {handle}" == str(caught.value)
    assert () == node.service_statistics(second).names
    await node.stop(second)
    assert node.lookup(name) == handle
    assert await first.answer() == 42


async def test_c11_a_service_may_have_many_names(node: Node) -> None:
    quiet, handle = await named(node, ".one")
    await node.register("two", quiet)
    await node.register(".three", handle)
    await node.register("two", quiet)  # it has it already
    assert (".one", "two", ".three") == node.service_statistics(quiet).names
    assert {handle} == {node.lookup(each) for each in (".one", "two", ".three")}


@pytest.mark.parametrize("end", ["stop", "kill", "fail"])
async def test_c11_names_go_with_their_owner(node: Node, end: str) -> None:
    quiet, _ = await named(node, ".one")
    await node.register("two", quiet)
    if end == "fail":
        await fail_service(node, quiet, KeyError())
    else:
        await getattr(node, end)(quiet)
    assert {} == node.names()
    for name in (".one", "two"):
        with pytest.raises(NoSuchService):
            await node.call(name, "answer")
        await named(node, name)


async def test_c11_unregister_takes_one_name(node: Node, name: str) -> None:
    quiet, handle = await named(node, name)
    await node.register(".other", quiet)
    node.unregister(name)
    assert node.lookup(name) is None
    assert {".other": handle} == node.names()
    assert (".other",) == node.service_statistics(quiet).names
    _, second = await named(node, name)
    await node.stop(quiet)
    assert second == node.lookup(name)


async def test_c11_unregister_is_for_names_of_this_node(node: Node, name: str) -> None:
    with pytest.raises(NoSuchService, match="has the name"):
        node.unregister(name)
    with pytest.raises(ValueError, match="is no name"):
        node.unregister("a b")


async def test_c11_register_is_for_services_of_this_node(node: Node, name: str) -> None:
    dead, handle = await named(node, None)
    await node.stop(dead)
    for target in (dead, handle, ".nobody"):
        with pytest.raises(NoSuchService):
            await node.register(name, target)
    with pytest.raises(ValueError, match="is no name"):
        await node.register("a b", (await named(node, None))[0])
    with pytest.raises(TypeError, match="is no address"):
        await node.register(name, 7)
    assert {} == node.names()


async def test_c11_a_service_that_ends_gets_no_name_any_more(node: Node, name: str) -> None:
    refused: Log = []

    class Late(Service):
        async def teardown(self) -> None:
            try:
                await self.node.register(name, self.handle)
            except NoSuchService as error:
                refused.append(str(error))

    late = await node.start(Late)
    handle = actor_of(node, late).handle
    await node.stop(late)
    assert [f"{handle} (Late) is ending"] == refused
    assert find_leaks(node) == ()


async def test_c11_a_service_that_ends_while_the_master_accepts_gets_no_name(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow master answers when the service has given back all its names; this one goes back as well."""
    hold = Hold()
    register = node.network.register

    async def slow(name: str, actor: object, *, exclusive: bool, replacing: Handle | None) -> None:
        await hold.here()
        await register(name, actor, exclusive=exclusive, replacing=replacing)  # type: ignore[arg-type]

    monkeypatch.setattr(node.network, "register", slow)
    quiet, _ = await named(node, None)

    async def register_it() -> None:
        with pytest.raises(NoSuchService, match="has ended meanwhile"):
            await node.register("late", quiet)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(register_it)
        await hold.wait_held()
        with pytest.raises(NameTaken):
            await node.start(Quiet, name="late")
        await node.stop(quiet)
        hold.release()
    assert node.lookup("late") is None
    assert find_leaks(node) == ()


async def test_c11_a_cancelled_register_leaves_no_reservation(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(name: str, actor: object, *, exclusive: bool, replacing: Handle | None) -> None:
        await trio.sleep_forever()

    quiet, _ = await named(node, None)
    with monkeypatch.context() as patch, trio.move_on_after(1) as scope:
        patch.setattr(node.network, "register", never)
        await node.register("late", quiet)
    assert scope.cancelled_caught
    assert () == node.service_statistics(quiet).names
    other, handle = await named(node, "late")
    await node.stop(quiet)
    assert node.lookup("late") == handle
    assert await other.answer() == 42


async def test_c11_wait_for_name_waits(node: Node, name: str) -> None:
    found: list[Handle] = []

    async def wait() -> None:
        found.append(await node.wait_for_name(name))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        _, other = await named(node, ".other")
        await wait_all_tasks_blocked()
        assert [] == found
        _, handle = await named(node, name)
    assert [handle] * 3 == found
    assert handle != other


async def test_c11_wait_for_a_name_that_is_there(node: Node, name: str) -> None:
    _, handle = await named(node, name)
    with assert_checkpoints():
        assert await node.wait_for_name(name) == handle
    with pytest.raises(ValueError, match="is no name"):
        await node.wait_for_name("")


async def test_c11_who_waits_for_a_name_that_comes_and_goes_waits_on() -> None:
    """It was there, but not any more when the waiting task runs."""
    table: NameTable[str] = NameTable()
    found: list[Handle] = []

    async def wait() -> None:
        found.append(await table.wait("name"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        table.announce("name", Handle(1, 1), "first")
        table.withdraw("name")
        await wait_all_tasks_blocked()
        assert [] == found
        assert ["name"] == table.waiting()
        table.announce("name", Handle(2, 1), "second")
    assert [Handle(2, 1)] * 2 == found
    assert [] == table.waiting()


async def test_c11_waiting_for_a_name_leaves_nothing_behind(node: Node, name: str) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(node.wait_for_name, name)
        await wait_all_tasks_blocked()
        assert [f"somebody who waits for the name {name!r}"] == list(find_leaks(node))
        nursery.cancel_scope.cancel()
    assert find_leaks(node) == ()


async def test_c11_one_of_two_who_wait_may_leave(node: Node, name: str) -> None:
    found: list[Handle] = []

    async def wait(scope: trio.CancelScope) -> None:
        with scope:
            found.append(await node.wait_for_name(name))

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(wait, scope)
        nursery.start_soon(wait, trio.CancelScope())
        await wait_all_tasks_blocked()
        scope.cancel()
        await wait_all_tasks_blocked()
        _, handle = await named(node, name)
    assert [handle] == found


@pytest.mark.parametrize("malformed", ["", ".", "a b", "a:b", ":1", "a@b", "a\n", "x" * 256, "é" * 200])
async def test_c11_a_malformed_name_is_an_error_of_the_caller(node: Node, malformed: str) -> None:
    with pytest.raises(ValueError, match=r"is no name|is longer than"):
        node.lookup(malformed)


async def test_c11_a_reference_by_name_resolves_at_each_message(node: Node, name: str) -> None:
    reference = node.ref(name, Quiet)
    with pytest.raises(NoSuchService):
        await reference.answer()
    first, _ = await named(node, name)
    assert await reference.answer() == 42
    await node.stop(first)
    with pytest.raises(NoSuchService):
        await reference.answer()
    await named(node, name)
    assert await reference.answer() == 42


async def test_c11_an_unknown_name_suggests_a_known_one(node: Node) -> None:
    await named(node, "world")
    await named(node, ".chat")
    with pytest.raises(NoSuchService, match=r"nobody owns the name 'wrold'; did you mean 'world'\?"):
        await node.call("wrold", "answer")
    with pytest.raises(NoSuchService, match=r"nobody owns the name '.chet'; did you mean '.chat'\?"):
        await node.call(".chet", "answer")
    with pytest.raises(NoSuchService, match=r"nobody owns the name '.xyz'$"):
        await node.call(".xyz", "answer")


async def test_c11_a_service_may_register_itself(node: Node, name: str) -> None:
    class Registering(Service):
        @command
        async def register(self, name: str) -> None:
            await self.node.register(name, self.handle)

    registering = await node.start(Registering)
    await registering.register(name)
    assert node.lookup(name) == actor_of(node, registering).handle


async def test_c11_register_is_a_checkpoint(node: Node, name: str) -> None:
    quiet, _ = await named(node, None)
    for _ in range(2):
        with assert_checkpoints():
            await node.register(name, quiet)


async def test_c11_groups_have_members_without_a_cluster_too(node: Node) -> None:
    quiet, handle = await named(node, None)
    other, second = await named(node, ".other")
    node.join_group("workers", other)
    node.join_group("workers", quiet)
    node.join_group("workers", quiet)
    assert (handle, second) == node.cluster.members("workers")
    assert ("workers",) == node.cluster.groups()
    node.leave_group("workers", quiet)
    node.leave_group("workers", quiet)
    assert (second,) == node.cluster.members("workers")
    await node.stop(other)
    assert ((), ()) == (node.cluster.groups(), node.cluster.members("workers"))


async def test_c11_only_living_services_of_this_node_are_members(node: Node) -> None:
    refused: Log = []

    class Late(Service):
        async def teardown(self) -> None:
            try:
                self.node.join_group("workers", self.handle)
            except NoSuchService as error:
                refused.append(str(error))

    late = await node.start(Late)
    handle = actor_of(node, late).handle
    await node.stop(late)
    assert [f"{handle} (Late) is ending"] == refused
    for target in (late, Handle.make(3, 1, 5), ".nobody"):
        with pytest.raises(NoSuchService):
            node.join_group("workers", target)
    quiet, _ = await named(node, None)
    with pytest.raises(ValueError, match="is no name of a group"):
        node.join_group(".workers", quiet)
    assert () == node.cluster.groups()


async def test_c11_a_service_that_loses_a_name_stops_by_default(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    _, winner = await named(node, None)
    loser, handle = await named(node, "name")
    node.network.withdraw("name", handle, keep=False)  # as the directory has decided
    async with node.watch(loser) as end:
        node.name_lost("name", handle, winner)
        assert (await end.wait()).reason == "stopped"
    assert f"{handle} (Quiet) lost its name 'name' and stops" in caplog.messages
    node.name_lost("name", handle, winner)  # it is dead, and nobody needs to know


async def test_c11_a_service_may_bear_the_loss_of_a_name(node: Node) -> None:
    told: list[tuple[str, Handle | None]] = []

    class Tolerant(Quiet):
        async def name_lost(self, name: str, owner: Handle | None) -> None:
            told.append((name, owner))

    tolerant = await node.start(Tolerant, name=".mine")
    handle = actor_of(node, tolerant).handle
    await node.register("name", tolerant)
    node.network.withdraw("name", handle, keep=False)
    node.name_lost("name", handle, None)
    await wait_all_tasks_blocked()
    assert [("name", None)] == told
    assert (".mine",) == node.service_statistics(tolerant).names
    assert await tolerant.answer() == 42
