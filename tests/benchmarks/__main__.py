"""The command ``python -m tests.benchmarks``: measures, and fails for no figure."""

from __future__ import annotations

import argparse

import trio
from rich.console import Console
from rich.table import Table

from tests.benchmarks.failures import cancel_across, kill_and_freeze
from tests.benchmarks.join import join
from tests.benchmarks.scale import compare

_ROWS = (("memory", "KiB each", 1 / 1024), ("start", "s", 1.0), ("messages", "s", 1.0), ("stop", "s", 1.0))


def idle(console: Console, services: int, messages: int) -> None:
    """Measure many idle services on one node beside raw Trio."""
    with console.status("measuring raw Trio, then trionet"):
        floor, trionet = compare(services, messages)
    table = Table(title=f"{services:,} idle services, {messages:,} messages among them")
    for heading in ("", "raw Trio", "trionet", "trionet / raw Trio"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, unit, scale in _ROWS:
        least, value = getattr(floor, name) * scale, getattr(trionet, name) * scale
        table.add_row(f"{name} ({unit})", f"{least:.2f}", f"{value:.2f}", f"{value / least:.2f}")
    console.print(table)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("what", nargs="?", default="idle", choices=("idle", "failures", "cancel", "join"))
    parser.add_argument("--services", type=int, default=100_000, help="idle: how many services [%(default)s]")
    parser.add_argument("--messages", type=int, default=1_000_000, help="idle: messages [%(default)s]")
    parser.add_argument("--processes", type=int, default=64, help="join: how many processes [%(default)s]")
    chosen = parser.parse_args()
    console = Console(soft_wrap=True)
    if chosen.what == "idle":
        idle(console, chosen.services, chosen.messages)
        return
    with console.status("running"):
        if chosen.what == "failures":
            lines = trio.run(kill_and_freeze)
        elif chosen.what == "cancel":
            lines = trio.run(cancel_across)
        else:
            lines = trio.run(join, chosen.processes)
    for line in lines:
        console.print(line, highlight=False)


if __name__ == "__main__":
    main()
