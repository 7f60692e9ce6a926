"""W2 and W3 with an async command that may run in the caller's own task."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.speed import local
from tests.benchmarks.speed.workload import Figures
from trionet import command


class InlineEcho(local.Echo):
    """Answers, in the caller's task where it can."""

    @command(inline=True)
    async def coroutine(self, item: Any) -> Any:
        """Send it back, in a handler that could wait but does not."""
        return item


async def call(size: int) -> Figures:
    """One service calls another in sequence."""
    return await local.call(size, "coroutine", echo=InlineEcho)


async def calls(size: int, concurrent: int) -> Figures:
    """Many services call one, concurrently."""
    return await local.calls(size, concurrent, "coroutine", echo=InlineEcho)
