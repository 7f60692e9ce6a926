"""The tutorial, done as its reader does it: the files saved, the program run, the tests run by pytest."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-service.md"
PLUGIN = "trionet.testing.plugin"

_FILE = re.compile(r"^```\w+\n# (?P<name>\w+\.(?:py|toml))\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def save_files(folder: Path) -> list[str]:
    """Save each block that begins with the name of a file; the last one of a name counts."""
    for match in _FILE.finditer(PAGE.read_text(encoding="utf-8")):
        (folder / match["name"]).write_text(match["text"], encoding="utf-8")
    return sorted(each.name for each in folder.iterdir())


def run(folder: Path, *arguments: str) -> str:
    """Run a module of Python in the folder; what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    assert ["hello.py", "presence.py", "pyproject.toml", "test_presence.py"] == save_files(tmp_path)
    assert "Here are: Ann, Bob" in run(tmp_path, "-P", "-m", "trionet", "run", "presence.py")
    installed = any(each.value == PLUGIN for each in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", PLUGIN]
    assert "3 passed" in run(tmp_path, "-m", "pytest", "-q", "-W", "error", *plugin)
