"""Deadlines travel with calls (C4, C6): which one applies, and what happens in each state when it passes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Awaitable, Callable
from math import inf

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import Puppet, Stage, actor_of, begin, opened, start
from trionet import DeadlineExceeded, Node, RemoteError, Service, command, current_request, spec, value


async def exceeded(call: Callable[[], Awaitable[object]], seconds: float) -> DeadlineExceeded:
    """Make a call that runs out of time after some seconds."""
    began = trio.current_time()
    with pytest.raises(DeadlineExceeded) as caught:
        await call()
    assert trio.current_time() - began == pytest.approx(seconds)
    assert isinstance(caught.value, trio.TooSlowError)
    return caught.value


# --- by state ---------------------------------------------------------------------------------------


async def test_c6_out_of_time_while_it_waits_for_room(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=1)
        await begin(nursery, lambda: box.persist("a"))
        await box.note.send("first")
        error = await exceeded(lambda: box.note.options(deadline=5)("never"), 5)
        assert error.executed is False
        assert actor_of(node, box).inbox.waiting == 0
        stage.open("a")
        assert await stage.settle(node) == ["a begins", "a ends", "first"]


async def test_c6_out_of_time_while_queued_never_starts(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1)
        await begin(nursery, lambda: box.hold("a"))
        error = await exceeded(lambda: box.note.options(deadline=5)("never"), 5)
        assert error.executed is False
        assert str(error) == "note of :00000001 (Puppet) was still queued at its deadline"
        stage.open("a")
        assert await stage.settle(node) == ["a begins", "a ends"]


async def test_c6_out_of_time_while_running(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        error = await exceeded(lambda: box.hold.options(deadline=5)("a"), 5)
        assert error.executed is True
        assert str(error) == "hold of :00000001 (Puppet) ran out of time and was cancelled"
        assert await stage.settle(node) == ["a begins", "a cancelled"]


async def test_c6_out_of_time_while_a_shielded_command_runs(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        error = await exceeded(lambda: box.persist.options(deadline=5)("a"), 5)
        assert error.executed is True
        assert node.service_statistics(box).handlers[0].abandoned
        stage.open("a")
        assert await stage.settle(node) == ["a begins", "a ends"]


async def test_c6_out_of_time_while_deferred(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        error = await exceeded(lambda: box.later.options(deadline=5)("a"), 5)
        assert error.executed is True
        assert not stage.kept["a"].is_open


async def test_c6_in_time(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        for _ in range(3):
            assert await box.note.options(deadline=5)("in time") == "in time"
        await trio.sleep(10)  # and nothing happens later
        assert await box.note("next") == "next"


# --- handlers that do not just end --------------------------------------------------------------------


class Slow(Service):
    @command
    async def swallow(self) -> str:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "after all"

    @command
    async def convert(self) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            raise KeyError("instead") from None

    @command
    async def clean_up(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)

    @command
    async def group(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)

    @command
    async def own_timeout(self) -> None:
        with trio.fail_after(2):
            await trio.sleep_forever()


async def test_c6_the_outcome_of_a_handler_that_did_not_end_by_cancellation(
    autojump_clock: MockClock,
) -> None:
    async with opened(call_deadline=5) as node:
        slow = await node.start(Slow)
        assert await slow.swallow() == "after all"
        assert trio.current_time() == 5
        with pytest.raises(RemoteError, match="KeyError: 'instead'"):
            await slow.convert()
        assert trio.current_time() == 10


async def test_c6_the_call_is_over_when_the_handler_is(autojump_clock: MockClock) -> None:
    async with opened(call_deadline=5) as node:
        slow = await node.start(Slow)
        await exceeded(slow.clean_up, 8)
        await exceeded(slow.group, 5)


async def test_c6_a_timeout_of_the_handler_itself_is_its_error(autojump_clock: MockClock) -> None:
    async with opened(call_deadline=5) as node:
        slow = await node.start(Slow)
        with pytest.raises(RemoteError, match=r"trio\.TooSlowError"):
            await slow.own_timeout()
        assert trio.current_time() == 2


# --- both at once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hold", "persist", "later"])
async def test_c6_cancelled_and_out_of_time_at_the_same_instant(autojump_clock: MockClock, name: str) -> None:
    """Either is right, but only one of them, and exactly once."""
    stage = Stage()
    async with opened(call_deadline=5) as node, trio.open_nursery() as nursery:
        await start(node, stage, name=".box")
        caller = await begin(nursery, lambda: node.call(".box", name, "a"))

        async def cancel() -> None:
            await trio.sleep_until(5)
            caller.scope.cancel()

        nursery.start_soon(cancel)
        await trio.sleep(6)
        assert caller.end == "cancelled" or caller.end.startswith("DeadlineExceeded")
        stage.open("a")


async def test_c6_a_scope_and_an_option_with_the_same_deadline(autojump_clock: MockClock) -> None:
    """The caller's own scope is not later than the option, so it is the one that ends the call."""
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        with trio.move_on_at(5) as scope:
            await box.hold.options(deadline=5)("a")
        assert scope.cancelled_caught
        assert await stage.settle(node) == ["a begins", "a cancelled"]


async def test_c6_out_of_time_and_answered_at_the_same_instant(autojump_clock: MockClock) -> None:
    class Sleepy(Service):
        @command
        async def nap(self) -> str:
            await trio.sleep(5)
            return "rested"

    async with opened(call_deadline=5) as node:
        sleepy = await node.start(Sleepy)
        for _ in range(20):
            try:
                end = await sleepy.nap()
            except DeadlineExceeded as error:
                end = str(error)
            assert end in ("rested", "nap of :00000001 (Sleepy) ran out of time and was cancelled")


async def test_c6_a_cancelled_call_that_is_past_its_deadline_stays_cancelled(
    autojump_clock: MockClock,
) -> None:
    """Cancelled first, out of time while the handler cleans up: the caller gets its own Cancelled."""
    async with opened(call_deadline=5) as node, trio.open_nursery() as nursery:
        slow = await node.start(Slow)
        caller = await begin(nursery, slow.clean_up)
        await trio.sleep(4)
        caller.scope.cancel()
        await trio.sleep(2)
        assert caller.end == "none"
        await trio.sleep(2)
        assert caller.end == "cancelled"


async def test_c6_a_call_past_its_deadline_that_is_cancelled_is_cancelled(autojump_clock: MockClock) -> None:
    """Out of time first, cancelled while the handler cleans up: again its own Cancelled."""
    async with opened(call_deadline=5) as node, trio.open_nursery() as nursery:
        slow = await node.start(Slow)
        caller = await begin(nursery, slow.clean_up)
        await trio.sleep(6)
        caller.scope.cancel()
        await trio.sleep(3)
        assert caller.end == "cancelled"


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
        assert node.deadlines._heap == []


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
        assert len(node.deadlines._heap) == 2
        gc.collect()
        assert [ref() for ref in seen] == [None] * 5
