"""Gauges without noise: what an operation costs in steps of tasks, entered functions, memory and writes."""

from __future__ import annotations

import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import attrs
import trio

from trionet.testing.network import _Pipe
from trionet.wire.framing import FrameBuffer, Spans
from trionet.wire.records import TAG_SIZE

# --- counting ----------------------------------------------------------------------------------------


class Count:
    """How often something happened within a block.

    Attributes:
        number: how often so far.
    """

    def __init__(self) -> None:
        self.number: int = 0


class _Steps(trio.abc.Instrument):
    def __init__(self, steps: Count) -> None:
        self._steps = steps

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._steps.number += 1


@contextmanager
def task_steps() -> Iterator[Count]:
    """Count how often Trio switches to a task, whichever it is."""
    steps = Count()
    instrument = _Steps(steps)
    trio.lowlevel.add_instrument(instrument)
    try:
        yield steps
    finally:
        trio.lowlevel.remove_instrument(instrument)


def _is_counted(module: str) -> bool:
    return module.startswith("trionet.") and not module.startswith("trionet.testing")


@contextmanager
def entered_functions() -> Iterator[Count]:
    """Count how often a function of trionet is entered, or a coroutine of it goes on.

    What the testing kit puts in the place of a network is not counted.
    """
    entered = Count()

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and _is_counted(frame.f_globals.get("__name__", "")):
            entered.number += 1

    former = sys.getprofile()
    gc.collect()
    gc.disable()  # what it calls back would be counted
    sys.setprofile(profile)
    try:
        yield entered
    finally:
        sys.setprofile(former)
        gc.enable()


async def cost_of(work: Callable[[int], Awaitable[object]], times: int = 200) -> tuple[float, float]:
    """What each of many costs, once all is warm: steps of tasks, and functions of trionet entered.

    Args:
        work: does it so many times.
        times: how many times.
    """
    await work(times)
    with task_steps() as steps, entered_functions() as functions:
        await work(times)
    return steps.number / times, functions.number / times


def blocks() -> int:
    """Blocks of memory that Python holds, once the garbage is gone."""
    gc.collect()
    return sys.getallocatedblocks()


# --- the simulated network ---------------------------------------------------------------------------


@attrs.define
class Traffic:
    """What was written to all simulated links.

    Attributes:
        writes: uses of ``send_all``.
        frames: frames that were in them.
        size: their bytes.
    """

    writes: int = 0
    frames: int = 0
    size: int = 0

    def wrote(self, data: bytes) -> None:
        """Count whole records with whole frames in them: after the handshake nothing else is written."""
        self.writes += 1
        self.size += len(data)
        frames = FrameBuffer(sys.maxsize)

        def count(records: bytes, spans: Spans) -> None:
            for start, end in spans:
                frames.feed(records[start : end - TAG_SIZE], self._frames)

        FrameBuffer(sys.maxsize, trailer=TAG_SIZE).feed(data, count)

    def _frames(self, _data: bytes, spans: Spans) -> None:
        self.frames += len(spans)


@contextmanager
def traffic() -> Iterator[Traffic]:
    """Count what is written to simulated links that are open."""
    seen = Traffic()
    append = _Pipe._append

    def count(self: _Pipe, data: bytes) -> None:
        seen.wrote(data)
        append(self, data)

    _Pipe._append = count  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        _Pipe._append = append  # type: ignore[method-assign]
