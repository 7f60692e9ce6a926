"""Where a node touches what is not deterministic: a simulation puts its own in place of each."""

from __future__ import annotations

import threading

import pytest
import trio
from trio.testing import MockClock

from trionet import Handle, Node, Restart, Service, command, open_node, spec
from trionet.kernel.seams import READING, Seams, simulated
from trionet.testing import fail_service, run_simulated

History = list[tuple[float, str]]


class Wanderer(Service):
    """Calls others as chance will have it, and writes down what happens, and when."""

    def __init__(self, history: History, key: int) -> None:
        self.history = history
        self.key = key

    @command
    async def visit(self, steps: int) -> int:
        self.history.append((trio.current_time(), f"{self.key} at {self.handle} has {steps} left"))
        random = self.node.seams.random
        await trio.sleep(random.random())
        if not steps:
            return random.randrange(100)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(self.call, f".{random.randrange(4)}", "visit", steps - 1)
        return steps


async def wander(seed: int, history: History) -> Node:
    """A run with chance, time, concurrency and a restart in it."""
    async with open_node(seams=simulated(seed)) as node:
        for key in range(4):
            await node.start(spec(Wanderer, history, key), name=f".{key}", restart=Restart())
        async with trio.open_nursery() as nursery:
            for key in range(4):
                nursery.start_soon(node.call, f".{key}", "visit", 3)
        await fail_service(node, ".0", KeyError())
        await node.wait_for_name(".0")
        history.append((await node.call(".0", "visit", 0), f"{node.incarnation:x}"))
        history.append((node.statistics().cpu_time, f"{node.statistics().messages} messages"))
    return node


def run_with(seed: int) -> History:
    """The history of one run."""
    history: History = []
    run_simulated(wander, seed, history, seed=seed)
    return history


def test_simulated_runs_are_repeatable() -> None:
    first = run_with(7)
    assert len(first) > 50
    for _ in range(3):
        assert first == run_with(7)


def test_simulated_runs_with_another_seed_differ() -> None:
    assert run_with(7) != run_with(8)


def test_the_order_of_tasks_follows_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails when Trio renames what seeds its scheduler, or does not shuffle by it any more."""
    # as it is without pytest-trio, which allows it as well where Hypothesis is installed
    monkeypatch.setattr("trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING", False)

    async def line_up() -> tuple[int, ...]:
        order: list[int] = []

        async def come(key: int) -> None:
            await trio.lowlevel.checkpoint()
            order.append(key)

        async with trio.open_nursery() as nursery:
            for key in range(10):
                nursery.start_soon(come, key)
        return tuple(order)

    orders = [run_simulated(line_up, seed=seed) for seed in range(20)]
    assert orders == [run_simulated(line_up, seed=seed) for seed in range(20)]
    assert len(set(orders)) > 10  # shuffled, not only turned round


def test_seams_of_a_simulation_come_from_the_seed() -> None:
    draws = [simulated(seed).random.getrandbits(64) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_the_stopwatch_of_a_simulation_counts_its_readings() -> None:
    stopwatch = simulated(0).stopwatch
    assert pytest.approx([0, READING, 2 * READING]) == [stopwatch() for _ in range(3)]


def test_a_simulation_has_no_watchdog() -> None:
    assert not simulated(0).watchdog
    assert Seams().watchdog


def test_outside_of_a_simulation_chance_is_the_system_s() -> None:
    assert Seams().random.getrandbits(64) != Seams().random.getrandbits(64)
    stopwatch = Seams().stopwatch
    assert stopwatch() <= stopwatch()


async def test_run_sync_of_a_simulation_runs_inline(autojump_clock: MockClock) -> None:
    async with open_node(seams=simulated(0)) as node:
        assert await node.run_sync(threading.get_ident) == threading.get_ident()
        with trio.testing.assert_checkpoints():
            assert await node.run_sync(divmod, 7, 2) == (3, 1)


async def test_run_sync_runs_in_a_thread() -> None:
    async with open_node() as node:
        assert await node.run_sync(threading.get_ident) != threading.get_ident()
        assert await node.run_sync(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await node.run_sync(divmod, 7, 0)


async def test_run_sync_waits_for_the_function_even_when_cancelled() -> None:
    """What it does in the thread has an end that somebody sees."""
    over: list[bool] = []
    go_on = threading.Event()

    def block() -> None:
        assert go_on.wait(20)
        over.append(True)

    async with open_node() as node, trio.open_nursery() as nursery:
        nursery.start_soon(node.run_sync, block)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        go_on.set()
    assert [True] == over


async def test_incarnations_come_from_the_seams(autojump_clock: MockClock) -> None:
    found: list[int] = []
    for seed in (1, 1, 2):
        async with open_node(seams=simulated(seed)) as node:
            found.append(node.incarnation)
    assert found[0] == found[1] != found[2]
    assert Handle.make(0, 1, found[0]) != Handle.make(0, 1, found[2])
