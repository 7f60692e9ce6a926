"""Trio's private names that make a simulation repeatable: each test fails when Trio changes one of them."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import trio
from trio import _core

from trionet.testing import run_simulated
from trionet.testing.determinism import seeded_scheduler

inner: Any = _core._run
TASKS = 30


def test_what_is_changed_is_changed_back() -> None:
    before = state()
    assert before[0] in (False, True)  # Hypothesis sets it as well
    with seeded_scheduler(7):
        assert inner._ALLOW_DETERMINISTIC_SCHEDULING is True
        assert all(one is not other for one, other in zip(state()[1:], before[1:], strict=True))
        with seeded_scheduler(8):
            assert state() != before
    assert state() == before


def state() -> list[Any]:
    names = vars(inner)
    return [
        inner._ALLOW_DETERMINISTIC_SCHEDULING,
        inner._r.getstate(),
        inner.CancelStatus.__attrs_post_init__,
        names.get("id", id),
    ]


def test_tasks_run_in_the_order_of_the_seed() -> None:
    async def note(number: int, seen: list[int]) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            seen.append(number)

    orders = [order(note, seed) for seed in range(20)]
    assert orders == [order(note, seed) for seed in range(20)]
    assert len(set(map(tuple, orders))) > 10


def test_cancellation_comes_in_the_order_of_the_tasks() -> None:
    """Whatever their addresses are."""
    scope = trio.CancelScope()

    async def wait(number: int, seen: list[int]) -> None:
        def abort(_: object) -> trio.lowlevel.Abort:
            seen.append(number)
            return trio.lowlevel.Abort.SUCCEEDED

        if number == TASKS - 1:
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
        else:
            await trio.lowlevel.wait_task_rescheduled(abort)

    assert order(wait, 1, scope) == list(range(TASKS - 1))


def test_scopes_of_one_deadline_expire_in_their_order() -> None:
    entered: list[int] = []

    async def wait(number: int, seen: list[int]) -> None:
        def abort(_: object) -> trio.lowlevel.Abort:
            seen.append(number)
            return trio.lowlevel.Abort.SUCCEEDED

        entered.append(number)
        with trio.CancelScope(deadline=100.0 if number % 3 else inf) as scope:
            scope.deadline = 100.0
            await trio.lowlevel.wait_task_rescheduled(abort)

    seen = order(wait, 1)
    assert seen == entered
    assert sorted(seen) == list(range(TASKS))


def order(
    function: Callable[[int, list[int]], Any], seed: int, scope: trio.CancelScope | None = None
) -> list[int]:
    """What some tasks noted that were started one after another."""
    seen: list[int] = []

    async def all_of_them() -> None:
        with scope or trio.CancelScope():
            async with trio.open_nursery() as nursery:
                for number in range(TASKS):
                    nursery.start_soon(function, number, seen)

    run_simulated(all_of_them, seed=seed)
    return seen
