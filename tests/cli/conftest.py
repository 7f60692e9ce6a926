"""What the tests of the command line share: files to run, and a process left as it was."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.writing import Write, write_here
from trionet.cli import app

Invoke = Callable[..., Result]


@pytest.fixture(autouse=True)
def restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in an empty directory, and leave the process as it was."""
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith("TRIONET_")]:
        monkeypatch.delenv(name)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    path, argv, modules, environ = list(sys.path), sys.argv, set(sys.modules), dict(os.environ)
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)
    sys.path[:], sys.argv = path, argv
    os.environ.clear()
    os.environ.update(environ)
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write() -> Write:
    """Write a file into the current directory, and return its name."""
    return write_here


@pytest.fixture
def invoke() -> Invoke:
    """Run a command line in this process."""

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    return invoke
