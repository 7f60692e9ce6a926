"""Cancellation travels (C6), within a node and across two: in every state that a call can be in."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.sim.places import REST, Placement, everywhere, open_places
from tests.stubborn import Stubborn
from trionet import DeadlineExceeded, command


@everywhere
async def test_c6_cancelled_before_it_is_handed_over(autojump_clock: MockClock, placement: Placement) -> None:
    """Every call is a cancellation point."""
    async with open_places(placement) as places:
        box = await places.start()
        for call in (box.note, box.note.send):
            with trio.CancelScope() as scope:
                scope.cancel()
                await call("never")
            assert scope.cancelled_caught
        assert await places.rest() == []


@everywhere
async def test_c6_cancelled_while_it_waits_for_room(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement, window_messages=1) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1, inbox=1)
        holder = await places.begin(nursery, lambda: box.hold("a"))
        first = await places.begin(nursery, lambda: box.note("first"))
        second = await places.begin(nursery, lambda: box.note("second"))
        third = await places.begin(nursery, lambda: box.note("third"))
        second.scope.cancel()
        await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        assert second.end == "cancelled"
        places.stage.open("a")
        assert await places.rest() == ["a begins", "a ends", "first", "third"]
        assert [holder.end, first.end, third.end] == ["value a", "value first", "value third"]


@everywhere
@pytest.mark.parametrize("name", ["note", "persist"])
async def test_c6_cancelled_while_queued_never_starts(
    autojump_clock: MockClock, placement: Placement, name: str
) -> None:
    """A shielded command neither."""
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1)
        await places.begin(nursery, lambda: box.hold("a"))
        queued = await places.begin(nursery, lambda: places.here.call(box, name, "never"))
        last = await places.begin(nursery, lambda: box.note("last"))
        queued.scope.cancel()
        await trio.sleep(REST)
        assert queued.end == "cancelled"
        places.stage.open("a")
        assert await places.rest() == ["a begins", "a ends", "last"]
        assert last.end == "value last"


@everywhere
async def test_c6_cancelled_while_running(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        box = await places.start()
        caller = await places.begin(nursery, lambda: box.hold("a"))
        caller.scope.cancel()
        assert await places.rest() == ["a begins", "a cancelled"]
        assert caller.end == "cancelled"
        assert caller.scope.cancelled_caught
        assert places.there.service_statistics(box).running == 0


@everywhere
async def test_c6_a_shielded_command_runs_on_and_is_not_waited_for(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1)
        caller = await places.begin(nursery, lambda: box.persist("a"))
        assert not places.there.service_statistics(box).handlers[0].abandoned
        caller.scope.cancel()
        await trio.sleep(REST)
        assert caller.end == "cancelled"
        assert places.there.service_statistics(box).handlers[0].abandoned
        places.stage.open("a")
        assert await places.rest() == ["a begins", "a ends"]
        assert await box.note("next") == "next"


@everywhere
async def test_c9_a_shielded_command_that_fails_when_nobody_waits_is_logged(
    autojump_clock: MockClock, placement: Placement, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        box = await places.start()
        caller = await places.begin(nursery, lambda: box.persist_and_fail("a"))
        caller.scope.cancel()
        await trio.sleep(REST)
        places.stage.open("a")
        await places.rest()
        assert "(Puppet) raised when nobody waited" in caplog.text
        assert "ValueError: a" in caplog.text


class Late(Stubborn):
    @command
    async def clean_up_and_return(self) -> str:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.5)
            return "late"  # noqa: B012 - a handler that does what it should not


@everywhere
@pytest.mark.parametrize(
    ("name", "end", "seconds"),
    [
        ("swallow", "value after all", 10),
        ("convert", "RemoteError: KeyError: 'instead'", 10),
        ("clean_up_and_return", "value late", 10.5),
        ("group", "cancelled", 10),
        ("own_scope", "value moved on", 1),
    ],
)
async def test_c6_the_call_is_over_when_the_handler_is(
    autojump_clock: MockClock, placement: Placement, name: str, end: str, seconds: float
) -> None:
    """What a cancelled handler still returns or raises is the outcome."""
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        stubborn = await places.there.start(Late)
        began = trio.current_time()
        caller = await places.begin(nursery, lambda: places.here.call(stubborn, name))
        with trio.move_on_after(10 - REST):
            await caller.over.wait()
        caller.scope.cancel()
        await caller.over.wait()
        assert caller.end == end
        assert trio.current_time() - began == pytest.approx(seconds, abs=0.02)


@pytest.mark.parametrize(("grace", "seconds"), [(1.0, 11), (0.0, 10), (30.0, 15)])
async def test_c6_over_a_link_the_wait_for_the_confirmation_has_an_end(
    autojump_clock: MockClock, grace: float, seconds: float
) -> None:
    """The caller leaves after cancel_grace; the handler is listed as abandoned until it ends."""
    async with open_places("remote", cancel_grace=grace) as places, trio.open_nursery() as nursery:
        stubborn = await places.there.start(Late)
        began = trio.current_time()
        caller = await places.begin(nursery, lambda: places.here.call(stubborn, "clean_up"))
        await trio.sleep(10 - REST)
        caller.scope.cancel()
        await caller.over.wait()
        assert caller.end == "cancelled"
        assert trio.current_time() - began == pytest.approx(seconds, abs=0.02)
        await trio.sleep(REST)
        handlers = places.there.service_statistics(stubborn).handlers
        assert [each.abandoned for each in handlers] == ([True] if seconds < 15 else [])
        await trio.sleep(10)
        assert places.there.service_statistics(stubborn).handlers == ()


async def test_c6_over_a_link_the_wait_for_the_end_of_what_is_out_of_time_has_an_end(
    autojump_clock: MockClock,
) -> None:
    """The other node is silent, but not dead yet: its handler may go on or not."""
    async with open_places("remote", cancel_grace=1.0) as places:
        assert places.cluster is not None
        box = await places.start()
        places.cluster.partition({1}, {2})
        began = trio.current_time()
        with pytest.raises(DeadlineExceeded, match="its node did not confirm the end") as caught:
            await box.hold.options(deadline=5)("gate")
        assert caught.value.executed is None
        assert trio.current_time() - began == pytest.approx(6, abs=0.02)
        places.cluster.heal()


async def test_c6_locally_there_is_no_grace_time(autojump_clock: MockClock) -> None:
    async with open_places("local") as places, trio.open_nursery() as nursery:
        stubborn = await places.there.start(Late)
        began = trio.current_time()
        caller = await places.begin(nursery, lambda: places.here.call(stubborn, "clean_up"))
        await trio.sleep(10 - REST)
        caller.scope.cancel()
        await caller.over.wait()
        assert (caller.end, trio.current_time() - began) == ("cancelled", 15)


# --- sends --------------------------------------------------------------------------------------------


@everywhere
async def test_c6_a_send_that_waits_for_room_is_withdrawn(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement, window_messages=1) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1, inbox=1)
        await places.begin(nursery, lambda: box.hold("a"))
        await box.note.send("first")
        sender = await places.begin(nursery, lambda: box.note.send("never"))
        sender.scope.cancel()
        await trio.sleep(REST)
        assert sender.end == "cancelled"
        places.stage.open("a")
        assert await places.rest() == ["a begins", "a ends", "first"]
        assert places.here.dead_letters.count == 0


@everywhere
async def test_c6_cancelling_a_sender_does_not_cancel_the_handler(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        box = await places.start()
        with trio.CancelScope() as scope:
            await box.hold.send("a")
            await trio.sleep(REST)
            scope.cancel()
        places.stage.open("a")
        assert await places.rest() == ["a begins", "a ends"]
