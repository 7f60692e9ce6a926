"""The page on bad input names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "explanation" / "bad-input.md"
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
TRIED = [row for row in ROWS if not row.endswith("| tests |")]


def test_there_are_rows() -> None:
    assert len(TRIED) > 30


@pytest.mark.parametrize("row", TRIED, ids=lambda row: row.split("|")[1].strip()[:40])
def test_each_row_names_files_with_tests(row: str) -> None:
    files = re.findall(r"`([^`]+\.py)`", row.split("|")[3])
    assert files
    for file in files:
        assert re.search(r"^(async )?def test_", (TESTS / file).read_text(), re.MULTILINE), file
