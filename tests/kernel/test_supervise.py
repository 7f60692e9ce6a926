"""The decision of a restart policy, for any history of ends."""

from __future__ import annotations

import itertools
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionet import Exit, Handle, Restart
from trionet.kernel.supervise import RestartHistory

HANDLE = Handle.make(0, 1, 1)

policies = st.builds(
    Restart,
    when=st.sampled_from(["never", "failure", "always"]),
    most=st.integers(0, 8),
    within=st.floats(0.001, 1000),
    delay=st.floats(0, 100),
    longest_delay=st.floats(0, 100),
)
#: Times of ends: seconds since the one before.
gaps = st.lists(st.floats(0, 2000), max_size=60)


@given(policies, gaps)
def test_never_more_than_the_most_within_the_period(policy: Restart, gaps: list[float]) -> None:
    history = RestartHistory(policy)
    now, restarts = 0.0, []
    for gap in gaps:
        now += gap
        if history.next_delay(now) is not None:
            restarts.append(now)
    for index, time in enumerate(restarts):
        later = [each for each in restarts[index:] if each < time + policy.within]
        assert len(later) <= policy.most


@given(policies, gaps)
def test_it_gives_up_only_when_the_most_is_reached(policy: Restart, gaps: list[float]) -> None:
    history = RestartHistory(policy)
    now = 0.0
    restarts: list[float] = []
    for gap in gaps:
        now += gap
        recent = [each for each in restarts if each > now - policy.within]
        delay = history.next_delay(now)
        assert (delay is None) is (len(recent) >= policy.most)
        if delay is not None:
            restarts.append(now)


@given(policies, gaps)
def test_the_delay_doubles_from_the_first_restart_of_a_period(policy: Restart, gaps: list[float]) -> None:
    history = RestartHistory(policy)
    now = 0.0
    restarts: list[float] = []
    for gap in gaps:
        now += gap
        earlier = len([each for each in restarts if each > now - policy.within])
        delay = history.next_delay(now)
        if delay is not None:
            assert min(policy.delay * 2**earlier, policy.longest_delay) == delay
            restarts.append(now)


@given(st.integers(1, 5000), st.floats(0, 1e300), st.floats(0, 1e300))
def test_any_number_of_restarts_has_a_delay(most: int, delay: float, longest: float) -> None:
    history = RestartHistory(Restart(most=most, within=1e9, delay=delay, longest_delay=longest))
    delays = [history.next_delay(0.0) for _ in range(most)]
    assert history.next_delay(0.0) is None
    for one, next_ in itertools.pairwise(delays):
        assert one is not None
        assert next_ is not None
        assert 0 <= one <= next_ <= longest


@pytest.mark.parametrize(
    ("when", "wanted"),
    [("never", set()), ("failure", {"failed"}), ("always", {"failed", "stopped"})],
)
def test_which_ends_a_policy_is_about(when: Literal["never", "failure", "always"], wanted: set[str]) -> None:
    history = RestartHistory(Restart(when=when))
    reasons: list[Literal["stopped", "failed", "killed", "node down", "gone"]] = [
        "stopped",
        "failed",
        "killed",
        "node down",
        "gone",
    ]
    assert wanted == {reason for reason in reasons if history.wants(Exit(HANDLE, reason))}


def test_the_defaults() -> None:
    history = RestartHistory(Restart())
    assert [0.1, 0.2, 0.4, None] == [history.next_delay(0) for _ in range(4)]
    assert history.next_delay(5.0) == 0.1
