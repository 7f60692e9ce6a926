"""Streams that are left (C6), within a node and across two."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.fountain import Fountain
from tests.sim.fountains import received, start
from tests.sim.places import REST, Placement, everywhere, open_places
from trionet import (
    Service,
    spec,
    stream,
)

# --- leaving ---------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("how", ["break", "raise", "cancel", "cancel in the wait"])
@pytest.mark.parametrize("name", ["count", "at_gates"])
async def test_c6_who_leaves_ends_the_generator_and_waits_for_it(
    autojump_clock: MockClock, placement: Placement, how: str, name: str
) -> None:
    """Whether it waits for room or for something else."""
    async with open_places(placement) as places:
        source = await start(places)
        places.stage.open("a")
        args: tuple[Any, ...] = (1000,) if name == "count" else ("a", "b")
        with trio.CancelScope() as scope:
            try:
                async with places.here.stream(source, name, *args) as opened:
                    await opened.receive()
                    await trio.sleep(REST)
                    if how == "raise":
                        raise LookupError
                    if how == "cancel":
                        scope.cancel()
                        await trio.sleep(1)
                    if how == "cancel in the wait":
                        scope.deadline = trio.current_time() + 1
                        async for _ in opened:
                            await trio.sleep(0.01)
            except LookupError:
                assert how == "raise"
        assert scope.cancelled_caught is how.startswith("cancel")
        assert places.stage.log == ["begins", "cancelled", "ends"]
        assert places.there.service_statistics(source).running == 0
        await places.rest()


@everywhere
async def test_c6_a_cancelled_receive_loses_nothing(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        source = await start(places)
        async with source.at_gates("a", "b") as opened:
            for key in ("a", "b"):
                with trio.move_on_after(1) as scope:
                    await opened.receive()
                assert scope.cancelled_caught
                places.stage.open(key)
                await trio.sleep(REST)
                with trio.CancelScope() as cancelled:
                    cancelled.cancel()
                    await opened.receive()
                assert cancelled.cancelled_caught
                assert await opened.receive() == key
            with pytest.raises(trio.EndOfChannel):
                await opened.receive()


@everywhere
async def test_c6_cancelled_while_queued_never_begins(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement, window_messages=1) as places, trio.open_nursery() as nursery:
        source = await start(places, concurrency=1, inbox=1)
        async with source.forever():
            waiting = [await places.begin(nursery, lambda: received(source.at_gates("a"))) for _ in range(3)]
            for each in waiting:
                each.scope.cancel()
            await trio.sleep(REST)
            assert {each.end for each in waiting} == {"cancelled"}
        assert await places.rest() == ["ends"]


@everywhere
async def test_c6_leaving_waits_for_the_clean_up(autojump_clock: MockClock, placement: Placement) -> None:
    """Locally to its end; over a link for cancel_grace at the most, then the handler is abandoned."""
    async with open_places(placement, cancel_grace=1) as places:
        source = await start(places)
        for seconds in (0.5, 5):
            async with source.clean_up(seconds) as opened:
                await opened.receive()
                began = trio.current_time()
            waits = seconds if placement == "local" else min(seconds, 1)
            assert trio.current_time() - began == pytest.approx(waits, abs=0.02)
            await trio.sleep(REST)
            handlers = places.there.service_statistics(source).handlers
            assert [each.abandoned for each in handlers] == ([True] if waits < seconds else [])
            await trio.sleep(10)
        assert places.stage.log == ["cleaned up"] * 2
        assert places.there.service_statistics(source).handlers == ()


@everywhere
async def test_what_a_generator_raises_when_it_was_left_is_logged(
    autojump_clock: MockClock, placement: Placement, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_places(placement) as places:
        source = await start(places)
        async with source.clean_up(0.5, raising=True) as opened:
            await opened.receive()
        assert f"clean_up of {source._target}" in caplog.text  # type: ignore[attr-defined]
        assert "failed when its consumer was leaving" in caplog.text
        assert "KeyError: 'instead'" in caplog.text
        caplog.clear()
        with pytest.raises(LookupError, match="of the block"):
            await _leave_by_error(source)
        assert "KeyError: 'instead'" in caplog.text


async def _leave_by_error(source: Fountain) -> None:
    async with source.clean_up(0.5, raising=True) as opened:
        await opened.receive()
        raise LookupError("of the block")


class Inner(Service):
    """Generators that deal with cancellation themselves."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    @stream
    async def with_helper(self) -> AsyncIterator[int]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.helper)
            yield 1
            yield 2
            await trio.sleep_forever()

    async def helper(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.seen.append("helper ends")

    @stream
    async def own_scope(self) -> AsyncIterator[int]:
        """Its own time is over while it waits for room."""
        with trio.move_on_after(5):
            for number in range(1000):
                yield number
        self.seen.append("moved on")
        yield -1

    @stream
    async def stubborn(self) -> AsyncIterator[int]:
        try:
            yield 1
            await trio.sleep_forever()
        except trio.Cancelled:
            self.seen.append("swallowed")
        yield 2
        self.seen.append("not reached")

    @stream
    async def last_words(self) -> AsyncIterator[int]:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                for number in range(1000):
                    yield number
            self.seen.append("all said")


@everywhere
async def test_c6_scopes_and_nurseries_around_a_yield(
    autojump_clock: MockClock, placement: Placement
) -> None:
    """A cancellation that comes while the producer waits for room is raised at the yield."""
    log: list[str] = []
    async with open_places(placement) as places:
        inner = places.from_here(await places.there.start(spec(Inner, log)))
        async with inner.with_helper.options(buffer=1)() as opened:
            assert await opened.receive() == 1
        assert log == ["helper ends"]
        async with inner.own_scope.options(buffer=3)() as opened:
            await trio.sleep(10)
            assert log.pop() == "moved on"
            assert [number async for number in opened] == [0, 1, 2, -1]
        async with inner.stubborn() as opened:
            await opened.receive()
        assert log == ["helper ends", "swallowed"]
        async with inner.last_words():
            pass
        assert log[2:] == ["all said"]
