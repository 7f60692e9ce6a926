"""Streams, within a node and across two: items in order (C1), and how they end (C4, C8, C10)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from tests.kernel.nodes import instance_of
from tests.sim.fountains import received, start
from tests.sim.places import REST, Placement, everywhere, open_places
from tests.sim.test_contract_values import TABLE
from tests.values_table import REFUSED, Broke, same
from trionet import (
    BadArguments,
    BadMessage,
    CallError,
    NodeConfig,
    NoSuchCommand,
    NoSuchService,
    RemoteError,
    Service,
    ServiceBusy,
    ServiceExited,
    stream,
    value,
)

# --- items, and the end ---------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("buffer", [1, 2, 3, 64, 5000])
async def test_all_items_come_in_order_before_the_end(
    autojump_clock: MockClock, placement: Placement, buffer: int
) -> None:
    async with open_places(placement) as places:
        source = await start(places)
        for count in (0, 1, 2, 65, 2500):
            call = source.count.options(buffer=buffer)(count)
            assert await received(call) == (list(range(count)), None)
        assert places.stage.log == ["begins", "ends"] * 5


@everywhere
async def test_c1_an_item_comes_out_the_same(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        source = await start(places)
        async with source.give(*TABLE.values()) as items:
            assert all([same(await items.receive(), item) for item in TABLE.values()])
        async with source.give(*range(3), *TABLE.values()) as items:
            assert same([item async for item in items], [0, 1, 2, *TABLE.values()])


class Careless(Service):
    """Changes what it has yielded; yields what is no value."""

    def __init__(self) -> None:
        self.caught: list[str] = []

    @stream
    async def changing(self) -> AsyncIterator[list[int]]:
        item: list[int] = []
        for number in range(3):
            item.append(number)
            yield item

    @stream
    async def unfit(self, name: str) -> AsyncIterator[Any]:
        yield 1
        yield [REFUSED[name][0]]

    @stream
    async def catching(self) -> AsyncIterator[Any]:
        for item in (1, object(), "x" * 40_000_000, 2):
            try:
                yield item
            except BadMessage as error:
                self.caught.append(str(error))


@everywhere
async def test_c1_an_item_is_what_it_was_when_it_was_yielded(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        source = places.from_here(await places.there.start(Careless))
        assert await received(source.changing()) == ([[0], [0, 1], [0, 1, 2]], None)


@everywhere
@pytest.mark.parametrize("name", list(REFUSED)[::4])
async def test_c1_what_is_no_value_fails_at_the_yield(
    autojump_clock: MockClock, placement: Placement, name: str
) -> None:
    async with open_places(placement) as places:
        source = places.from_here(await places.there.start(Careless))
        items, error = await received(source.unfit(name))
        assert items == [1]
        assert isinstance(error, BadMessage)
        assert " (Careless) yielded item[0]" in str(error)
        assert REFUSED[name][1] in str(error)
        assert error.executed is True


@everywhere
async def test_c1_a_generator_may_catch_that(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        source = places.from_here(await places.there.start(Careless))
        assert await received(source.catching()) == ([1, 2], None)
        first, second = instance_of(places.there, source).caught
        assert first.startswith("item: object, which is no value")
        assert second.startswith("item: larger than a message may be")


@value(name="tests.Age")
@attrs.define(on_setattr=attrs.setters.NO_OP)
class Age:
    years: int = attrs.field(validator=attrs.validators.ge(0))


@value(name="tests.FrozenAge")
@attrs.frozen
class FrozenAge:
    years: int = attrs.field(validator=attrs.validators.ge(0))


class Ages(Service):
    @stream
    async def ages(self) -> AsyncIterator[list[Age]]:
        for years in (1, -2, 3):
            age = Age(0)
            age.years = years
            yield [age]

    @stream
    async def frozen_ages(self) -> AsyncIterator[FrozenAge]:
        for years in (1, -2, 3):
            age = FrozenAge(0)
            object.__setattr__(age, "years", years)
            yield age


@everywhere
async def test_c1_a_validator_refuses_its_item_only(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        ages = places.from_here(await places.there.start(Ages))
        async with ages.ages() as opened:
            assert await opened.receive() == [Age(1)]
            with pytest.raises(BadMessage, match="Age was refused by its validator"):
                await opened.receive()
            assert await opened.receive() == [Age(3)]


async def test_c1_validators_run_for_what_came_over_a_link(autojump_clock: MockClock) -> None:
    """A frozen instance that never left its node was validated when it was made."""
    async with open_places("remote") as places:
        ages = places.from_here(await places.there.start(Ages))
        async with ages.frozen_ages() as opened:
            assert await opened.receive() == FrozenAge(1)
            with pytest.raises(BadMessage, match="FrozenAge was refused by its validator"):
                await opened.receive()
            assert await opened.receive() == FrozenAge(3)


@everywhere
async def test_large_items_come_among_small_ones(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        source = await start(places)
        items = [
            f"{number}" * size for number, size in enumerate((1, 70_000, 2, 3_000_000, 65_536, 5, 65_530))
        ]
        for options in ({}, {"buffer": 1}, {"buffer_bytes": 1}, {"buffer_bytes": 100_000}):
            assert await received(source.give.options(**options)(*items)) == (items, None)


# --- errors ----------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("wait", [False, True])
async def test_c4_an_error_comes_behind_the_items(
    autojump_clock: MockClock, placement: Placement, wait: bool
) -> None:
    async with open_places(placement) as places:
        source = await start(places)
        for count in (0, 1, 100):
            items, error = await received(source.fail(None, count, wait=wait))
            assert items == list(range(count))
            assert isinstance(error, RemoteError)
            assert error.type_name == "ValueError"
            assert "in fail" in error.traceback_text
            assert "trionet/kernel" not in error.traceback_text
            items, declared = await received(source.fail(Broke("pipe", 7), count, wait=wait))
            assert items == list(range(count))
            assert isinstance(declared, Broke)


@everywhere
async def test_c4_what_fails_before_it_yields_or_waits_fails_at_the_opening(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        source = await start(places)
        with pytest.raises(RemoteError):
            async with source.fail(None, 0):
                pytest.fail("it was opened")
        async with source.fail(None, 0, wait=True) as opened:
            with pytest.raises(RemoteError):
                await opened.receive()
            for _ in range(2):
                with pytest.raises(trio.EndOfChannel):
                    await opened.receive()


@everywhere
async def test_c4_there_is_no_such_stream(autojump_clock: MockClock, placement: Placement) -> None:
    """Nor does it take room from others."""
    async with open_places(placement, window_messages=1) as places:
        source = await start(places)
        here = places.here
        cases: list[tuple[Any, type[CallError], str]] = [
            (here.stream(source, "rain"), NoSuchCommand, "has no command 'rain'; it has: ask, at_gates, "),
            (here.stream(source, "note", "x"), NoSuchCommand, "no stream 'note': it is a command, to be aw"),
            (here.stream(source, "count"), BadArguments, "the command is count(end: int, begin: int = 0)"),
            (here.stream(".nobody", "count", 1), NoSuchService, "nobody owns the name '.nobody'"),
            (here.stream(f":{places.there.harbor:02x}000077", "count", 1), NoSuchService, "or never was"),
        ]
        for call, kind, text in cases:
            items, error = await received(call)
            assert items == []
            assert type(error) is kind
            assert text in str(error)
            assert error.executed is False
        with pytest.raises(NoSuchCommand, match="'count': it is a stream, to be opened with `async with`"):
            await here.call(source, "count", 1)
        await here.send(source, "count", 1)
        assert await places.rest() == []


@everywhere
@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_c8_the_service_ends_under_an_open_stream(
    autojump_clock: MockClock, placement: Placement, how: str
) -> None:
    """What was yielded before is received before."""
    async with open_places(placement, NodeConfig(stop_grace=2)) as places:
        source = await start(places)
        async with source.at_gates("a", "b", "never") as opened:
            places.stage.open("a", "b")
            await trio.sleep(REST)
            await getattr(places.there, how)(source)
            await trio.sleep(REST)
            assert [await opened.receive(), await opened.receive()] == ["a", "b"]
            with pytest.raises(ServiceExited) as caught:
                await opened.receive()
            assert caught.value.executed is True
        assert places.stage.log == ["begins", "cancelled", "ends"]
        with pytest.raises(NoSuchService):
            async with source.count(1):
                pass


@everywhere
async def test_c8_the_service_ends_before_a_stream_has_begun(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        source = await start(places, concurrency=1)
        async with source.forever():
            queued = await places.begin(nursery, lambda: received(source.count(1)))
            await places.there.kill(source)
            await trio.sleep(REST)
        assert queued.end.startswith("value ([], ServiceExited(")
        assert places.stage.log == ["ends"]


@everywhere
async def test_c10_a_service_that_is_full_may_refuse(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        source = await start(places, concurrency=1, inbox=1, overflow="reject")
        async with source.forever():
            waiting = await places.begin(nursery, lambda: received(source.count(1)))
            _, error = await received(source.count(1))
            assert isinstance(error, ServiceBusy)
        await waiting.over.wait()
        assert waiting.end == "value ([0], None)"


@everywhere
async def test_a_reference_without_an_interface(autojump_clock: MockClock, placement: Placement) -> None:
    """What its methods are is found out by how they are used."""
    async with open_places(placement) as places:
        source = await start(places)
        untyped = places.here.ref(source._target)  # type: ignore[attr-defined]
        assert await received(untyped.count(3)) == ([0, 1, 2], None)
        assert await received(untyped.count.options(buffer=1, deadline=1)(3)) == ([0, 1, 2], None)
        assert await untyped.note("x") == "x"
        assert await untyped.note.options(deadline=1)("x") == "x"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(untyped.note, "by a task")
        _, error = await received(untyped.note("x"))
        assert isinstance(error, NoSuchCommand)
        with pytest.raises(NoSuchCommand, match="it is a stream"):
            await untyped.count(3)
        assert places.stage.log == ["begins", "ends"] * 2 + ["x", "x", "by a task"]
