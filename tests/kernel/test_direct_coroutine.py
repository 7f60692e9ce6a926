"""Coroutines that begin before their caller waits: where they run, slots, many at once (C7, C9)."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.stage import actor_of, begin, opened
from tests.kernel.track import Runner, Serial, Track, direct_only, run_on
from trionet import RemoteError, Service, command, gather, select, spec

colour: ContextVar[str] = ContextVar("colour", default="none")


# --- where it runs --------------------------------------------------------------------------------------


@direct_only
async def test_c6_it_begins_at_once_in_a_task_of_its_service(autojump_clock: MockClock) -> None:
    """From its first step to its last, with waits in between, it is in the same one."""
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        assert await box.step("s") == "s"
        assert track.here() == [True]
        held = await begin(nursery, lambda: box.hold("a"))
        assert node.service_statistics(box).running == 1
        (request,) = actor_of(node, box).handlers
        assert track.tasks == [request.task]
        assert track.here() == [True]
        assert request.task not in nursery.child_tasks
        track.open("a")
        await held.over.wait()
        assert held.end == "value a"
        assert await track.settle(node) == ["s", "a begins", "a ends"]
        assert node.service_statistics(box).running == 0


async def test_c9_an_error_after_a_wait_fails_its_call_only(autojump_clock: MockClock) -> None:
    class Failing(Runner):
        @command
        async def fail_late(self) -> None:
            await trio.sleep(1)
            raise ValueError("late")

    async with opened() as node:
        box = await node.start(spec(Failing, Track()))
        with pytest.raises(RemoteError, match="ValueError: late"):
            await box.fail_late()
        assert await box.note("fine") == "fine"


async def test_c9_context_variables_do_not_leak_across_waits(autojump_clock: MockClock) -> None:
    class Colourful(Service):
        @command
        async def paint(self) -> tuple[str, str, str]:
            before = colour.get()
            colour.set("of the handler")
            await trio.sleep(1)
            async with trio.open_nursery() as nursery:
                seen = await nursery.start(self._look)
            return before, colour.get(), seen

        async def _look(self, *, task_status: trio.TaskStatus[str]) -> None:
            task_status.started(colour.get())

    async with opened() as node:
        painter = await node.start(Colourful)
        colour.set("of the caller")
        assert await painter.paint() == ("none", "of the handler", "of the handler")
        assert colour.get() == "of the caller"


# --- slots ----------------------------------------------------------------------------------------------


async def test_c7_it_takes_a_slot_and_frees_it(autojump_clock: MockClock) -> None:
    """What was queued meanwhile goes on, in order, sends and calls."""
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track, kind=Serial)
        await begin(nursery, lambda: box.hold("a"))
        box.note.send_nowait("first")
        second = await begin(nursery, lambda: box.note("second"))
        third = await begin(nursery, lambda: box.step("third"))
        assert await track.settle(node) == ["a begins"]
        assert node.service_statistics(box).running == 1
        track.open("a")
        await second.over.wait()
        await third.over.wait()
        assert await track.settle(node) == ["a ends", "first", "second", "third"]


async def test_c7_its_slot_is_free_when_it_is_cancelled(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track, kind=Serial)
        caller = await begin(nursery, lambda: box.hold("a"))
        box.note.send_nowait("next")
        caller.scope.cancel()
        assert await track.settle(node) == ["a begins", "a cancelled", "next"]


@direct_only
async def test_c7_what_it_sends_to_itself_comes_after_its_first_step(autojump_clock: MockClock) -> None:
    class Forward(Serial):
        @command
        async def go(self) -> None:
            self.track.begins()
            await self.note.send("sent")
            self.track.log.append("went")

    track = Track()
    async with opened() as node:
        box: Any = await run_on(node, track, kind=Forward)
        track.here()
        await box.go()
        assert track.here() == [True]
        assert await track.settle(node) == ["went", "sent"]


@pytest.mark.parametrize("limit", [1, 3])
async def test_c7_no_more_of_them_than_the_limit(autojump_clock: MockClock, limit: int) -> None:
    class Limited(Runner, concurrency=limit):
        pass

    track = Track()
    keys = ["a", "b", "c", "d", "e"]
    async with opened() as node, trio.open_nursery() as nursery:
        box = await node.start(spec(Limited, track))
        for key in keys:
            await begin(nursery, lambda key=key: box.hold(key))  # type: ignore[misc]
        assert await track.settle(node) == [f"{key} begins" for key in keys[:limit]]
        track.open("a")
        assert await track.settle(node) == ["a ends", f"{keys[limit]} begins"]
        track.open(*keys)


# --- together -------------------------------------------------------------------------------------------


async def test_c7_within_the_branches_of_a_gather(autojump_clock: MockClock) -> None:
    class Gatherer(Service):
        @command
        async def both(self, one: Runner, two: Runner) -> list[Any]:
            outcomes = await gather(one.hold("a"), two.hold("b"), deadline=2)
            return [outcome.value or type(outcome.error).__name__ for outcome in outcomes]

    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        one, two = await run_on(node, track), await run_on(node, track)
        gatherer = await node.start(Gatherer)
        caller = await begin(nursery, lambda: gatherer.both(one, two))
        assert sorted(await track.settle(node)) == ["a begins", "b begins"]
        track.open("a")
        await trio.sleep(3)
        assert caller.end == "value ['a', 'DeadlineExceeded']"
        assert await track.settle(node) == ["a ends", "b cancelled"]
        assert node.statistics().running == 0


async def test_c7_within_the_branches_of_a_select(autojump_clock: MockClock) -> None:
    """Who leaves it cancels the others, whose handlers end first."""

    class Chooser(Service):
        @command
        async def first(self, one: Runner, two: Runner) -> Any:
            async with select({"one": one.hold("a"), "two": two.hold("b")}) as ended:
                async for name, outcome in ended:
                    return name, outcome.value
            return None

    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        one, two = await run_on(node, track), await run_on(node, track)
        chooser = await node.start(Chooser)
        caller = await begin(nursery, lambda: chooser.first(one, two))
        await track.settle(node)
        track.open("b")
        assert await track.settle(node) == ["b ends", "a cancelled"]
        assert caller.end == "value ('two', 'b')"
