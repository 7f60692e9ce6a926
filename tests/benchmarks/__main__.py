"""The command ``python -m tests.benchmarks``: measures, and fails for no figure."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import trio
from rich.console import Console
from rich.table import Table

from tests.benchmarks import datacenter, multicast, streams
from tests.benchmarks.failures import cancel_across, kill_and_freeze
from tests.benchmarks.join import join
from tests.benchmarks.scale import compare
from tests.benchmarks.speed import comparison, parts, report, scaling
from tests.benchmarks.speed.machine import ROOT
from tests.benchmarks.speed.measure import measure
from tests.benchmarks.speed.results import Results
from tests.benchmarks.speed.workload import Workload
from tests.benchmarks.speed.workloads import WORKLOADS
from tests.benchmarks.unique import FENCES, bad_minute

_ROWS = (("memory", "KiB each", 1 / 1024), ("start", "s", 1.0), ("messages", "s", 1.0), ("stop", "s", 1.0))
#: Columns of a table that is not written to a terminal.
_WIDE = 160


def _console() -> Console:
    console = Console(soft_wrap=True)
    return console if console.is_terminal else Console(soft_wrap=True, width=_WIDE)


def idle(console: Console, chosen: argparse.Namespace) -> None:
    """Measure many idle services on one node beside raw Trio."""
    services, messages = chosen.services, chosen.messages
    with console.status("measuring raw Trio, then trionet"):
        floor, trionet = compare(services, messages)
    table = Table(title=f"{services:,} idle services, {messages:,} messages among them")
    for heading in ("", "raw Trio", "trionet", "trionet / raw Trio"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, unit, scale in _ROWS:
        least, value = getattr(floor, name) * scale, getattr(trionet, name) * scale
        table.add_row(f"{name} ({unit})", f"{least:.2f}", f"{value:.2f}", f"{value / least:.2f}")
    console.print(table)


def _lines(console: Console, chosen: argparse.Namespace) -> None:
    with console.status("running"):
        if chosen.what == "failures":
            lines = trio.run(kill_and_freeze)
        elif chosen.what == "unique":
            lines = trio.run(bad_minute, chosen.seconds, chosen.seed, chosen.fence)
        elif chosen.what == "cancel":
            lines = trio.run(cancel_across)
        elif chosen.what == "datacenter":
            lines = trio.run(datacenter.measure, chosen.writes)
        elif chosen.what == "multicast":
            lines = trio.run(multicast.measure, chosen.subscribers)
        elif chosen.what == "streams":
            lines = trio.run(streams.measure, chosen.items)
        else:
            lines = trio.run(join, chosen.processes)
    for line in lines:
        console.print(line, highlight=False)


def _speed(console: Console, chosen: argparse.Namespace) -> None:
    workloads = [each for each in WORKLOADS if each.key in (chosen.workloads or {each.key})]
    results = measure(
        workloads, repeats=chosen.repeats, scale=chosen.scale, peers=chosen.peers, package=chosen.package
    )
    if chosen.json is not None:
        results.save(chosen.json)
    report.show(console, results)


def _scale(console: Console, chosen: argparse.Namespace) -> None:
    series = [each for each in scaling.SERIES if each.key in (chosen.workloads or {each.key})]
    results = measure(series, repeats=chosen.repeats, scale=chosen.scale, peers=False, package=chosen.package)
    if chosen.json is not None:
        results.save(chosen.json)
    scaling.show(console, results)


def _compare(console: Console, chosen: argparse.Namespace) -> None:
    comparison.show(console, Results.load(chosen.before), Results.load(chosen.after))


def _add_measuring(parser: argparse.ArgumentParser, workloads: Sequence[Workload], repeats: int) -> None:
    keys = sorted({each.key for each in workloads}, key=lambda key: int(key[1:]))
    which = f"which of {', '.join(keys)}"
    parser.add_argument("workloads", nargs="*", choices=[*keys, []], metavar="W", help=which)
    parser.add_argument("--repeats", type=int, default=repeats, help="measurements of each [%(default)s]")
    parser.add_argument("--scale", type=float, default=1.0, help="which part of the work to do [%(default)s]")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--package", type=Path, default=ROOT, help="folder of the checkout to measure")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    kinds = parser.add_subparsers(required=True, dest="what")
    kind = kinds.add_parser("speed", help="the workloads W1 to W10 beside their floors, and beside peers")
    kind.add_argument("--peers", action="store_true", help="measure peers too, where they are installed")
    _add_measuring(kind, WORKLOADS, repeats=5)
    kind.set_defaults(run=_speed)
    kind = kinds.add_parser("scale", help="W1 to W7 with more services, links and waiting messages")
    _add_measuring(kind, scaling.SERIES, repeats=3)
    kind.set_defaults(run=_scale)
    kind = kinds.add_parser("compare", help="two files of `speed --json`: what changed beyond the noise")
    kind.add_argument("before", type=Path)
    kind.add_argument("after", type=Path)
    kind.set_defaults(run=_compare)
    kind = kinds.add_parser("parts", help="what a message within a node is made of")
    kind.set_defaults(run=lambda console, _: parts.show(console))
    kind = kinds.add_parser("idle", help="many idle services on one node")
    kind.add_argument("--services", type=int, default=100_000, help="how many [%(default)s]")
    kind.add_argument("--messages", type=int, default=1_000_000, help="messages among them [%(default)s]")
    kind.set_defaults(run=idle)
    kinds.add_parser("failures", help="processes that are killed and frozen").set_defaults(run=_lines)
    kinds.add_parser("cancel", help="a cancellation that crosses two nodes").set_defaults(run=_lines)
    kind = kinds.add_parser("multicast", help="subscribers of a topic on two nodes, one of them frozen")
    kind.add_argument("--subscribers", type=int, default=1000, help="how many [%(default)s]")
    kind.set_defaults(run=_lines)
    kind = kinds.add_parser("streams", help="a stream of a million items between two processes")
    kind.add_argument("--items", type=int, default=1_000_000, help="how many [%(default)s]")
    kind.set_defaults(run=_lines)
    kind = kinds.add_parser("unique", help="a unique service whose node is killed and frozen again and again")
    kind.add_argument("--seconds", type=float, default=60.0, help="how long [%(default)s]")
    kind.add_argument("--seed", type=int, default=1, help="what the faults follow from [%(default)s]")
    kind.add_argument("--fence", choices=FENCES, default=FENCES[0], help="cluster.fence [%(default)s]")
    kind.set_defaults(run=_lines)
    kind = kinds.add_parser("datacenter", help="acknowledged writes to a datacenter that is killed")
    kind.add_argument("--writes", type=int, default=10_000, help="how many [%(default)s]")
    kind.set_defaults(run=_lines)
    kind = kinds.add_parser("join", help="many processes join one cluster")
    kind.add_argument("--processes", type=int, default=64, help="how many [%(default)s]")
    kind.set_defaults(run=_lines)
    return parser


def main() -> None:
    """Read the command line and measure."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # what was started ends too
        signal.signal(number, lambda *_: sys.exit(1))
    chosen = _parser().parse_args()
    chosen.run(_console(), chosen)


if __name__ == "__main__":
    main()
