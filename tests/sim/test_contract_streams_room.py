"""Streams, within a node and across two: time, room (C10), slots (C7), and streams of streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.fountain import fountain
from tests.kernel.nodes import instance_of
from tests.sim.fountains import received, start
from tests.sim.places import REST, Placement, everywhere, open_places
from trionet import (
    DeadlineExceeded,
    NodeConfig,
    Service,
    current_request,
    spec,
    stream,
)

# --- time ------------------------------------------------------------------------------------------------


@everywhere
async def test_the_default_deadline_is_that_of_opening(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement, NodeConfig(call_deadline=3)) as places:
        source = await start(places, concurrency=1)
        async with source.at_gates("a", "b") as opened:
            await trio.sleep(1000)
            began = trio.current_time()
            with pytest.raises(DeadlineExceeded, match="had not begun at its deadline") as caught:
                async with source.count(1):
                    pass
            assert trio.current_time() - began == pytest.approx(3, abs=0.02)
            assert caught.value.executed is (False if placement == "local" else None)
            places.stage.open("a", "b")
            assert [key async for key in opened] == ["a", "b"]
        assert await places.rest() == ["begins", "ends"]


@everywhere
async def test_the_deadline_of_opening_is_chosen(autojump_clock: MockClock, placement: Placement) -> None:
    """By the options, by the declaration, by the caller's scopes: the earliest, not beyond the opening."""
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        source = await start(places, concurrency=1)
        holder = await places.begin(nursery, lambda: received(source.forever()))
        began = trio.current_time()
        with pytest.raises(trio.TooSlowError):
            async with source.count.options(deadline=2)(1):
                pass
        assert trio.current_time() - began == pytest.approx(2, abs=0.02)
        with trio.move_on_after(1) as scope:
            async with source.count.options(deadline=2)(1):
                pass
        assert scope.cancelled_caught
        assert trio.current_time() - began == pytest.approx(3, abs=0.02)
        holder.scope.cancel()
        await trio.sleep(REST)
        async with source.at_gates.options(deadline=2)("a") as opened:
            await trio.sleep(10)
            places.stage.open("a")
            assert await opened.receive() == "a"


# --- room ------------------------------------------------------------------------------------------------


class Counter(Service):
    """Counts what it has yielded."""

    def __init__(self) -> None:
        self.yielded = 0

    @stream
    async def numbers(self, size: int = 0) -> AsyncIterator[Any]:
        while True:
            self.yielded += 1
            yield "x" * size if size else self.yielded


@everywhere
@pytest.mark.parametrize("buffer", [1, 7, 64])
async def test_c10_a_producer_is_never_further_ahead_than_the_buffer(
    autojump_clock: MockClock, placement: Placement, buffer: int
) -> None:
    async with open_places(placement) as places:
        reference = await places.there.start(Counter)
        counter = instance_of(places.there, reference)
        async with places.from_here(reference).numbers.options(buffer=buffer)() as numbers:
            for number in range(1, 300):
                if number % 50 == 1:
                    await trio.sleep(REST)
                    assert buffer // 2 < counter.yielded - number + 1 <= buffer
                    assert numbers.statistics().buffered <= buffer
                assert await numbers.receive() == number
                assert counter.yielded - number <= buffer


@everywhere
async def test_c10_bytes_are_bounded_too(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        reference = await places.there.start(Counter)
        counter = instance_of(places.there, reference)
        call = places.from_here(reference).numbers.options(buffer_bytes=10_000)(1_000)
        async with call as numbers:
            await trio.sleep(REST)
            assert counter.yielded == 10
            statistics = numbers.statistics()
            assert (statistics.buffered, statistics.buffer_bytes) == (10, 10_000)
            assert 10_000 <= statistics.buffered_bytes <= 10_100
            for _ in range(100):
                await numbers.receive()
            await trio.sleep(REST)
            assert counter.yielded <= 110


@everywhere
async def test_c7_an_open_stream_takes_a_slot(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        source = await start(places, concurrency=2)
        async with source.forever(), source.forever():
            waiting = await places.begin(nursery, lambda: source.note("x"))
            assert waiting.end == "none"
        await waiting.over.wait()
        assert waiting.end == "value x"


@everywhere
async def test_a_stream_of_streams(autojump_clock: MockClock, placement: Placement) -> None:
    """A consumer may be a producer; leaving ends all of them."""
    async with open_places(placement) as places:
        source = await start(places)
        middle = await places.here.start(spec(fountain(), places.stage))
        assert await received(middle.relay(source, "count", 500)) == (list(range(500)), None)
        assert places.stage.log == ["begins", "ends"]
        async with source.relay(middle, "relay", source, "at_gates", "a", "b") as opened:
            places.stage.open("a")
            assert await opened.receive() == "a"
        assert await places.rest() == ["begins", "ends", "begins", "cancelled", "ends"]


class Asked(Service):
    @stream
    async def who(self) -> AsyncIterator[Any]:
        request = current_request()
        yield [request.source, request.node, request.command]


class Asking(Service):
    @stream
    async def ask(self, asked: Asked) -> AsyncIterator[Any]:
        async with asked.who() as items:
            yield await items.receive()


@everywhere
async def test_the_consumer_is_the_source(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        asked = places.from_here(await places.there.start(Asked))
        asking = await places.here.start(Asking)
        async with asking.ask(asked) as answers, asked.who() as by_node:
            assert await answers.receive() == [asking._target, places.here.incarnation, "who"]  # type: ignore[attr-defined]
            assert await by_node.receive() == [None, places.here.incarnation, "who"]


@everywhere
@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_a_consumer_that_dies_ends_the_generator(
    autojump_clock: MockClock, placement: Placement, how: str
) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        source = await start(places)
        middle = await places.here.start(spec(fountain(), places.stage))
        caller = await places.begin(nursery, lambda: middle.collect(source, "at_gates", "never"))
        await getattr(places.here, how)(middle)
        assert await places.rest() == ["begins", "cancelled", "ends"]
        assert caller.end.startswith("ServiceExited")
