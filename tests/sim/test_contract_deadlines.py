"""Deadlines travel as remaining time (C4, C6), within a node and across two."""

from __future__ import annotations

from math import inf

import pytest
import trio
from trio.testing import MockClock

from tests.sim.places import REST, Placement, everywhere, open_places
from trionet import (
    DeadlineExceeded,
    NodeConfig,
    RemoteError,
    Service,
    ServiceExited,
    command,
    current_request,
)


class Clock(Service):
    """Tells how much time a handler was given, and uses more."""

    def __init__(self) -> None:
        self.ended: list[float] = []

    @command
    async def time_left(self) -> float:
        return current_request().deadline - trio.current_time()

    @command
    async def relay_time_left(self, other: Clock) -> float:
        return await other.time_left()

    @command
    async def sleep(self, seconds: float) -> str:
        try:
            await trio.sleep(seconds)
        finally:
            self.ended.append(trio.current_time())
        return "slept"

    @command(shielded=True)
    async def sleep_shielded(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self.ended.append(trio.current_time())

    @command
    async def relay_sleep(self, other: Clock, seconds: float) -> str:
        return await other.sleep(seconds)

    @command(deadline=3)
    async def hasty(self) -> None:
        await trio.sleep_forever()

    @command
    def history(self) -> list[float]:
        return self.ended


@everywhere
async def test_c6_the_caller_s_deadline_travels(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        clock = places.from_here(await places.there.start(Clock))
        with trio.fail_after(5):
            assert await clock.time_left() == pytest.approx(5, abs=0.01)
        with trio.move_on_after(50), trio.move_on_after(7):
            assert await clock.time_left() == pytest.approx(7, abs=0.01)
        assert await clock.time_left() == pytest.approx(60, abs=0.01)
        assert await clock.time_left.options(deadline=4)() == pytest.approx(4, abs=0.01)
        assert await clock.time_left.options(deadline=inf)() == inf


@everywhere
async def test_c6_a_deadline_goes_on_to_the_calls_of_the_handler(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        clock = places.from_here(await places.there.start(Clock))
        other = await places.here.start(Clock)
        with trio.fail_after(5):
            assert await clock.relay_time_left(other) == pytest.approx(5, abs=0.01)
        assert await clock.relay_time_left.options(deadline=3)(other) == pytest.approx(3, abs=0.01)


@everywhere
async def test_c6_a_handler_out_of_time_is_cancelled(autojump_clock: MockClock, placement: Placement) -> None:
    """By its own deadline: the caller's scope tells the caller, the time that came along the handler."""
    async with open_places(placement) as places:
        clock = places.from_here(await places.there.start(Clock))
        began = trio.current_time()
        with trio.move_on_after(5) as scope:
            await clock.sleep(10)
        assert scope.cancelled_caught
        assert trio.current_time() - began == pytest.approx(5, abs=0.01)
        (ended,) = await clock.history()
        assert ended - began == pytest.approx(5, abs=0.01)


@everywhere
async def test_c4_a_call_that_has_its_own_deadline_fails_by_it(
    autojump_clock: MockClock, placement: Placement
) -> None:
    """It is the default of the node, or one of the call's options, and the handler had started."""
    async with open_places(placement) as places:
        clock = places.from_here(await places.there.start(Clock))
        for call, seconds in ((clock.sleep, 60), (clock.sleep.options(deadline=5), 5)):
            began = trio.current_time()
            with pytest.raises(DeadlineExceeded) as caught:
                await call(1000)
            assert isinstance(caught.value, trio.TooSlowError)
            assert caught.value.executed is not False
            assert trio.current_time() - began == pytest.approx(seconds, abs=0.01)


@everywhere
async def test_c4_a_command_has_a_default_deadline(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        clock = places.from_here(await places.there.start(Clock))
        began = trio.current_time()
        with pytest.raises(DeadlineExceeded):
            await clock.hasty()
        assert trio.current_time() - began == pytest.approx(3, abs=0.01)


@everywhere
async def test_c4_a_call_that_is_queued_at_its_deadline_was_not_executed(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1)
        await places.begin(nursery, lambda: box.hold("a"))
        with pytest.raises(DeadlineExceeded) as caught:
            await box.note.options(deadline=5)("never")
        if placement == "local":
            assert caught.value.executed is False
        assert caught.value.executed is not True
        places.stage.open("a")
        assert await places.rest() == ["a begins", "a ends"]


@everywhere
async def test_c4_a_call_that_finds_no_room_before_its_deadline_was_not_executed(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement, window_messages=1) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1, inbox=1)
        await places.begin(nursery, lambda: box.hold("a"))
        await box.note.send("b")
        with pytest.raises(DeadlineExceeded) as caught:
            await box.note.options(deadline=5)("never")
        assert caught.value.executed is False
        places.stage.open("a")
        assert await places.rest() == ["a begins", "a ends", "b"]


@everywhere
async def test_c6_a_shielded_handler_runs_on_after_the_deadline(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        clock = places.from_here(await places.there.start(Clock))
        began = trio.current_time()
        with pytest.raises(DeadlineExceeded) as caught:
            await clock.sleep_shielded.options(deadline=5)(20)
        assert caught.value.executed is not False
        assert trio.current_time() - began == pytest.approx(5, abs=0.01)
        await trio.sleep(20)
        (ended,) = await clock.history()
        assert ended - began == pytest.approx(20, abs=0.01)


@everywhere
async def test_c6_a_handler_that_runs_out_of_time_tells_its_caller_what_became_of_it(
    autojump_clock: MockClock, placement: Placement
) -> None:
    """The deadline of the chain cancels the inner handler, then the outer one, whose caller is told."""
    async with open_places(placement) as places:
        clock = places.from_here(await places.there.start(Clock))
        other = await places.here.start(Clock)
        began = trio.current_time()
        with pytest.raises(DeadlineExceeded):
            await clock.relay_sleep.options(deadline=5)(other, 100)
        await trio.sleep(REST)
        (ended,) = await other.history()
        assert ended - began == pytest.approx(5, abs=0.01)


@everywhere
async def test_c6_a_handler_that_cancels_itself_gives_service_exited_or_its_result(
    autojump_clock: MockClock, placement: Placement
) -> None:
    """The callee's Cancelled is never the caller's."""

    class Odd(Service):
        @command
        async def leak(self) -> None:
            kept: list[BaseException] = []
            with trio.CancelScope() as scope:
                scope.cancel()
                try:
                    await trio.lowlevel.checkpoint()
                except trio.Cancelled as error:
                    kept.append(error)
                    raise
            raise kept[0]

        @command
        async def too_slow(self) -> None:
            with trio.fail_after(1):
                await trio.sleep_forever()

    async with open_places(placement) as places:
        odd = places.from_here(await places.there.start(Odd))
        with pytest.raises(ServiceExited) as caught:
            await odd.leak()
        assert caught.value.executed is True
        with pytest.raises(RemoteError, match="TooSlowError"):
            await odd.too_slow()


@pytest.mark.parametrize("deadline", [1, 30])
async def test_c4_the_default_deadline_is_the_caller_s_node_s(
    autojump_clock: MockClock, deadline: float
) -> None:
    async with open_places("remote", NodeConfig(call_deadline=deadline)) as places:
        clock = places.from_here(await places.there.start(Clock))
        began = trio.current_time()
        with pytest.raises(DeadlineExceeded):
            await clock.sleep(100)
        assert trio.current_time() - began == pytest.approx(deadline, abs=0.01)
