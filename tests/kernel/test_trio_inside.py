"""What is taken from Trio's inside agrees with what Trio says (C6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from math import inf

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from trionet.kernel import trio_inside
from trionet.kernel.trio_inside import effective_deadline, is_cancelled, park, wake

SCOPES = st.lists(
    st.tuples(st.sampled_from([inf, inf, 5.0, 10.0]), st.booleans(), st.sampled_from([False] * 5 + [True])),
    max_size=8,
)


async def test_trio_has_the_names() -> None:
    """Where it has them no more all goes on, by longer ways."""
    assert trio_inside.POSSIBLE


@pytest.mark.parametrize("possible", [True, False])
@given(SCOPES)
def test_deadline_and_cancellation_are_those_of_trio(
    possible: bool, scopes: list[tuple[float, bool, bool]]
) -> None:
    async def within() -> None:
        shielded = False
        with ExitStack() as stack:
            for seconds, shield, cancelled in scopes:
                scope = stack.enter_context(trio.move_on_after(seconds, shield=shield))
                if cancelled:
                    scope.cancel()
                shielded |= shield
                deadline, may_be_shielded = effective_deadline()
                assert deadline == trio.current_effective_deadline()
                assert is_cancelled() is (not possible or deadline == -inf)
                assert may_be_shielded is (not possible or (shielded and deadline != -inf))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio_inside, "POSSIBLE", possible)
        trio.run(within)


async def test_scopes_beyond_the_outermost_do_not_count(autojump_clock: MockClock) -> None:
    inner = trio.CancelScope(deadline=4, shield=True)
    with (
        trio.CancelScope(deadline=1, shield=True),
        trio.CancelScope(deadline=3) as outermost,
        trio.CancelScope(deadline=5),
    ):
        assert effective_deadline(outermost) == (3, False)
        assert effective_deadline() == (1, True)
        await trio.lowlevel.checkpoint()
        with inner:
            await trio.lowlevel.checkpoint()
            assert effective_deadline(outermost) == (4, True)
        outermost.cancel()
        assert effective_deadline(outermost) == (-inf, False)


async def test_a_task_is_parked_and_woken(autojump_clock: MockClock) -> None:
    """As with the functions of Trio that stand for it where Trio has no such names."""
    for wait, let_go_on in ((park, wake), (trio.lowlevel.wait_task_rescheduled, trio.lowlevel.reschedule)):
        tasks: list[trio.lowlevel.Task] = []

        async def rest(
            wait: Callable[..., Awaitable[object]] = wait, tasks: list[trio.lowlevel.Task] = tasks
        ) -> None:
            tasks.append(trio.lowlevel.current_task())
            await wait(lambda _: trio.lowlevel.Abort.FAILED)
            tasks.remove(trio.lowlevel.current_task())

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(rest)
            await wait_all_tasks_blocked()
            assert len(tasks) == 3
            for task in tasks:
                let_go_on(task)
        assert tasks == []


@pytest.mark.parametrize("outcome", [trio.lowlevel.Abort.SUCCEEDED, trio.lowlevel.Abort.FAILED])
async def test_a_parked_task_is_cancelled_as_trio_would(
    autojump_clock: MockClock, outcome: trio.lowlevel.Abort
) -> None:
    """If it lets itself be withdrawn; else it says itself what becomes of it."""
    with trio.move_on_after(1) as scope:
        task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            if outcome is trio.lowlevel.Abort.FAILED:
                wake(task)
            return outcome

        await park(abort)
    assert scope.cancelled_caught is (outcome is trio.lowlevel.Abort.SUCCEEDED)
    assert trio.current_time() == scope.deadline
