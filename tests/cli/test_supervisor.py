"""The supervision of ``trionet up``, with small programs in the place of nodes."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.cli.supervised import Lines, planned, supervisor_of
from trionet.configfile import PlannedNode
from trionet.kernel.supervise import Restart
from trionet.program import StopSignals

#: Seconds after which a test counts as hung.
HUNG = 40
AT_ONCE = Restart("failure", most=2, within=60, delay=0)


@pytest.fixture
def lines() -> Lines:
    return Lines()


async def run(nodes: tuple[PlannedNode, ...], programs: dict[str, str], lines: Lines) -> int:
    with StopSignals() as stops, trio.fail_after(HUNG):
        return await supervisor_of(nodes, programs, lines).run(stops)


@asynccontextmanager
async def running(
    nodes: tuple[PlannedNode, ...], programs: dict[str, str], lines: Lines
) -> AsyncIterator[Callable[[], int]]:
    """Run programs beside the block; what is given tells the exit code after it."""
    codes: list[int] = []

    async def run_it() -> None:
        codes.append(await run(nodes, programs, lines))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_it)
        yield lambda: codes[0]


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended may still be in the table."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False


def positions(lines: Lines, *texts: str) -> list[int]:
    return [lines.text.index(text) for text in texts]


async def test_when_all_have_ended_well_so_has_up(lines: Lines) -> None:
    nodes = planned("a"), planned("long")
    assert 0 == await run(nodes, {"a": "print('x')", "long": "ready()"}, lines)
    assert "a | x" in lines.lines
    assert "up | a has ended" in lines.lines
    assert "up | long has joined as harbor 4 at here" in lines.lines


async def test_the_master_is_open_before_the_others_start(lines: Lines) -> None:
    opened = "tell(event='open', harbor=1, address='m')"
    programs = {"other": "print('started')", "m": f"print('opening', flush=True); {opened}; wait()"}
    nodes = planned("other"), planned("m", master=True)
    async with running(nodes, programs, lines):
        await lines.wait_for("other has ended")
        signal.raise_signal(signal.SIGTERM)
    before, joined, started = positions(lines, "opening", "m has joined", "started")
    assert max(before, joined) < started  # the output and the news of a node come by two pipes


async def test_all_are_stopped_and_the_master_last(lines: Lines) -> None:
    programs = dict.fromkeys(["m", "a", "b"], "wait()")
    nodes = planned("m", master=True), planned("a"), planned("b")
    async with running(nodes, programs, lines) as code:
        await lines.wait_for("all 3 nodes are ready")
        signal.raise_signal(signal.SIGTERM)
    assert 0 == code()
    assert "up | SIGTERM: stopping; a second one kills" in lines.lines
    stops = positions(lines, "a has stopped", "b has stopped", "m stops", "m has stopped")
    assert max(stops[:2]) < stops[2] < stops[3]


async def test_when_all_are_ready_it_is_told_once(lines: Lines) -> None:
    again = "ready()\nif starts() == 1: sys.exit(1)\nprint('again', flush=True)\nsignal.pause()"
    async with running((planned("a", restart=AT_ONCE),), {"a": again}, lines):
        await lines.wait_for("a | again")
        signal.raise_signal(signal.SIGINT)
    assert 1 == lines.text.count("the node is ready after")
    assert 1 == lines.text.count(" s: a (1)")


# --- restarts -------------------------------------------------------------------------------------------


async def test_a_node_that_crashes_comes_back(lines: Lines) -> None:
    program = "if starts() == 1: sys.exit(3)\nif starts() == 3: os.kill(os.getpid(), 9)\nprint('well')"
    assert 0 == await run((planned("a", restart=AT_ONCE),), {"a": program}, lines)
    assert [
        "up | a has ended with exit code 3; starting it again in 0 s",
        "up | a was killed by SIGKILL; starting it again in 0 s",
        "a | well",
        "up | a has ended",
    ] == lines.lines


async def test_a_process_that_the_alarm_has_ended_is_told_of_with_the_reason(lines: Lines) -> None:
    program = "if starts() == 1: os.kill(os.getpid(), signal.SIGALRM); signal.pause()"
    assert 0 == await run((planned("a", restart=AT_ONCE),), {"a": program}, lines)
    reason = "which ends a process that stood still for too long (cluster.fence)"
    assert f"up | a was killed by SIGALRM, {reason}; starting it again in 0 s" in lines.lines


async def test_the_wait_before_a_restart_doubles(lines: Lines) -> None:
    policy = Restart("failure", most=2, within=60, delay=0.01)
    assert 1 == await run((planned("a", restart=policy),), {"a": "sys.exit(1)"}, lines)
    assert ["0.01 s", "0.02 s"] == [line[-6:] for line in lines.lines if "again" in line]


async def test_a_policy_that_gives_up_stops_the_others_and_fails(lines: Lines) -> None:
    programs = {"a": "sys.exit(1)", "b": "wait()"}
    assert 1 == await run((planned("b"), planned("a", restart=AT_ONCE)), programs, lines)
    assert "up | a has ended with exit code 1; 2 restarts within 60 s were not enough" in lines.lines
    assert "up | stopping all nodes, because a has failed" in lines.lines
    assert "up | b has stopped" in lines.lines


@pytest.mark.parametrize("when", ["failure", "always"])
async def test_wrong_usage_is_not_tried_again(lines: Lines, when: str) -> None:
    node = planned("a", restart=Restart(when))  # type: ignore[arg-type]
    assert 1 == await run((node,), {"a": "sys.exit(2)"}, lines)
    assert "up | a has ended with exit code 2" in lines.lines


async def test_always_is_also_after_a_good_end(lines: Lines) -> None:
    policy = Restart("always", most=2, within=60, delay=0)
    assert 0 == await run((planned("a", restart=policy),), {"a": "print('here')"}, lines)
    assert 3 == lines.lines.count("a | here")


async def test_a_failure_without_a_policy_is_the_end(lines: Lines) -> None:
    assert 1 == await run((planned("a"),), {"a": "sys.exit(75)"}, lines)
    assert "up | a has ended with exit code 75" in lines.lines


async def test_a_program_that_cannot_be_started_is_a_failure(lines: Lines) -> None:
    node = planned("a")
    supervisor = supervisor_of((node,), {"a": ""}, lines)
    supervisor.nodes[0]._child._command = ["/nowhere/at/all"]
    with StopSignals() as stops:
        assert 1 == await supervisor.run(stops)
    assert "up | a cannot be started: [Errno 2] No such file or directory: '/nowhere/at/all'" in lines.lines


# --- stops ----------------------------------------------------------------------------------------------


async def test_a_node_that_waits_for_its_restart_is_stopped(lines: Lines) -> None:
    node = planned("a", restart=Restart("failure", delay=3600, longest_delay=3600))
    async with running((node,), {"a": "sys.exit(1)"}, lines) as code:
        await lines.wait_for("starting it again in 3600 s")
        signal.raise_signal(signal.SIGINT)
    assert 0 == code()


async def test_nodes_that_wait_for_the_master_are_not_started(lines: Lines) -> None:
    nodes = planned("a"), planned("m", master=True)
    programs = {"a": "print('started')", "m": "print('here', flush=True); signal.pause()"}
    async with running(nodes, programs, lines) as code:
        await lines.wait_for("m | here")
        signal.raise_signal(signal.SIGINT)
    assert (0, False) == (code(), "started" in lines.text)


async def test_what_does_not_stop_in_time_is_killed(lines: Lines) -> None:
    program = "signal.signal(signal.SIGTERM, signal.SIG_IGN); ready()\nwhile True: signal.pause()"
    async with running((planned("a", patience=0.05),), {"a": program}, lines) as code:
        await lines.wait_for("the node is ready")
        signal.raise_signal(signal.SIGINT)
    assert 75 == code()
    assert [
        "up | a has not stopped within 0.05 s: killing it",
        "up | a was killed by SIGKILL",
    ] == lines.lines[-2:]


async def test_a_second_signal_kills(lines: Lines) -> None:
    program = (
        "signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True)); ready()\nwhile 1: signal.pause()"
    )
    nodes = planned("a"), planned("m", master=True)
    async with running(nodes, dict.fromkeys(["a", "m"], program), lines) as code:
        await lines.wait_for("all 2 nodes are ready")
        signal.raise_signal(signal.SIGINT)
        await lines.wait_for("a | no")
        signal.raise_signal(signal.SIGINT)
    assert 75 == code()
    assert "up | SIGINT: killing all nodes that still run" in lines.lines
    assert {"up | a was killed by SIGKILL", "up | m was killed by SIGKILL"} <= set(lines.lines)


@pytest.mark.parametrize(("code", "expected"), [(75, 75), (1, 1)])
async def test_how_nodes_stop_is_how_up_ends(lines: Lines, code: int, expected: int) -> None:
    async with running((planned("a"),), {"a": f"wait({code})"}, lines) as ended:
        await lines.wait_for("the node is ready")
        signal.raise_signal(signal.SIGINT)
    assert expected == ended()
    assert f"up | a has ended with exit code {code}" == lines.lines[-1]


async def test_when_nobody_reads_the_output_all_are_stopped() -> None:
    class Broken(Lines):
        def write(self, text: str) -> int:
            if "last words" in text:
                raise BrokenPipeError
            return super().write(text)

    lines = Broken()
    assert 0 == await run((planned("a"),), {"a": "print('last words', flush=True); wait()"}, lines)


# --- processes ------------------------------------------------------------------------------------------


async def test_descendants_end_with_their_node(lines: Lines) -> None:
    program = (
        "import subprocess\nchild = subprocess.Popen(['sleep', '3600'])\nprint('pid', child.pid, flush=True)"
    )
    assert 0 == await run((planned("a"),), {"a": program}, lines)
    (pid,) = (line.rpartition(" ")[2] for line in lines.lines if " pid " in line)
    with trio.fail_after(20):  # it has been killed; the system takes a moment to bury it
        while is_alive(int(pid)):  # noqa: ASYNC110 - nothing tells of the end of a stranger's child
            await trio.sleep(0.05)


async def test_all_that_is_printed_comes_out(lines: Lines) -> None:
    program = r"""
print("o" * 200_000)
print("error", file=sys.stderr)
os.write(1, b"\xff\r\nno end")
"""
    assert 0 == await run((planned("a"),), {"a": program}, lines)
    words = [line.removeprefix("a | ") for line in lines.lines if line.startswith("a | ")]
    assert "o" * 200_000 == "".join(words[:-3])
    assert ["error", "\ufffd", "no end"] == words[-3:]


async def test_reports_that_are_nonsense_change_nothing(lines: Lines) -> None:
    reports = """
tell(event="?")
tell(event="open", harbor="x")
os.write(int(os.environ["TRIONET_READY_FD"]), b"[]\\nx\\n")
"""
    assert 0 == await run((planned("a"),), {"a": reports}, lines)
    assert ["up | a has ended"] == lines.lines


async def test_cancelling_kills(lines: Lines) -> None:
    with trio.CancelScope() as scope:
        async with running((planned("a"),), {"a": "print(os.getpid(), flush=True); wait()"}, lines):
            await lines.wait_for("the node is ready")
            scope.cancel()
    (pid,) = (line.rpartition(" ")[2] for line in lines.lines if line.startswith("a | "))
    assert not is_alive(int(pid))
