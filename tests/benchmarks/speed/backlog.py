"""Inboxes with many messages in them: what the length of the queue costs."""

from __future__ import annotations

from tests.benchmarks.speed.local import Counter, Tally
from tests.benchmarks.speed.timing import Stopwatch
from tests.benchmarks.speed.workload import Figures
from trionet import NodeConfig, open_node, spec


async def backlog(size: int, length: int) -> Figures:
    """Fill an inbox, then let it be emptied, until so many messages were handled."""
    rounds = max(1, size // length)
    async with open_node(NodeConfig(inbox=length)) as node:
        tally = Tally(0)
        counter = await node.start(spec(Counter, tally))
        watch = Stopwatch()
        for _ in range(rounds):
            first = tally.expect_more(length)
            for number in range(first, first + length):
                counter.plain.send_nowait(number)
            await tally.done.wait()
        return watch.figures(rounds * length)
