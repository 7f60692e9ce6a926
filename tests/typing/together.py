"""Type tests of many calls at once."""

from __future__ import annotations

from typing import assert_type

from tests.typing.shop import Clock, Counter
from trionet import Outcome, gather, select


async def check_gather(counters: list[Counter], clock: Clock) -> None:
    """What each call returns, alike or each of its own type."""
    alike = await gather([each.add(1) for each in counters], deadline=1, limit=3)
    assert_type(alike, tuple[Outcome[int], ...])
    assert_type(alike[0].unwrap(), int)
    assert_type(alike[0].value, int | None)
    assert_type(alike[0].error, Exception | None)
    total, zone = await gather(counters[0].add(1), clock.zone())
    assert_type(total, Outcome[int])
    assert_type(zone.unwrap(), str)
    four = await gather(clock.now(), clock.zone(), clock.now(), clock.zone(), deadline=2.5)
    assert_type(four, tuple[Outcome[float], Outcome[str], Outcome[float], Outcome[str]])
    lazy = await gather(each.describe() for each in counters)
    assert_type(lazy, tuple[Outcome[str], ...])
    three = await gather(clock.now(), clock.zone(), counters[0].reset())
    assert_type(three, tuple[Outcome[float], Outcome[str], Outcome[None]])


async def check_select(counters: dict[str, Counter], clock: Clock) -> None:
    """The keys, and what each call returns."""
    async with select({name: each.add(1) for name, each in counters.items()}) as selection:
        async for name, outcome in selection:
            assert_type(name, str)
            assert_type(outcome, Outcome[int])
    async with select([clock.zone()], deadline=1) as by_place:
        place, zone = await anext(by_place)
        assert_type(place, int)
        assert_type(zone.unwrap(), str)
        assert_type(by_place.waiting, tuple[int, ...])


async def check_wrong_calls(counter: Counter) -> None:
    """Only calls, and only such options."""
    await gather(1, 2)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await gather([counter.add(1)], timeout=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    gather([counter.add(1)])  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
