"""The heap of deadlines alone (C4, C6): who is told, when, in which order; and that it does not grow."""

from __future__ import annotations

from math import inf

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from trionet.kernel.deadlines import SLACK, Deadlines


class Thing:
    """Something with a deadline that notes when it was told."""

    def __init__(self, deadline: float, log: list[tuple[float, float]], closes: float = inf) -> None:
        self.deadline = deadline
        self.told = False
        self._log = log
        self._closes = closes

    def is_open(self) -> bool:
        return not self.told and trio.current_time() < self._closes

    def expire(self) -> None:
        self.told = True
        self._log.append((trio.current_time(), self.deadline))


class Numbered(Thing):
    """One that also notes who was told."""

    def __init__(
        self, number: int, deadline: float, log: list[tuple[float, float]], closes: float, order: list[int]
    ) -> None:
        super().__init__(deadline, log, closes)
        self.number = number
        self._order = order

    def expire(self) -> None:
        super().expire()
        self._order.append(self.number)


async def test_c6_who_is_out_of_time_is_told_at_that_time(autojump_clock: MockClock) -> None:
    deadlines = Deadlines()
    log: list[tuple[float, float]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        for deadline in (5.0, 3.0, 9.0, 3.0):
            deadlines.add(Thing(deadline, log))
        await trio.sleep(4)
        deadlines.add(Thing(4.5, log))  # before the next
        deadlines.add(Thing(1.0, log))  # over already
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert log == [(3, 3), (3, 3), (4, 1), (4.5, 4.5), (5, 5), (9, 9)]


async def test_c6_who_came_first_is_told_first(autojump_clock: MockClock) -> None:
    """A caller is told before the calls that its handler made with the same deadline."""
    deadlines = Deadlines()
    log: list[tuple[float, float]] = []
    order: list[int] = []

    for number in range(20):
        deadlines.add(Numbered(number, 1.0, log, inf, order))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert order == list(range(20))


async def test_c6_who_came_first_is_told_first_wherever_it_waited(autojump_clock: MockClock) -> None:
    """Of equal deadlines, one came when a later one was before it, the other when nothing was any more."""
    deadlines = Deadlines()
    log: list[tuple[float, float]] = []
    order: list[int] = []
    deadlines.add(Numbered(0, 60.0, log, 1.0, order))
    deadlines.add(Numbered(1, 3.0, log, inf, order))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        await trio.sleep(2)
        deadlines.add(Numbered(2, 3.0, log, inf, order))
        deadlines.add(Numbered(3, 70.0, log, inf, order))
        deadlines.add(Numbered(4, 3.0, log, inf, order))
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert order == [1, 2, 4, 3]


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from([4.0, 5.0, 9.0]), st.sampled_from([inf, 1.0])),
        max_size=20,
    )
)
def test_c6_equal_deadlines_are_told_in_the_order_in_which_they_came(
    items: list[tuple[int, float, float]],
) -> None:
    """In the order of deadlines, and of equal ones in that of arrival, for queue and heap as one."""
    log: list[tuple[float, float]] = []
    order: list[int] = []
    expected: list[tuple[float, int]] = []

    async def main() -> None:
        deadlines = Deadlines()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deadlines.run)
            for number, (added, deadline, stays) in enumerate(sorted(items)):
                await trio.sleep_until(added / 4)
                deadlines.add(Numbered(number, deadline, log, added / 4 + stays, order))
                if deadline < added / 4 + stays:
                    expected.append((deadline, number))
            await trio.sleep_until(50)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert order == [number for _, number in sorted(expected)]


async def test_c4_what_ended_in_time_is_not_told(autojump_clock: MockClock) -> None:
    deadlines = Deadlines()
    log: list[tuple[float, float]] = []
    deadlines.add(Thing(1.0, log, closes=0.5))
    deadlines.add(Thing(2.0, log, closes=1.5))
    deadlines.add(Thing(3.0, log))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert log == [(3, 3)]
    assert len(deadlines) == 0


async def test_c6_an_idle_heap_does_not_wake(autojump_clock: MockClock) -> None:
    """Without a deadline the task sleeps for ever."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Deadlines().run)
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == inf
        nursery.cancel_scope.cancel()


async def test_c4_the_heap_is_pruned_of_what_has_ended(autojump_clock: MockClock) -> None:
    deadlines = Deadlines()
    log: list[tuple[float, float]] = []
    living = [Thing(50.0, log) for _ in range(10)]  # at the head
    for each in living:
        deadlines.add(each)
    for _ in range(10 * SLACK):
        deadlines.add(Thing(60.0, log, closes=-1))
        assert len(deadlines) <= SLACK + 2 * len(living) + 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert log == [(50, 50)] * 10


EIGHTHS = st.integers(0, 80).map(lambda number: number / 8)  # times that a float holds exactly


@given(
    st.lists(
        st.tuples(
            EIGHTHS,  # when it is added
            EIGHTHS.map(lambda each: each - 1),  # how much later its deadline is
            st.one_of(st.just(inf), EIGHTHS),  # when it ends by itself
        ),
        max_size=30,
    )
)
def test_c4_each_deadline_is_told_once_at_its_time(items: list[tuple[float, float, float]]) -> None:
    deadlines = Deadlines()
    log: list[tuple[float, float]] = []
    expected: list[tuple[float, float]] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deadlines.run)
            for added, more, closes in sorted(items):
                await trio.sleep_until(added)
                deadlines.add(Thing(added + more, log, closes))
                due = max(added, added + more)
                if due < closes:
                    expected.append((due, added + more))
            await trio.sleep_until(50)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert sorted(log) == sorted(expected)
    assert len(deadlines) == 0
