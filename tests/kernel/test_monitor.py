"""The watchdog tells of a handler that holds the event loop, while it still does (in real time, by need)."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from trionet import NodeConfig, Service, command, open_node, spec
from trionet.kernel.seams import simulated

#: Seconds.
THRESHOLD = 0.02
#: Seconds that a test waits at most for the watchdog.
PATIENCE = 20


class Reports(logging.Handler):
    """What the watchdog has logged so far; it logs in a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.arrived = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text, and wake whoever holds the event loop."""
        assert record.threadName == "trionet watchdog"
        self.texts.append(record.getMessage())
        self.arrived.set()


@pytest.fixture
def reports() -> Iterator[Reports]:
    found = Reports()
    logger = logging.getLogger("trionet.monitor")
    logger.addHandler(found)
    yield found
    logger.removeHandler(found)


class Stuck(Service):
    """Holds the event loop until the watchdog has told."""

    def __init__(self, reports: Reports) -> None:
        self.reports = reports

    @command
    def hold_it(self) -> bool:
        """Stuck in the first step."""
        return hold_the_loop(self.reports)

    @command
    async def hold_it_later(self) -> bool:
        """Stuck after it has waited."""
        await trio.lowlevel.checkpoint()
        return hold_the_loop(self.reports)


def hold_the_loop(reports: Reports) -> bool:
    """Do nothing useful; tell whether that was reported meanwhile."""
    reports.arrived.clear()
    return reports.arrived.wait(PATIENCE)


def watched() -> NodeConfig:
    """Settings with a threshold that is soon reached."""
    return NodeConfig(stall_threshold=THRESHOLD)


@pytest.mark.parametrize("name", ["hold_it", "hold_it_later"])
async def test_a_stuck_handler_is_reported_while_it_is_stuck(reports: Reports, name: str) -> None:
    async with open_node(watched()) as node:
        stuck = await node.start(spec(Stuck, reports), name=".stuck")
        reports.texts.clear()
        assert await node.call(stuck, name) is True
        text = reports.texts[-1]
        assert f"{name} of :00000001 .stuck (Stuck) has held the event loop for over 0.02 seconds" in text
        assert f'File "{__file__}"' in text
        assert "in hold_the_loop" in text
        assert f"in {name}" in text
        first = text.splitlines()[1]
        assert f'File "{__file__}"' in first, "what leads to the handler is left out"
        assert node.statistics().stalls >= 1
        assert node.statistics().stalls == node.monitor.stalls


async def test_each_stall_is_counted(reports: Reports) -> None:
    async with open_node(watched()) as node:
        stuck = await node.start(spec(Stuck, reports))
        for number in range(1, 4):
            before = node.statistics().stalls
            assert await stuck.hold_it() is True
            assert number <= before + 1 <= node.statistics().stalls


#: What the watchdog sees at each look: whether the loop has answered; and whether it reports.
LOOKS = {
    "turning": [(True, False)] * 4,
    "stuck": [(True, False), (False, False), (False, True)],
    "stuck from the start": [(False, False), (False, True)],
    "stuck long": [(True, False), (False, False), (False, True), *[(False, False)] * 3],
    "stuck twice": [*[(False, False), (False, True), (True, False)] * 2],
    "stuck for less": [(True, False), (False, False), (True, False), (False, False), (True, False)],
}


@pytest.mark.parametrize("looks", LOOKS.values(), ids=LOOKS)
async def test_a_stall_lasts_a_whole_threshold_and_is_told_once(
    looks: list[tuple[bool, bool]], virtual_time: None
) -> None:
    """The thread's work without a thread: each wait ends at once, and shows the next state of the loop."""
    async with open_node(seams=simulated(0)) as node:
        monitor = node.monitor
        reported: list[int] = []
        script = iter(looks)

        class Waits:
            def wait(self, seconds: float) -> bool:
                assert seconds == node.config.stall_threshold / 2
                reported.append(monitor.stalls)
                state = next(script, None)
                if state is not None:
                    monitor._answered, _ = state
                return state is None

        monitor._over = Waits()  # type: ignore[assignment]
        monitor._watch()
        assert [report for _, report in looks] == [
            after > before for before, after in itertools.pairwise(reported)
        ]


async def test_code_outside_of_handlers_is_reported_too(reports: Reports) -> None:
    async with open_node(watched()):
        await trio.lowlevel.checkpoint()
        assert hold_the_loop(reports) is True
        assert reports.texts[-1].startswith(
            "code outside any handler has held the event loop for over 0.02 s"
        )
        assert "in test_code_outside_of_handlers_is_reported_too" in reports.texts[-1]


async def test_an_idle_loop_is_not_stuck(reports: Reports) -> None:
    async with open_node(NodeConfig(stall_threshold=0.05)) as node:
        await trio.sleep(0.5)  # long enough for many looks
        assert 0 == node.statistics().stalls


async def test_the_thread_ends_with_the_node() -> None:
    def watchdogs() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name == "trionet watchdog"]

    assert [] == watchdogs()
    async with open_node(watched()):
        assert 1 == len(watchdogs())
    assert [] == watchdogs()
    with pytest.raises(KeyError):
        async with open_node(watched()):
            raise KeyError
    assert [] == watchdogs()


async def test_a_simulation_has_no_watchdog(reports: Reports, autojump_clock: MockClock) -> None:
    async with open_node(watched(), seams=simulated(0)) as node:
        assert not [each for each in threading.enumerate() if each.name == "trionet watchdog"]
        await trio.sleep(100)
        assert 0 == node.statistics().stalls


async def test_a_virtual_clock_that_jumps_is_no_stall(reports: Reports, autojump_clock: MockClock) -> None:
    async with open_node(NodeConfig(stall_threshold=5)) as node:
        await trio.sleep(1000)
        assert 0 == node.statistics().stalls
