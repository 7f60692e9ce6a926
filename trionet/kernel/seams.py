"""Where a node touches what is not deterministic: chance, the processor's clock, threads.

Duty: one small object a node, so that a simulation can put its own in place of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from random import Random as Random
from random import SystemRandom
from typing import Final, TypeVar

import attrs
import trio

T = TypeVar("T")

#: Seconds that pass on the stopwatch of a simulation at each reading.
READING: Final = 0.00001


async def _in_thread(function: Callable[..., T], *args: object) -> T:
    return await trio.to_thread.run_sync(function, *args, abandon_on_cancel=False)


@attrs.frozen
class Seams:
    """What a node draws from outside.

    Args:
        random: source of incarnations, nonces, jitter and ids.
        stopwatch: seconds of a clock that only ever measures how long code held the event loop.
        time_of_day: seconds since 1970, on a clock that may jump.
        run_sync: runs a blocking function in a worker thread.
        watchdog: whether a thread watches for handlers that hold the event loop.
    """

    random: Random = attrs.field(factory=SystemRandom)
    stopwatch: Callable[[], float] = time.perf_counter
    time_of_day: Callable[[], float] = time.time
    run_sync: Callable[..., object] = _in_thread
    watchdog: bool = True


def simulated(seed: int) -> Seams:
    """Seams for a simulation: seeded chance, a stopwatch that counts its readings, threads run inline.

    The time of day is that of Trio's clock.
    """
    readings = count()

    async def inline(function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)

    return Seams(Random(seed), lambda: next(readings) * READING, trio.current_time, inline, watchdog=False)
