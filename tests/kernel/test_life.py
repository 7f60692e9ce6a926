"""The life of a service: its stations, its own tasks, its isolation from others (C7, C9), who calls."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kernel.lives import Failing, Log, Quiet, Worker, actor_of, note, taken
from trionet import (
    Handle,
    Node,
    NodeConfig,
    NoSuchService,
    RemoteError,
    Restart,
    Service,
    ServiceExited,
    command,
    current_request,
    open_node,
    spec,
)
from trionet.errors import InternalError
from trionet.kernel.seams import simulated
from trionet.testing import Hold, exits


class Stations(Service):
    """Stands still in each station of its life."""

    def __init__(self, hold: Hold) -> None:
        self.hold = hold

    async def setup(self) -> None:
        await self.hold.here()

    async def teardown(self) -> None:
        await self.hold.here()


async def test_stations_of_a_life(node: Node) -> None:
    hold = Hold()

    async def settle() -> list[str]:
        await wait_all_tasks_blocked()
        return [node.service_statistics(each).life for each in node.services()]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.start, spec(Stations, hold))
        assert await settle() == ["starting"]
        hold.release_one()
        assert await settle() == ["running"]
        (handle,) = node.services()
        nursery.start_soon(node.stop, handle)
        assert await settle() == ["stopping"]
        hold.release_one()
        assert await settle() == []
    with pytest.raises(NoSuchService):
        node.service_statistics(handle)


async def test_what_was_not_started_is_no_service(node: Node) -> None:
    lonely = Quiet()
    for attribute in ("node", "handle", "nursery", "log"):
        with pytest.raises(RuntimeError, match="was not started by a node"):
            getattr(lonely, attribute)


class Origin(Service):
    """Tells who called."""

    def __init__(self) -> None:
        self.sources: list[Handle | None] = []

    @command
    def tell(self, _: str = "") -> Handle | None:
        self.sources.append(current_request().source)
        return current_request().source


class Caller(Service):
    """Calls from everywhere."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.found: dict[str, Handle | None] = {}

    async def setup(self) -> None:
        self.found["setup"] = await self.origin.tell()
        self.nursery.start_soon(self._call, "task of setup")

    async def teardown(self) -> None:
        self.found["teardown"] = await self.origin.tell()

    @command
    async def call_it(self) -> None:
        self.found["handler"] = await self.origin.tell()
        self.nursery.start_soon(self._call, "task of a handler")

    @command
    async def start_child(self) -> None:
        await self.start(spec(Failing))

    async def child_failed(self, child: Handle, error: BaseException) -> None:
        self.found["child_failed"] = await self.origin.tell()

    async def _call(self, key: str) -> None:
        self.found[key] = await self.origin.tell()


async def test_the_caller_is_the_service_wherever_its_code_runs(node: Node) -> None:
    origin = await node.start(Origin)
    assert await origin.tell() is None
    caller = await node.start(spec(Caller, origin))
    actor = actor_of(node, caller)
    assert isinstance(actor.instance, Caller)
    found = actor.instance.found
    await caller.call_it()
    await caller.start_child()
    assert actor.children is not None
    (child,) = actor.children
    await node.call(child, "fail_in_task")
    await wait_all_tasks_blocked()
    await node.stop(caller)
    places = ["setup", "task of setup", "handler", "task of a handler", "child_failed", "teardown"]
    assert dict.fromkeys(places, actor.handle) == found


async def test_the_caller_is_the_service_after_a_restart(node: Node) -> None:
    origin = await node.start(Origin)
    caller = await node.start(spec(Caller, origin), name=".caller", restart=Restart(when="always"))
    first = actor_of(node, caller)
    first.request_stop(trio.current_time() + 1)
    await node.wait_for_name(".caller")
    await trio.sleep(1)
    second = node.local_names.owner(".caller")
    assert second is not None
    assert second.handle != first.handle
    assert isinstance(second.instance, Caller)
    assert {"setup": second.handle, "task of setup": second.handle} == second.instance.found


async def test_tasks_of_the_node_are_not_of_the_service_that_started_another(node: Node) -> None:
    """An independent service is not its starter's: its setup calls as itself, its life is its own."""
    origin = await node.start(Origin)

    class Starter(Service):
        @command
        async def go(self) -> None:
            await self.node.start(spec(Caller, origin), name=".independent")

    starter = await node.start(Starter)
    await starter.go()
    await node.stop(starter)
    owner = node.local_names.owner(".independent")
    assert owner is not None
    assert isinstance(owner.instance, Caller)
    assert owner.handle == owner.instance.found["setup"]


async def test_c9_an_exception_in_a_handler_ends_that_call_only(node: Node) -> None:
    failing = await node.start(spec(Failing))
    with pytest.raises(RemoteError, match="KeyError: 'in the handler'"):
        await failing.fail_in_handler()
    await failing.identity()
    assert () == exits(node)


async def test_c9_an_exception_of_a_sent_message_is_logged(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    failing = await node.start(spec(Failing))
    await failing.fail_in_handler.send()
    await failing.identity()
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "fail_in_handler" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


async def test_c9_an_exception_in_a_task_ends_that_service_only(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    log: Log = []
    quiet = await node.start(Quiet)
    failing = await node.start(spec(Failing, log))
    async with node.watch(failing) as end:
        await failing.fail_in_task()
        assert str(await end.wait()) == "failed: KeyError: 'in the task'"
    assert await quiet.answer() == 42
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert f"{end.handle} (Failing) failed" == record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)
    assert ["failing set up"] == log


async def test_c9_several_exceptions_at_once_are_all_told(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    class Double(Service):
        async def setup(self) -> None:
            for error in (KeyError("one"), ValueError("two")):
                self.nursery.start_soon(self._fail, error)

        async def _fail(self, error: Exception) -> None:
            try:
                await trio.sleep(1)
            finally:
                raise error

    double = await node.start(Double)
    async with node.watch(double) as end:
        assert (await end.wait()).reason == "failed"
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    group = record.exc_info[1]
    assert isinstance(group, BaseExceptionGroup)
    assert {"KeyError", "ValueError"} == {type(each).__name__ for each in group.exceptions}


async def test_c9_a_failure_cancels_the_handlers(node: Node) -> None:
    log: Log = []

    class Both(Worker, Failing):
        def __init__(self, log: Log) -> None:
            Worker.__init__(self, log)
            self.written = log

    both = await node.start(spec(Both, log))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note, log, "call", both.work("it"))
        await wait_all_tasks_blocked()
        await both.fail_in_task()
    assert "call: ServiceExited, executed True" in log
    assert "worker torn down" not in log


async def test_c9_a_bug_of_trionet_takes_the_node_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trionet.kernel.actor.Actor.returned", lambda *_: 1 / 0)

    async def run() -> None:
        async with open_node(seams=simulated(0)) as node:
            quiet = await node.start(Quiet)
            await quiet.answer()

    with pytest.raises(InternalError) as caught:
        await run()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_c9_an_interrupt_takes_the_node_down() -> None:
    class Interrupted(Service):
        @command
        async def go(self) -> None:
            raise KeyboardInterrupt

    log: Log = []

    async def run() -> None:
        async with open_node(seams=simulated(0)) as node:
            interrupted = await node.start(Interrupted)
            await note(log, "call", interrupted.go())

    with pytest.raises(KeyboardInterrupt):
        await run()
    assert ["call: ServiceExited, executed True"] == log


async def test_the_log_of_a_service_tells_who_it_is(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    class Talking(Service):
        @command
        def talk(self, colour: str) -> None:
            self.log.warning("hello", extra={"colour": colour})

    talking = await node.start(Talking, name=".talking")
    await talking.talk("red")
    (record,) = caplog.records
    assert record.name.endswith("Talking")
    told: dict[str, object] = vars(record)
    assert (str(actor_of(node, talking).handle), ".talking", "red") == (
        told["service"],
        told["service_name"],
        told["colour"],
    )


async def test_the_nursery_is_closed_after_its_time(node: Node) -> None:
    found: Log = []

    class Late(Service):
        async def teardown(self) -> None:
            try:
                self.nursery.start_soon(trio.sleep_forever)
            except RuntimeError as error:
                found.append(str(error))

    late = await node.start(Late)
    handle = actor_of(node, late).handle
    await node.stop(late)
    assert [f"the nursery of {handle} (Late) is closed"] == found


async def test_a_service_can_stop_and_watch_others(node: Node) -> None:
    log: Log = []

    class Boss(Service):
        @command
        async def dismiss(self, target: Quiet) -> str:
            async with self.watch(target) as end:
                await self.stop(target)
                return (await end.wait()).reason

    boss = await node.start(Boss)
    quiet = await node.start(Quiet)
    assert await boss.dismiss(quiet) == "stopped"
    with pytest.raises(NoSuchService):
        await quiet.answer()
    assert [] == taken(log)


async def test_helper_tasks_may_end(node: Node) -> None:
    """A task that ends is no end of the service."""

    class Brief(Quiet):
        async def setup(self) -> None:
            self.nursery.start_soon(trio.lowlevel.checkpoint)

    brief = await node.start(Brief)
    await wait_all_tasks_blocked()
    assert await brief.answer() == 42


class TestShortLife:
    """Messages at the moment of the end."""

    @pytest.fixture
    def node_config(self) -> NodeConfig:
        return NodeConfig(inbox=1)

    async def test_c4_a_message_that_arrives_with_the_end_is_told_so(self, node: Node) -> None:
        """The dispatcher has been handed the message, and has not seen it yet, when the service is killed."""
        log: Log = []
        quiet = await node.start(Quiet)
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            quiet.answer.send_nowait()
            nursery.start_soon(note, log, "call", quiet.answer())
            nursery.start_soon(node.kill, quiet)
        assert log in (["call: 42"], ["call: ServiceExited, executed False"])

    async def test_c4_a_message_handed_over_before_the_kill(self, node: Node) -> None:
        quiet = await node.start(Quiet)
        await wait_all_tasks_blocked()
        quiet.answer.send_nowait()
        actor_of(node, quiet).kill()
        await wait_all_tasks_blocked()
        assert 1 == node.dead_letters.count
        with pytest.raises((NoSuchService, ServiceExited)):
            await quiet.answer()
