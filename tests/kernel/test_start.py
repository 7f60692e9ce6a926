"""How a start can fail, and that nothing is left of it (C4, C8, C11)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kernel.lives import Log, Quiet, actor_of
from trionet import (
    NameTaken,
    Node,
    NodeConfig,
    NodeStopping,
    Restart,
    Service,
    ServiceExited,
    StartFailed,
    command,
    open_node,
    spec,
)
from trionet.kernel.seams import simulated
from trionet.testing import Hold, exits, find_leaks


@pytest.fixture
def node_config() -> NodeConfig:
    return NodeConfig(start_deadline=30)


@pytest.fixture(params=[None, Restart(when="always", delay=0)], ids=["alone", "supervised"])
def restart(request: pytest.FixtureRequest) -> Restart | None:
    policy: Restart | None = request.param
    return policy


class Prepared(Service):
    """Its setup does what it is told."""

    def __init__(self, action: Callable[[Prepared], Awaitable[object]]) -> None:
        self.action = action

    async def setup(self) -> None:
        await self.action(self)

    @command
    def answer(self) -> int:
        return 42


class NeverTornDown(Prepared):
    """A start that failed is no stop in order."""

    async def teardown(self) -> None:
        raise AssertionError("teardown of what never ran")


async def pass_by(_: Prepared) -> None:
    """A setup that waits for nothing in particular."""
    await trio.lowlevel.checkpoint()


async def start_fails(
    node: Node, action: Callable[[Prepared], Awaitable[object]], restart: Restart | None = None
) -> StartFailed:
    """Start what fails, and look for what is left of it."""
    with pytest.raises(StartFailed) as caught:
        await node.start(spec(NeverTornDown, action), name=".prepared", restart=restart)
    assert find_leaks(node) == ()
    return caught.value


async def test_a_start_returns_when_setup_has_and_the_name_is_known(node: Node) -> None:
    hold = Hold()
    log: Log = []

    async def starter() -> None:
        prepared = await node.start(spec(Prepared, lambda _: hold.here()), name=".prepared")
        log.append(f"started {node.lookup('.prepared') is not None} {await prepared.answer()}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(starter)
        await hold.wait_held()
        assert node.lookup(".prepared") is None
        assert [] == log
        hold.release()
    assert ["started True 42"] == log


async def test_messages_wait_for_setup(node: Node) -> None:
    """A handle that gets out early is good for messages; they are handled after setup."""
    hold = Hold()
    log: Log = []

    async def early(self: Prepared) -> None:
        await hold.here()
        log.append("setup ends")

    async def call(target: object) -> None:
        log.append(f"answer {await node.call(target, 'answer')}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.start, spec(Prepared, early))
        await hold.wait_held()
        nursery.start_soon(call, node.services()[0])
        await wait_all_tasks_blocked()
        assert [] == log
        hold.release()
    assert ["setup ends", "answer 42"] == log


async def test_setup_that_raises_fails_the_start(node: Node, restart: Restart | None) -> None:
    async def action(_: Prepared) -> None:
        raise KeyError("setup")

    error = await start_fails(node, action, restart=restart)
    assert isinstance(error.__cause__, KeyError)
    assert "(NeverTornDown) did not start: KeyError: 'setup'" in str(error)
    assert ["failed: KeyError: 'setup'"] == [str(each) for each in exits(node)]


async def test_a_constructor_that_raises_fails_the_start(node: Node, restart: Restart | None) -> None:
    class Broken(Service):
        def __init__(self) -> None:
            raise KeyError("constructor")

    with pytest.raises(StartFailed) as caught:
        await node.start(Broken, name=".broken", restart=restart)
    assert isinstance(caught.value.__cause__, KeyError)
    assert find_leaks(node) == ()


async def test_setup_that_raises_a_group_fails_the_start_with_its_one_error(node: Node) -> None:
    async def action(self: Prepared) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.helper)  # type: ignore[attr-defined]
            await trio.sleep_forever()

    async def helper(_: Prepared) -> None:
        raise KeyError("inside")

    Grouped = type("Grouped", (NeverTornDown,), {"helper": helper})
    with pytest.raises(StartFailed) as caught:
        await node.start(spec(Grouped, action))
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_task_of_setup_that_raises_fails_the_start(node: Node, restart: Restart | None) -> None:
    async def fail() -> None:
        raise KeyError("task")

    async def action(self: Prepared) -> None:
        self.nursery.start_soon(fail)
        await trio.sleep_forever()

    error = await start_fails(node, action, restart=restart)
    assert isinstance(error.__cause__, KeyError)


async def test_setup_that_hangs_fails_the_start_at_the_start_deadline(
    node: Node, restart: Restart | None
) -> None:
    async def action(_: Prepared) -> None:
        await trio.sleep_forever()

    began = trio.current_time()
    error = await start_fails(node, action, restart=restart)
    assert isinstance(error.__cause__, TimeoutError)
    assert trio.current_time() - began == pytest.approx(30)
    assert "setup was still running after 30 seconds" in str(error)


async def test_a_starter_that_is_cancelled_ends_the_service_and_waits_for_its_end(
    node: Node, restart: Restart | None
) -> None:
    log: Log = []

    async def action(_: Prepared) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)
            log.append("setup is over")

    began = trio.current_time()
    with trio.move_on_after(1) as scope:
        await node.start(spec(NeverTornDown, action), name=".prepared", restart=restart)
    assert scope.cancelled_caught
    assert trio.current_time() - began == pytest.approx(6)
    assert ["setup is over"] == log
    assert find_leaks(node) == ()
    assert ["killed"] == [each.reason for each in exits(node)]


async def test_a_starter_that_was_cancelled_before_has_started_nothing(
    node: Node, restart: Restart | None
) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await node.start(spec(NeverTornDown, pass_by), name=".prepared", restart=restart)
    assert scope.cancelled_caught
    assert find_leaks(node) == ()


async def test_a_starter_that_is_cancelled_while_setup_returns_has_started_nothing(
    node: Node, restart: Restart | None
) -> None:
    with trio.CancelScope() as scope:

        async def action(_: Prepared) -> None:
            scope.cancel()

        await node.start(spec(NeverTornDown, action), name=".prepared", restart=restart)
    assert scope.cancelled_caught
    assert find_leaks(node) == ()


async def test_a_starter_that_is_cancelled_when_the_service_runs_has_started_it(node: Node) -> None:
    """The start is over although the starter has not gone on yet."""
    started: list[Prepared] = []

    async def starter(scope: trio.CancelScope) -> None:
        with scope:
            started.append(await node.start(spec(Prepared, pass_by)))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(starter, scope)
        while not node.services() or node.service_statistics(node.services()[0]).life != "running":
            await trio.lowlevel.checkpoint()
        scope.cancel()
    assert scope.cancelled_caught
    assert await started[0].answer() == 42


@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_setup_that_ends_its_own_service_fails_the_start(
    node: Node, way: str, restart: Restart | None
) -> None:
    async def action(self: Prepared) -> None:
        if way == "stop":
            await self.stop()
        else:
            await self.node.kill(self.handle)

    error = await start_fails(node, action, restart=restart)
    assert error.__cause__ is None
    assert "ended during its start" in str(error)
    assert ["killed"] == [each.reason for each in exits(node)]


@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_a_service_that_others_end_during_setup_fails_its_start(
    node: Node, way: str, restart: Restart | None
) -> None:
    hold = Hold()

    async def end_it() -> None:
        await hold.wait_held()
        await getattr(node, way)(node.services()[0])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_it)
        error = await start_fails(node, lambda _: hold.here(), restart=restart)
    assert "ended during its start" in str(error)


async def test_c8_killed_in_the_round_in_which_setup_returns(node: Node, restart: Restart | None) -> None:
    """The setup of a service that was killed meanwhile returns all the same: it does not begin to run."""
    hold = Hold()

    async def end_it() -> None:
        await hold.wait_held()
        hold.release()
        actor = node.actors[node.services()[0].local]
        (actor.keeper or actor).kill()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_it)
        error = await start_fails(node, lambda _: hold.here(), restart=restart)
    assert "ended during its start" in str(error)
    assert node.lookup(".prepared") is None


async def test_c8_a_shielded_setup_of_a_killed_service_does_not_begin_to_run(
    node: Node, restart: Restart | None
) -> None:
    async def action(self: Prepared) -> None:
        with trio.CancelScope(shield=True):
            await self.stop()

    await start_fails(node, action, restart=restart)


async def test_c11_a_name_that_is_taken_fails_the_start_early(node: Node, restart: Restart | None) -> None:
    """Before anything of the service runs."""
    owner = await node.start(Quiet, name=".prepared")
    ran: Log = []

    async def action(_: Prepared) -> None:
        ran.append("setup")

    with pytest.raises(NameTaken) as caught:
        await node.start(spec(Prepared, action), name=".prepared", restart=restart)
    handle = actor_of(node, owner).handle
    assert (".prepared", handle) == (caught.value.name, caught.value.owner)
    assert str(handle) in str(caught.value)
    assert [] == ran
    assert node.services() == (handle,)
    assert await node.call(".prepared", "answer") == 42


@pytest.mark.parametrize("name", [".prepared", "prepared"])
async def test_c11_a_name_is_reserved_while_its_service_starts(
    node: Node, name: str, restart: Restart | None
) -> None:
    hold = Hold()

    async with trio.open_nursery() as nursery:

        async def first() -> None:
            await node.start(spec(Prepared, lambda _: hold.here()), name=name, restart=restart)

        nursery.start_soon(first)
        await hold.wait_held()
        with pytest.raises(NameTaken) as caught:
            await node.start(Quiet, name=name, restart=restart)
        assert caught.value.owner is None
        assert "reserved by a starting service" in str(caught.value)
        hold.release()
    assert await node.call(name, "answer") == 42


async def test_c11_a_name_that_is_taken_late_fails_the_start(node: Node, restart: Restart | None) -> None:
    """Another one registered the global name elsewhere while setup ran."""
    owner = await node.start(Quiet)
    other = actor_of(node, owner)

    async def action(self: Prepared) -> None:
        await self.node.network.register("late", other, exclusive=False, replacing=None)

    with pytest.raises(NameTaken) as caught:
        await node.start(spec(Prepared, action), name="late", restart=restart)
    assert other.handle == caught.value.owner
    assert other.handle == node.lookup("late")
    assert [other.handle] == list(node.services())
    node.network.withdraw("late", other.handle, keep=False)


@pytest.mark.parametrize("name", [".", "a b", ":1", "", "x@y"])
async def test_c11_a_malformed_name_fails_the_start(node: Node, name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        await node.start(Quiet, name=name)
    assert find_leaks(node) == ()


async def test_what_is_no_service_is_not_started(node: Node) -> None:
    with pytest.raises(TypeError, match="no class that derives from"):
        await node.start(int)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="Prepared"):
        await node.start(Prepared)  # type: ignore[arg-type]
    assert find_leaks(node) == ()


async def test_c13_a_node_that_stops_starts_nothing(node: Node) -> None:
    await node.close()
    with pytest.raises(NodeStopping, match="node is stopping"):
        await node.start(Quiet, name=".quiet")
    assert find_leaks(node) == ()


async def test_c13_a_start_on_a_node_that_is_closed_meanwhile_fails(
    node: Node, restart: Restart | None
) -> None:
    hold = Hold()

    async def close() -> None:
        await hold.wait_held()
        await node.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close)
        error = await start_fails(node, lambda _: hold.here(), restart=restart)
    assert "ended during its start" in str(error)


async def test_c13_a_child_of_a_service_that_stops_is_not_started(node: Node) -> None:
    found: list[Exception] = []

    class Parent(Service):
        async def teardown(self) -> None:
            try:
                await self.start(Quiet)
            except StartFailed as error:
                found.append(error)

    parent = await node.start(Parent)
    await node.stop(parent)
    assert ["is stopping and starts no children" in str(each) for each in found] == [True]


async def test_c4_calls_that_wait_for_a_start_fail_with_it(node: Node) -> None:
    hold = Hold()
    failed: list[bool | None] = []

    async def action(_: Prepared) -> None:
        await hold.here()
        raise KeyError

    async def call() -> None:
        with pytest.raises(ServiceExited) as caught:
            await node.call(node.services()[0], "answer")
        failed.append(caught.value.executed)

    async def begin() -> None:
        await start_fails(node, action)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(begin)
        await hold.wait_held()
        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        hold.release()
    assert [False] == failed


async def test_c13_a_start_cut_by_the_end_of_the_node_is_cancelled(virtual_time: None) -> None:
    hold = Hold()
    with trio.move_on_after(1) as scope:
        async with open_node(seams=simulated(0)) as node:
            await node.start(spec(NeverTornDown, lambda _: hold.here()))
    assert scope.cancelled_caught
    assert find_leaks(node) == ()
