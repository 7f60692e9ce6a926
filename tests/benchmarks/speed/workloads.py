"""All workloads, with their sizes, contenders and goals."""

from __future__ import annotations

from typing import Final

from tests.benchmarks.speed.workload import Goal, Workload, floor, trionet

WORKLOADS: Final = (
    Workload(
        "W1",
        "local one-way, messages handled",
        200_000,
        (
            floor("raw_local:one_way"),
            trionet("def", "local:one_way", "plain", goals=(Goal("rate", 0.25),)),
            trionet("async", "local:one_way", "coroutine", goals=(Goal("rate", 0.15),)),
        ),
    ),
    Workload(
        "W2",
        "local call, in sequence",
        100_000,
        (
            floor("raw_local:call"),
            trionet("def", "local:call", "plain", goals=(Goal("rate", 1.5),)),
            trionet("async", "local:call", "coroutine", goals=(Goal("rate", 0.85),)),
            trionet("def, from main", "local:call_from_main", "plain"),
        ),
    ),
    Workload(
        "W3",
        "local call, 100 callers",
        100_000,
        (
            floor("raw_local:calls", 100),
            trionet("def", "local:calls", 100, "plain", goals=(Goal("rate", 1.5),)),
            trionet("async", "local:calls", 100, "coroutine"),
        ),
    ),
    Workload(
        "W4",
        "start and stop services",
        5_000,
        (
            floor("raw_local:lives"),
            trionet("service", "local:lives", goals=(Goal("rate", 0.6),)),
        ),
    ),
    Workload(
        "W4",
        "memory of an idle service",
        10_000,
        (
            floor("raw_local:memory"),
            trionet("service", "local:memory", goals=(Goal("memory", 8.0, versus=""),)),
        ),
    ),
)
