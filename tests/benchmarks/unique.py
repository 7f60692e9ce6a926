"""A unique service whose node is killed and frozen again and again, while three processes call it.

``python -m tests.benchmarks unique`` starts them, and is the master itself; each process is this module.
Every step of every instance is written down with the clock of the machine, which all processes share, so that
two instances that act at the same time are seen, whatever they believe of each other.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, cast, get_args

import attrs
import trio

from tests.ports import free_address
from trionet import CallError, ClusterConfig, Harbor, Node, NodeConfig, Service, command, open_node, spec
from trionet.services import query, unique

NAME = "numbers"
HARBORS = (1, 2, 3)
MASTER_HARBOR = 9
#: Seconds; a lease is as long as the timeout, and certain to be over after twice that.
HEARTBEAT, TIMEOUT = 0.5, 2.0
#: Seconds between two steps that an instance makes by itself.
STEP = 0.005
#: Seconds that one request may take, with all its waiting.
PATIENCE = 30.0


#: What ``cluster.fence`` can be, the default first.
Fence = Literal["auto", "process", "tasks"]
FENCES: tuple[Fence, ...] = get_args(Fence)


def cluster_config(harbor: int, master: str, fence: Fence) -> ClusterConfig:
    """The settings of one node."""
    return ClusterConfig(
        fence=fence,
        harbor=harbor,
        master=master,
        standalone=master if harbor == MASTER_HARBOR else None,
        heartbeat=HEARTBEAT,
        heartbeat_timeout=TIMEOUT,
        reconnect_most=0.5,
    )


class Record:
    """A file that one process appends to, a line at a time, so that nothing is lost when it is killed."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, *item: object) -> None:
        """Write down what happens now."""
        os.write(self._file, (json.dumps([time.monotonic(), *item]) + "\n").encode())


# --- the processes --------------------------------------------------------------------------------------


class Numbers(Service):
    """Gives out numbers, and writes down each step that it makes."""

    def __init__(self, record: Record, life: str) -> None:
        self._record = record
        self._life = life
        self._last = 0

    async def setup(self) -> None:
        self._record.write("begins", self._life)
        self.nursery.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            await trio.sleep(STEP)
            self._record.write("step", self._life)

    @command
    async def take(self) -> int:
        """Give out the next one."""
        self._record.write("step", self._life)
        await trio.sleep(STEP)
        self._last += 1
        self._record.write("served", self._life)
        return self._last


async def call_on(node: Node, record: Record) -> None:
    """Call the service again and again."""
    number = 0
    while True:
        number += 1
        began = time.monotonic()
        end = f"gave up after {PATIENCE:g} s"
        with trio.move_on_after(PATIENCE):
            try:
                what = spec(Numbers, record, f"{node.name}.{os.getpid()}.{number}")
                numbers = await unique(node, what, NAME, standby=True)
                await numbers.take()
                end = "returned"
            except CallError as error:
                end = f"{type(error).__name__}(executed={error.executed})"
        record.write("called", end, time.monotonic() - began)
        await trio.sleep(0.01)


async def serve(harbor: int, master: str, fence: Fence, folder: str) -> None:
    """One process: a node that calls until it is killed."""
    record = Record(Path(folder) / f"{harbor}.{os.getpid()}")
    config = NodeConfig(name=f"node{harbor}")
    async with open_node(config, network=Harbor(cluster_config(harbor, master, fence))) as node:
        await call_on(node, record)


# --- the faults -----------------------------------------------------------------------------------------


@attrs.frozen
class Fault:
    """What was done to a process: from when to when it could not run."""

    kind: str
    pid: int
    began: float
    ended: float


class Stage:
    """The processes, and what was done to them."""

    def __init__(self, master: str, fence: Fence, folder: str) -> None:
        self.faults: list[Fault] = []
        self.ended = 0
        self._words = [master, fence, folder]
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, harbor: int) -> None:
        """Start the process of a node."""
        words = [sys.executable, "-m", "tests.benchmarks.unique", str(harbor), *self._words]
        self._running[harbor] = subprocess.Popen(words)

    async def kill(self, harbor: int, seconds: float) -> None:
        """Kill a process and start another one in its place after some time."""
        child = self._running[harbor]
        child.kill()
        child.wait()
        self.faults.append(Fault("SIGKILL", child.pid, time.monotonic(), float("inf")))
        await trio.sleep(seconds)
        self.start(harbor)

    async def freeze(self, harbor: int, seconds: float) -> None:
        """Stop a process for some time."""
        child = self._running[harbor]
        child.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        await trio.sleep(seconds)
        self.faults.append(Fault("SIGSTOP", child.pid, began, time.monotonic()))
        child.send_signal(signal.SIGCONT)
        await trio.sleep(0.1)
        if child.poll() is not None:
            self.ended += 1
            self.start(harbor)

    def end(self) -> None:
        """Kill all."""
        for child in self._running.values():
            child.kill()
            child.wait()


async def make_faults(node: Node, stage: Stage, seconds: float, chance: random.Random) -> None:
    """Kill or freeze the node of the present instance as soon as there is one, and again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        numbers = await query(node, NAME, Numbers)
        try:
            await numbers.take()
            harbor = node.handle_of(numbers).harbor
        except CallError:
            continue
        await trio.sleep(chance.uniform(0.2, 1.0))
        if chance.random() < 0.5:
            await stage.kill(harbor, chance.uniform(0.0, 3.0))
        else:
            await stage.freeze(harbor, chance.uniform(0.2, 4 * TIMEOUT))


async def bad_minute(seconds: float, seed: int, fence: Fence) -> list[str]:
    """Make faults for some time; returns what was seen."""
    master = free_address()
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(master, fence, folder)
        try:
            harbor = Harbor(cluster_config(MASTER_HARBOR, master, "tasks"))
            async with open_node(NodeConfig(name="master"), network=harbor) as node:
                for each in HARBORS:
                    stage.start(each)
                await (await query(node, NAME, Numbers)).take()
                began = time.monotonic()
                await make_faults(node, stage, seconds, random.Random(seed))
                await (await query(node, NAME, Numbers)).take()
                ended = time.monotonic()
                return [
                    *Report(folder, stage.faults, began, ended).lines(),
                    f'fence = "{fence}": {stage.ended} processes were ended by it when they were thawed',
                ]
        finally:
            stage.end()


# --- what was seen --------------------------------------------------------------------------------------


class Report:
    """Reads what all processes have written."""

    def __init__(self, folder: str, faults: list[Fault], began: float, ended: float) -> None:
        self._faults = faults
        self._began, self._ended = began, ended
        self._lines: list[list[Any]] = sorted(
            json.loads(line) for path in Path(folder).iterdir() for line in _whole_lines(path)
        )

    def lines(self) -> list[str]:
        """All of it, for people."""
        kinds = Counter(fault.kind for fault in self._faults)
        seconds = self._ended - self._began
        shown = ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items()))
        lives, most, beside = self._acting()
        text = f"{lives} instances; {most} acted at the same time at most"
        return [
            f"{shown} to the node of the instance in {seconds:.0f} s (heartbeat timeout {TIMEOUT:g} s)",
            *self._calls(),
            *self._gaps(),
            text + (f"; {beside} steps of one beside another" if beside else ""),
        ]

    def _calls(self) -> Iterator[str]:
        ends = [(str(rest[0]), float(rest[1])) for _, what, *rest in self._lines if what == "called"]
        yield f"{len(ends):,} calls from {len(HARBORS)} processes:"
        for end, count in Counter(end for end, _ in ends).most_common():
            longest = max(seconds for each, seconds in ends if each == end)
            yield f"  {count:,} x {end}, after {longest:.2f} s at the latest"

    def _gaps(self) -> Iterator[str]:
        """The times in which no call was served, after each kind of fault."""
        served = [self._began, *(at for at, what, _ in self._events("served")), self._ended]
        gaps = [(later - earlier, earlier, later) for earlier, later in pairwise(served)]
        longest = {"SIGKILL": 0.0, "SIGSTOP": 0.0}
        for gap, earlier, later in gaps:
            for fault in self._faults:
                if earlier - 2 * STEP <= fault.began <= later:
                    longest[fault.kind] = max(longest[fault.kind], gap)
        yield f"the longest time in which no call was served: {max(gaps)[0]:.2f} s; " + ", ".join(
            f"{gap:.2f} s after {kind}" for kind, gap in longest.items() if gap
        )

    def _events(self, *kinds: str) -> list[tuple[float, str, str]]:
        return [(at, what, rest[0]) for at, what, *rest in self._lines if what in kinds]

    def _acting(self) -> tuple[int, int, int]:
        """How many instances there were, how many acted at once, and steps within the time of another one."""
        spans: dict[str, list[tuple[float, float]]] = {}
        events = self._events("begins", "step", "served")
        for at, _, life in events:
            stops = [fault.ended for fault in self._faults if str(fault.pid) in life.split(".")]
            earlier = spans.setdefault(life, [(at, at)])
            first, last = earlier[-1]
            if any(last <= stop <= at for stop in stops):  # it was stopped in between, and did nothing
                earlier.append((at, at))
            else:
                earlier[-1] = (first, at)
        whole = [span for each in spans.values() for span in each]
        most = max(sum(first <= at <= last for first, last in whole) for at, _ in whole)
        beside = sum(
            any(first <= at <= last for other, each in spans.items() if other != life for first, last in each)
            for at, _, life in events
        )
        return len(spans), most, beside


def _whole_lines(path: Path) -> list[str]:
    """A process that was killed may have left half a line."""
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


if __name__ == "__main__":
    trio.run(serve, int(sys.argv[1]), sys.argv[2], cast(Fence, sys.argv[3]), sys.argv[4])
