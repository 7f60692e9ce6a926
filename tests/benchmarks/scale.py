"""Many idle services on one node: memory each, time to start and to stop them, messages among them.

Each figure stands beside a floor taken in the same run: the least that raw Trio needs for the same work.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import attrs
import trio

from trionet import NodeConfig, Service, command, open_node

_PAGE = resource.getpagesize()


class Idle(Service):
    """A service with nothing to do until somebody sends."""

    def __init__(self) -> None:
        self.seen = 0

    @command
    def hit(self, number: int) -> int:
        """Count a message."""
        self.seen += 1
        return self.seen


@attrs.define
class Figures:
    """What one run measured.

    Args:
        memory: bytes of resident memory for each service.
        start: seconds to start all.
        messages: seconds for all messages, sent round robin, until all are handled.
        stop: seconds to stop all.
    """

    memory: float = 0.0
    start: float = 0.0
    messages: float = 0.0
    stop: float = 0.0


@contextmanager
def _stopwatch(figures: Figures, name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    setattr(figures, name, time.perf_counter() - began)


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


async def _drain(*, task_status: trio.TaskStatus[trio.MemorySendChannel[int]]) -> None:
    send, receive = trio.open_memory_channel[int](float("inf"))
    task_status.started(send)
    async for _ in receive:
        pass


async def floor(services: int, messages: int) -> Figures:
    """Tasks with a memory channel each, started by ``nursery.start``."""
    figures = Figures()
    before = _resident()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            channels: list[trio.MemorySendChannel[int]] = []
            with _stopwatch(figures, "start"):
                channels += [await nursery.start(_drain) for _ in range(services)]
            figures.memory = (_resident() - before) / services
            with _stopwatch(figures, "messages"):
                for number in range(messages):
                    channels[number % services].send_nowait(number)
                    if number % 1000 == 0:
                        await trio.lowlevel.checkpoint()
                while any(channel.statistics().current_buffer_used for channel in channels):
                    await trio.lowlevel.checkpoint()
            began = time.perf_counter()
            scope.cancel()
    figures.stop = time.perf_counter() - began
    return figures


async def measured(services: int, messages: int) -> Figures:
    """The same with services of trionet."""
    figures = Figures()
    before = _resident()
    async with open_node(NodeConfig(stop_grace=600.0)) as node:
        with _stopwatch(figures, "start"):
            references = [await node.start(Idle) for _ in range(services)]
        figures.memory = (_resident() - before) / services
        with _stopwatch(figures, "messages"):
            for number in range(messages):
                await references[number % services].hit.send(number)
            while node.statistics().messages < messages:
                await trio.lowlevel.checkpoint()
        began = time.perf_counter()
    figures.stop = time.perf_counter() - began
    return figures


def _run(run: Callable[[int, int], Awaitable[Figures]], services: int, messages: int) -> Figures:
    figures: Figures = trio.run(run, services, messages)
    return figures


def compare(services: int, messages: int) -> tuple[Figures, Figures]:
    """Measure floor and trionet, each in a fresh process, so that neither finds the other's memory."""
    context = get_context("spawn")
    results: list[Any] = []
    for run in (floor, measured):
        with context.Pool(1) as pool:
            results.append(pool.apply(_run, (run, services, messages)))
    return results[0], results[1]
