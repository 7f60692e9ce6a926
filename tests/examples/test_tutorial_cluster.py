"""The second page of the tutorial, done as its reader does it: brought up, one node killed, tested."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.ports import free_address

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "cluster.md"
PLUGIN = "trionet.testing.plugin"

_FILE = re.compile(r"^```\w+\n# (?P<name>\w+\.(?:py|toml))\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the page."""
    for match in _FILE.finditer(PAGE.read_text(encoding="utf-8")):
        (tmp_path / match["name"]).write_text(match["text"], encoding="utf-8")
    assert ["cluster.toml", "door.py", "presence.py", "presence_api.py", "test_cluster.py"] == sorted(
        each.name for each in tmp_path.iterdir()
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n", encoding="utf-8")
    return tmp_path


def test_its_tests_pass(folder: Path) -> None:
    installed = any(each.value == PLUGIN for each in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", PLUGIN]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *plugin],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_cluster_goes_on_when_a_node_is_killed(folder: Path) -> None:
    words = [sys.executable, "-P", "-m", "trionet", "up", str(folder / "cluster.toml")]
    told: list[str] = []
    with subprocess.Popen(
        [*words, f"--set=nodes.presence.standalone={free_address()}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={key: each for key, each in os.environ.items() if not key.startswith("TRIONET_")},
        text=True,
    ) as process:
        try:
            read_until(process, told, "Here are: Ann, Bob, Cleo")
            os.kill(process_of(folder, "presence"), signal.SIGKILL)
            read_until(process, told, "presence was killed by SIGKILL; starting it again")
            read_until(process, told, "Nobody knows who is here: ")
            read_until(process, told, "Here are: Ann, Bob, Cleo")
            process.send_signal(signal.SIGINT)
            told.append(process.communicate()[0])
        finally:
            process.kill()
    assert 0 == process.returncode, "".join(told)
    assert "Traceback" not in "".join(told)


def read_until(process: subprocess.Popen[str], told: list[str], text: str) -> None:
    """Read lines until one of them has a text in it."""
    assert process.stdout is not None
    for line in process.stdout:
        told.append(line)
        if text in line:
            return
    pytest.fail(f"{text!r} was never told:\n{''.join(told)}")


def process_of(folder: Path, name: str) -> int:
    """The process of a node of ``trionet up``, found as on the page: by its command line."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # processes that have ended meanwhile
            words = file.read_bytes().decode("utf-8", "replace").split("\0")
            if words[-3:-1] == ["--node", name] and any(str(folder) in word for word in words):
                return int(file.parent.name)
    pytest.fail(f"there is no process of {name}")
