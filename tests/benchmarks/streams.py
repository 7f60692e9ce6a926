"""Streams between processes: a million items, a slow reader, and what a kill on each side does."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import trio

from tests.benchmarks.stage import open_stage
from tests.benchmarks.stream_child import HEARTBEAT, Drinker, Fountain
from trionet import CallError, Node

#: Characters of the items of the second run, and of those of the slow reader.
SMALL, LARGE = 100, 10_000
#: Items that the slow reader takes, and in which seconds.
SLOW, SECONDS = 500, 5.0
_OWN = Path("/proc/self/status")


def memory(status: Path) -> float:
    """The resident memory of a process in MiB, from its file in /proc."""
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


class Memory:
    """How far the memory of this process and of another one grows."""

    def __init__(self, other: int) -> None:
        self._files = (_OWN, Path(f"/proc/{other}/status"))
        self._before = [memory(each) for each in self._files]
        self._most = list(self._before)

    def look(self) -> None:
        """Look how large they are now."""
        self._most = [max(most, memory(each)) for most, each in zip(self._most, self._files, strict=True)]

    def text(self) -> str:
        """What was seen."""
        consumer, producer = (most - before for most, before in zip(self._most, self._before, strict=True))
        return f"memory at most +{consumer:.1f} MiB at the consumer, +{producer:.1f} MiB at the producer"


async def fast(fountain: Fountain, producer: int, count: int, size: int) -> str:
    """Take all items as fast as possible."""
    seen = Memory(producer)
    began = time.monotonic()
    async with fountain.items(count, size) as items:
        number = 0
        async for _ in items:
            number += 1
            if number % 50_000 == 0:
                seen.look()
    seconds = time.monotonic() - began
    assert number == count
    what = f"texts of {size} characters" if size else "numbers"
    return f"{count:,} {what}: {seconds:.1f} s, {count / seconds:,.0f} a second; {seen.text()}"


async def slow(fountain: Fountain, producer: int) -> str:
    """Take large items slowly."""
    seen = Memory(producer)
    ahead = 0
    async with fountain.items(1_000_000, LARGE) as items:
        for number in range(1, SLOW + 1):
            await items.receive()
            await trio.sleep(SECONDS / SLOW)
            if number % 50 == 0:
                ahead = max(ahead, await fountain.yielded() - number)
                seen.look()
        began = time.monotonic()
    left = time.monotonic() - began
    rate = f"{SLOW / SECONDS:g} items of {LARGE:,} characters a second"
    return (
        f"a reader of {rate}: the producer was at most {ahead} items ahead; {seen.text()}; "
        f"leaving took {1000 * left:.1f} ms"
    )


async def killed_producer(fountain: Fountain, child: subprocess.Popen[bytes]) -> str:
    """Kill the producer's process in the middle of a stream."""
    number, began = 0, 0.0
    async with fountain.items(10_000_000) as items:
        try:
            async for _ in items:
                number += 1
                if number == 100_000:
                    child.send_signal(signal.SIGKILL)
                    child.wait()
                    began = time.monotonic()
        except CallError as error:
            after = time.monotonic() - began
            text = f"{type(error).__name__}(executed={error.executed}) after {1000 * after:.1f} ms"
            return f"SIGKILL to the producer: {number - 100_000} more items, then {text}"
    return "SIGKILL to the producer: nobody noticed"


async def killed_consumer(node: Node, fountain: Fountain, child: subprocess.Popen[bytes], harbor: int) -> str:
    """Kill the consumer's process in the middle of a stream."""
    drinker = node.ref(f"drinker{harbor}", Drinker)
    await drinker.drink.send(fountain, 100_000_000, 100_000)
    await drinker.wait_enough()
    began = time.monotonic()
    child.send_signal(signal.SIGKILL)
    child.wait()
    ended = await fountain.ended_at()
    return f"SIGKILL to the consumer: the generator had ended after {1000 * (ended - began):.1f} ms"


async def measure(count: int) -> list[str]:
    """Measure all of it."""
    async with open_stage("stream_child", "drinker", HEARTBEAT, 2, 3) as (node, children):
        fountain = node.ref("fountain2", Fountain)
        producer = children[2].pid
        return [
            await fast(fountain, producer, count, 0),
            await fast(fountain, producer, count, SMALL),
            await slow(fountain, producer),
            await killed_consumer(node, fountain, children[3], 3),
            await killed_producer(fountain, children[2]),
        ]
