"""Runs that can be repeated exactly: virtual time, seeded chance, a seeded scheduler, no threads.

Duty: everything that a simulation puts in the place of what is outside.

Time comes from the mock clock of Trio, which jumps to the next deadline as soon as every task waits.  Chance
comes from the seams of the node.  What is left is the order in which Trio runs the tasks that are ready in
one round; :mod:`trionet.testing.determinism` seeds it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import trio
import trio.testing

from trionet.config import NodeConfig
from trionet.kernel.node import Node, open_node
from trionet.kernel.seams import simulated
from trionet.testing.determinism import seeded_scheduler
from trionet.testing.leaks import assert_no_leaks

T = TypeVar("T")


@asynccontextmanager
async def open_simulated_node(
    config: NodeConfig = NodeConfig(),  # noqa: B008 - frozen
    *,
    seed: int = 0,
) -> AsyncIterator[Node]:
    """Open a node for a test: seeded chance, no threads, and nothing may be left of it at the end.

    Leaving the block stops all services in order, waits for that, and checks that the node is empty.  Use it
    where the fixture ``node`` is not enough: for two nodes in one test, or for another seed.  Whether time is
    virtual is a matter of the run: see :func:`run_simulated`, and the fixture ``virtual_time``.

    Cancellation: kills the services, as :func:`trionet.open_node` does; nothing is checked then.

    Args:
        config: the node's settings.
        seed: what the node's chance is seeded with.

    Raises:
        AssertionError: if something is left; see :func:`assert_no_leaks`.
    """
    async with open_node(config, seams=simulated(seed)) as node:
        yield node
        await node.close()
        await trio.lowlevel.checkpoint()
        assert_no_leaks(node)


def run_simulated(
    function: Callable[..., Awaitable[T]],
    *args: object,
    seed: int = 0,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Run an async function as ``trio.run`` does, in virtual time and with a seeded scheduler.

    A sleep takes no time, and two runs with the same seed do the same in the same order.

    Args:
        function: what to run.
        args: its arguments.
        seed: what the scheduler is seeded with.
        clock: another clock than one that jumps to the next deadline when every task waits.
        instruments: as for ``trio.run``.

    Returns:
        What the function returned.
    """
    if clock is None:
        clock = trio.testing.MockClock(autojump_threshold=0)
    with seeded_scheduler(seed):
        return trio.run(function, *args, clock=clock, instruments=instruments)
