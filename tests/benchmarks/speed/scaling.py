"""How the workloads change with services, links and waiting messages, beside the smallest number of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.benchmarks.speed.report import figure
from tests.benchmarks.speed.results import Group, Results, Spread
from tests.benchmarks.speed.workload import METRICS, Workload, trionet

SERVICES: Final = (10, 1_000, 100_000)
LINKS: Final = (1, 8, 64)
INBOXES: Final = (1, 100, 10_000, 100_000)
#: What is told; the latencies are in the file.
_TOLD: Final = ("rate", "cpu")


def _series(
    key: str,
    title: str,
    size: int,
    function: str,
    before: Sequence[int | str],
    sizes: Sequence[int],
    what: str,
) -> Workload:
    contenders = [trionet(f"{each:,} {what}", function, *before, each) for each in sizes]
    return Workload(key, title, size, tuple(contenders))


def _with_links(key: str, title: str, size: int, function: str, before: Sequence[int]) -> Workload:
    contenders = [trionet(f"{each} links", function, *before, 0, each) for each in LINKS]
    return Workload(key, title, size, tuple(contenders))


_REMOTE: Final[tuple[tuple[str, str, int, str, tuple[int, ...]], ...]] = (
    ("W5", "remote call, in sequence", 2_000, "remote:call", (16,)),
    ("W6", "remote call, 100 callers", 10_000, "remote:calls", (16, 100)),
    ("W7", "remote one-way", 50_000, "remote:one_way", (16,)),
)

SERIES: Final = (
    _series("W1", "local one-way", 100_000, "local:one_way", ("plain",), SERVICES, "services"),
    _series("W2", "local call, in sequence", 20_000, "local:call", ("plain",), SERVICES, "services"),
    _series("W3", "local call, 100 callers", 50_000, "local:calls", (100, "plain"), SERVICES, "services"),
    _series("W4", "start and stop services", 2_000, "local:lives", (), SERVICES, "services"),
    *(_series(*each, SERVICES, "services") for each in _REMOTE),
    *(_with_links(*each) for each in _REMOTE),
    _series(
        "W1", "local one-way, all in the inbox first", 100_000, "backlog:backlog", (), INBOXES, "messages"
    ),
)


def show(console: Console, results: Results) -> None:
    """Print each figure, and its ratio to that of the smallest number."""
    table = Table(title="medians; the ratio is that to the smallest number")
    for heading in ("", "", "of", "value", "ratio"):
        table.add_column(heading, justify="right" if heading in ("value", "ratio") else "left")
    for group in results.groups:
        table.add_section()
        table.add_row("", f"[bold]{group.title}[/]", "", "", "")
        for row in _rows(group):
            table.add_row(*row)
    console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in results.machine.items()), highlight=False)


def _rows(group: Group) -> Iterator[tuple[str, ...]]:
    least: dict[str, float] = {}
    for entry in group.entries:
        if entry.reason:
            yield group.key, entry.name, f"[red]{entry.reason}[/]", "", ""
        for metric in entry.metrics():
            if metric in _TOLD:
                middle = Spread.of(entry.series(metric)).middle
                ratio = middle / least.setdefault(metric, middle)
                unit = METRICS[metric].unit
                yield group.key, entry.name, METRICS[metric].title, f"{figure(middle)} {unit}", f"{ratio:.2f}"
