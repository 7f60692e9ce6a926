"""Random lives of a cluster (the contract as invariants), and that a simulation can be repeated exactly.

``SIM_SEEDS`` in the environment chooses other seeds: ``SIM_SEEDS=17`` one, ``SIM_SEEDS=0-500`` a range.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

from tests.sim.random_life import Event, live
from tests.sim.random_rules import breaches
from trionet import Handle
from trionet.testing import run_simulated


def chosen_seeds() -> range:
    """The seeds to run."""
    first, _, last = os.environ.get("SIM_SEEDS", "0-9").partition("-")
    return range(int(first), int(last or first) + 1)


@pytest.mark.parametrize("seed", chosen_seeds())
def test_a_random_life_keeps_the_contract(seed: int) -> None:
    events, names = run_simulated(live, seed, seed=seed)
    found = breaches(events, names)
    assert not found, f"replay it with SIM_SEEDS={seed}:\n" + "\n".join(found)
    happened = {event.what for event in events}
    assert {"began", "ended", "cancelled", "heard", "call over", "peace"} <= happened


# --- repeated exactly ---------------------------------------------------------------------------------


def test_two_runs_with_one_seed_have_the_same_history() -> None:
    first = run_simulated(live, 3, seed=3)
    assert len(first[0]) > 200
    assert run_simulated(live, 3, seed=3) == first
    assert run_simulated(live, 4, seed=4)[0] != first[0]


def test_a_history_does_not_depend_on_the_process() -> None:
    """Nor on the hashes of strings, which differ from process to process."""
    code = "from tests.sim.test_random_lives import digest; print(digest(5))"
    digests = set()
    for hash_seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1


def digest(seed: int) -> str:
    """The history of a life, in one number."""
    history, names = run_simulated(live, seed, seed=seed)
    return hashlib.sha256(repr((history, names)).encode()).hexdigest()


# --- the rules see what is wrong ----------------------------------------------------------------------

HANDLE = Handle.make(1, 1, 7)
OTHER = Handle.make(1, 2, 7)
CALL = Event(0, "call", 1, (HANDLE, "work", "node1", 2.0, 1000.0))
OVER = Event(1, "call over", 1, ("value", True))
BEGAN, ENDED = Event(0.5, "began", 1, (HANDLE, HANDLE)), Event(0.6, "ended", 1)
SEND, SENT = Event(2, "send", 2, (HANDLE, "me", 1)), Event(2, "send over", 2, "sent")
HEARD = Event(3, "heard", 2, (HANDLE, HANDLE, "me", 1))
LATER = Event(3, "heard", 3, (HANDLE, HANDLE, "me", 2))
WATCH, TOLD = Event(1, "watch", 9, HANDLE), Event(2, "told", 9, (HANDLE, "stopped"))
END, LIVES = Event(1, "end", HANDLE, "stop"), Event(99, "at the end", OTHER, (1, 0, 0))
GOOD = [CALL, BEGAN, ENDED, OVER, SEND, SENT, HEARD, WATCH, END, TOLD, LIVES]


@pytest.mark.parametrize(
    ("rule", "events"),
    [
        ("every_call_ends", [CALL]),
        ("calls_end_in_time", [CALL, BEGAN, ENDED, Event(50, "call over", 1, ("value", True))]),
        ("at_most_once", [*GOOD, BEGAN]),
        ("at_most_once", [*GOOD, HEARD]),
        ("executed_is_true_to_life", [CALL, BEGAN, ENDED, Event(1, "call over", 1, ("NodeDown", False))]),
        ("executed_is_true_to_life", [CALL, Event(1, "call over", 1, ("RemoteError", True))]),
        ("executed_is_true_to_life", [CALL, BEGAN, OVER]),
        ("order_is_kept", [LATER, HEARD]),
        ("cancellation_travels", [CALL, BEGAN, OVER, Event(90, "ended", 1)]),
        ("nothing_is_lost_silently", [SEND, SENT]),
        ("handles_reach_whom_they_mean", [CALL, Event(0.5, "began", 1, (OTHER, HANDLE)), ENDED, OVER]),
        ("watchers_are_told_once", [WATCH, TOLD]),
        ("watchers_are_told_once", [WATCH, END, TOLD, TOLD]),
        ("nothing_runs_at_the_end", [Event(9, "at the end", HANDLE, (1, 1, 0))]),
    ],
)
def test_a_rule_sees_its_breach(rule: str, events: list[Event]) -> None:
    assert breaches(GOOD, {1: {}}) == []
    found = breaches(events, {1: {}})
    assert any(breach.startswith(f"{rule}: ") for breach in found)


def test_tables_that_differ_are_seen() -> None:
    assert breaches(GOOD, {1: {"x": OTHER}, 2: {"x": OTHER}}) == []
    assert breaches(GOOD, {1: {"x": OTHER}, 2: {}})[0].startswith("names_agree: the tables differ")
    assert breaches(GOOD, {1: {"x": HANDLE}})[0].endswith("which does not live")
