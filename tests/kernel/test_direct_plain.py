"""Plain functions, the same in their caller's task as by way of the inbox (C1, C4, C6, C7, C9)."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import actor_of, begin, exceeded, opened
from tests.kernel.track import Runner, Track, direct_only, run_on, take
from trionet import (
    BadArguments,
    CallError,
    NoReply,
    NoSuchCommand,
    RemoteError,
    Service,
    ServiceExited,
    command,
    current_request,
    defer,
    spec,
)
from trionet.kernel.context import RequestInfo, current_actor
from trionet.kernel.seams import READING

colour: ContextVar[str] = ContextVar("colour", default="none")


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raises", "kind"),
    [("ValueError", "ValueError"), ("TypeError", "TypeError"), ("StopIteration", "RuntimeError")],
)
async def test_c9_an_error_fails_its_call_only(autojump_clock: MockClock, raises: str, kind: str) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track)
        with pytest.raises(RemoteError) as caught:
            await box.fail(raises)
        assert (caught.value.type_name, caught.value.executed) == (kind, True)
        assert "in fail\n" in caught.value.traceback_text
        assert await box.note("next") == "next"


async def test_c4_what_does_not_fit_was_not_executed(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track)
        with pytest.raises(BadArguments, match=r"the command is note\(word") as caught:
            await node.call(box, "note")
        assert caught.value.executed is False
        with pytest.raises(NoSuchCommand) as missing:
            await node.call(box, "nothing")
        assert missing.value.executed is False
        with pytest.raises(RemoteError):  # a TypeError of its own
            await box.fail("TypeError")
        assert track.log == []


async def test_c1_a_result_is_a_copy(autojump_clock: MockClock) -> None:
    track = Track()
    kept: list[list[int]] = [[1]]
    async with opened() as node:
        box = await run_on(node, track, lambda _: kept)
        result = await box.do()
        assert result == [[1]]
        result[0].append(2)
        assert kept == [[1]]
        given = [1]
        assert await box.note(given) is not given


# --- a reply that is left for later ---------------------------------------------------------------------


async def test_c7_a_deferred_reply_given_within_the_handler(autojump_clock: MockClock) -> None:
    def answer(_: Runner) -> str:
        assert defer().ok("given")
        return "ignored"

    track = Track()
    async with opened() as node:
        box = await run_on(node, track, answer)
        assert await box.do() == "given"
        assert node.service_statistics(box).deferred == 0


async def test_c7_a_deferred_reply_given_later(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        caller = await begin(nursery, lambda: box.later("a"))
        failing = await begin(nursery, lambda: box.later("b"))
        dropped = await begin(nursery, lambda: box.later("c"))
        assert node.service_statistics(box).deferred == 3
        assert await box.note("meanwhile") == "meanwhile"
        assert take(track, "a").ok([1])
        assert take(track, "b").fail(ValueError("no"))
        take(track, "c")
        await wait_all_tasks_blocked()
        assert caller.end == "value [1]"
        assert failing.end == "RemoteError: ValueError: no"
        assert dropped.end.startswith(NoReply.__name__)
        assert node.service_statistics(box).deferred == 0


async def test_c6_the_caller_of_a_deferred_reply_is_cancelled(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        caller = await begin(nursery, lambda: box.later("a"))
        caller.scope.cancel()
        await wait_all_tasks_blocked()
        assert caller.end == "cancelled"
        reply = take(track, "a")
        assert not reply.is_open
        assert not reply.ok(1)


@pytest.mark.parametrize("way", ["options", "default", "scope"])
async def test_c6_a_deferred_reply_that_does_not_come_in_time(autojump_clock: MockClock, way: str) -> None:
    track = Track()
    async with opened(call_deadline=7.0) as node:
        box = await run_on(node, track)
        if way == "scope":
            with trio.move_on_after(2) as scope:
                await box.later("a")
            assert scope.cancelled_caught
        else:
            call = box.later.options(deadline=3) if way == "options" else box.later
            error = await exceeded(lambda: call("a"), 3 if way == "options" else 7)
            assert error.executed is True
        assert not take(track, "a").is_open


async def test_c8_a_deferred_reply_of_a_service_that_is_killed(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        caller = await begin(nursery, lambda: box.later("a"))
        await node.kill(box)
        await caller.over.wait()
        assert caller.end.startswith(ServiceExited.__name__)
        assert not take(track, "a").is_open


# --- what a handler knows -------------------------------------------------------------------------------


class Asker(Service):
    """Calls, and tells what it knows of its own message."""

    @command
    async def ask(self, target: Runner) -> tuple[Any, ...]:
        own = current_request()
        source, session, trace, name = await target.do()
        return source == self.handle, session > 0, trace == own.trace, name


async def test_c6_a_handler_knows_its_caller(autojump_clock: MockClock) -> None:
    def tell(_: Runner) -> tuple[Any, ...]:
        known = current_request()
        return known.source, known.session, known.trace, known.command

    track = Track()
    async with opened() as node:
        box = await run_on(node, track, tell)
        asker = await node.start(Asker)
        assert await asker.ask(box) == (True, True, True, "do")
        source, *_ = await box.do()
        assert source is None


async def test_c6_a_handler_knows_when_its_caller_s_time_is_over(autojump_clock: MockClock) -> None:
    class Patient(Runner, deadline=9):
        @command(deadline=4)
        def own_deadline(self) -> float:
            return current_request().deadline

    track = Track()
    async with opened(call_deadline=7.0) as node:
        box, patient = await run_on(node, track), await node.start(spec(Patient, track))
        assert await box.deadline() == trio.current_time() + 7
        assert await box.deadline.options(deadline=3)() == trio.current_time() + 3
        assert await patient.deadline() == trio.current_time() + 9
        assert await patient.own_deadline() == trio.current_time() + 4
        with trio.fail_after(2):
            assert await box.deadline() == trio.current_time() + 2
            assert await box.deadline.options(deadline=1)() == trio.current_time() + 1
        await trio.sleep(20)  # none of these is told of its deadline
        assert await box.note("fine") == "fine"


async def test_c6_a_task_that_it_starts_knows_it_too(autojump_clock: MockClock) -> None:
    """The helper asks when the call is over, from a task around which there is no scope of the caller."""
    known: list[RequestInfo] = []

    async def look() -> None:
        await trio.sleep(1)
        known.append(current_request())

    track = Track()
    async with opened() as node:
        box = await run_on(node, track, lambda runner: runner.nursery.start_soon(look))
        with trio.fail_after(5):
            await box.do()
            ends = trio.current_effective_deadline()
        await trio.sleep(2)
        assert [info.deadline for info in known] == [ends]


async def test_c6_a_helper_has_a_deadline_of_its_own(autojump_clock: MockClock) -> None:
    """It does not inherit that of the call that started it."""
    ends: list[str] = []

    def start_helper(runner: Runner) -> None:
        async def helper() -> None:
            other = runner.node.ref(".other", Runner)
            try:
                await other.later.options(deadline=4)("a")
            except CallError as error:
                ends.append(f"{type(error).__name__} at {trio.current_time() - began:g}")

        runner.nursery.start_soon(helper)

    track = Track()
    async with opened() as node:
        began = trio.current_time()
        await node.start(spec(Runner, track), name=".other")
        box = await run_on(node, track, start_helper)
        await box.do.options(deadline=2)()
        await trio.sleep(10)
        assert ends == ["DeadlineExceeded at 4"]
        track.kept.clear()


# --- context variables ----------------------------------------------------------------------------------


async def test_c9_context_variables_leak_in_neither_direction(autojump_clock: MockClock) -> None:
    seen: list[Any] = []

    def look(runner: Runner) -> None:
        seen.append((colour.get(), current_actor.get() is runner._trionet_actor))
        colour.set("of the handler")

    track = Track()
    async with opened() as node:
        box = await run_on(node, track, look)
        colour.set("of the caller")
        await box.do()
        await box.do()
        assert (colour.get(), current_actor.get()) == ("of the caller", None)
        assert seen == [("none", True), ("none", True)]
        with pytest.raises(RuntimeError, match="for handlers"):
            current_request()


# --- statistics -----------------------------------------------------------------------------------------


class Busy(Service):
    """Calls so many times; between two calls it works on its own."""

    @command
    async def call_often(self, target: Runner, times: int) -> None:
        for number in range(times):
            self.node.stopwatch()
            await target.note(number)


@direct_only
async def test_c7_each_is_charged_for_its_own_time(autojump_clock: MockClock) -> None:
    """The stopwatch of a simulation advances with each reading: all that passes is charged once."""
    track = Track()
    times = 20  # within a slice
    async with opened() as node:
        box, busy = await run_on(node, track), await node.start(Busy)
        own, other = actor_of(node, busy), actor_of(node, box)
        node._slice_ends = node.stopwatch() + 1
        await busy.call_often(box, times)
        assert (other.messages, own.messages) == (times, 1)
        assert other.cpu_time == pytest.approx(times * READING)  # from its beginning to its end
        # a reading of its own, one to look at the slice, and one from the end of the direct call on
        assert own.cpu_time == pytest.approx(READING + 3 * times * READING)
        assert node.statistics().cpu_time == pytest.approx(own.cpu_time + other.cpu_time)
