"""Two runs beside each other: which difference is beyond the noise."""

from __future__ import annotations

import random
from collections.abc import Iterator
from statistics import median
from typing import Final

import attrs
from rich.console import Console
from rich.table import Table

from tests.benchmarks.speed.report import figure
from tests.benchmarks.speed.results import Entry, Group, Results
from tests.benchmarks.speed.workload import METRICS

#: How often the samples are drawn anew.
DRAWS: Final = 4000
#: How many of these draws must agree.
CONFIDENCE: Final = 0.95
#: A smaller change is none, however sure it is.
LEAST_CHANGE: Final = 0.03
#: Fewer samples tell nothing of the noise.
LEAST_SAMPLES: Final = 3


@attrs.frozen
class Change:
    """How a figure changed, and between which bounds that lies most likely.

    Args:
        factor: after over before, medians.
        lower, upper: the bounds.
    """

    factor: float
    lower: float
    upper: float

    @property
    def beyond_noise(self) -> bool:
        """Whether no change at all is unlikely."""
        return not self.lower <= 1.0 <= self.upper


def change(before: list[float], after: list[float]) -> Change | None:
    """Compare samples by a bootstrap of their medians; None if there are too few."""
    if min(len(before), len(after)) < LEAST_SAMPLES:
        return None
    draw = random.Random(0)
    factors = sorted(
        median(draw.choices(after, k=len(after))) / median(draw.choices(before, k=len(before)))
        for _ in range(DRAWS)
    )
    cut = round(DRAWS * (1 - CONFIDENCE) / 2)
    return Change(median(after) / median(before), factors[cut], factors[-cut - 1])


def verdict(metric: str, changed: Change | None) -> str:
    """The change in words."""
    if changed is None:
        return "too few samples"
    if not changed.beyond_noise:
        return "within the noise"
    if abs(changed.factor - 1.0) < LEAST_CHANGE:
        return "none"
    better = (changed.factor < 1.0) == METRICS[metric].less
    return "[green]better[/]" if better else "[red]worse[/]"


def _pairs(before: Results, after: Results) -> Iterator[tuple[Group, Entry, Group, Entry]]:
    known = {
        (group.key, group.title, entry.name): (group, entry)
        for group in before.groups
        for entry in group.entries
    }
    for group in after.groups:
        for entry in group.entries:
            former = known.get((group.key, group.title, entry.name))
            if former is not None:
                yield *former, group, entry


def show(console: Console, before: Results, after: Results) -> None:
    """Print how each figure changed; where there is a floor, its ratio to the floor tells."""
    table = Table(title="before and after; the change is that of the ratio to the floor where there is one")
    for heading in (
        "",
        "contender",
        "of",
        "before",
        "after",
        "x floor before",
        "x floor after",
        "change",
        "",
    ):
        table.add_column(heading, justify="left" if heading in ("", "contender", "of") else "right")
    for old_group, old, group, entry in _pairs(before, after):
        for metric in entry.metrics():
            former, latter = old.series(metric), entry.series(metric)
            if not former:
                continue
            was, now = old_group.ratios(old, metric), group.ratios(entry, metric)
            measured = (was, now) if was and now and entry.kind != "floor" else (former, latter)
            changed = change(*measured)
            span = "" if changed is None else f" ({changed.lower:.2f} .. {changed.upper:.2f})"
            factor = median(measured[1]) / median(measured[0])
            ratios = [f"{median(each):.3g}" if entry.kind != "floor" and each else "" for each in (was, now)]
            table.add_row(
                group.key,
                entry.name,
                METRICS[metric].title,
                figure(median(former)),
                figure(median(latter)),
                *ratios,
                f"x {factor:.2f}{span}",
                verdict(metric, changed),
            )
    console.print(table)
    for key in sorted(before.machine.keys() | after.machine.keys()):
        mine, other = before.machine.get(key), after.machine.get(key)
        if mine != other and key not in ("made", "load"):
            console.print(f"{key}: {mine} before, {other} after", highlight=False)
