"""What the console and ``trionet top`` print: by the shape of the data, and never a control character."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from trionet.cli.console_show import cleaned, show, show_error
from trionet.cli.top_view import picture, room_for_services, size


def printed(data: Any) -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    show(console, data)
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (None, "ok"),
        ([], "none"),
        ("two\nlines", "two\nlines"),
        (5, "5"),
        ([1, [2], "x"], "1\n[2]\nx"),
        ([{"a": 1, "b": "x"}, {"a": 20, "c": True}], " a  b  c\n 1  x\n20     true"),
        (
            {"name": "x", "stack": ["one", "two"], "n": [1, 2], "e": []},
            "name   x\nstack  one\n       two\nn      [1, 2]\ne      []",
        ),
        ([{"a": ["x"]}, {"a": []}], "a  x\n\na  []"),
        ("[bold]no markup[/bold]", "[bold]no markup[/bold]"),
        ({"\x1b": "\x1b[2J\x07"}, "\\x1b  \\x1b[2J\\x07"),
    ],
)
def test_data_is_shown_by_its_shape(data: object, expected: str) -> None:
    assert printed(data) == expected


def test_errors_have_no_control_characters_either() -> None:
    console = Console(file=io.StringIO(), width=80)
    show_error(console, {"kind": "Bad", "text": "\x1b]0;x\x07", "notes": ["one\ntwo\x9b"]})
    file = console.file
    assert isinstance(file, io.StringIO)
    assert file.getvalue() == "Bad: \\x1b]0;x\\x07\none\ntwo\\x9b\n"


def test_what_prints_stays() -> None:
    assert cleaned("größer 你好 🙂\n") == "größer 你好 🙂\n"
    assert cleaned("\ud800\t\r") == "\\ud800\\t\\r"


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (9e15, "9000.0 TB")],
)
def test_sizes(count: float, expected: str) -> None:
    assert size(count) == expected


def test_a_node_with_a_problem_is_in_the_picture() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(picture([{"harbor": 2, "problem": "no answer yet"}], "title", 5))
    file = console.file
    assert isinstance(file, io.StringIO)
    assert "2     no answer yet" in file.getvalue()


def test_the_services_fit_on_the_terminal() -> None:
    report = [{"harbor": 1, "links": [{}, {}]}, {"harbor": 2, "problem": "x"}]
    assert room_for_services(24, report) == 24 - 8 - 2 - 2
    assert room_for_services(5, report) == 3
