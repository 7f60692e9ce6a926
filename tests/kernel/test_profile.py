"""The profile of a node: what each command of each class of services costs."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from trionet import CommandStatistics, DeadlineExceeded, Node, NodeConfig, RemoteError, Service, command, spec
from trionet.kernel.profile import BOUNDS, Figures
from trionet.kernel.seams import READING

pytestmark = pytest.mark.usefixtures("virtual_run")


@pytest.fixture
def node_config() -> NodeConfig:
    return NodeConfig(profile=True)


class Inner(Service):
    @command
    def plain(self, fails: bool = False) -> None:
        if fails:
            raise ValueError("no")

    @command
    async def slow(self, seconds: float) -> None:
        await trio.sleep(seconds)

    @command
    async def swift(self) -> None:
        await trio.sleep(1)


class Outer(Service, concurrency=1):
    def __init__(self, inner: Inner) -> None:
        self.inner = inner

    @command
    async def work(self, seconds: float) -> None:
        await self.inner.plain()
        await self.inner.swift()
        await trio.sleep(seconds)


def figures(node: Node) -> dict[str, CommandStatistics]:
    return {each.command: each for each in node.profile()}


async def test_nothing_is_told_before_a_handler_has_ended(node: Node) -> None:
    await node.start(Inner)
    assert node.profile() == ()
    assert node.spans() == ()


async def test_each_command_has_its_calls_times_and_ends(node: Node) -> None:
    one, two = await node.start(Inner), await node.start(Inner)
    await one.plain()
    await two.plain.send()
    with pytest.raises(RemoteError):
        await two.plain(True)
    await one.slow(2)
    with pytest.raises(DeadlineExceeded):
        await two.slow.options(deadline=1)(5)
    with trio.move_on_after(0.5):
        await one.slow(5)
    told = figures(node)
    assert set(told) == {"plain", "slow"}
    plain, slow = told["plain"], told["slow"]
    assert plain.service_class == f"{__name__}:Inner"
    assert (plain.calls, plain.errors, plain.cancelled) == (3, 1, 0)
    assert (slow.calls, slow.errors, slow.cancelled) == (3, 0, 2)
    assert (slow.wall_time, slow.longest) == (3.5, 2)
    assert slow.cpu_time > 0
    assert [slow.bounds[index] for index, each in enumerate(slow.buckets) if each] == [0.5, 1, 2.5]


async def test_the_time_in_the_inbox_is_that_of_the_message_not_of_the_caller(node: Node) -> None:
    outer = await node.start(spec(Outer, await node.start(Inner)))
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(outer.work, 1)
            await wait_all_tasks_blocked()
    told = figures(node)
    assert told["work"].inbox_time == 0 + 2 + 4
    assert told["work"].wall_time == 6
    assert told["swift"].wall_time == 3
    assert told["swift"].inbox_time == told["plain"].inbox_time == 0


async def test_what_is_called_in_place_is_not_counted_twice(node: Node) -> None:
    """The stopwatch of a simulation counts its readings; so the times have to add up to those of services."""
    outer = await node.start(spec(Outer, await node.start(Inner)))
    await outer.work(1)
    told = figures(node)
    assert told["plain"].cpu_time == pytest.approx(READING)
    spent = sum(each.cpu_time for each in told.values())
    assert 0 < spent <= node.statistics().cpu_time


async def test_those_that_held_the_event_loop_longest_come_first(node: Node) -> None:
    outer = await node.start(spec(Outer, await node.start(Inner)))
    await outer.work(0)
    times = [each.cpu_time for each in node.profile()]
    assert times == sorted(times, reverse=True)


@given(st.lists(st.floats(0, 20)))
def test_each_time_is_counted_in_the_first_bucket_that_takes_it(times: list[float]) -> None:
    figures = Figures()
    for each in times:
        figures.add(0, each, 0, failed=False, cancelled=False)
    told = figures.told("m:C", "c")
    limits = [*BOUNDS, float("inf")]
    for index, limit in enumerate(limits):
        assert sum(told.buckets[: index + 1]) == sum(each <= limit for each in times)
    assert told.calls == len(times)
    assert told.longest == max(times, default=0)


async def test_who_looks_at_the_messages_of_a_service_does_not_end_its_times(node: Node) -> None:
    outer = await node.start(spec(Outer, await node.start(Inner)))
    for looked_at in (True, False):
        async with node.tap(outer) if looked_at else trio.open_nursery(), trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(outer.work, 1)
                await wait_all_tasks_blocked()
    assert figures(node)["work"].inbox_time == 2 + 2
