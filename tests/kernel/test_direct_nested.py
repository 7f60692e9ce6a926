"""Coroutines that begin within one another, up to the bound and beyond, and in circles (C6, C7)."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import begin, opened
from tests.kernel.track import Runner, Serial, Track, direct_only, run_on
from trionet import Deadlock, Node, command, gather, spec
from trionet.kernel.lending import MOST_NESTED

# --- within one another ---------------------------------------------------------------------------------


class Deep(Runner):
    """Calls the next one, which calls the next one."""

    @command
    async def dive(self, others: list[Any], key: str = "") -> int:
        self.track.begins()
        if others:
            rest: int = await self.call(others[0], "dive", others[1:], key)
            return 1 + rest
        if key:
            await self.track.gate(key).wait()
        return 1


async def chain(node: Node, track: Track, length: int) -> tuple[Deep, list[Any]]:
    """Start services that call each other; the first, and the others."""
    first, *others = [await run_on(node, track, kind=Deep) for _ in range(length)]
    assert isinstance(first, Deep)
    return first, others


@direct_only
async def test_c7_so_many_are_within_one_another_and_no_more(autojump_clock: MockClock) -> None:
    """The next one goes through the inbox, and begins to count anew."""
    track = Track()
    async with opened() as node:
        deep, others = await chain(node, track, 3 * MOST_NESTED)
        node._slice_ends = inf  # none of them makes a pause
        track.here()
        assert await deep.dive(others) == 3 * MOST_NESTED
        portion = [True] * MOST_NESTED
        assert track.here() == [*portion, False, *portion, False, *portion[2:]]
        assert node.statistics().messages == 3 * MOST_NESTED


@pytest.mark.parametrize("how", ["value", "cancel", "kill", "deadline"])
async def test_c6_the_end_of_the_innermost_reaches_the_outermost(autojump_clock: MockClock, how: str) -> None:
    track = Track()
    count = MOST_NESTED + 5
    async with opened() as node, trio.open_nursery() as nursery:
        deep, others = await chain(node, track, count)
        call = deep.dive.options(deadline=3) if how == "deadline" else deep.dive
        caller = await begin(nursery, lambda: call(others, "a"))
        assert node.statistics().running == count
        if how == "value":
            track.open("a")
        elif how == "cancel":
            caller.scope.cancel()
        elif how == "kill":
            await node.kill(deep)
        await caller.over.wait()
        ends = {"value": f"value {count}", "cancel": "cancelled", "kill": "ServiceExited"}
        assert caller.end.startswith(ends.get(how, "DeadlineExceeded"))
        await wait_all_tasks_blocked()
        assert node.statistics().running == 0


async def test_c7_a_chain_of_services_ends_as_one(autojump_clock: MockClock) -> None:
    """Each waits for the next; the one in the middle is killed."""
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        first, second, third = [await run_on(node, track) for _ in range(3)]
        caller = await begin(nursery, lambda: first.relay(second, "relay", third, "hold", "a"))
        await node.kill(second)
        await caller.over.wait()
        assert caller.end.startswith("RemoteError: trionet.ServiceExited")
        assert await track.settle(node) == ["a begins", "a cancelled"]
        assert [node.service_statistics(each).running for each in (first, third)] == [0, 0]


# --- circles --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("around", [1, 2, 3, MOST_NESTED + 3])
async def test_c7_a_circle_of_them_is_a_deadlock(autojump_clock: MockClock, around: int) -> None:
    """Services with one slot each call round in a ring; the last wait would close it."""

    class Ring(Serial):
        @command
        async def pass_on(self, rest: list[Any]) -> str:
            try:
                result: str = await self.call(rest[0], "pass_on", rest[1:])
            except Deadlock as error:
                return f"a circle of {len(error.chain) - 1}"
            return result

    async with opened() as node:
        ring = [await node.start(spec(Ring, Track())) for _ in range(around)]
        assert await ring[0].pass_on([*ring[1:], ring[0]]) == f"a circle of {around}"
        assert node.statistics().running == 0
        assert all([await each.note("fine") == "fine" for each in ring])


async def test_c7_a_circle_through_a_gather_is_a_deadlock(autojump_clock: MockClock) -> None:
    class Knot(Serial):
        @command
        async def tie(self, other: Any, free: Any) -> list[str]:
            outcomes = await gather(
                self.call(other, "relay", self.ref(), "note", "never"), self.call(free, "note", "through")
            )
            return [type(outcome.error).__name__ if outcome.error else "ok" for outcome in outcomes]

    track = Track()
    async with opened() as node:
        knot, other, free = [
            await node.start(spec(Knot, track)),
            await run_on(node, track, kind=Serial),
            await run_on(node, track),
        ]
        first, second = await knot.tie(other, free)
        assert (first, second) == ("RemoteError", "ok")  # a Deadlock, raised within the other
        assert await track.settle(node) == ["through"]


async def test_c7_two_that_call_each_other_at_the_same_time(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        one, two = [await run_on(node, track, kind=Serial) for _ in range(2)]
        to_one = await begin(nursery, lambda: two.relay(one, "relay", two, "note", "x"))
        to_two = await begin(nursery, lambda: one.relay(two, "note", "y"))
        await to_one.over.wait()
        await to_two.over.wait()
        assert "Deadlock" in to_one.end
        assert to_two.end == "value y"
