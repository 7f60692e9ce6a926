"""What was measured: samples of each contender, kept as JSON, read as medians and spreads."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

import attrs

from tests.benchmarks.speed.workload import METRICS, Contender, Figures, Goal, Kind, Workload

#: The layout of the file.
FORMAT: Final = 1


@attrs.define
class Entry:
    """One contender of one workload.

    Args:
        name: the contender's.
        kind: what it is to the others.
        goals: what is expected of it.
        samples: its figures, one for each repeat.
        reason: why there are none.
    """

    name: str
    kind: Kind
    goals: tuple[Goal, ...] = ()
    samples: list[Figures] = attrs.Factory(list)
    reason: str = ""

    def series(self, metric: str) -> list[float]:
        """One figure of all repeats; empty if it was not measured."""
        return [sample[metric] for sample in self.samples if metric in sample]

    def metrics(self) -> list[str]:
        """What was measured."""
        return [metric for metric in METRICS if self.series(metric)]


@attrs.define
class Group:
    """The contenders of one workload; the first one is the floor, if there is one."""

    key: str
    title: str
    entries: list[Entry]

    def floor(self) -> Entry | None:
        """The floor, if there is one and it was measured."""
        first = self.entries[0]
        return first if first.kind == "floor" and first.samples else None

    def ratios(self, entry: Entry, metric: str) -> list[float]:
        """A figure over the floor's, repeat by repeat; empty without a floor."""
        floor = self.floor()
        least = [] if floor is None else floor.series(metric)
        return [mine / other for mine, other in zip(entry.series(metric), least, strict=False)]


@attrs.define
class Results:
    """A whole run.

    Args:
        machine: what it ran on, and when.
        groups: the workloads.
    """

    machine: dict[str, Any]
    groups: list[Group]

    def save(self, path: Path) -> None:
        """Write all, raw samples included."""
        document = {
            "format": FORMAT,
            "machine": self.machine,
            "groups": [attrs.asdict(each) for each in self.groups],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: if it is something else.
        """
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"{path}: no results of `speed --json` in format {FORMAT}")
        groups = [
            Group(each["key"], each["title"], [_entry(entry) for entry in each["entries"]])
            for each in document["groups"]
        ]
        return cls(document["machine"], groups)


def _entry(raw: dict[str, Any]) -> Entry:
    return Entry(**raw | {"goals": tuple(Goal(**goal) for goal in raw["goals"])})


def empty_entry(contender: Contender) -> Entry:
    """An entry without samples so far."""
    return Entry(contender.name, contender.kind, contender.goals)


def empty_group(workload: Workload) -> Group:
    """A group without samples so far."""
    return Group(workload.key, workload.title, [empty_entry(each) for each in workload.contenders])


@attrs.frozen
class Spread:
    """The middle of some samples, and how far they lie apart."""

    middle: float
    lower: float
    upper: float

    @classmethod
    def of(cls, samples: list[float]) -> Spread:
        """Median and quartiles; of fewer than four samples, the least and the greatest."""
        if len(samples) < 4:
            return cls(median(samples), min(samples), max(samples))
        lower, middle, upper = quantiles(samples, n=4, method="inclusive")
        return cls(middle, lower, upper)
