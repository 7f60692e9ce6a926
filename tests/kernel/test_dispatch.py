"""The pool of a service and its fairness to others (C6, C7): nobody starves, few tasks rest."""

from __future__ import annotations

import gc
import types
from collections.abc import Generator
from contextvars import Context
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import Stage, actor_of, begin, opened, start
from trionet import Service, command
from trionet.kernel.actor import Actor
from trionet.kernel.dispatch import FAIR_MESSAGES, FAIR_SECONDS, MOST_RESTING
from trionet.kernel.handlers import _resume
from trionet.kernel.request import Request
from trionet.kernel.seams import READING


class Counter(Service):
    """Counts, and tells when."""

    def __init__(self) -> None:
        self.count = 0

    @command
    def add(self) -> int:
        self.count += 1
        return self.count


async def test_c7_a_flood_to_one_service_does_not_starve_others(autojump_clock: MockClock) -> None:
    """A leader lets others run after a hundred messages or a millisecond."""
    async with opened() as node, trio.open_nursery() as nursery:
        flooded = await node.start(Counter, name=".flooded")
        other = await node.start(Counter)
        for _ in range(5000):
            flooded.add.send_nowait()
        instance = actor_of(node, flooded).instance
        assert isinstance(instance, Counter)
        done: list[int] = [0]

        async def call_other() -> None:
            for _ in range(10):
                await other.add()
                done.append(instance.count)

        nursery.start_soon(call_other)
        await wait_all_tasks_blocked()
        assert instance.count == 5000
        steps = [after - before for before, after in pairwise(done)]
        # a call needs a few turns of the event loop, and in each the leader handles one portion
        portion = min(FAIR_MESSAGES, FAIR_SECONDS / READING)
        assert max(steps) <= 4 * portion


async def test_c7_a_flood_lets_other_tasks_run(autojump_clock: MockClock) -> None:
    async with opened() as node, trio.open_nursery() as nursery:
        flooded = await node.start(Counter)
        for _ in range(5000):
            flooded.add.send_nowait()
        turns = 0

        async def ticker() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        nursery.start_soon(ticker)
        assert await flooded.add() == 5001
        assert turns >= 5000 / FAIR_MESSAGES
        nursery.cancel_scope.cancel()


async def test_c7_two_flooded_services_take_turns(autojump_clock: MockClock) -> None:
    order: list[str] = []

    class Named(Service):
        def __init__(self) -> None:
            self.name = ""

        @command
        def note(self, name: str) -> None:
            order.append(name)

    async with opened() as node:
        one, two = await node.start(Named), await node.start(Named)
        for _ in range(2000):
            one.note.send_nowait("one")
            two.note.send_nowait("two")
        await wait_all_tasks_blocked()
    longest = run = 1
    for before, after in pairwise(order):
        run = run + 1 if before == after else 1
        longest = max(longest, run)
    # the order of tasks within a turn of the event loop is drawn: at worst two portions in a row
    assert longest <= 2 * FAIR_MESSAGES
    assert len(order) == 4000


async def test_c7_few_tasks_rest(autojump_clock: MockClock) -> None:
    stage = Stage()
    keys = [str(number) for number in range(5 * MOST_RESTING)]
    async with opened() as node:
        box = await start(node, stage)
        actor = actor_of(node, box)
        assert actor.nursery is not None
        async with trio.open_nursery() as nursery:
            for key in keys:
                nursery.start_soon(box.hold, key)
            await stage.settle(node)
            assert len(actor.nursery.child_tasks) >= len(keys) - 1
            stage.open(*keys)
        await stage.settle(node)
        assert len(actor.resting) <= MOST_RESTING + 1
        assert len(actor.nursery.child_tasks) <= MOST_RESTING + 1
        assert await box.note("next") == "next"


async def test_c7_thousands_of_blocked_handlers(autojump_clock: MockClock) -> None:
    stage = Stage()
    many = 3000
    async with opened(concurrency=many) as node:
        box = await start(node, stage)
        async with trio.open_nursery() as nursery:
            for number in range(many + 10):
                nursery.start_soon(box.hold, str(number % 10))
            await stage.settle(node)
            assert node.service_statistics(box).running == many
            assert node.service_statistics(box).inbox == 10
            stage.open(*map(str, range(10)))
        await stage.settle(node)
        assert node.service_statistics(box).messages == many + 10
        assert node.service_statistics(box).running == 0


async def test_c7_thousands_of_blocked_handlers_are_cancelled(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened(concurrency=3000) as node:
        box = await start(node, stage)
        async with trio.open_nursery() as nursery:
            for _ in range(3000):
                nursery.start_soon(box.hold, "x")
            await stage.settle(node)
            nursery.cancel_scope.cancel()
        log = await stage.settle(node)
        assert log == ["x cancelled"] * 3000
        assert node.service_statistics(box).running == 0


async def test_c7_the_pool_ends_with_its_service(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(box.hold, str(number))
            await stage.settle(node)
            stage.open(*map(str, range(20)))
        tasks = trio.lowlevel.current_statistics().tasks_living
        await node.stop(box)
        await wait_all_tasks_blocked()
        # nineteen rested, one led
        assert trio.lowlevel.current_statistics().tasks_living == tasks - 20


async def test_c7_resting_tasks_of_a_killed_service_end(autojump_clock: MockClock) -> None:
    """A task is called back from its rest, and the service is killed before it runs."""
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        actor = actor_of(node, box)
        async with trio.open_nursery() as nursery:
            for key in "ab":
                nursery.start_soon(box.hold, key)
            await stage.settle(node)
            stage.open("a", "b")
        caller = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            held = await begin(nursery, lambda: box.hold("c"))
            assert len(actor.resting) == 1
            box.note.send_nowait("never")
            assert actor.resting == []  # it has been called
            actor.kill()
            await wait_all_tasks_blocked()
            assert held.end.startswith("ServiceExited")
        assert not caller.cancelled_caught
        assert "never" not in await stage.settle(node)
        assert node.dead_letters.count == 1


async def test_c7_a_new_task_of_a_killed_service_handles_nothing(autojump_clock: MockClock) -> None:
    """As before, but the task is started, not called back."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage)
        actor = actor_of(node, box)
        await begin(nursery, lambda: box.hold("c"))
        assert actor.nursery is not None
        box.note.send_nowait("never")
        assert len(actor.nursery.child_tasks) == 1
        actor.kill()
        assert "never" not in await stage.settle(node)
        assert node.dead_letters.count == 1


async def test_c7_handlers_leave_no_garbage(autojump_clock: MockClock) -> None:
    """A call that succeeded leaves no reference cycle behind."""
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        await box.note("warm")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.hold, "warm")
            await wait_all_tasks_blocked()
            stage.open("warm")
        gc.collect()
        gc.disable()
        try:
            for number in range(50):
                await box.note(str(number))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(box.hold, "cold")
                await wait_all_tasks_blocked()
                stage.open("cold")
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = [each for each in gc.garbage if type(each).__module__.startswith("trionet")]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert left == []


async def test_c6_a_handler_that_does_not_wait_is_one_step(autojump_clock: MockClock) -> None:
    """No other task runs between two handlers that end in their first step."""
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        for number in range(10):
            box.note.send_nowait(str(number))
        await wait_all_tasks_blocked()
        assert stage.log == [str(number) for number in range(10)]
        actor = actor_of(node, box)
        assert actor.nursery is not None
        assert len(actor.nursery.child_tasks) == 0  # the service's own task did it all


@pytest.mark.one_path
async def test_c7_cpu_time_and_messages_are_counted(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage)
        await box.note("x")
        first = node.service_statistics(box)
        assert first.messages == 1
        assert first.cpu_time == pytest.approx(READING)
        await begin(nursery, lambda: box.hold("a"))
        assert node.service_statistics(box).cpu_time == pytest.approx(2 * READING)
        stage.open("a")
        await wait_all_tasks_blocked()
        assert node.service_statistics(box).cpu_time == pytest.approx(3 * READING)
        assert node.statistics().messages == 2


async def test_c9_a_handler_that_raises_stop_iteration(autojump_clock: MockClock) -> None:
    class Odd(Service):
        @command
        def plain(self) -> None:
            raise StopIteration(1)

        @command
        async def coroutine(self) -> None:
            raise StopIteration(2)

        @command
        async def late(self) -> None:
            await trio.lowlevel.checkpoint()
            raise StopIteration(3)

    async with opened() as node:
        odd = await node.start(Odd)
        for call in (odd.plain, odd.coroutine, odd.late):
            with pytest.raises(Exception, match=r"RuntimeError: .* raised StopIteration"):
                await call()


def test_c9_a_handler_whose_run_was_dropped_is_closed() -> None:
    """Trio gave up its tasks: the handler's own cleanup runs all the same."""
    log: list[str] = []

    async def handler() -> None:
        try:
            await _suspend()
        finally:
            log.append("closed")

    node = SimpleNamespace(stopwatch=float, charge=lambda *_: None, current=None)
    request = Request(None, cast("Actor", SimpleNamespace(node=node)), "run", (), {}, [], 0)
    request.context = Context()
    request.coroutine = handler()
    driver = _resume(request, request.coroutine.send(None), None)
    assert next(driver) == "trap"
    driver.close()
    assert log == ["closed"]


@types.coroutine
def _suspend() -> Generator[str]:
    yield "trap"


async def test_c7_a_request_prints_what_it_is(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage)
        caller = await begin(nursery, lambda: box.hold("a"))
        [request] = actor_of(node, box).handlers
        assert repr(request) == "<LocalCall hold to :00000001 (Puppet), running>"
        caller.scope.cancel()
