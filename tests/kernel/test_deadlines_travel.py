"""Deadlines travel with calls (C4, C6): which applies, to nested calls, to helper tasks and in shields."""

from __future__ import annotations

import gc
import weakref
from math import inf

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import Puppet, Stage, actor_of, begin, exceeded, opened, start
from trionet import Node, Service, command, current_request, spec, value

# --- which deadline applies ---------------------------------------------------------------------------


class Asked(Service):
    """Tells how much time it was given."""

    @command
    def time(self) -> float:
        return current_request().deadline - trio.current_time()

    @command(deadline=7)
    def time_of_command(self) -> float:
        return current_request().deadline - trio.current_time()

    @command
    async def time_of_next(self, target: Asked) -> float:
        await trio.sleep(1)
        return await target.time()

    @command(shielded=True)
    async def time_of_next_shielded(self, target: Asked) -> float:
        return await target.time()

    @command
    async def nest(self, target: Puppet, seconds: float) -> str:
        with trio.move_on_after(seconds):
            return await target.hold("x")
        return "moved on"


class AskedClass(Asked, deadline=9):
    pass


async def test_c6_the_default_deadline_is_of_the_command_the_class_or_the_node(
    autojump_clock: MockClock,
) -> None:
    async with opened(call_deadline=11) as node:
        asked = await node.start(Asked)
        of_class = await node.start(AskedClass, name=".class")
        assert await asked.time() == 11
        assert await of_class.time() == 9
        assert await asked.time_of_command() == 7
        assert await of_class.time_of_command() == 7
        assert await node.call(".class", "time") == 9
        assert await node.call(".class", "time_of_command") == 7
        assert await node.call(".class", Asked.time_of_command) == 7


async def test_c6_the_deadline_of_the_caller_takes_the_place_of_a_default(autojump_clock: MockClock) -> None:
    async with opened(call_deadline=11) as node:
        asked = await node.start(Asked)
        with trio.fail_after(100):
            assert await asked.time() == 100
            assert await asked.time_of_command() == 100
            assert await asked.time.options(deadline=3)() == 3
            assert await asked.time.options(deadline=300)() == 100
        with trio.fail_after(2):
            assert await asked.time() == 2


async def test_c6_a_node_may_have_no_default_deadline(autojump_clock: MockClock) -> None:
    async with opened(call_deadline=inf) as node:
        asked = await node.start(Asked)
        assert await asked.time() == inf


async def test_c6_a_send_has_no_deadline(autojump_clock: MockClock) -> None:
    seen: list[float] = []

    class Sent(Service):
        @command
        def note(self) -> None:
            seen.append(current_request().deadline)

    async with opened() as node:
        sent = await node.start(Sent)
        with trio.fail_after(5):
            await sent.note.send()
    assert seen == [inf]


async def test_c6_what_is_left_of_the_time_goes_to_nested_calls(autojump_clock: MockClock) -> None:
    async with opened(call_deadline=11) as node:
        first = await node.start(Asked)
        second = await node.start(Asked)
        assert await first.time_of_next(second) == 10
        with trio.fail_after(5):
            assert await first.time_of_next(second) == 4
        assert await first.time_of_next_shielded.options(deadline=5)(second) == 11


async def test_c6_a_scope_of_the_handler_shortens_the_time_of_its_calls(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        asked = await node.start(Asked)
        box = await start(node, stage)
        assert await asked.nest(box, 2) == "moved on"
        assert trio.current_time() == 2
        assert await stage.settle(node) == ["x begins", "x cancelled"]
        await exceeded(lambda: asked.nest.options(deadline=3)(box, 20), 3)
        assert await stage.settle(node) == ["x begins", "x cancelled"]


async def test_c6_out_of_time_through_nested_calls(autojump_clock: MockClock) -> None:
    """The first in the chain gets the error; those after it are cancelled."""
    stage = Stage()
    async with opened(call_deadline=5) as node:
        a, b, c = [await start(node, stage) for _ in range(3)]
        await exceeded(lambda: a.relay(b, "relay", c, "hold", "x"), 5)
        assert await stage.settle(node) == ["relay relay", "relay hold", "x begins", "x cancelled"]


# --- calls that no cancellation of the handler would end ----------------------------------------------


class Helping(Service):
    """Calls in a task that outlives the handler, or in a part of the handler that is shielded."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    async def _call(self, target: Puppet) -> None:
        try:
            await target.hold("x")
        except Exception as error:
            self.ends.append(f"{type(error).__name__} at {trio.current_time():g}")

    @command
    async def in_a_helper(self, target: Puppet) -> None:
        self.nursery.start_soon(self._call, target)
        await trio.sleep(1)

    @command
    async def in_a_shield(self, target: Puppet) -> None:
        with trio.CancelScope(shield=True):
            await self._call(target)

    @command
    async def after_the_end(self, target: Puppet) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await self._call(target)


async def started(node: Node, stage: Stage) -> tuple[Helping, Puppet, list[str]]:
    helping = await node.start(spec(Helping))
    instance = actor_of(node, helping).instance
    assert isinstance(instance, Helping)
    return helping, await start(node, stage), instance.ends


async def test_c4_a_call_of_a_helper_task_ends_although_its_handler_has(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened(call_deadline=20) as node:
        helping, box, ends = await started(node, stage)
        await helping.in_a_helper(box)
        await trio.sleep(100)
        assert ends == ["DeadlineExceeded at 20"]


async def test_c4_a_call_in_a_shield_ends(autojump_clock: MockClock) -> None:
    """The handler is out of time, and so are the calls that it made before."""
    stage = Stage()
    async with opened(call_deadline=20) as node:
        helping, box, ends = await started(node, stage)
        with trio.fail_after(100):
            await helping.in_a_shield.options(deadline=5)(box)
        assert ends == ["DeadlineExceeded at 5"]


async def test_c4_a_call_in_a_shield_after_the_cancellation_has_time(autojump_clock: MockClock) -> None:
    """What cleans up after the end of the time gets time of its own."""
    stage = Stage()
    async with opened(call_deadline=20) as node:
        helping, box, ends = await started(node, stage)
        await exceeded(lambda: helping.after_the_end.options(deadline=5)(box), 25)
        assert ends == ["DeadlineExceeded at 25"]
        with trio.move_on_after(5) as scope:
            await helping.after_the_end(box)
        assert scope.cancelled_caught
        assert ends[1:] == ["DeadlineExceeded at 50"]


async def test_c6_nothing_is_left_of_calls_that_ended(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened(call_deadline=5) as node, trio.open_nursery() as nursery:
        box = await start(node, stage)
        for number in range(50):
            nursery.start_soon(box.note, str(number))
        await wait_all_tasks_blocked()
        await trio.sleep(6)
        assert len(node.deadlines) == 0


@attrs.define
class Large:
    """Something that a message holds, whose life can be watched."""

    size: int


value(Large)


async def test_c4_a_call_that_ended_keeps_nothing_large_alive(autojump_clock: MockClock) -> None:
    """The heap of deadlines may hold the call for a minute, but not what it carried."""
    seen: list[weakref.ref[Large]] = []

    class Keeping(Service):
        @command
        async def give_back(self, one: Large, *, other: Large | None = None) -> Large:
            assert other is not None
            answer = Large(one.size)
            seen.extend(map(weakref.ref, (one, other, answer)))
            return answer

        @command
        async def forever(self, one: Large) -> None:
            seen.append(weakref.ref(one))
            await trio.sleep_forever()

    async with opened() as node, trio.open_nursery() as nursery:
        keeping = await node.start(Keeping)
        got = await keeping.give_back(Large(1), other=Large(2))
        assert got == Large(1)
        seen.append(weakref.ref(got))
        del got
        caller = await begin(nursery, lambda: keeping.forever(Large(3)))
        caller.scope.cancel()
        await caller.over.wait()
        assert len(node.deadlines) == 1
        gc.collect()
        assert [ref() for ref in seen] == [None] * 5


# --- one deadline for two calls -------------------------------------------------------------------------


class Patient(Puppet):
    """Calls after a while, in the time that it was given."""

    @command
    async def go_on(self, target: Puppet) -> str:
        await trio.sleep(2)
        return await target.hold("x")


async def test_c6_who_runs_out_of_time_does_so_before_what_it_calls(autojump_clock: MockClock) -> None:
    """Both have the same deadline; its handler does not see that of the call which it made."""
    stage = Stage()
    async with opened(call_deadline=60) as node, trio.open_nursery() as nursery:
        patient = await node.start(spec(Patient, stage))
        full = await start(node, stage, concurrency=1)
        error = None

        async def fill() -> None:
            with trio.move_on_after(1000):
                await full.hold("full")

        async def call() -> None:
            nonlocal error
            error = await exceeded(lambda: patient.go_on.options(deadline=3)(full), 3)

        await begin(nursery, fill)
        long = await begin(nursery, lambda: patient.hold("long"))  # the last deadline, for a while
        caller = await begin(nursery, call)
        stage.open("long")
        await long.over.wait()
        await caller.over.wait()
        assert error is not None
        assert error.executed is True
        stage.open("full")
