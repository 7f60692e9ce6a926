"""The alarm of the system: one for all nodes of a process, and never anybody else's."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from math import inf

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from trionet import ClusterConfig, ConfigError, Service, spec
from trionet.net.alarm import Alarm, shared_alarm
from trionet.net.fence import Fence
from trionet.testing import open_cluster

TAKEN = "SIGALRM has a handler or is ignored"
OTHER_USE = "the timer of SIGALRM has another use"
#: Seconds, so long that no alarm of these tests ever goes off.
LONG = 1000.0


@pytest.fixture(autouse=True)
def free_alarm() -> Iterator[None]:
    """Take SIGALRM from pytest-timeout for a test."""
    handler = signal.getsignal(signal.SIGALRM)
    timer = signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, *timer)


def left() -> float:
    """Seconds until the alarm of the process; 0 for none."""
    return signal.getitimer(signal.ITIMER_REAL)[0]


def in_event_loop(test: Callable[[], None]) -> None:
    """Run a function where Trio's clock is."""

    async def run() -> None:
        test()

    trio.run(run)


# --- one for all ----------------------------------------------------------------------------------------


async def test_the_earliest_of_all_times_counts() -> None:
    alarm, now = Alarm(), trio.current_time()
    for owner, at, expected in [
        ("a", 3 * LONG, 3 * LONG),
        ("b", 2 * LONG, 2 * LONG),
        ("a", LONG, LONG),
        ("a", 4 * LONG, 2 * LONG),
        ("b", inf, 4 * LONG),
        ("b", inf, 4 * LONG),
        ("a", inf, 0),
    ]:
        assert alarm.set(owner, now + at) is None
        assert left() == pytest.approx(expected, abs=30)


async def test_a_time_that_is_over_is_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not never, which is what a timer means by zero."""
    times: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda _, seconds, mark=0.0: times.append(seconds))
    Alarm().set("a", trio.current_time() - 1)
    assert times == [1e-6]


async def test_the_nodes_of_an_event_loop_share_it() -> None:
    shared_alarm().set("a", trio.current_time() + LONG)
    Fence(lambda: None, "process", LONG)
    shared_alarm().set("a", inf)
    Alarm().set("a", trio.current_time() + LONG)  # as another event loop does
    with pytest.raises(ConfigError):
        Fence(lambda: None, "process", LONG)


async def test_where_time_stands_still_it_never_comes(mock_clock: MockClock) -> None:
    Alarm().set("a", trio.current_time() + 1)
    assert left() > 1e6


async def test_two_nodes_in_one_process(autojump_clock: MockClock) -> None:
    """The alarm stands as long as one of them holds a name."""
    seen: list[bool] = []
    async with open_cluster(1) as cluster:
        for number, fence in ((2, "auto"), (3, "process")):
            await cluster.start(number, fence=fence)
            seen.append(left() > 0)
            await cluster[number].start(spec(Service), name=f"name{number}", exclusive=True)
            seen.append(left() > 0)
        await cluster[2].stop("name2")
        seen.append(left() > 0)
        await cluster.crash(3)
        seen.append(left() > 0)
    assert seen == [False, True, True, True, True, False]


async def test_it_stays_until_an_owner_that_lost_its_name_has_ended(autojump_clock: MockClock) -> None:
    gate = trio.Event()

    class Stubborn(Service):
        async def setup(self) -> None:
            self.nursery.start_soon(self._hold)

        async def _hold(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await gate.wait()

    async with open_cluster(1) as cluster:
        await cluster.start(2, fence="auto")
        await cluster[2].start(spec(Stubborn), name="stubborn", exclusive=True)
        await cluster.crash(1)
        await trio.sleep(1000)
        assert cluster[2].lookup("stubborn") is None
        assert left() > 0
        gate.set()
        await wait_all_tasks_blocked()
        assert cluster[2].services() == ()
        assert left() == 0


async def test_a_simulated_cluster_sets_none(autojump_clock: MockClock) -> None:
    async with open_cluster(1, settings=ClusterConfig(fence="process")) as cluster:
        await cluster[1].start(spec(Service), name="name", exclusive=True)
        assert left() == 0


# --- never anybody else's -------------------------------------------------------------------------------

OWNERS = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), OWNERS, st.sampled_from([inf, LONG, 2 * LONG, 3 * LONG])),
        st.tuples(st.just("handler"), st.just(""), st.sampled_from([0.0, 1.0])),
        st.tuples(st.just("timer"), st.just(""), st.sampled_from([0.0, 5 * LONG])),
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_others_do_with_the_signal_it_is_shared_fairly(steps: list[tuple[str, str, float]]) -> None:
    """Ours is there whenever it can be, and what others have set is there until they take it back."""
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def play() -> None:
        alarm, now = Alarm(), trio.current_time()
        times: dict[str, float] = {}
        has_handler, foreign = False, 0.0
        for what, owner, value in steps:
            if what == "handler":
                has_handler = value > 0
                signal.signal(signal.SIGALRM, (lambda *_: None) if has_handler else signal.SIG_DFL)
            elif what == "timer":
                foreign = value
                signal.setitimer(signal.ITIMER_REAL, value)
            else:
                times[owner] = value
                earliest = min(times.values())
                obstacle = TAKEN if has_handler else OTHER_USE if foreign else None
                assert alarm.set(owner, now + value) == (obstacle if earliest < inf else None)
                expected = foreign or (0.0 if has_handler or earliest == inf else earliest)
                assert left() == pytest.approx(expected, abs=30)

    in_event_loop(play)


async def test_an_alarm_of_another_event_loop_stays() -> None:
    ours, theirs, now = Alarm(), Alarm(), trio.current_time()
    assert theirs.set("a", now + LONG) is None
    assert ours.set("a", now + 2 * LONG) == OTHER_USE
    assert ours.set("a", inf) is None
    assert left() == pytest.approx(LONG, abs=30)
    theirs.set("a", inf)
    assert ours.set("a", now + 2 * LONG) is None
    assert left() == pytest.approx(2 * LONG, abs=30)


async def test_without_an_alarm_a_fence_holds_back_tasks_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fence, now = Fence(lambda: None, "auto", LONG), trio.current_time()
    fence.set(now + 1)
    assert left() > 0
    assert caplog.messages == []
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    with caplog.at_level(logging.WARNING, "trionet.fence"):
        for seconds in (2, 3, inf, 4):
            fence.set(now + seconds)
            assert left() == 0
    assert [TAKEN in message for message in caplog.messages] == [True]
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    fence.set(now + 5)
    assert left() == pytest.approx(LONG, abs=30)
    fence.close()
    assert left() == 0


async def test_a_fence_of_tasks_sets_no_alarm() -> None:
    fence = Fence(lambda: None, "tasks", LONG)
    fence.set(trio.current_time() + LONG)
    assert left() == 0
    fence.close()


@pytest.mark.parametrize("obstacle", [TAKEN, OTHER_USE, "this system has no SIGALRM"])
async def test_where_there_must_be_one_and_cannot(monkeypatch: pytest.MonkeyPatch, obstacle: str) -> None:
    """It is said at the start.  One that may be missing is none of these times."""
    if obstacle == TAKEN:
        signal.signal(signal.SIGALRM, lambda *_: None)
    elif obstacle == OTHER_USE:
        signal.setitimer(signal.ITIMER_REAL, LONG)
    else:
        for name in ("SIGALRM", "setitimer", "getitimer", "ITIMER_REAL"):  # as on Windows
            monkeypatch.delattr(signal, name)
    with pytest.raises(ConfigError, match=rf'cluster\.fence: found "process", but {obstacle}; expected'):
        Fence(lambda: None, "process", LONG)
    fired: list[float] = []
    fence = Fence(lambda: fired.append(trio.current_time()), "auto", LONG)
    fence.set(trio.current_time())
    await trio.sleep(0.001)
    fence.close()
    assert fired
    monkeypatch.undo()
