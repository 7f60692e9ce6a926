"""The pipes between a node and the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trionet import Node
from trionet.program import LIFELINE_FD, READY_FD, Launch, Parent, StopSignals, run_node

#: Seconds after which a process counts as hung.
HUNG = 30

CHILD = """
import os, signal, sys, time
from trionet.program import Parent
signal.signal(signal.SIGTERM, HANDLER)
parent = Parent.adopt()
parent.patience = 0.05
parent.watch()
print("ready", flush=True)
time.sleep(60)
"""


def test_descriptors_are_taken_out_of_the_environment() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    environ = {READY_FD: str(writing), LIFELINE_FD: str(reading), "OTHER": "x"}
    parent = Parent.adopt(environ)
    parent.tell("open", harbor=3)
    parent.tell("ready")
    os.close(writing)
    with open(reading, encoding="utf-8") as stream:
        assert '{"event": "open", "harbor": 3}\n{"event": "ready"}\n' == stream.read()
    assert {"OTHER": "x"} == environ


def test_a_descendant_gets_no_descriptor() -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    Parent.adopt({READY_FD: str(writing)})
    assert not os.get_inheritable(writing)
    os.close(writing)
    os.close(reading)


@pytest.mark.parametrize("text", ["", "x", "-1", "99999", "9" * 40])
def test_what_is_no_descriptor_is_nobody(text: str) -> None:
    parent = Parent.adopt({READY_FD: text, LIFELINE_FD: text})
    parent.tell("ready")
    parent.watch()


def test_a_parent_that_no_longer_listens_is_left_alone() -> None:
    reading, writing = os.pipe()
    parent = Parent(ready=writing)
    os.close(reading)
    parent.tell("open")
    parent.tell("ready")
    os.close(writing)


def test_a_node_tells_how_far_it_is() -> None:
    reading, writing = os.pipe()
    seen: list[str] = []

    async def prepare(node: Node) -> None:
        seen.append(os.read(reading, 4096).decode())

    async def main(node: Node) -> None:
        seen.append(os.read(reading, 4096).decode())

    with StopSignals() as stops:
        assert 0 == run_node(Launch(main, prepare=prepare), stops, Parent(ready=writing))
    os.close(reading)
    os.close(writing)
    assert ['{"event": "open", "harbor": 0, "address": ""}\n', '{"event": "ready"}\n'] == seen


def start(handler: str, *, group: bool) -> tuple[subprocess.Popen[str], int]:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD.replace("HANDLER", handler)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, LIFELINE_FD: str(reading)},
        pass_fds=(reading,),
        start_new_session=group,
        text=True,
    )
    os.close(reading)
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    return process, writing


def test_the_end_of_the_parent_is_a_signal() -> None:
    process, lifeline = start("lambda *_: os._exit(7)", group=False)
    os.close(lifeline)
    process.communicate(timeout=HUNG)
    assert 7 == process.returncode


@pytest.mark.parametrize("group", [False, True])
def test_who_does_not_stop_when_the_parent_has_gone_is_killed(group: bool) -> None:
    process, lifeline = start("signal.SIG_IGN", group=group)
    os.close(lifeline)
    process.communicate(timeout=HUNG)
    assert -signal.SIGKILL == process.returncode


def test_a_script_that_never_ends_to_load_does_not_outlive_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)", encoding="utf-8")
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "trionet", "run", str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, LIFELINE_FD: str(reading)},
        pass_fds=(reading,),
        text=True,
    ) as process:
        os.close(reading)
        assert process.stdout is not None
        assert "loading\n" == process.stdout.readline()
        os.close(writing)
        _, errors = process.communicate(timeout=HUNG)
    assert 0 == process.returncode
    assert "Traceback" not in errors
