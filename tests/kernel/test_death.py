"""The death of a service is complete, and in order (C8)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kernel.lives import Log, Quiet, Worker, actor_of, note, taken
from trionet import (
    DeadLetter,
    Handle,
    Node,
    NodeConfig,
    NodeDown,
    NoSuchService,
    Restart,
    Service,
    ServiceExited,
    command,
    defer,
    spec,
)
from trionet.testing import Hold, exits, fail_service


@pytest.fixture
def node_config() -> NodeConfig:
    return NodeConfig(stop_grace=10, call_deadline=1000)


class Serial(Worker, concurrency=1, inbox=2):
    """A worker that handles one message after another."""


async def watch_into(log: Log, node: Node, target: Any, key: str = "watcher") -> None:
    """Write down how a service ended, at the time the watcher is told."""
    async with node.watch(target) as end:
        log.append(f"{key}: {await end.wait()}")


async def letters_into(
    log: Log, node: Node, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Write down the dead letters."""
    async with node.dead_letters.subscribe() as letters:
        task_status.started()
        letter: DeadLetter
        async for letter in letters:
            log.append(f"dead letter: {letter.command}{letter.args}")


async def busy_worker(node: Node, nursery: trio.Nursery, log: Log, hold: Hold, other: Any) -> Serial:
    """A worker in the middle of everything: it handles, has a queue, waits for another, is watched."""
    worker = await node.start(spec(Serial, log, hold), name=".worker")
    await nursery.start(letters_into, log, node)
    nursery.start_soon(watch_into, log, node, worker)
    nursery.start_soon(note, log, "running call", worker.ask(other, "remote"))
    await wait_all_tasks_blocked()
    nursery.start_soon(note, log, "queued call", worker.work("never"))
    await wait_all_tasks_blocked()
    await worker.work.send("queued send")
    nursery.start_soon(note, log, "call in line", worker.work("never"))
    await wait_all_tasks_blocked()
    nursery.start_soon(note, log, "send in line", worker.work.send("send in line"))
    await wait_all_tasks_blocked()
    assert node.service_statistics(worker).inbox == 2
    assert node.service_statistics(worker).waiting_senders == 2
    assert ["worker asks", "other remote begins"] == taken(log)
    return worker


QUEUE_FAILS = [
    "queued call: ServiceExited, executed False",
    "call in line: ServiceExited, executed False",
    "send in line: None",
    "dead letter: work('queued send',)",
    "dead letter: work('send in line',)",
]


async def test_c8_stop_in_its_seven_steps(node: Node) -> None:
    log: Log = []
    hold = Hold()
    async with trio.open_nursery() as nursery:
        other = await node.start(spec(Worker, log, Hold(), "other"))
        worker = await busy_worker(node, nursery, log, hold, other)
        handle = node.lookup(".worker")
        assert handle is not None
        began = trio.current_time()
        nursery.start_soon(note, log, "stop", node.stop(worker))
        await wait_all_tasks_blocked()
        # 1: the name is withdrawn, nothing is accepted any more
        assert node.lookup(".worker") is None
        with pytest.raises(ServiceExited) as caught:
            await worker.work("too late")
        assert caught.value.executed is False
        with pytest.raises(NoSuchService):
            await node.call(".worker", "work", "too late")
        # 2: what is queued fails; the running handler and the helper task go on
        assert sorted(QUEUE_FAILS) == sorted(taken(log))
        assert trio.current_time() == began
        # 3: the grace time; the handler, its call to the other service, and the helper task are cancelled
        await trio.sleep(9.999)
        assert [] == taken(log)
        await trio.sleep(0.002)
        await wait_all_tasks_blocked()
        after = taken(log)
        assert {"other remote cancelled", "worker helper ends"} == set(after[:2])
        # 4: what is left of the grace time is nothing: teardown is cut off where it first waits
        # 5: the watcher is told, and who waits for the stop, and whose call it was
        assert {
            "running call: ServiceExited, executed True",
            "worker torn down",
            "watcher: stopped",
            "stop: None",
        } == set(after[2:])
        assert after.index("worker torn down") < after.index("watcher: stopped")
        # 6: the handle is dead, and not used again
        assert node.lookup(".worker") is None
        with pytest.raises(NoSuchService):
            await worker.work("too late")
        quiet = await node.start(Quiet)
        assert actor_of(node, quiet).handle != handle
        # 7: and all that is told by the node
        assert [("stopped", handle)] == [(each.reason, each.handle) for each in exits(node)]
        assert any("ask of" in each for each in node.cut_off)
        nursery.cancel_scope.cancel()


async def test_c8_kill_in_its_steps(node: Node) -> None:
    log: Log = []
    async with trio.open_nursery() as nursery:
        other = await node.start(spec(Worker, log, Hold(), "other"))
        worker = await busy_worker(node, nursery, log, Hold(), other)
        began = trio.current_time()
        await node.kill(worker)
        assert node.lookup(".worker") is None
        await wait_all_tasks_blocked()
        assert began == trio.current_time()
        after = taken(log)
        assert sorted(
            [
                *QUEUE_FAILS,
                "worker helper ends",
                "other remote cancelled",
                "running call: ServiceExited, executed True",
                "watcher: killed",
            ]
        ) == sorted(after)
        assert after.index("watcher: killed") > after.index("worker helper ends")
        assert after.index("watcher: killed") > after.index("other remote cancelled")
        assert () == node.cut_off
        nursery.cancel_scope.cancel()


async def test_c8_failure_in_its_steps(node: Node) -> None:
    """Nobody gave it time, and its state is not to be trusted: no grace time, no teardown."""
    log: Log = []
    async with trio.open_nursery() as nursery:
        other = await node.start(spec(Worker, log, Hold(), "other"))
        worker = await busy_worker(node, nursery, log, Hold(), other)
        began = trio.current_time()
        await fail_service(node, worker, KeyError("broken"))
        await wait_all_tasks_blocked()
        assert began == trio.current_time()
        assert sorted(
            [
                *QUEUE_FAILS,
                "worker helper ends",
                "other remote cancelled",
                "running call: ServiceExited, executed True",
                "watcher: failed: KeyError: 'broken'",
            ]
        ) == sorted(taken(log))
        assert "KeyError: 'broken'" == exits(node)[-1].error
        nursery.cancel_scope.cancel()


async def test_c8_handlers_that_end_in_the_grace_time_give_their_results(node: Node) -> None:
    log: Log = []
    hold = Hold()
    worker = await node.start(spec(Worker, log, hold))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note, log, "one", worker.work("one"))
        nursery.start_soon(note, log, "two", worker.work("two"))
        await hold.wait_held(2)
        nursery.start_soon(note, log, "stop", node.stop(worker))
        await trio.sleep(9)
        taken(log)
        hold.release()
    assert {"one: 'one'", "two: 'two'", "stop: None"} <= set(log)
    assert () == node.cut_off


async def test_c8_teardown_begins_when_the_last_handler_has_ended(node: Node) -> None:
    log: Log = []
    hold = Hold()
    async with trio.open_nursery() as nursery:
        worker = await node.start(spec(Worker, log, hold))
        nursery.start_soon(note, log, "one", worker.work("one"))
        nursery.start_soon(note, log, "two", worker.work("two"))
        await wait_all_tasks_blocked()
        nursery.start_soon(note, log, "stop", node.stop(worker))
        await wait_all_tasks_blocked()
        taken(log)
        hold.release_one()
        await wait_all_tasks_blocked()
        assert not [each for each in taken(log) if "torn" in each or "helper" in each]
        hold.release_one()
        await wait_all_tasks_blocked()
        after = taken(log)
        assert after.index("worker helper ends") < after.index("worker torn down") < after.index("stop: None")


class Asker(Service):
    """Ends itself."""

    @command
    async def end(self) -> str:
        await self.stop()
        await trio.sleep(3)
        return "my value"

    @command
    async def end_by_handle(self) -> str:
        await self.stop(self.handle)
        return "my value"

    @command
    async def die(self) -> str:
        await self.node.kill(self.ref())
        return "never"

    @command
    async def end_from_task(self) -> str:
        self.nursery.start_soon(self.stop)
        await trio.sleep(3)
        return "my value"

    @command
    async def end_too_slowly(self) -> str:
        await self.stop()
        await trio.sleep(11)
        return "never"


@pytest.mark.parametrize("way", ["end", "end_by_handle", "end_from_task"])
async def test_c8_a_handler_that_asked_for_the_stop_still_returns(node: Node, way: str) -> None:
    asker = await node.start(Asker, name=".asker")
    async with node.watch(asker) as end:
        assert await node.call(asker, way) == "my value"
        assert str(await end.wait()) == "stopped"
    assert node.lookup(".asker") is None


async def test_c8_a_handler_that_asked_for_the_stop_has_the_grace_time(node: Node) -> None:
    asker = await node.start(Asker)
    began = trio.current_time()
    with pytest.raises(ServiceExited) as caught:
        await asker.end_too_slowly()
    assert caught.value.executed is True
    assert trio.current_time() - began == pytest.approx(10)
    assert ["end_too_slowly" in each for each in node.cut_off] == [True]


async def test_c8_a_handler_that_kills_its_service_ends_by_it(node: Node) -> None:
    asker = await node.start(Asker)
    async with node.watch(asker) as end:
        with pytest.raises(ServiceExited) as caught:
            await asker.die()
        assert caught.value.executed is True
        assert (await end.wait()).reason == "killed"


async def test_c8_who_stops_what_is_dead_is_told_nothing(node: Node) -> None:
    asker = await node.start(Asker)
    await node.stop(asker)
    await node.stop(asker)
    await node.kill(asker)
    with pytest.raises(NoSuchService):
        await node.stop(".nobody")


class TearingDown(Service):
    """Its teardown does what it is told."""

    def __init__(self, action: Callable[[TearingDown], Awaitable[None]]) -> None:
        self.action = action

    async def teardown(self) -> None:
        await self.action(self)

    @command
    async def wait(self, seconds: float) -> None:
        await trio.sleep(seconds)


async def test_c8_teardown_may_call_and_send(node: Node) -> None:
    log: Log = []
    hold = Hold()
    hold.release()
    other = await node.start(spec(Worker, log, hold, "other"))

    async def action(self: TearingDown) -> None:
        assert await self.call(other, "work", "called") == "called"
        await self.send(other, "work", "sent")

    service = await node.start(spec(TearingDown, action))
    await node.stop(service)
    await wait_all_tasks_blocked()
    assert [
        "other called begins",
        "other called ends",
        "other sent begins",
        "other sent ends",
    ] == log
    assert "stopped" == exits(node)[-1].reason


async def test_c8_teardown_may_not_be_called_back(node: Node) -> None:
    """It takes nothing any more, itself included."""
    refused: list[bool | None] = []

    async def action(self: TearingDown) -> None:
        with pytest.raises(ServiceExited) as caught:
            await self.ref().wait(1)
        refused.append(caught.value.executed)

    service = await node.start(spec(TearingDown, action))
    await node.stop(service)
    assert [False] == refused


async def test_c8_teardown_that_raises_makes_it_a_failure(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    async def action(self: TearingDown) -> None:
        raise KeyError("teardown")

    service = await node.start(spec(TearingDown, action), name=".service")
    async with node.watch(service) as end:
        await node.stop(service)
        assert str(await end.wait()) == "failed: KeyError: 'teardown'"
    assert node.lookup(".service") is None
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


async def test_c8_teardown_that_hangs_is_cut_off(node: Node) -> None:
    async def action(self: TearingDown) -> None:
        await trio.sleep_forever()

    service = await node.start(spec(TearingDown, action))
    began = trio.current_time()
    async with node.watch(service) as end:
        await node.stop(service)
        assert (await end.wait()).reason == "stopped"
    assert trio.current_time() - began == pytest.approx(10)
    assert [each.startswith("teardown of") for each in node.cut_off] == [True]


async def test_c8_teardown_has_what_is_left_of_the_grace_time(node: Node) -> None:
    async def action(self: TearingDown) -> None:
        await trio.sleep_forever()

    service = await node.start(spec(TearingDown, action))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.wait, 7)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        await node.stop(service)
        assert trio.current_time() - began == pytest.approx(10)


async def test_c8_teardown_that_is_killed_ends_at_once(node: Node) -> None:
    hold = Hold()

    async def action(self: TearingDown) -> None:
        await hold.here()

    service = await node.start(spec(TearingDown, action))
    async with trio.open_nursery() as nursery, node.watch(service) as end:
        nursery.start_soon(node.stop, service)
        await hold.wait_held()
        began = trio.current_time()
        await node.kill(service)
        assert (began, "killed") == (trio.current_time(), (await end.wait()).reason)
    assert () == node.cut_off


async def test_c8_teardown_is_cut_short_by_a_stop_with_less_time(node: Node) -> None:
    hold = Hold()

    async def action(self: TearingDown) -> None:
        await hold.here()

    service = await node.start(spec(TearingDown, action))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.stop, service)
        await hold.wait_held()
        actor_of(node, service).request_stop(trio.current_time() + 2)
        actor_of(node, service).request_stop(trio.current_time() + 5)  # no more time than before
        began = trio.current_time()
        await node.stop(service)
        assert trio.current_time() - began == pytest.approx(2)


async def test_c8_teardown_that_swallows_cancellation_ends_when_it_ends(node: Node) -> None:
    async def action(self: TearingDown) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(15)

    service = await node.start(spec(TearingDown, action))
    began = trio.current_time()
    await node.stop(service)
    assert trio.current_time() - began == pytest.approx(15)


async def test_c8_who_waits_for_a_stop_may_leave(node: Node) -> None:
    hold = Hold()

    async def action(self: TearingDown) -> None:
        await hold.here()

    service = await node.start(spec(TearingDown, action))
    with trio.move_on_after(1) as scope:
        await node.stop(service)
    assert scope.cancelled_caught
    async with node.watch(service) as end:
        hold.release()
        assert (await end.wait()).reason == "stopped"


class Deferring(Service):
    """Never answers."""

    def __init__(self) -> None:
        self.replies: list[object] = []

    @command
    async def ask(self) -> None:
        self.replies.append(defer())


@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_c8_deferred_replies_fail_at_the_end(node: Node, way: str) -> None:
    log: Log = []
    deferring = await node.start(Deferring)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note, log, "call", deferring.ask())
        await wait_all_tasks_blocked()
        await getattr(node, way)(deferring)
    assert ["call: ServiceExited, executed True"] == log


class TestWithoutGraceTime:
    """The grace time may be 0."""

    @pytest.fixture
    def node_config(self) -> NodeConfig:
        return NodeConfig(stop_grace=0)

    async def test_c8_stop_cuts_at_once(self, node: Node) -> None:
        log: Log = []
        worker = await node.start(spec(Worker, log))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note, log, "call", worker.work("one"))
            await wait_all_tasks_blocked()
            taken(log)
            began = trio.current_time()
            await node.stop(worker)
            assert trio.current_time() == began
        assert "call: ServiceExited, executed True" in log
        assert exits(node)[-1].reason == "stopped"


async def test_c8_local_ids_wrap_without_being_used_twice(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trionet.kernel.lifecycle.MAX_LOCAL", 3)
    first = await node.start(Quiet)
    second = await node.start(Quiet)
    await node.stop(first)
    third = await node.start(Quiet)
    locals_ = [actor_of(node, each).handle.local for each in (second, third)]
    assert [2, 3] == locals_
    again = await node.start(Quiet)  # 1 is free, 2 and 3 are not
    assert 1 == actor_of(node, again).handle.local
    await node.stop(third)
    assert 3 == actor_of(node, await node.start(Quiet)).handle.local


async def test_c8_a_local_id_is_not_used_again_while_its_owner_is_kept_alive(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the id of the first one, its starter lists a service through all its restarts."""
    monkeypatch.setattr("trionet.kernel.lifecycle.MAX_LOCAL", 3)
    await node.start(Quiet, name=".kept", restart=Restart(delay=1))
    await fail_service(node, ".kept", KeyError())
    await trio.sleep(2)
    assert 2 == node.handle_of(".kept").local
    await node.start(Quiet, name=".other")
    assert 3 == node.handle_of(".other").local
    await node.stop(".other")
    await node.start(Quiet, name=".other")
    assert 3 == node.handle_of(".other").local  # 1 is listed, 2 lives
    await node.stop(".kept")
    assert 1 == actor_of(node, await node.start(Quiet)).handle.local


@pytest.mark.parametrize("way", ["stop", "kill"])
async def test_c12_a_service_of_another_node_is_down_without_a_network(node: Node, way: str) -> None:
    for target in (Handle.make(3, 1, 5), Handle.make(0, 1, 5), ":03000001"):
        with pytest.raises(NodeDown) as caught:
            await getattr(node, way)(target)
        assert caught.value.executed is False


async def test_c8_a_handle_as_text_of_a_dead_one_is_no_error(node: Node) -> None:
    await node.stop(":0000007f")
    await node.kill(Handle.make(0, 127, node.incarnation))
