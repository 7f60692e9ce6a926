"""What messages between two nodes cost, in numbers that do not depend on the machine.

The numbers are what holds today; whoever makes something cheaper lowers its number.
"""

from __future__ import annotations

import attrs
import pytest
import trio

from tests.gauges import cost_of, traffic
from trionet import Service, command, spec
from trionet.testing import open_cluster

PAYLOAD = bytes(16)
TIMES = 100


class Target(Service):
    """Sends back what it gets."""

    @command
    def echo(self, item: bytes) -> bytes:
        return item


class Source(Service):
    """Calls and sends, so many times each."""

    def __init__(self, target: Target) -> None:
        self.target = target

    @command
    async def call_in_sequence(self, times: int) -> None:
        for _ in range(times):
            assert await self.target.echo(PAYLOAD) == PAYLOAD

    @command
    async def call_at_once(self, times: int) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(times):
                nursery.start_soon(self.target.echo, PAYLOAD)

    @command
    async def send_all(self, times: int) -> None:
        for _ in range(times):
            await self.target.echo.send(PAYLOAD)
        await self.target.echo(PAYLOAD)  # all were handled


@attrs.frozen
class Cost:
    """What one of many may cost, on both nodes together.

    Args:
        work: a command of :class:`Source`.
        writes: the most uses of ``send_all``.
        frames: the most frames in them.
        size: the most bytes, payload and the tags of records included.
        steps: the most steps of tasks, those of the simulated network included.
        functions: the most functions of trionet entered.
    """

    work: str
    writes: float
    frames: float
    size: float
    steps: float
    functions: float


COSTS = [
    Cost("call_in_sequence", writes=2.02, frames=2.1, size=146, steps=7.1, functions=120),
    Cost("call_at_once", writes=0.08, frames=0.2, size=66, steps=2.3, functions=71),
    Cost("send_all", writes=0.05, frames=0.12, size=22, steps=0.2, functions=25),
]


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.work)
async def test_work_across_a_link_costs_no_more_than(virtual_time: None, cost: Cost) -> None:
    async with open_cluster(nodes=2) as cluster:
        target = cluster[1].ref(await cluster[2].start(Target), Target)
        source = await cluster[1].start(spec(Source, target))

        async def work(times: int) -> None:
            await cluster[1].call(source, cost.work, times)

        steps, functions = await cost_of(work, TIMES)
        with traffic() as written:
            await work(TIMES)
        assert 0 < written.size / TIMES <= cost.size
        assert written.writes / TIMES <= cost.writes
        assert 0 < written.frames / TIMES <= cost.frames
        assert steps <= cost.steps
        assert functions <= cost.functions
