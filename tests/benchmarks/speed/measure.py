"""Measure contenders, each in a fresh process, one repeat of all after the other."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import attrs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.benchmarks.speed.machine import ROOT, facts
from tests.benchmarks.speed.results import Entry, Results, empty_group
from tests.benchmarks.speed.workload import Contender, Figures, Workload

#: Seconds that one measurement may take.
LONGEST: Final = 900.0


@attrs.frozen
class _Turn:
    workload: Workload
    contender: Contender
    entry: Entry


class Failed(Exception):
    """A measurement failed; its text is the last thing that the process said."""


@contextmanager
def _environment(package: Path) -> Iterator[dict[str, str]]:
    """The environment of processes that import the package from somewhere, and these benchmarks from here."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "trionet").symlink_to(package.resolve() / "trionet")
        path = os.pathsep.join((folder, str(ROOT)))
        yield os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def measure_one(function: str, arguments: Sequence[Any], environment: dict[str, str]) -> Figures:
    """Measure once, in a fresh process.

    Raises:
        Failed: if it did not end well.
    """
    words = [sys.executable, "-m", "tests.benchmarks.speed.one", function, json.dumps(arguments)]
    with subprocess.Popen(
        words,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, complained = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            raise Failed(f"took longer than {LONGEST:g} s") from None
        finally:
            _end_all(process)
    if process.returncode != 0:
        raise Failed((complained.strip() or f"exit code {process.returncode}").splitlines()[-1])
    figures: Figures = json.loads(said)
    return figures


def _end_all(process: subprocess.Popen[str]) -> None:
    """End the process and the children that it may have left."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def measure(
    workloads: Sequence[Workload], *, repeats: int, scale: float, peers: bool, package: Path
) -> Results:
    """Measure workloads; a contender that fails is reported and left out of the next repeats."""
    results = Results(
        facts(package) | {"repeats": repeats, "scale": scale}, [empty_group(each) for each in workloads]
    )
    turns = []
    for workload, group in zip(workloads, results.groups, strict=True):
        for contender, entry in zip(workload.contenders, group.entries, strict=True):
            if contender.kind == "peer" and not peers:
                entry.reason = "not asked for (--peers)"
            elif scale < contender.least_scale:
                entry.reason = f"takes a scale of {contender.least_scale:g}"
            elif importlib.util.find_spec(contender.needs) is None:
                entry.reason = f"{contender.needs} is not installed"
            else:
                turns.append(_Turn(workload, contender, entry))
    with _environment(package) as environment, _progress() as progress:
        task = progress.add_task("", total=repeats * len(turns))
        for repeat in range(repeats):
            for turn in turns if repeat % 2 == 0 else reversed(turns):
                progress.update(task, description=f"{turn.workload.key} {turn.contender.name}")
                _take(turn, scale, environment)
                progress.advance(task)
    return results


def _progress() -> Progress:
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _take(turn: _Turn, scale: float, environment: dict[str, str]) -> None:
    contender = turn.contender
    if turn.entry.reason or len(turn.entry.samples) == contender.most_repeats:
        return
    size = max(1000, round(turn.workload.size * scale * contender.share))
    try:
        turn.entry.samples.append(measure_one(contender.function, [size, *contender.args], environment))
    except Failed as failure:
        turn.entry.reason = f"failed: {failure}"
