"""The output of ``trionet up``: whose line it is, with and without colour."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TextIO

import pytest
from rich.console import Console

from trionet.cli.output import Output


def shown(*, terminal: bool, **environ: str) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, _environ={"TERM": "xterm-256color", **environ})
    output = Output(["a", "longer"], console)
    output.line("a", "one")
    output.line("longer", "\x1b[31mred")
    output.say("all is well", "green")
    return file.getvalue()


async def test_names_are_aligned_and_plain_where_no_terminal_is() -> None:
    assert [
        "a      | one",
        "longer | \x1b[31mred\x1b[0m",
        "up     | all is well",
    ] == shown(terminal=False).splitlines()


async def test_each_name_has_its_colour_on_a_terminal() -> None:
    first, second, own = shown(terminal=True).splitlines()
    assert first == "\x1b[36ma      | \x1b[0mone"
    assert second.startswith("\x1b[33mlonger | \x1b[0m")
    assert own == "\x1b[1mup     | \x1b[0m\x1b[32mall is well\x1b[0m"


async def test_no_color_means_none() -> None:
    assert "\x1b[3" not in shown(terminal=True, NO_COLOR="1").replace("\x1b[31mred", "")


async def test_brackets_are_no_markup_and_long_lines_stay_whole() -> None:
    file = io.StringIO()
    output = Output(["a"], Console(file=file, width=20))
    output.line("a", "[bold]" + "x" * 100)
    output.say("[red]" + "y" * 100)
    assert [f"a  | [bold]{'x' * 100}", f"up | [red]{'y' * 100}"] == file.getvalue().splitlines()


async def test_what_the_output_cannot_show_is_replaced() -> None:
    raw = io.BytesIO()
    output = Output(["a"], Console(file=io.TextIOWrapper(raw, encoding="ascii", write_through=True)))
    output.line("a", "caf\xe9")
    assert b"a  | caf?\n" == raw.getvalue()


class Gone(io.StringIO):
    """An output whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def broken_pipe() -> TextIO:
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w", encoding="utf-8")


@pytest.mark.parametrize("make", [broken_pipe, Gone])
async def test_a_reader_that_has_gone_is_noticed_once(make: Callable[[], TextIO]) -> None:
    with make() as file:
        output = Output(["a"], Console(file=file))
        assert not output.broken.is_set()
        output.say("nobody reads this")
        output.line("a", "nor this")
        assert output.broken.is_set()
