"""Plain functions in the task of their caller: when it is so, and when it must not be (C1, C2, C6, C7)."""

from __future__ import annotations

from contextvars import ContextVar
from itertools import pairwise
from math import inf

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import actor_of, begin, opened
from tests.kernel.track import Runner, Serial, Track, direct_only, run_on
from trionet import BadMessage, Service, ServiceExited, command, spec, value
from trionet.kernel.messaging import SLICE
from trionet.kernel.seams import READING
from trionet.testing import full_inbox

colour: ContextVar[str] = ContextVar("colour", default="none")


# --- where it runs --------------------------------------------------------------------------------------


@direct_only
async def test_c6_a_plain_function_of_an_idle_service_runs_in_the_task_of_its_caller(
    autojump_clock: MockClock,
) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track)
        assert [await box.note(1), await node.call(box, "note", 2), await box.note(3)] == [1, 2, 3]
        assert track.here() == [True, True, True]


@direct_only
async def test_c6_not_where_the_node_has_no_direct_calls(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened(direct_calls=False) as node:
        box = await run_on(node, track)
        assert await box.note(1) == 1
        assert await box.step("s") == "s"
        assert track.here() == [False, False]


@direct_only
async def test_c6_also_one_that_is_shielded(autojump_clock: MockClock) -> None:
    track = Track()

    class Shielded(Runner):
        @command(shielded=True)
        def note_shielded(self, word: str) -> None:
            self.track.begins()

    async with opened() as node:
        box = await node.start(spec(Shielded, track))
        await box.note_shielded("x")
        assert track.here() == [True]


# --- order ----------------------------------------------------------------------------------------------


class Source(Service):
    """Hands over messages in a row."""

    @command
    async def send_and_call(self, target: Runner, rounds: int) -> None:
        for number in range(rounds):
            target.note.send_nowait(f"{number}a")
            await target.note.send(f"{number}b")
            await target.note(f"{number}c")
            await target.note(f"{number}d")
            await target.step(f"{number}e")


async def test_c2_a_call_does_not_pass_the_sends_before_it(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track)
        source = await node.start(Source)
        await source.send_and_call(box, 20)
        assert await track.settle(node) == [f"{number}{kind}" for number in range(20) for kind in "abcde"]


@direct_only
async def test_c2_behind_a_queued_message_it_goes_through_the_inbox(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track)
        node._slice_ends = inf  # the call makes no pause, in which the first might be handled
        box.note.send_nowait("first")
        assert await box.note("second") == "second"
        assert track.here() == [False, False]
        assert await box.note("third") == "third"  # nothing is ahead of it
        assert track.here() == [True]
        assert track.log == ["first", "second", "third"]


@direct_only
async def test_c2_behind_one_that_waits_for_room(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        with full_inbox(node, box):
            await begin(nursery, lambda: box.note.send("first"))
            second = await begin(nursery, lambda: box.note("second"))
            assert track.log == []
        await second.over.wait()
        assert track.log == ["first", "second"]
        assert track.here() == [False, False]


# --- the limit ------------------------------------------------------------------------------------------


@direct_only
@pytest.mark.parametrize(("kind", "runs_at_once"), [(Serial, False), (Runner, True)])
async def test_c7_it_needs_a_free_slot(
    autojump_clock: MockClock, kind: type[Runner], runs_at_once: bool
) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track, kind=kind)
        await begin(nursery, lambda: box.hold("a"))
        noted = await begin(nursery, lambda: box.note("word"))
        assert noted.over.is_set() is runs_at_once
        track.open("a")
        await noted.over.wait()
        words = ["word", "a ends"] if runs_at_once else ["a ends", "word"]
        assert await track.settle(node) == ["a begins", *words]


async def test_c7_a_handler_is_never_seen_halfway(autojump_clock: MockClock) -> None:
    """What a coroutine does between two checkpoints no plain function comes between."""
    seen: list[bool] = []

    class Whole(Service):
        def __init__(self) -> None:
            self.halfway = False

        @command
        async def work(self, other: Runner) -> None:
            for _ in range(5):
                self.halfway = True
                other.note.send_nowait("other")
                self.look.send_nowait()
                self.halfway = False
                await trio.lowlevel.checkpoint()

        @command
        def look(self) -> None:
            seen.append(self.halfway)

    track = Track()
    async with opened() as node:
        whole = await node.start(Whole)
        box = await run_on(node, track)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(whole.work, box)
            for _ in range(5):
                await whole.look()
        await wait_all_tasks_blocked()
        assert seen == [False] * 10


# --- life -----------------------------------------------------------------------------------------------


async def test_c8_not_before_the_service_runs(autojump_clock: MockClock) -> None:
    """Its handle may be known while it sets itself up; what comes then waits in its inbox."""
    track = Track()
    early: list[Runner] = []

    class Slow(Runner):
        async def setup(self) -> None:
            early.append(self.ref())
            await self._wait("setup")

    async with opened() as node, trio.open_nursery() as nursery:
        started = await begin(nursery, lambda: node.start(spec(Slow, track)))
        noted = await begin(nursery, lambda: node.ref(early[0], Runner).note("word"))
        assert not noted.over.is_set()
        track.open("setup")
        await noted.over.wait()
        await started.over.wait()
        assert await track.settle(node) == ["setup begins", "setup ends", "word"]
        assert track.here() == [False]


async def test_c8_not_once_it_stops(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        held = await begin(nursery, lambda: box.hold("a"))
        nursery.start_soon(node.stop, box)
        await wait_all_tasks_blocked()
        with pytest.raises(ServiceExited) as caught:
            await box.note("never")
        assert caught.value.executed is False
        track.open("a")
        await held.over.wait()
        assert held.end == "value a"
        assert await track.settle(node) == ["a begins", "a ends", "torn down"]


# --- the caller -----------------------------------------------------------------------------------------


async def test_c6_a_caller_that_was_cancelled_starts_no_handler(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track)
        with trio.CancelScope() as scope:
            scope.cancel()
            await box.note("never")
        assert scope.cancelled_caught
        assert await track.settle(node) == []


async def test_c6_a_loop_of_calls_is_cancelled_by_its_deadline(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track)
        with trio.move_on_after(0) as scope:
            while True:
                await box.note("word")
        assert scope.cancelled_caught


@direct_only
async def test_c6_a_loop_of_calls_lets_others_run_each_millisecond(autojump_clock: MockClock) -> None:
    track = Track()
    counts: list[int] = []
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)

        async def look() -> None:
            while True:
                counts.append(len(track.log))
                await trio.lowlevel.checkpoint()

        nursery.start_soon(look)
        for number in range(1000):
            await box.note(number)
        nursery.cancel_scope.cancel()
        assert all(track.here())
    most = max(after - before for before, after in pairwise(counts))
    readings = 3  # of the stopwatch, each time
    assert 1 < most <= 2 * SLICE / READING / readings + 2  # the order within a turn is drawn


# --- validators -----------------------------------------------------------------------------------------


def refuse_negative(_: object, __: object, size: int) -> None:
    """A validator that looks around and leaves something behind."""
    found.append(colour.get())
    colour.set("set by a validator")
    if size < 0:
        raise ValueError(f"{size} is below 0")


found: list[str] = []


@value(name="test.direct.sized")
@attrs.define(on_setattr=attrs.setters.NO_OP)
class Sized:
    """A class whose validator can be got around."""

    size: int = attrs.field(default=0, validator=refuse_negative)


async def test_c1_validators_run_in_the_context_of_the_receiver(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track)
        good, bad = Sized(1), Sized(2)
        bad.size = -1
        found.clear()
        colour.set("of the caller")
        await box.note.send(good)
        assert await box.step("wait") == "wait"
        with pytest.raises(BadMessage, match="-1 is below 0") as caught:
            await box.note(bad)
        assert caught.value.executed is False
        await node.call(box, "note", good)
        assert found[:2] == ["none", "none"]
        assert track.log == [str(good), "wait", str(good)]
        assert actor_of(node, box).messages == 3
