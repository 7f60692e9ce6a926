"""Coroutines that begin before their caller waits: its cancellation, its time (C4, C6)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import begin, exceeded, opened
from tests.kernel.track import Runner, Track, run_on, take
from trionet import Service, command, current_request, spec

# --- the caller's cancellation --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hold", "hold_apart"])
async def test_c6_the_caller_is_cancelled_and_gets_its_own_cancelled(
    autojump_clock: MockClock, name: str
) -> None:
    """Also where the handler's nursery makes a group of it."""
    track = Track()
    caught: list[BaseException] = []
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)

        async def call() -> None:
            try:
                await node.call(box, name, "a")
            except BaseException as error:
                caught.append(error)
                raise

        caller = await begin(nursery, call)
        caller.scope.cancel()
        await wait_all_tasks_blocked()
        assert [type(error) for error in caught] == [trio.Cancelled]
        assert caller.end == "cancelled"
        assert await track.settle(node) == ["a begins", "a cancelled"]
        assert await box.note("fine") == "fine"


async def test_c6_a_handler_that_returns_in_spite_of_it_gives_its_value(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        caller = await begin(nursery, lambda: box.insist("a"))
        caller.scope.cancel()
        await wait_all_tasks_blocked()
        assert caller.end == "value in spite of it"


async def test_c6_a_handler_that_shields_itself_ends_first(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        caller = await begin(nursery, lambda: box.hold_shielded("a"))
        caller.scope.cancel()
        await wait_all_tasks_blocked()
        assert not caller.over.is_set()
        track.open("a")
        await caller.over.wait()
        assert caller.end == "value a"
        assert await track.settle(node) == ["a begins", "a ends"]


async def test_c6_cancelled_while_its_service_ends_too(autojump_clock: MockClock) -> None:
    """Who is cancelled gets its own Cancelled, whatever else ended the handler."""
    track = Track()

    class Slow(Runner):
        @command
        async def clean_up(self, key: str) -> None:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await self._wait(key)

    async with opened() as node, trio.open_nursery() as nursery:
        box = await node.start(spec(Slow, track))
        for first in ("service", "caller"):
            box = await node.start(spec(Slow, track))
            caller = await begin(nursery, lambda box=box, first=first: box.clean_up(first))  # type: ignore[misc]
            ends = [lambda box=box: nursery.start_soon(node.kill, box), caller.scope.cancel]
            for end in ends if first == "service" else reversed(ends):
                end()
                await wait_all_tasks_blocked()
            assert not caller.over.is_set()
            track.open(first)
            await caller.over.wait()
            assert caller.end == "cancelled"


# --- its time -------------------------------------------------------------------------------------------


async def test_c6_it_runs_out_of_the_time_of_its_options(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track)
        error = await exceeded(lambda: box.hold.options(deadline=3)("a"), 3)
        assert error.executed is True
        assert await track.settle(node) == ["a begins", "a cancelled"]


async def test_c6_it_runs_out_of_the_time_of_its_caller(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track)
        with trio.move_on_after(2) as scope:
            await box.hold("a")
        assert scope.cancelled_caught
        assert await track.settle(node) == ["a begins", "a cancelled"]


async def test_c6_the_time_of_the_outer_call_ends_the_inner_one(autojump_clock: MockClock) -> None:
    """The deadline came with the options of a call, not with a scope; still it holds for what is called."""
    track = Track()
    async with opened() as node:
        outer, inner = await run_on(node, track), await run_on(node, track)
        error = await exceeded(lambda: outer.relay.options(deadline=3)(inner, "hold", "a"), 3)
        assert error.executed is True
        assert await track.settle(node) == ["a begins", "a cancelled"]
        assert node.statistics().running == 0


async def test_c6_a_deferred_reply_does_not_keep_its_caller_beyond_its_time(
    autojump_clock: MockClock,
) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track)
        error = await exceeded(lambda: box.hold_after_deferring.options(deadline=3)("a"), 3)
        assert error.executed is True
        assert not take(track, "a").is_open
        track.open("a")
        await track.settle(node)
        assert node.statistics().running == 0


async def test_c6_a_deferred_reply_does_not_keep_a_caller_that_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        caller = await begin(nursery, lambda: box.hold_after_deferring("a"))
        caller.scope.cancel()
        await wait_all_tasks_blocked()
        assert caller.end == "cancelled"
        assert not take(track, "a").is_open
        track.open("a")


async def test_c7_a_deferred_reply_of_a_handler_that_waits_arrives(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        caller = await begin(nursery, lambda: box.hold_after_deferring("a"))
        assert take(track, "a").ok(42)
        track.open("a")
        await caller.over.wait()
        assert caller.end == "value 42"


async def test_c6_it_knows_when_its_time_is_over(autojump_clock: MockClock) -> None:
    class Curious(Service):
        @command
        async def deadline(self) -> float:
            with trio.move_on_after(1):
                await trio.sleep_forever()
            return current_request().deadline

    async with opened(call_deadline=7.0) as node:
        curious = await node.start(Curious)
        began = trio.current_time()
        assert await curious.deadline() == began + 7
        assert await curious.deadline.options(deadline=3)() == began + 1 + 3


class Asker(Service):
    """Asks for its deadline over and over."""

    @command
    async def ask(self) -> int:
        for _ in range(5):
            current_request()
        return len(self.node.deadlines)


async def test_c6_a_deadline_is_watched_once_however_often_it_is_asked_for(autojump_clock: MockClock) -> None:
    async with opened() as node:
        asker = await node.start(Asker)
        await asker.ask()
        assert await asker.ask() <= 2  # the first may not have been pruned
