"""Watching a service: told exactly once how it ended, and nothing is left behind (C15, C12)."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kernel.lives import Failing, Log, Quiet, actor_of, taken
from trionet import Exit, Handle, Node, NodeConfig, NoSuchService, Service, Watch, command, spec
from trionet.testing import Hold, fail_service, find_leaks, open_simulated_node


async def end_by(node: Node, target: Any, way: str) -> str:
    """End a service; how a watcher is told of it."""
    if way == "fail":
        await fail_service(node, target, KeyError("why"))
        return "failed: KeyError: 'why'"
    if way == "own wish":
        await node.call(target, "end")
        return "stopped"
    await getattr(node, way)(target)
    return {"stop": "stopped", "kill": "killed"}[way]


WAYS = ["stop", "kill", "fail", "own wish"]


@pytest.mark.parametrize("way", WAYS)
async def test_c15_told_at_its_end(node: Node, way: str) -> None:
    service = await node.start(spec(Failing))
    handle = actor_of(node, service).handle
    async with node.watch(service) as end:
        assert end.exit is None
        assert end.handle == handle
        await wait_all_tasks_blocked()
        assert end.exit is None
        expected = await end_by(node, service, way)
        exit_ = await end.wait()
    assert expected == str(exit_)
    assert handle == exit_.handle


@pytest.mark.parametrize("way", WAYS)
async def test_c15_told_at_once_of_a_dead_one(node: Node, way: str) -> None:
    service = await node.start(spec(Failing))
    handle = actor_of(node, service).handle
    expected = await end_by(node, service, way)
    await wait_all_tasks_blocked()
    for target in (service, handle, str(handle)):
        async with node.watch(target) as end:
            assert end.exit is not None
            assert expected == str(await end.wait())


async def test_c15_told_once_however_often_it_is_asked(node: Node) -> None:
    quiet = await node.start(Quiet)
    async with node.watch(quiet) as end:
        await node.stop(quiet)
        first = await end.wait()
        assert first is await end.wait()
        assert first is end.exit


def test_c15_only_the_first_telling_counts() -> None:
    handle = Handle.make(1, 2, 3)
    watch = Watch(handle)
    watch.tell(Exit(handle, "killed"))
    watch.tell(Exit(handle, "stopped"))
    assert watch.exit == Exit(handle, "killed")


async def test_c15_waiting_may_be_cancelled_and_taken_up_again(node: Node) -> None:
    quiet = await node.start(Quiet)
    async with node.watch(quiet) as end:
        with trio.move_on_after(1) as scope:
            await end.wait()
        assert scope.cancelled_caught
        await node.kill(quiet)
        assert (await end.wait()).reason == "killed"


async def test_c15_many_watchers_are_all_told(node: Node) -> None:
    quiet = await node.start(Quiet)
    told: list[Exit] = []

    async def watch() -> None:
        async with node.watch(quiet) as one, node.watch(quiet) as two:
            told.append(await one.wait())
            told.append(await two.wait())

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(watch)
        await wait_all_tasks_blocked()
        watchers = actor_of(node, quiet).watchers
        assert watchers is not None
        assert 200 == len(watchers)
        await node.stop(quiet)
    assert ["stopped"] * 200 == [each.reason for each in told]


async def test_c15_leaving_leaves_nothing_behind(node: Node) -> None:
    quiet = await node.start(Quiet)
    async with node.watch(quiet):
        assert ["watchers: 1" in each for each in find_leaks(node)][:1] == [True]
    with trio.move_on_after(1):
        async with node.watch(quiet) as end:
            await end.wait()
    watchers = actor_of(node, quiet).watchers
    assert watchers is not None
    assert 0 == len(watchers)
    assert await quiet.answer() == 42


async def test_c15_leaving_after_the_end_is_no_error(node: Node) -> None:
    quiet = await node.start(Quiet)
    async with node.watch(quiet):
        await node.stop(quiet)
    assert find_leaks(node) == ()


async def test_c15_a_watch_by_name_is_for_the_present_owner(node: Node) -> None:
    first = await node.start(Quiet, name=".quiet")
    async with node.watch(".quiet") as end:
        node.unregister(".quiet")
        second = await node.start(Quiet, name=".quiet")
        await node.kill(second)
        assert end.exit is None
        await node.stop(first)
        assert (await end.wait()).reason == "stopped"


@pytest.mark.parametrize("target", [".nobody", "nobody"])
async def test_c15_a_name_without_owner_cannot_be_watched(node: Node, target: str) -> None:
    with pytest.raises(NoSuchService):
        async with node.watch(target):
            raise AssertionError("there is nothing to watch")


async def test_c15_what_never_was_is_gone(node: Node) -> None:
    async with node.watch(":7f") as end:
        assert "gone" == str(await end.wait())


async def test_c15_the_reason_is_forgotten_at_last(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trionet.kernel.lifecycle.REMEMBERED_EXITS", 3)
    handles = []
    for _ in range(5):
        quiet = await node.start(Quiet)
        handles.append(actor_of(node, quiet).handle)
        await node.kill(quiet)
    reasons = []
    for handle in handles:
        async with node.watch(handle) as end:
            reasons.append((await end.wait()).reason)
    assert ["gone", "gone", "killed", "killed", "killed"] == reasons


async def test_c12_a_handle_of_another_incarnation_is_down(virtual_time: None) -> None:
    async with open_simulated_node(seed=1) as former:
        quiet = await former.start(Quiet)
        stale = actor_of(former, quiet).handle
    async with open_simulated_node(seed=2) as node:
        fresh = await node.start(Quiet)
        assert stale.value == actor_of(node, fresh).handle.value
        async with node.watch(stale) as end:
            assert end.exit == Exit(stale, "node down")
        async with node.watch(Handle.make(7, 1, 99)) as end:
            assert (await end.wait()).reason == "node down"
        assert await fresh.answer() == 42


class Dying(Service):
    """Sends its last words."""

    @command
    async def say_farewell(self, target: Any, way: str) -> None:
        for number in range(3):
            await self.send(target, "hear", f"word {number}")
        if way == "fail":
            self.nursery.start_soon(self._fail)
        elif way == "kill":
            await self.node.kill(self.handle)
        else:
            await self.stop()

    async def teardown(self) -> None:
        self.log.debug("the last words were said before")

    async def _fail(self) -> None:
        raise KeyError("farewell")


class Mourner(Service, concurrency=2):
    """Watches, and hears the last words of whom it watches."""

    def __init__(self, log: Log, hold: Hold) -> None:
        self.written = log
        self.hold = hold

    @command
    async def hear(self, word: str) -> None:
        self.written.append(word)
        await self.hold.here()

    @command
    async def watch_it(self, target: Any) -> None:
        async with self.watch(target) as end:
            exit_ = await end.wait()
            inbox = self.node.service_statistics(self.handle).inbox
            self.written.append(f"{exit_.reason}, {inbox} in the inbox")


@pytest.mark.parametrize("way", ["stop", "kill", "fail"])
async def test_c15_told_after_every_message_of_the_dead_one(node: Node, way: str) -> None:
    """The last words are in the inbox of the watcher, or handled, when it is told."""
    log: Log = []
    hold = Hold()
    mourner = await node.start(spec(Mourner, log, hold))
    dying = await node.start(Dying)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mourner.watch_it, dying)
        await wait_all_tasks_blocked()
        await dying.say_farewell.send(mourner, way)
        await wait_all_tasks_blocked()
        reason = {"stop": "stopped", "kill": "killed", "fail": "failed"}[way]
        words = taken(log)
        told = next(each for each in words if each.startswith(reason))
        heard = words.index(told)
        assert f"{reason}, {3 - heard} in the inbox" == told
        hold.release()
    await wait_all_tasks_blocked()
    assert ["word 0", "word 1", "word 2"] == [each for each in words + log if each.startswith("word")]


class TestWithSmallInbox:
    """The last words wait for room."""

    @pytest.fixture
    def node_config(self) -> NodeConfig:
        return NodeConfig(inbox=1)

    async def test_c15_told_after_messages_that_waited_for_room(self, node: Node) -> None:
        log: Log = []
        hold = Hold()
        mourner = await node.start(spec(Mourner, log, hold))
        dying = await node.start(Dying)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mourner.watch_it, dying)
            await wait_all_tasks_blocked()
            await dying.say_farewell.send(mourner, "stop")
            await wait_all_tasks_blocked()
            assert ["word 0"] == taken(log)
            hold.release()
        await wait_all_tasks_blocked()
        assert "stopped, 0 in the inbox" in log
        assert ["word 1", "word 2"] == [each for each in log if each.startswith("word")]


async def test_c15_a_service_may_watch_itself(node: Node) -> None:
    """It is never told, as it is no more; the watch is left when it ends."""

    class Introspective(Quiet):
        async def setup(self) -> None:
            self.nursery.start_soon(self._watch)

        async def _watch(self) -> None:
            async with self.watch(self.handle) as end:
                await end.wait()

    service = await node.start(Introspective)
    await wait_all_tasks_blocked()
    actor = actor_of(node, service)
    assert actor.watchers is not None
    assert 1 == len(actor.watchers)
    await node.stop(service)
    assert 0 == len(actor.watchers)


async def test_c15_an_exit_prints_as_a_reason(node: Node) -> None:
    handle = Handle.make(1, 2, 3)
    assert "killed" == str(Exit(handle, "killed"))
    assert "failed: KeyError: 'x'" == str(Exit(handle, "failed", "KeyError: 'x'"))
