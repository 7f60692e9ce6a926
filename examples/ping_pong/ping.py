"""Calls services on two other nodes and prints how long that took."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from pong import Pong

from trionet import Node


async def in_sequence(call: Callable[[], Awaitable[object]], calls: int) -> list[float]:
    """Call again and again; returns the seconds that each call took, sorted."""
    times = []
    for _ in range(calls):
        began = trio.current_time()
        await call()
        times.append(trio.current_time() - began)
    return sorted(times)


async def concurrently(call: Callable[[], Awaitable[object]], calls: int, callers: int) -> float:
    """Call from many tasks at once; returns the seconds that all calls took."""

    async def caller() -> None:
        for _ in range(calls // callers):
            await call()

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(callers):
            nursery.start_soon(caller)
    return trio.current_time() - began


def show(what: str, times: list[float]) -> None:
    """Print one line of figures."""
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    rate = len(times) / sum(times)
    print(f"{what:34} {rate:8.0f} calls/s   p50 {p50 * 1e6:6.0f} us   p99 {p99 * 1e6:6.0f} us", flush=True)


async def main(node: Node) -> None:
    calls = int(node.config.app.get("calls", 2000))
    await node.wait_for_name("pong1")
    await node.wait_for_name("pong2")
    first, second = node.ref("pong1", Pong), node.ref("pong2", Pong)

    show("one caller, 16 bytes", await in_sequence(lambda: first.ping(b"x" * 16), calls))
    show("one caller, 16 KiB", await in_sequence(lambda: first.ping(b"x" * 16384), calls))
    show("one caller, by way of a third node", await in_sequence(lambda: first.ping_via(second, b"x"), calls))
    for callers in (10, 100):
        seconds = await concurrently(lambda: second.ping(b"x" * 16), calls, callers)
        print(f"{f'{callers} callers, 16 bytes':34} {calls / seconds:8.0f} calls/s", flush=True)

    await first.close()
    await second.close()
    for harbor in node.cluster.linked():  # the node with the master leaves last
        await node.cluster.wait_disconnected(harbor)
