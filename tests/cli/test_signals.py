"""Signals at every stage of real processes: never a hang, never a raw KeyboardInterrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from tests.writing import Write

Start = Callable[..., "subprocess.Popen[str]"]

#: Seconds after which a process counts as hung.
HUNG = 30


@pytest.fixture
def start() -> Iterator[Start]:
    """Start ``trionet run``; what still runs afterwards is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "trionet", "run", *arguments]
        pipe = subprocess.PIPE
        path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Wait until a process says something."""
    stream: IO[str] | None = process.stdout
    assert stream is not None
    assert f"{line}\n" == stream.readline(), process.communicate(timeout=HUNG)


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end of a process; return its code and what it said on standard error."""
    _, errors = process.communicate(timeout=HUNG)
    assert "Traceback" not in errors
    assert "KeyboardInterrupt" not in errors
    return process.returncode, errors


LOADING = """
import time
print("loading", flush=True)
time.sleep(60)
"""
MAIN = """
import trio
async def main(node):
    print("main", flush=True)
    try:
        await node.serve_forever()
    finally:
        print("cleaned up")
"""
STUCK = """
import time
async def main(node):
    print("stuck", flush=True)
    while True:
        time.sleep(0.01)
"""
LATE = """
import atexit, time
@atexit.register
def late():
    print("late", flush=True)
    time.sleep(60)
async def main(node): print("printed")
"""
SETUP = """
import trio
from trionet import Service
class Slow(Service):
    async def setup(self):
        print("setup", flush=True)
        await trio.sleep_forever()
async def main(node):
    await node.start(Slow)
"""
TEARDOWN = """
import trio
from trionet import Service
class Slow(Service):
    async def teardown(self):
        print("teardown", flush=True)
        await trio.sleep_forever()
async def main(node):
    await node.start(Slow, name=".slow")
    print("main", flush=True)
    await node.serve_forever()
"""

INTERRUPT = """
parse = typer.core.TyperGroup.make_context
def interrupted(self, *args, **kwargs):
    signal.raise_signal(signal.NUMBER)
    return parse(self, *args, **kwargs)
typer.core.TyperGroup.make_context = interrupted
"""

both = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)


@both
def test_while_a_script_is_loaded(write: Write, start: Start, number: signal.Signals) -> None:
    process = start(write("loading.py", LOADING))
    wait_for(process, "loading")
    process.send_signal(number)
    assert (0, "") == end(process)


def test_while_the_configuration_is_read(start: Start) -> None:
    os.mkfifo("pipe.toml")
    process = start("--config", "pipe.toml")
    with Path("pipe.toml").open("w"):
        for _ in range(3):  # one that comes just before Python reads is seen only after the read
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(HUNG / 3)
                break
        assert (0, "") == end(process)


@both
def test_while_main_runs(write: Write, start: Start, number: signal.Signals) -> None:
    process = start(write("serves.py", MAIN))
    wait_for(process, "main")
    process.send_signal(number)
    wait_for(process, "cleaned up")
    code, errors = end(process)
    assert 0 == code
    assert f"trionet.run: {number.name}: stopping; a second one cancels at once" in errors


def test_while_a_service_starts(write: Write, start: Start) -> None:
    process = start(write("slow_setup.py", SETUP))
    wait_for(process, "setup")
    process.send_signal(signal.SIGINT)
    code, _ = end(process)
    assert 0 == code


def test_while_the_node_stops_a_second_one_cancels_at_once(write: Write, start: Start) -> None:
    process = start(write("slow_teardown.py", TEARDOWN), "--set", "node.stop_grace=3600")
    wait_for(process, "main")
    process.send_signal(signal.SIGINT)
    wait_for(process, "teardown")
    process.send_signal(signal.SIGTERM)
    code, errors = end(process)
    assert 75 == code
    assert "SIGTERM: cancelling at once" in errors
    assert "trionet.run: stopped, but this had to be cut off: " in errors
    assert ".slow (Slow)" in errors


def test_when_the_stop_deadline_is_over_the_list_is_told(write: Write, start: Start) -> None:
    process = start(write("slow_teardown.py", TEARDOWN), "--set", "node.stop_grace=0.1")
    wait_for(process, "main")
    process.send_signal(signal.SIGTERM)
    code, errors = end(process)
    assert 75 == code
    assert "trionet.run: stopped, but this had to be cut off: teardown of :00000002 .slow (Slow)\n" in errors


def test_while_the_event_loop_is_held_the_third_one_ends_the_process(write: Write, start: Start) -> None:
    process = start(write("stuck.py", STUCK))
    wait_for(process, "stuck")
    code = None
    while code is None:
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    assert (-signal.SIGINT, "") == end(process)


def test_after_the_end_the_process_dies_quietly_and_nothing_printed_is_lost(
    write: Write, start: Start
) -> None:
    process = start(write("late.py", LATE))
    wait_for(process, "printed")
    wait_for(process, "late")
    process.send_signal(signal.SIGINT)
    assert (-signal.SIGINT, "") == end(process)


@both
def test_before_a_command_begins(write: Write, start: Start, number: signal.Signals) -> None:
    write("sitecustomize.py", "import typer\nimport signal\n" + INTERRUPT.replace("NUMBER", number.name))
    process = start(write("unused.py", "async def main(node): pass"))
    assert (-number, "") == end(process)


def test_the_start_does_not_pay_for_what_it_does_not_use(write: Write, start: Start) -> None:
    text = "import sys\nasync def main(node): print({'rich', 'trionet.cli.check'} & set(sys.modules))"
    process = start(write("imports.py", text))
    wait_for(process, "set()")
    assert (0, "") == end(process)


def test_a_crash_ends_with_its_traceback(write: Write, start: Start) -> None:
    process = start(write("crashes.py", "async def main(node): raise KeyError('x')"))
    _, errors = process.communicate(timeout=HUNG)
    assert 1 == process.returncode
    assert errors.endswith("KeyError: 'x'\n")
