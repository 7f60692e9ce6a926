"""Children end with their starter, youngest first; their failures are its business (C8, C9)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kernel.lives import Failing, Log, Quiet, actor_of, note, taken
from trionet import Handle, Node, NodeConfig, Restart, Service, StartFailed, command, spec
from trionet.testing import Hold, exits, fail_service, find_leaks


@pytest.fixture
def node_config() -> NodeConfig:
    return NodeConfig(stop_grace=10)


class Member(Service):
    """One of a family; writes down its life, and takes its time to end."""

    def __init__(self, log: Log, key: str, seconds: float = 0) -> None:
        self.written = log
        self.key = key
        self.seconds = seconds

    async def setup(self) -> None:
        self.written.append(f"{self.key} set up")

    async def teardown(self) -> None:
        self.written.append(f"{self.key} ending")
        await trio.sleep(self.seconds)
        self.written.append(f"{self.key} torn down")

    @command
    async def beget(self, key: str, seconds: float = 0, restart: str = "never") -> Member:
        policy = Restart(when=restart, delay=1) if restart != "never" else None  # type: ignore[arg-type]
        return await self.start(spec(type(self), self.written, key, seconds), name=f".{key}", restart=policy)

    @command
    async def wait(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return self.key

    @command
    async def part(self, child: Any) -> None:
        await self.stop(child)


class Tolerant(Member):
    """Goes on when a child fails."""

    async def child_failed(self, child: Handle, error: BaseException) -> None:
        self.written.append(f"{self.key} told of {type(error).__name__} of {self.node.name}{child}")


async def family(node: Node, log: Log, cls: type[Member] = Member, restart: str = "never") -> Member:
    """A parent, its three children, and a grandchild of the second."""
    parent = await node.start(spec(cls, log, "parent"), name=".parent")
    for key in ("one", "two", "three"):
        child = await parent.beget(key, restart=restart)
        if key == "two":
            await child.beget("grandchild")
    assert ["parent", "one", "two", "grandchild", "three"] == [each.split()[0] for each in taken(log)]
    return parent


async def test_c8_children_end_youngest_first_and_before_their_parent(node: Node) -> None:
    log: Log = []
    parent = await family(node, log)
    await node.stop(parent)
    assert [
        "three ending",
        "three torn down",
        "grandchild ending",
        "grandchild torn down",
        "two ending",
        "two torn down",
        "one ending",
        "one torn down",
        "parent ending",
        "parent torn down",
    ] == log
    assert ["stopped"] * 5 == [each.reason for each in exits(node)]
    assert find_leaks(node) == ()


async def test_c8_each_child_ends_before_its_elder_is_asked(node: Node) -> None:
    log: Log = []
    parent = await node.start(spec(Member, log, "parent"))
    for key in ("one", "two"):
        await parent.beget(key, 3)
    taken(log)
    began = trio.current_time()
    await node.stop(parent)
    assert ["two ending", "two torn down", "one ending", "one torn down"] == log[:4]
    assert trio.current_time() - began == pytest.approx(6)


async def test_c8_parent_and_children_have_one_grace_time(node: Node) -> None:
    log: Log = []
    parent = await node.start(spec(Member, log, "parent", 1))
    for key in ("one", "two", "three"):
        await parent.beget(key, 8)
    taken(log)
    began = trio.current_time()
    await node.stop(parent)
    assert trio.current_time() - began == pytest.approx(10)
    assert ["three ending", "three torn down", "two ending", "one ending", "parent ending"] == log
    assert 3 == len(node.cut_off)


async def test_c8_children_of_a_killed_service_are_killed(node: Node) -> None:
    log: Log = []
    parent = await family(node, log)
    began = trio.current_time()
    await node.kill(parent)
    assert (began, []) == (trio.current_time(), log)
    assert ["killed"] * 5 == [each.reason for each in exits(node)]
    assert find_leaks(node) == ()


async def test_c8_a_parent_that_is_killed_while_its_children_end_takes_them_along(node: Node) -> None:
    log: Log = []
    parent = await node.start(spec(Member, log, "parent"))
    await parent.beget("one", 8)
    await parent.beget("two", 8)
    taken(log)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.stop, parent)
        await wait_all_tasks_blocked()
        assert ["two ending"] == log
        began = trio.current_time()
        await node.kill(parent)
    assert (began, ["two ending"]) == (trio.current_time(), log)
    assert ["killed"] * 3 == [each.reason for each in exits(node)]


@pytest.mark.parametrize("is_failure", [False, True], ids=["stopped", "failed"])
async def test_c8_a_stop_with_less_time_reaches_the_children(node: Node, is_failure: bool) -> None:
    log: Log = []
    parent = await node.start(spec(Member, log, "parent"))
    await parent.beget("one", 8)
    actor = actor_of(node, parent)
    async with trio.open_nursery() as nursery:
        if is_failure:
            nursery.start_soon(fail_service, node, parent, KeyError("parent"))
        else:
            nursery.start_soon(node.stop, parent)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        actor.request_stop(began + 2)
    assert trio.current_time() - began == pytest.approx(2)


@pytest.mark.parametrize("restart", ["never", "failure"])
async def test_c8_children_of_a_failed_service_are_stopped_in_order(node: Node, restart: str) -> None:
    """The parent broke, its children did not: they end as they should."""
    log: Log = []
    parent = await family(node, log, restart=restart)
    assert str(await fail_service(node, parent, KeyError("parent"))) == "failed: KeyError: 'parent'"
    assert ["three", "grandchild", "two", "one"] == [each.split()[0] for each in log[1::2]]
    assert all(each.endswith("torn down") for each in log[1::2])
    assert ["stopped"] * 4 + ["failed"] == [each.reason for each in exits(node)]
    assert find_leaks(node) == ()


async def test_c8_a_child_that_ended_is_forgotten(node: Node) -> None:
    log: Log = []
    parent = await node.start(spec(Member, log, "parent"))
    child = await parent.beget("one")
    await parent.part(child)
    assert {} == actor_of(node, parent).children
    assert ["parent set up", "one set up", "one ending", "one torn down"] == log


async def test_c8_children_of_setup_end_when_it_fails(node: Node) -> None:
    log: Log = []

    class Broken(Service):
        async def setup(self) -> None:
            await self.start(spec(Member, log, "one"))
            await self.start(spec(Member, log, "two"))
            raise KeyError("setup")

    with pytest.raises(StartFailed):
        await node.start(Broken)
    assert ["one set up", "two set up", "two ending", "two torn down", "one ending", "one torn down"] == log
    assert find_leaks(node) == ()


async def test_c8_teardown_of_a_parent_comes_after_its_children(node: Node) -> None:
    """So it cannot call them any more; the handlers and helper tasks could until they ended."""
    log: Log = []

    class Parent(Service):
        async def setup(self) -> None:
            self.child = await self.start(Quiet)

        async def teardown(self) -> None:
            await note(log, "child", self.child.answer())

    parent = await node.start(Parent)
    await node.stop(parent)
    assert ["child: NoSuchService, executed False"] == log


async def test_c8_handlers_in_their_grace_time_have_their_children(node: Node) -> None:
    class Parent(Service):
        async def setup(self) -> None:
            self.child = await self.start(Quiet)

        @command
        async def work(self) -> int:
            await trio.sleep(5)
            return await self.child.answer()

    log: Log = []
    parent = await node.start(Parent)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note, log, "call", parent.work())
        await wait_all_tasks_blocked()
        await node.stop(parent)
    assert ["call: 42"] == log


async def test_c8_an_independent_service_outlives_its_starter(node: Node) -> None:
    class Starter(Service):
        @command
        async def go(self) -> Quiet:
            return await self.node.start(Quiet)

    starter = await node.start(Starter)
    independent = await starter.go()
    await node.kill(starter)
    assert await independent.answer() == 42


async def test_c9_a_child_that_fails_fails_its_parent(node: Node) -> None:
    log: Log = []
    parent = await family(node, log)
    async with node.watch(parent) as end:
        await fail_service(node, ".two", KeyError("two"))
        assert str(await end.wait()) == "failed: KeyError: 'two'"
    assert ["grandchild", "three", "one"] == [each.split()[0] for each in log[1::2]]


async def test_c9_a_failure_goes_up_as_far_as_it_must(node: Node) -> None:
    """The grandchild fails, so does its parent, so does the parent of that."""
    log: Log = []
    parent = await family(node, log)
    async with node.watch(parent) as end:
        await fail_service(node, ".grandchild", KeyError("grandchild"))
        assert str(await end.wait()) == "failed: KeyError: 'grandchild'"
    assert find_leaks(node) == ()


async def test_c9_a_parent_may_bear_the_failure_of_a_child(node: Node) -> None:
    log: Log = []
    parent = await family(node, log, Tolerant)
    handle = node.lookup(".one")
    await fail_service(node, ".one", KeyError("one"))
    await wait_all_tasks_blocked()
    assert [f"parent told of KeyError of {node.name}{handle}"] == taken(log)
    assert await parent.wait(0) == "parent"
    assert await node.call(".three", "wait", 0) == "three"


async def test_c9_child_failed_that_raises_something_else_fails_the_parent_with_that(node: Node) -> None:
    class Stubborn(Member):
        async def child_failed(self, child: Handle, error: BaseException) -> None:
            raise ValueError("mine") from error

    parent = await node.start(spec(Stubborn, [], "parent"))
    await parent.beget("child")
    async with node.watch(parent) as end:
        await fail_service(node, ".child", KeyError("child"))
        assert str(await end.wait()) == "failed: ValueError: mine"


@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_c9_a_child_that_is_ended_is_no_failure(node: Node, way: str) -> None:
    log: Log = []
    parent = await family(node, log)
    await getattr(node, way)(".one")
    await wait_all_tasks_blocked()
    assert await parent.wait(0) == "parent"


class Broken(Failing):
    async def teardown(self) -> None:
        raise KeyError("teardown")


class ParentOfBroken(Service):
    async def setup(self) -> None:
        await self.start(spec(Broken), name=".broken")


async def test_c9_a_child_whose_teardown_raises_is_a_failure(node: Node) -> None:
    parent = await node.start(ParentOfBroken)
    async with node.watch(parent) as end:
        await node.stop(".broken")
        assert str(await end.wait()) == "failed: KeyError: 'teardown'"


async def test_c9_a_child_that_fails_while_its_parent_ends_is_logged(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    parent = await node.start(ParentOfBroken)
    await node.stop(parent)
    assert ["failed", "stopped"] == [each.reason for each in exits(node)]
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


async def test_c9_a_child_that_fails_while_its_parent_is_set_up_fails_the_start(node: Node) -> None:
    class Parent(Service):
        async def setup(self) -> None:
            child = await self.start(spec(Failing))
            await child.fail_in_task()
            await trio.sleep_forever()

    with pytest.raises(StartFailed) as caught:
        await node.start(Parent)
    assert isinstance(caught.value.__cause__, KeyError)
    assert find_leaks(node) == ()


async def test_c9_a_child_that_does_not_start_raises_where_it_is_started(node: Node) -> None:
    class Broken(Service):
        async def setup(self) -> None:
            raise KeyError("setup")

    class Parent(Service):
        @command
        async def go(self) -> str:
            try:
                await self.start(Broken)
            except StartFailed as error:
                return repr(error.__cause__)
            return "started"

    parent = await node.start(Parent)
    assert await parent.go() == "KeyError('setup')"
    await wait_all_tasks_blocked()
    assert () == tuple(each for each in exits(node) if each.handle == actor_of(node, parent).handle)


@pytest.mark.parametrize("when", ["never", "failure"])
async def test_c9_a_supervised_child_that_is_given_up_fails_its_parent(node: Node, when: str) -> None:
    policy = Restart(when=when, most=1, within=100, delay=0)  # type: ignore[arg-type]

    class Parent(Service):
        async def setup(self) -> None:
            await self.start(spec(Failing), name=".child", restart=policy)

    parent = await node.start(Parent)
    async with node.watch(parent) as end:
        await fail_service(node, ".child", KeyError("first"))
        if when == "failure":
            await node.wait_for_name(".child")
            await fail_service(node, ".child", KeyError("second"))
        error = "second" if when == "failure" else "first"
        assert str(await end.wait()) == f"failed: KeyError: '{error}'"
    assert find_leaks(node) == ()


async def test_c8_a_child_in_its_pause_ends_with_its_parent(node: Node) -> None:
    log: Log = []
    parent = await family(node, log, restart="failure")
    await fail_service(node, ".two", KeyError("two"))
    await wait_all_tasks_blocked()
    taken(log)
    began = trio.current_time()
    await node.stop(parent)
    assert ["three", "one", "parent"] == [each.split()[0] for each in log[::2]]
    assert trio.current_time() == began
    assert find_leaks(node) == ()


async def test_c8_a_child_ends_when_its_start_is_cut_by_the_end_of_its_parent(node: Node) -> None:
    hold = Hold()

    class Slow(Service):
        async def setup(self) -> None:
            await hold.here()

    class Parent(Service):
        @command
        async def go(self) -> None:
            await self.start(Slow, name=".slow")

    log: Log = []
    parent = await node.start(Parent)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note, log, "call", parent.go())
        await hold.wait_held()
        await node.kill(parent)
    assert ["call: ServiceExited, executed True"] == log
    assert find_leaks(node) == ()


async def test_c8_a_child_that_stops_its_parent_ends_with_it(node: Node) -> None:
    """It waits for the end of the parent, which waits for the end of the child: the grace time decides."""

    class Child(Service):
        @command
        async def patricide(self, parent: Any) -> None:
            await self.stop(parent)

    class Parent(Service):
        @command
        async def beget(self) -> Child:
            return await self.start(Child)

    log: Log = []
    parent = await node.start(Parent)
    child = await parent.beget()
    began = trio.current_time()
    await note(log, "call", child.patricide(parent))
    assert ["call: ServiceExited, executed True"] == log
    assert trio.current_time() - began == pytest.approx(10)
    await wait_all_tasks_blocked()
    assert find_leaks(node) == ()
