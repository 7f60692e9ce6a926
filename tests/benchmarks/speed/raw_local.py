"""The least that raw Trio needs for the work of W1 to W4."""

from __future__ import annotations

import time
from typing import Any

import trio

from tests.benchmarks.speed.timing import Stopwatch, latencies, resident
from tests.benchmarks.speed.workload import Figures

#: Messages that the sender sends before it lets the receiver run.
BATCH = 1000


# --- W1 ----------------------------------------------------------------------------------------------


async def _drain(receive: trio.MemoryReceiveChannel[int], size: int) -> None:
    seen = 0
    while seen < size:
        await receive.receive()
        seen += 1
        try:
            while True:
                receive.receive_nowait()
                seen += 1
        except trio.WouldBlock:
            pass


async def _one_way(size: int) -> Figures:
    send, receive = trio.open_memory_channel[int](float("inf"))
    watch = Stopwatch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_drain, receive, size)
        for number in range(size):
            send.send_nowait(number)
            if number % BATCH == 0:
                await trio.lowlevel.checkpoint()
    return watch.figures(size)


async def one_way(size: int) -> Figures:
    """An unbounded memory channel, drained."""
    await _one_way(size // 10)
    return await _one_way(size)


# --- W2, W3 ------------------------------------------------------------------------------------------


def _never(_: Any) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED


async def _answer(asker: trio.lowlevel.Task, rounds: int) -> None:
    for _ in range(rounds + 1):
        trio.lowlevel.reschedule(asker)
        await trio.lowlevel.wait_task_rescheduled(_never)


async def _ask(rounds: int) -> list[float]:
    """Two tasks that wake each other; returns the moments between the rounds."""
    stamps = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_answer, trio.lowlevel.current_task(), rounds)
        (other,) = nursery.child_tasks
        for _ in range(rounds + 1):
            await trio.lowlevel.wait_task_rescheduled(_never)
            stamps.append(time.perf_counter())
            trio.lowlevel.reschedule(other)
    return stamps


async def call(size: int) -> Figures:
    """Two tasks that reschedule each other."""
    await _ask(size // 10)
    watch = Stopwatch()
    stamps = await _ask(size)
    return watch.figures(size) | latencies(stamps)


async def _ask_concurrently(size: int, pairs: int) -> Figures:
    watch = Stopwatch()
    async with trio.open_nursery() as nursery:
        for _ in range(pairs):
            nursery.start_soon(_ask, size // pairs)
    return watch.figures(size // pairs * pairs)


async def calls(size: int, pairs: int) -> Figures:
    """Many pairs of tasks that reschedule each other."""
    await _ask_concurrently(size // 10, pairs)
    return await _ask_concurrently(size, pairs)


# --- W4 ----------------------------------------------------------------------------------------------


async def _live(*, task_status: trio.TaskStatus[trio.MemorySendChannel[int]]) -> None:
    send, receive = trio.open_memory_channel[int](float("inf"))
    task_status.started(send)
    async for _ in receive:
        pass


async def _lives(size: int) -> Figures:
    whole = Stopwatch()
    async with trio.open_nursery() as nursery:
        channels = [await nursery.start(_live) for _ in range(size)]
        start, watch = size / whole.seconds(), Stopwatch()
        for channel in channels:
            channel.close()
    return whole.figures(size) | {"start": start, "stop": size / watch.seconds()}


async def lives(size: int) -> Figures:
    """Start tasks with a memory channel each by ``nursery.start``, and end them."""
    await _lives(size // 10)
    return await _lives(size)


async def memory(size: int) -> Figures:
    """Memory of an idle task with a memory channel."""
    before = resident()
    async with trio.open_nursery() as nursery:
        channels = [await nursery.start(_live) for _ in range(size)]
        held = resident() - before
        for channel in channels:
            channel.close()
    return {"memory": held / size / 1024}
