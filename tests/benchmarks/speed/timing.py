"""Stopwatches of the workloads."""

from __future__ import annotations

import gc
import resource
import time
from itertools import pairwise
from pathlib import Path

from tests.benchmarks.speed.workload import Figures

_PAGE = resource.getpagesize()


class Stopwatch:
    """Measures from its making on: time that passed, and time that this process computed."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._computed = time.process_time()

    def seconds(self) -> float:
        """Time that passed."""
        return time.perf_counter() - self._began

    def figures(self, size: int) -> Figures:
        """The rate of so many, and the time that this process computed for each."""
        computed = time.process_time() - self._computed
        return {"rate": size / self.seconds(), "cpu": 1e6 * computed / size}


def latencies(stamps: list[float]) -> Figures:
    """Middle and high latency, from the moments between one call and the next, in seconds."""
    spans = sorted(later - earlier for earlier, later in pairwise(stamps))
    return {"p50": 1e6 * spans[len(spans) // 2], "p99": 1e6 * spans[len(spans) * 99 // 100]}


def resident() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
