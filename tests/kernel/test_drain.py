"""Sends that one task drains from an inbox: order, pauses, ends in their midst (C2, C7, C8)."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import actor_of, begin, opened
from tests.kernel.track import Act, Runner, Serial, Track, direct_only, nothing, run_on
from trionet import Node
from trionet.kernel.dispatch import FAIR_MESSAGES, FAIR_SECONDS
from trionet.kernel.seams import READING


async def drain(node: Node, track: Track, act: Act, count: int, *, kind: type[Runner] = Runner) -> Runner:
    """Send so many messages in a row, the middle one of which acts, and let all come to rest."""
    box = await run_on(node, track, act, kind=kind)
    await wait_all_tasks_blocked()
    for number in range(count):
        if number == count // 2:
            box.do.send_nowait()
        else:
            box.note.send_nowait(number)
    await wait_all_tasks_blocked()
    return box


def numbers(count: int, *, until: int | None = None) -> list[str]:
    """What all messages but the middle one write."""
    return [str(number) for number in range(count if until is None else until) if number != count // 2]


async def turns(node: Node, track: Track, work: int) -> list[int]:
    """How many messages each turn of the event loop handles, each of which looks at the stopwatch."""
    counts = [0]

    def be_busy(runner: Runner) -> None:
        for _ in range(work):
            runner.node.stopwatch()
        track.log.append("done")

    box = await run_on(node, track, be_busy)
    for _ in range(1000):
        box.do.send_nowait()
    async with trio.open_nursery() as nursery:

        async def look() -> None:
            while True:
                counts.append(len(track.log))
                await trio.lowlevel.checkpoint()

        nursery.start_soon(look)
        while len(track.log) < 1000:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    counts.append(len(track.log))
    return [after - before for before, after in pairwise(counts) if after - before]


@direct_only
@pytest.mark.parametrize("work", [0, 5, 30, 200])
async def test_c7_a_pause_comes_after_so_many_messages_or_so_much_time(
    autojump_clock: MockClock, work: int
) -> None:
    track = Track()
    async with opened() as node:
        handled = await turns(node, track, work)
    by_time = int(FAIR_SECONDS / READING / (work + 1)) + 1  # a reading more, at the end of each handler
    most = min(FAIR_MESSAGES, by_time)
    assert sum(handled) == 1000
    assert max(handled) <= 2 * most  # the order within a turn is drawn: two portions may be between two looks
    assert min(handled[:-2]) >= most - 1


async def test_c2_all_are_begun_in_order_by_one_task(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node:
        box = await drain(node, track, nothing, 250)
        assert track.log == numbers(250)
        assert len(set(track.tasks)) == 1
        assert node.service_statistics(box).messages == 250


async def test_c7_one_that_waits_does_not_hold_up_the_others(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track)
        for number in range(40):
            (box.hold if number == 20 else box.note).send_nowait(f"{number}")
        expected = [f"{number} begins" if number == 20 else f"{number}" for number in range(40)]
        assert await track.settle(node) == expected
        track.open("20")
        assert await track.settle(node) == ["20 ends"]


async def test_c7_one_that_waits_holds_up_all_where_there_is_one_slot(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track, kind=Serial)
        for number in range(10):
            (box.hold if number % 4 == 2 else box.note).send_nowait(f"{number}")
        last = await begin(nursery, lambda: box.note("last"))
        assert await track.settle(node) == ["0", "1", "2 begins"]
        track.open("2")
        assert await track.settle(node) == ["2 ends", "3", "4", "5", "6 begins"]
        track.open("6")
        assert await track.settle(node) == ["6 ends", "7", "8", "9", "last"]
        assert last.end == "value last"


async def test_c9_one_that_fails_is_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Runner) -> None:
        raise ValueError("in the midst")

    track = Track()
    async with opened() as node:
        await drain(node, track, fail, 20)
        assert track.log == numbers(20)
    assert [record.message.partition(",")[0] for record in caplog.records] == ["do"]
    assert "ValueError: in the midst" in caplog.text


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_c8_one_that_ends_its_service_is_the_last(autojump_clock: MockClock, how: str) -> None:
    """Those behind it are dead letters."""

    def end(runner: Runner) -> None:
        if how == "kill":
            runner._actor.kill()
        else:
            runner._actor.request_stop(trio.current_time() + 5)

    track = Track()
    async with opened() as node:
        await drain(node, track, end, 20)
        assert track.log == [*numbers(20, until=10), *(["torn down"] if how == "stop" else [])]
        assert node.dead_letters.count == 9


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_c8_one_that_waits_when_the_service_ends(autojump_clock: MockClock, how: str) -> None:
    track = Track()
    async with opened(stop_grace=3.0) as node:
        box = await run_on(node, track, kind=Serial)
        for key in ("a", "b", "c"):
            box.hold.send_nowait(key)
        assert await track.settle(node) == ["a begins"]
        await (node.kill if how == "kill" else node.stop)(box)
        assert await track.settle(node) == ["a cancelled", *(["torn down"] if how == "stop" else [])]
        assert node.dead_letters.count == 2


@direct_only
async def test_c2_a_call_in_a_pause_of_the_drain_waits_for_its_turn(autojump_clock: MockClock) -> None:
    """The leader lets others run while messages are left; who calls then does not pass them."""
    track = Track()
    count = 3 * FAIR_MESSAGES
    async with opened() as node:
        box = await run_on(node, track)
        for number in range(count):
            box.note.send_nowait(number)
        while not track.log:
            await trio.lowlevel.checkpoint()
        assert len(track.log) < count
        node._slice_ends = inf  # the call makes no pause of its own
        track.here()
        assert await box.note("late") == "late"
        assert track.log == [*map(str, range(count)), "late"]
        assert not any(track.here())


@direct_only
async def test_c7_time_is_charged_to_the_service_whose_messages_are_drained(
    autojump_clock: MockClock,
) -> None:
    track = Track()
    async with opened() as node:
        box = await drain(node, track, nothing, 50)
        actor = actor_of(node, box)
        assert actor.cpu_time == pytest.approx(50 * READING)  # from the end of one to the end of the next
        assert actor.messages == 50
