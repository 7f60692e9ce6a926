"""Deadlines travel with calls (C4, C6): what happens in each state of a call when its time is over."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.stage import Stage, actor_of, begin, exceeded, opened, start
from tests.stubborn import Stubborn
from trionet import DeadlineExceeded, RemoteError, Service, command

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


class Slow(Stubborn):
    cleaning = 3

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
