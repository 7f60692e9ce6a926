"""What a workload is: contenders that do the same work, and what is expected of one beside the floor."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import attrs

#: What one measurement tells: metric to figure.
Figures: TypeAlias = dict[str, float]
Kind: TypeAlias = Literal["floor", "trionet", "peer"]


@attrs.frozen
class Metric:
    """How to read a figure.

    Args:
        title: what it is, for a table.
        unit: its unit.
        less: whether less is better.
    """

    title: str
    unit: str
    less: bool = False


METRICS: Final[dict[str, Metric]] = {
    "rate": Metric("rate", "/s"),
    "start": Metric("start alone", "/s"),
    "stop": Metric("stop alone", "/s"),
    "cpu": Metric("CPU time each", "us", less=True),
    "p50": Metric("p50", "us", less=True),
    "p99": Metric("p99", "us", less=True),
    "memory": Metric("memory", "KiB", less=True),
    "seconds": Metric("time", "s", less=True),
    "virtual": Metric("virtual time", "s", less=True),
    "messages": Metric("messages of the master", "", less=True),
}


@attrs.frozen
class Goal:
    """What is expected of a figure.

    Args:
        metric: of which one.
        bound: the least ratio to the floor; the most where less is better.
        versus: another metric of the same contender in the place of the floor; ``""`` means that the bound
            is the figure itself.
    """

    metric: str
    bound: float
    versus: str | None = None

    def __str__(self) -> str:
        sign = "<=" if METRICS[self.metric].less else ">="
        if self.versus is None:
            return f"{sign} {self.bound:g} x floor"
        return f"{sign} {self.bound:g} x {self.versus}" if self.versus else f"{sign} {self.bound:g}"


@attrs.frozen
class Contender:
    """One way to do the work of a workload; it runs in a process of its own.

    Args:
        name: what the table calls it.
        kind: what it is to the others.
        function: ``module:function`` below ``tests.benchmarks.speed``; called with the size and ``args``, it
            returns figures, and raises if the work was not done right.
        args: more arguments.
        goals: what is expected of it.
        share: which part of the workload's size it does, if it is much slower or faster than the others.
        needs: the module that must be installed.
        most_repeats: how often it is measured at most, if it takes long.
        least_scale: the scale below which it is left out, if it cannot do less.
    """

    name: str
    kind: Kind
    function: str
    args: tuple[int | str, ...] = ()
    goals: tuple[Goal, ...] = ()
    share: float = 1.0
    needs: str = "trio"
    most_repeats: int = 100
    least_scale: float = 0.0


@attrs.frozen
class Workload:
    """The same work, done by several contenders.

    Args:
        key: ``W1`` to ``W10``; several workloads may share one.
        title: what is done.
        size: how often, at a scale of 1.
        contenders: who does it; the first one is the floor, if there is one.
    """

    key: str
    title: str
    size: int
    contenders: tuple[Contender, ...]


def floor(function: str, *args: int | str, share: float = 1.0) -> Contender:
    """The least that raw Trio needs."""
    return Contender("raw Trio", "floor", function, args, share=share)


def trionet(
    name: str,
    function: str,
    *args: int | str,
    goals: tuple[Goal, ...] = (),
    most_repeats: int = 100,
    least_scale: float = 0.0,
) -> Contender:
    """Trionet, in one of its ways."""
    return Contender(
        name, "trionet", function, args, goals, most_repeats=most_repeats, least_scale=least_scale
    )


def peer(name: str, function: str, *args: int | str, share: float = 1.0, needs: str = "") -> Contender:
    """A system that does the same."""
    return Contender(name, "peer", function, args, share=share, needs=needs or name)
