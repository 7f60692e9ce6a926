"""What the tests of configuration files share: an empty directory to write them into."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.writing import Write, write_here


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file into an empty current directory, and return its name."""
    monkeypatch.chdir(tmp_path)
    return write_here
