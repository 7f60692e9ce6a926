"""What a node and its services tell of themselves: frozen figures, and where handlers stand."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kernel.lives import Quiet, actor_of
from trionet import (
    Handle,
    HandlerStatistics,
    Node,
    NodeConfig,
    NoSuchService,
    Reply,
    Service,
    command,
    defer,
    open_node,
    spec,
)
from trionet.kernel.seams import READING, simulated
from trionet.kernel.statistics import stack_of
from trionet.testing import Hold


@pytest.fixture
def node_config() -> NodeConfig:
    return NodeConfig(name="measured", inbox=2)


class Measured(Service, concurrency=2):
    """Stands in several ways."""

    def __init__(self, hold: Hold) -> None:
        self.hold = hold
        self.replies: list[Reply] = []

    @command
    async def stand(self, depth: int = 0) -> None:
        if depth:
            await self.go_deeper(depth)
        else:
            await self.hold.here()

    async def go_deeper(self, depth: int) -> None:
        async with trio.open_nursery():
            await Measured.stand.function(self, depth - 1)

    @command(shielded=True)
    async def persist(self) -> None:
        await self.hold.here()

    @command
    async def leave(self) -> None:
        self.replies.append(defer())

    @command
    async def pass_on(self, target: Any) -> None:
        await self.call(target, "stand")


async def test_figures_of_a_service(node: Node) -> None:
    hold = Hold()
    measured = await node.start(spec(Measured, hold), name=".measured")
    await node.register("second", measured)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(measured.leave)
        await wait_all_tasks_blocked()
        for _ in range(5):
            nursery.start_soon(measured.stand)
        await wait_all_tasks_blocked()
        now = node.service_statistics(measured)
        assert actor_of(node, measured).handle == now.handle
        assert (".measured", "second") == now.names
        assert f"{__name__}:Measured" == now.service_class
        assert "running" == now.life
        assert (3, 2, 1, 2, 1) == (now.messages, now.inbox, now.waiting_senders, now.running, now.deferred)
        assert now.cpu_time > 0
        assert 2 == len(now.handlers)
        assert now == node.service_statistics(".measured") == node.service_statistics(now.handle)
        nursery.cancel_scope.cancel()


async def test_figures_of_a_node(node: Node) -> None:
    hold = Hold()
    async with trio.open_nursery() as nursery:
        services = [await node.start(spec(Measured, hold)) for _ in range(2)]
        for service in services:
            for _ in range(3):
                nursery.start_soon(service.stand)
        await wait_all_tasks_blocked()
        await node.send(".nobody", "stand")
        now = node.statistics()
        assert ("measured", 0, node.incarnation) == (now.name, now.harbor, now.incarnation)
        assert (2, 4, 2, 4, 1, 0) == (
            now.services,
            now.messages,
            now.inbox,
            now.running,
            now.dead_letters,
            now.stalls,
        )
        assert now.cpu_time == pytest.approx(sum(node.service_statistics(each).cpu_time for each in services))
        hold.release()
    assert (6, 0, 0) == (node.statistics().messages, node.statistics().inbox, node.statistics().running)


async def test_figures_are_frozen_and_of_their_moment(node: Node) -> None:
    hold = Hold()
    measured = await node.start(spec(Measured, hold))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(measured.stand)
        await hold.wait_held()
        of_service = node.service_statistics(measured)
        of_node = node.statistics()
        hold.release()
    assert (1, 1) == (of_service.running, of_node.running)
    frozen: tuple[Any, ...] = (of_service, of_node, of_service.handlers[0])
    for each in frozen:
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            each.name = "changed"


async def handlers_of(node: Node, target: Any) -> tuple[HandlerStatistics, ...]:
    """The handlers that run, when all tasks are blocked."""
    await wait_all_tasks_blocked()
    return node.service_statistics(target).handlers


async def test_where_a_handler_stands(node: Node) -> None:
    """It is driven by hand, and so not in the chain of awaits of any task; its stack is seen all the same."""
    hold = Hold()
    measured = await node.start(spec(Measured, hold))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(measured.stand)
        (handler,) = await handlers_of(node, measured)
        hold.release()
    assert ("stand", None, False) == (handler.command, handler.source, handler.abandoned)
    assert f'File "{__file__}", line ' in handler.stack[0]
    assert handler.stack[0].endswith("in stand: await self.hold.here()")
    assert any("in here:" in each for each in handler.stack)
    assert any("in wait_task_rescheduled:" in each for each in handler.stack)


async def test_where_a_handler_stands_that_awaits_others(node: Node) -> None:
    hold = Hold()
    measured = await node.start(spec(Measured, hold))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(measured.stand, 2)
        (handler,) = await handlers_of(node, measured)
        hold.release()
    own = [each.partition(", in ")[2] for each in handler.stack if __file__ in each]
    assert [
        "stand: await self.go_deeper(depth)",
        "go_deeper: await Measured.stand.function(self, depth - 1)",
        "stand: await self.go_deeper(depth)",
        "go_deeper: await Measured.stand.function(self, depth - 1)",
        "stand: await self.hold.here()",
    ] == own


async def test_since_when_and_for_whom_a_handler_runs(node: Node) -> None:
    hold = Hold()
    async with trio.open_nursery() as nursery:
        caller = await node.start(spec(Measured, hold))
        callee = await node.start(spec(Measured, hold))
        await trio.sleep(5)
        began = trio.current_time()
        nursery.start_soon(caller.pass_on, callee)
        await wait_all_tasks_blocked()
        await trio.sleep(5)
        (handler,) = await handlers_of(node, callee)
        assert (actor_of(node, caller).handle, began) == (handler.source, handler.since)
        (waiting,) = await handlers_of(node, caller)
        assert (None, "pass_on") == (waiting.source, waiting.command)
        assert any('self.call(target, "stand")' in each for each in waiting.stack)
        hold.release()


@pytest.mark.parametrize("how", ["cancelled", "out of time"])
async def test_c6_a_shielded_handler_whose_caller_has_gone_is_abandoned(node: Node, how: str) -> None:
    hold = Hold()
    measured = await node.start(spec(Measured, hold))
    if how == "cancelled":
        with trio.move_on_after(1):
            await measured.persist()
    else:
        with pytest.raises(trio.TooSlowError):
            await measured.persist.options(deadline=1)()
    (handler,) = await handlers_of(node, measured)
    assert handler.abandoned
    hold.release()
    assert () == await handlers_of(node, measured)


async def test_c6_a_handler_that_somebody_waits_for_is_not_abandoned(node: Node) -> None:
    hold = Hold()
    measured = await node.start(spec(Measured, hold))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(measured.persist)
        await measured.stand.send()
        handlers = await handlers_of(node, measured)
        assert {("persist", False), ("stand", False)} == {(each.command, each.abandoned) for each in handlers}
        hold.release()


async def test_handlers_are_listed_oldest_first(node: Node) -> None:
    hold = Hold()
    measured = await node.start(spec(Measured, hold))
    await measured.stand.send()
    await wait_all_tasks_blocked()
    await measured.persist.send()
    assert ["stand", "persist"] == [each.command for each in await handlers_of(node, measured)]
    hold.release()


async def test_tasks_of_a_service_are_counted(node: Node) -> None:
    class Helped(Service):
        async def setup(self) -> None:
            for _ in range(3):
                self.nursery.start_soon(trio.sleep_forever)

    helped = await node.start(Helped)
    assert 3 == node.service_statistics(helped).tasks


async def test_only_services_of_the_node_are_measured(node: Node) -> None:
    quiet = await node.start(Quiet)
    await node.stop(quiet)
    for target in (quiet, ".nobody", ":7f"):
        with pytest.raises(NoSuchService):
            node.service_statistics(target)
    with pytest.raises(NoSuchService, match="is not on this node"):
        node.service_statistics(Handle.make(3, 1, 5))


async def test_services_are_listed_oldest_first(node: Node) -> None:
    started = [actor_of(node, await node.start(Quiet)).handle for _ in range(5)]
    assert started == list(node.services())


async def test_cpu_time_is_what_handlers_held_the_loop(virtual_time: None) -> None:
    """The stopwatch counts its readings: a handler that runs through takes one, waiting takes none."""
    async with open_node(seams=simulated(0)) as node:
        quiet = await node.start(Quiet)
        hold = Hold()
        measured = await node.start(spec(Measured, hold))
        for _ in range(10):
            await quiet.answer()
        used = node.service_statistics(quiet).cpu_time
        assert 9.5 * READING < used < 30.5 * READING
        async with trio.open_nursery() as nursery:
            nursery.start_soon(measured.stand)
            await hold.wait_held()
            before = node.service_statistics(measured).cpu_time
            await trio.sleep(50)
            assert before == node.service_statistics(measured).cpu_time
            hold.release()
        assert before < node.service_statistics(measured).cpu_time < 1


def test_the_stack_of_what_has_not_begun_or_has_ended() -> None:
    async def waiting() -> None:
        raise AssertionError("it never runs")

    assert [] == list(stack_of(None))
    coroutine = waiting()
    assert ["waiting: async def waiting() -> None:"] == [
        each.partition(", in ")[2] for each in stack_of(coroutine)
    ]
    coroutine.close()
    assert [] == list(stack_of(coroutine))
