"""The command ``python -m tests.benchmarks``: measures, and fails for no figure."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from tests.benchmarks.scale import compare


def main() -> None:
    """Measure many idle services on one node and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=main.__doc__)
    parser.add_argument("--services", type=int, default=100_000, help="how many services [%(default)s]")
    parser.add_argument("--messages", type=int, default=1_000_000, help="messages among them [%(default)s]")
    chosen = parser.parse_args()
    console = Console()
    with console.status("measuring raw Trio, then trionet"):
        floor, trionet = compare(chosen.services, chosen.messages)
    table = Table(title=f"{chosen.services:,} idle services, {chosen.messages:,} messages among them")
    for heading in ("", "raw Trio", "trionet", "trionet / raw Trio"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, unit, scale in (
        ("memory", "KiB each", 1 / 1024),
        ("start", "s", 1.0),
        ("messages", "s", 1.0),
        ("stop", "s", 1.0),
    ):
        least, value = getattr(floor, name) * scale, getattr(trionet, name) * scale
        table.add_row(f"{name} ({unit})", f"{least:.2f}", f"{value:.2f}", f"{value / least:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
