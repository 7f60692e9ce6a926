"""What messages and services cost on one node, in numbers that do not depend on the machine.

The numbers are what holds today; whoever makes something cheaper lowers its number.
"""

from __future__ import annotations

import attrs
import pytest
import trio

from tests.gauges import blocks, cost_of
from tests.kernel.nodes import fresh_node
from trionet import Node, Service, command, spec


class Target(Service):
    """Counts what it handled."""

    def __init__(self) -> None:
        self.handled = 0

    @command
    def plain(self, item: int) -> int:
        self.handled += 1
        return item

    @command
    async def coroutine(self, item: int) -> int:
        self.handled += 1
        return item

    @command
    async def blocking(self, item: int) -> int:
        self.handled += 1
        await trio.lowlevel.checkpoint()
        return item


class Source(Service):
    """Calls and sends, so many times each."""

    def __init__(self, target: Target) -> None:
        self.target = target

    @command
    async def call_plain(self, times: int) -> None:
        for number in range(times):
            assert await self.target.plain(number) == number

    @command
    async def call_coroutine(self, times: int) -> None:
        for number in range(times):
            assert await self.target.coroutine(number) == number

    @command
    async def call_blocking(self, times: int) -> None:
        for number in range(times):
            assert await self.target.blocking(number) == number

    @command
    async def call_at_once(self, times: int) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(times):
                nursery.start_soon(self.target.plain, number)

    @command
    async def send_plain(self, times: int) -> None:
        for number in range(times):
            await self.target.plain.send(number)

    @command
    async def send_coroutine(self, times: int) -> None:
        for number in range(times):
            await self.target.coroutine.send(number)

    @command
    async def send_nowait(self, times: int) -> None:
        for number in range(times):
            self.target.plain.send_nowait(number)
        await self.target.plain(0)  # all were handled


class Lives(Service):
    """Starts services and stops them."""

    @command
    async def start_and_stop(self, times: int) -> None:
        for service in [await self.node.start(Target) for _ in range(times)]:
            await self.node.stop(service)


@attrs.frozen
class Cost:
    """What one of many may cost.

    Args:
        work: a command of :class:`Source`, or of :class:`Lives`.
        steps: the most steps of tasks: one switch each.  A little above a whole number leaves room for the
            pauses that are made for other tasks.
        functions: the most functions of trionet entered.
    """

    work: str
    steps: float
    functions: float


COSTS = [
    Cost("call_plain", steps=0.06, functions=16),
    Cost("call_coroutine", steps=0.06, functions=20),
    Cost("call_blocking", steps=2.2, functions=71),
    Cost("call_at_once", steps=1.2, functions=19),
    Cost("send_plain", steps=0.06, functions=15),
    Cost("send_coroutine", steps=0.06, functions=18),
    Cost("send_nowait", steps=0.07, functions=15),
    Cost("start_and_stop", steps=5.1, functions=101),
]

#: Where every call goes by way of the inbox.
QUEUED_COSTS = [
    Cost("call_plain", steps=2.1, functions=60),
    Cost("call_coroutine", steps=2.1, functions=61),
    Cost("call_at_once", steps=2.2, functions=36),
]


async def assert_costs_no_more_than(cost: Cost, node: Node) -> None:
    target = await node.start(Target)
    worker = await node.start(Lives if cost.work == "start_and_stop" else spec(Source, target))

    async def work(times: int) -> None:
        await node.call(worker, cost.work, times)

    steps, functions = await cost_of(work)
    assert steps <= cost.steps
    assert functions <= cost.functions


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.work)
async def test_work_on_one_node_costs_no_more_than(node: Node, cost: Cost) -> None:
    await assert_costs_no_more_than(cost, node)


@pytest.mark.parametrize("cost", QUEUED_COSTS, ids=lambda cost: cost.work)
async def test_a_call_by_way_of_the_inbox_costs_no_more_than(virtual_time: None, cost: Cost) -> None:
    async with fresh_node(direct_calls=False) as node:
        await assert_costs_no_more_than(cost, node)


async def test_an_idle_service_holds_few_blocks_of_memory(node: Node) -> None:
    await node.start(Target)
    before = blocks()
    kept = [await node.start(Target) for _ in range(200)]
    assert (blocks() - before) / len(kept) <= 50


async def test_a_queued_send_holds_few_blocks_of_memory(node: Node) -> None:
    target = await node.start(Target)
    await target.plain(0)
    before = blocks()
    for _ in range(1000):
        target.plain.send_nowait(0)
    assert (blocks() - before) / 1000 <= 5.5
    await target.plain(0)


@pytest.mark.one_path
async def test_calls_and_sends_that_are_over_hold_no_memory(node: Node) -> None:
    target = await node.start(Target)
    source = await node.start(spec(Source, target))

    async def all_kinds() -> None:
        for cost in COSTS[:-1]:
            await node.call(source, cost.work, 200)

    await all_kinds()
    node.deadlines._prune()
    before = blocks()
    await all_kinds()
    node.deadlines._prune()
    assert blocks() - before <= 100  # of some thousand messages; tasks that rest may be others
