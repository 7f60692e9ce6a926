"""The table of a run, for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from tests.benchmarks.speed.results import Entry, Group, Results, Spread
from tests.benchmarks.speed.workload import METRICS, Goal


def figure(value: float) -> str:
    """A number, as short as it is telling."""
    for size, mark in ((1e6, "M"), (1e3, "k")):
        if value >= 10 * size or (mark == "M" and value >= size):
            return f"{value / size:.3g} {mark}" if value < 1e3 * size else f"{value / size:.0f} {mark}"
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _value(entry: Entry, metric: str) -> str:
    samples, unit = entry.series(metric), METRICS[metric].unit
    if unit == "us" and max(samples) >= 10_000:
        samples, unit = [each / 1000 for each in samples], "ms"
    spread = Spread.of(samples)
    gap = "" if unit.startswith("/") or not unit else " "
    return f"{figure(spread.middle)}{gap}{unit} ({figure(spread.lower)} .. {figure(spread.upper)})"


def judge(group: Group, entry: Entry, goal: Goal) -> tuple[float, bool] | None:
    """What a goal's figure came to, and whether that is good enough; None if it was not measured."""
    own = entry.series(goal.metric)
    if goal.versus is None:
        figures = group.ratios(entry, goal.metric)
    elif goal.versus:
        figures = [mine / other for mine, other in zip(own, entry.series(goal.versus), strict=False)]
    else:
        figures = own
    if not figures:
        return None
    reached = Spread.of(figures).middle
    return reached, reached <= goal.bound if METRICS[goal.metric].less else reached >= goal.bound


def _goals(group: Group, entry: Entry, metric: str) -> tuple[str, str]:
    texts, verdicts = [], []
    for goal in entry.goals:
        judged = judge(group, entry, goal)
        if goal.metric == metric and judged is not None:
            reached, good = judged
            texts.append(str(goal))
            verdicts.append(("[green]ok" if good else "[red]missed") + f"[/] {reached:.3g}")
    return ", ".join(texts), ", ".join(verdicts)


def _rows(group: Group) -> Iterator[tuple[str, ...]]:
    floor = group.floor()
    for entry in group.entries:
        if entry.reason:
            yield group.key, entry.name, f"[dim]{entry.reason}[/]", "", "", "", ""
        for metric in entry.metrics():
            ratios = [] if entry is floor else group.ratios(entry, metric)
            yield (
                group.key,
                entry.name if entry.kind != "peer" else f"[dim]{entry.name}[/]",
                _value(entry, metric),
                METRICS[metric].title,
                f"{Spread.of(ratios).middle:.3g}" if ratios else "",
                *_goals(group, entry, metric),
            )


def show(console: Console, results: Results) -> None:
    """Print the table and what it was measured on."""
    table = Table(title="medians (and quartiles), each beside the floor of the same run")
    for heading in ("", "contender", "value", "of", "x floor", "goal", "reached"):
        table.add_column(heading, justify="right" if heading in ("value", "x floor") else "left")
    for group in results.groups:
        table.add_section()
        table.add_row("", f"[bold]{group.title}[/]", *[""] * 5)
        for row in _rows(group):
            table.add_row(*row)
    console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in results.machine.items()), highlight=False)
