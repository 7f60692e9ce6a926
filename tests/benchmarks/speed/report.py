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


def _scaled(samples: list[float], metric: str) -> tuple[list[float], str]:
    unit = METRICS[metric].unit
    if unit == "us" and max(samples) >= 10_000:
        return [each / 1000 for each in samples], "ms"
    return samples, unit


def _value(entry: Entry, metric: str) -> str:
    samples, unit = _scaled(entry.series(metric), metric)
    spread = Spread.of(samples)
    gap = "" if unit.startswith("/") or not unit else " "
    return f"{figure(spread.middle)}{gap}{unit} ({figure(spread.lower)} .. {figure(spread.upper)})"


def _middle(entry: Entry, metric: str) -> str:
    samples, unit = _scaled(entry.series(metric), metric)
    return figure(Spread.of(samples).middle) + (" ms" if unit == "ms" else "")


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
    peers = [entry for entry in group.entries if entry.kind == "peer"]
    for entry in group.entries:
        for metric in entry.metrics() if entry.kind == "trionet" else ():
            ratios = group.ratios(entry, metric)
            yield (
                group.key,
                entry.name,
                METRICS[metric].title,
                _value(entry, metric),
                _middle(floor, metric) if floor is not None and ratios else "",
                f"{Spread.of(ratios).middle:.3g}" if ratios else "",
                *_goals(group, entry, metric),
                ", ".join(f"{each.name} {_middle(each, metric)}" for each in peers if each.series(metric)),
            )


def show(console: Console, results: Results) -> None:
    """Print the table, what is missing in it and why, and what it was measured on."""
    table = Table(title="medians (and quartiles), beside the floor and the peers of the same run")
    for heading in ("", "", "of", "value", "floor", "x floor", "goal", "reached", "peers"):
        table.add_column(heading, justify="right" if heading in ("value", "floor", "x floor") else "left")
    for group in results.groups:
        table.add_section()
        table.add_row("", f"[bold]{group.title}[/]", *[""] * 7)
        for row in _rows(group):
            table.add_row(*row)
    console.print(table)
    missing = [(entry.name, group.key, entry.reason) for group in results.groups for entry in group.entries]
    for (name, reason), keys in _by_reason(missing).items():
        console.print(f"{name} not measured in {', '.join(keys)}: {reason}", highlight=False, markup=False)
    console.print(", ".join(f"{key} {value}" for key, value in results.machine.items()), highlight=False)


def _by_reason(missing: list[tuple[str, str, str]]) -> dict[tuple[str, str], list[str]]:
    """Which contender is missing for which reason in which workloads."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, key, reason in missing:
        if reason:
            keys = found.setdefault((name, reason), [])
            if key not in keys:
                keys.append(key)
    return found
