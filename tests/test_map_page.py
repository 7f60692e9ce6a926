"""The map of the source names each of its files, where it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "explanation" / "map.md").read_text()
SECTIONS = dict(re.findall(r"(?ms)^## (trionet\S*)\n(.*?)(?=^## |\Z)", PAGE))
FOLDERS = sorted(str(each.parent.relative_to(ROOT)) for each in (ROOT / "trionet").rglob("__init__.py"))


def test_each_folder_has_a_section() -> None:
    assert FOLDERS == sorted(SECTIONS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_file_stands_once_in_the_section_of_its_folder(folder: str) -> None:
    files = {each.name for each in (ROOT / folder).glob("*.py")} - {"__init__.py"}
    assert sorted(files) == sorted(re.findall(r"`(\w+\.py)`", SECTIONS[folder]))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\{file\}`([^`]+)`", PAGE))))
def test_what_it_points_to_is_there(path: str) -> None:
    assert (ROOT / path).exists()
