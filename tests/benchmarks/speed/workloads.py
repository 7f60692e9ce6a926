"""All workloads, with their sizes, contenders and goals."""

from __future__ import annotations

from typing import Final

from tests.benchmarks.speed.workload import Contender, Goal, Workload, floor, peer, trionet


def _pykka(function: str, *args: int, share: float = 1.0) -> Contender:
    return peer("pykka", f"peers.with_pykka:{function}", *args, share=share)


def _xoscar(function: str, *args: int, share: float = 1.0) -> Contender:
    return peer("xoscar", f"peers.with_xoscar:{function}", *args, share=share)


def _zmq(function: str, *args: int, share: float = 1.0) -> Contender:
    return peer("pyzmq", f"peers.with_zmq:{function}", *args, share=share, needs="zmq")


#: That others are hardly noticed.
_QUIET: Final = Goal("p99", 10.0, versus="p50")

WORKLOADS: Final = (
    Workload(
        "W1",
        "local one-way, messages handled",
        200_000,
        (
            floor("raw_local:one_way", share=5),
            trionet("def", "local:one_way", "plain", goals=(Goal("rate", 0.25),)),
            trionet("async", "local:one_way", "coroutine", goals=(Goal("rate", 0.15),)),
            _pykka("one_way"),
            _xoscar("one_way", share=0.2),
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
            _pykka("call", share=0.4),
            _xoscar("call", share=0.2),
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
            _pykka("calls", 100, share=0.4),
            _xoscar("calls", 100, share=0.2),
        ),
    ),
    Workload(
        "W4",
        "start and stop services",
        5_000,
        (
            floor("raw_local:lives"),
            trionet("service", "local:lives", goals=(Goal("rate", 0.6),)),
            _pykka("lives", share=0.2),
            _xoscar("lives"),
        ),
    ),
    Workload(
        "W4",
        "memory of an idle service",
        10_000,
        (
            floor("raw_local:memory"),
            trionet("service", "local:memory", goals=(Goal("memory", 8.0, versus=""),)),
            _pykka("memory", share=0.1),
            _xoscar("memory"),
        ),
    ),
    Workload(
        "W5",
        "remote call, 16 B, in sequence",
        5_000,
        (
            floor("raw_remote:call", 16),
            trionet("def", "remote:call", 16, goals=(Goal("rate", 0.9), Goal("p99", 3.0, versus="p50"))),
            _xoscar("remote_call", 16),
            _zmq("call", 16, share=4),
        ),
    ),
    Workload(
        "W6",
        "remote call, 16 B, 100 callers",
        30_000,
        (
            floor("raw_remote:calls", 16, 100),
            trionet("def", "remote:calls", 16, 100, goals=(Goal("rate", 0.35),)),
            _xoscar("remote_calls", 16, 100, share=0.5),
            _zmq("calls", 16, 100, share=10),
        ),
    ),
    Workload(
        "W6",
        "remote call, 16 KiB, 100 callers",
        10_000,
        (
            floor("raw_remote:calls", 16 * 1024, 100),
            trionet("def", "remote:calls", 16 * 1024, 100, goals=(Goal("rate", 0.55),)),
            _xoscar("remote_calls", 16 * 1024, 100, share=0.5),
            _zmq("calls", 16 * 1024, 100, share=2),
        ),
    ),
    Workload(
        "W7",
        "remote one-way, 16 B, messages handled",
        100_000,
        (
            floor("raw_remote:one_way", 16, share=20),
            trionet("def", "remote:one_way", 16, goals=(Goal("rate", 0.07),)),
            _xoscar("remote_one_way", 16, share=0.2),
            _zmq("one_way", 16, share=10),
        ),
    ),
    Workload(
        "W8",
        "fan-out to 1,000 subscribers on 2 nodes, deliveries",
        50_000,
        (
            trionet("sends", "fanout:by_sends", 1000),
            trionet("topic", "fanout:by_topic", 1000),
        ),
    ),
    Workload(
        "W9",
        "join of simulated nodes",
        1_000,
        (
            trionet("2 nodes", "joining:join", 2),
            trionet("16 nodes", "joining:join", 16),
            trionet("64 nodes", "joining:join", 64, most_repeats=3),
            trionet("255 nodes", "joining:join", 255, most_repeats=1, least_scale=1.0),
        ),
    ),
    Workload(
        "W10",
        "remote call, 16 B, while W7 runs on the link",
        1_000,
        (
            trionet("of the same service", "remote:under_load", 16, "far", goals=(_QUIET,)),
            trionet("of another service", "remote:under_load", 16, "aside", goals=(_QUIET,)),
        ),
    ),
)
