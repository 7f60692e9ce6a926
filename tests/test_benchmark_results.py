"""What the benchmark says about figures: goals, comparisons, and the file in between."""

from __future__ import annotations

import importlib
import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.benchmarks.speed import comparison, report
from tests.benchmarks.speed.comparison import change, verdict
from tests.benchmarks.speed.report import judge
from tests.benchmarks.speed.results import Entry, Group, Results, Spread
from tests.benchmarks.speed.scaling import SERIES
from tests.benchmarks.speed.workload import METRICS, Goal
from tests.benchmarks.speed.workloads import WORKLOADS

STEADY = [100.0, 101.0, 99.0, 100.5, 99.5]


def group(rates: list[float], *goals: Goal) -> Group:
    """A workload whose floor is twice as fast as 100 a second, and one contender."""
    floor = Entry("raw Trio", "floor", samples=[{"rate": 200.0, "p50": 2.0} for _ in rates])
    mine = Entry("def", "trionet", goals, [{"rate": rate, "p50": 4.0, "p99": 20.0} for rate in rates])
    return Group("W1", "work", [floor, mine, Entry("other", "peer", reason="other is not installed")])


@pytest.mark.parametrize(
    ("goal", "reached", "good"),
    [
        (Goal("rate", 0.5), 0.5, True),
        (Goal("rate", 0.6), 0.5, False),
        (Goal("p50", 2.0), 2.0, True),
        (Goal("p50", 1.9), 2.0, False),
        (Goal("p99", 5.0, versus="p50"), 5.0, True),
        (Goal("p99", 4.0, versus="p50"), 5.0, False),
        (Goal("p50", 8.0, versus=""), 4.0, True),
        (Goal("p50", 3.0, versus=""), 4.0, False),
    ],
)
def test_a_goal_is_reached_or_missed(goal: Goal, reached: float, good: bool) -> None:
    judged = group([100.0] * 5, goal)
    assert judge(judged, judged.entries[1], goal) == (reached, good)


def test_what_was_not_measured_is_not_judged() -> None:
    judged = group([100.0] * 5)
    assert judge(judged, judged.entries[1], Goal("memory", 8.0, versus="")) is None
    assert judge(judged, judged.entries[2], Goal("rate", 1.0)) is None


@pytest.mark.parametrize(
    ("metric", "factor", "said"),
    [
        ("rate", 1.0, "within the noise"),
        ("rate", 1.02, "none"),
        ("rate", 1.2, "better"),
        ("rate", 0.8, "worse"),
        ("p99", 1.2, "worse"),
        ("p99", 0.8, "better"),
    ],
)
def test_a_change_beyond_the_noise_is_told_from_one_within(metric: str, factor: float, said: str) -> None:
    changed = change(STEADY, [each * factor for each in STEADY])
    assert changed is not None
    assert abs(changed.factor - factor) < 1e-9
    assert said in verdict(metric, changed)


def test_a_small_change_of_noisy_figures_is_within_the_noise() -> None:
    noisy = [100.0, 140.0, 70.0, 120.0, 80.0]
    assert verdict("rate", change(noisy, [each * 1.1 for each in noisy])) == "within the noise"


def test_two_samples_tell_nothing() -> None:
    assert change([1.0, 2.0], [1.0, 2.0]) is None
    assert verdict("rate", None) == "too few samples"


def test_of_few_samples_the_extremes_are_told() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert Spread.of([0.0, 10.0, 20.0, 30.0, 100.0]) == Spread(20.0, 10.0, 30.0)


def test_results_survive_their_file(tmp_path: Path) -> None:
    results = Results({"python": "3"}, [group(STEADY, Goal("rate", 0.5), Goal("p99", 3.0, versus="p50"))])
    results.save(tmp_path / "deep" / "results.json")
    assert Results.load(tmp_path / "deep" / "results.json") == results


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match="no results"):
        Results.load(path)


def _printed() -> tuple[io.StringIO, Console]:
    text = io.StringIO()
    return text, Console(file=text, width=200)


def test_the_table_tells_verdicts_and_what_is_missing() -> None:
    text, console = _printed()
    report.show(console, Results({"python": "3"}, [group([100.0] * 5, Goal("rate", 0.6))]))
    assert "missed 0.5" in text.getvalue()
    assert "other not measured in W1: other is not installed" in text.getvalue()


def test_the_comparison_is_that_of_the_ratio_to_the_floor() -> None:
    text, console = _printed()
    before, after = group(STEADY), group([2 * each for each in STEADY])
    for sample in after.entries[0].samples:  # the whole machine was faster
        sample["rate"] *= 2
    comparison.show(console, Results({"python": "3"}, [before]), Results({"python": "4"}, [after]))
    lines = [line for line in text.getvalue().splitlines() if "def" in line and "rate" in line]
    assert ["within the noise" in line for line in lines] == [True]
    assert "python: 3 before, 4 after" in text.getvalue()


def test_every_workload_of_trionet_and_of_its_floors_exists() -> None:
    for workload in (*WORKLOADS, *SERIES):
        assert [each.kind for each in workload.contenders[1:]].count("floor") == 0
        for contender in workload.contenders:
            assert {goal.metric for goal in contender.goals} <= METRICS.keys()
            if contender.kind != "peer":
                module, _, name = contender.function.partition(":")
                assert callable(getattr(importlib.import_module(f"tests.benchmarks.speed.{module}"), name))
