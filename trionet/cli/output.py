"""The output of several processes as one: each line with the name of the process that it is from.

Duty: prefixes, in colour where the output is a terminal (and ``NO_COLOR`` is not set), plain elsewhere.
"""

from __future__ import annotations

import io
import os
from typing import Final

import trio
from rich.console import Console
from rich.text import Text

#: The name under which ``trionet up`` itself speaks.
SELF: Final = "up"
_COLOURS: Final = (
    "cyan",
    "yellow",
    "green",
    "magenta",
    "blue",
    "bright_cyan",
    "bright_yellow",
    "bright_green",
)
_ESCAPE: Final = "\x1b"
_RESET: Final = "\x1b[0m"


def _painter(console: Console) -> Console:
    """A console that makes text as another would show it, and never touches the other's file."""
    return Console(
        file=io.StringIO(),
        force_terminal=console.is_terminal,
        color_system=console.color_system,  # type: ignore[arg-type]
        no_color=console.no_color,
        highlight=False,
    )


class Output:
    """Where all lines go; made in the Trio run that uses it.

    Args:
        names: of all processes that will say something.
        console: the output; by default standard output.

    Attributes:
        broken: set when the reader of the output has gone.
    """

    def __init__(self, names: list[str], console: Console | None = None) -> None:
        console = console or Console(highlight=False)
        self._file = console.file
        self._painter = _painter(console)
        self._encoding = getattr(self._file, "encoding", None) or "utf-8"
        width = max(map(len, [*names, SELF]))
        styles = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}
        self._prefixes = {name: self._styled(f"{name:<{width}} | ", styles[name]) for name in names}
        self._own = self._styled(f"{SELF:<{width}} | ", "bold")
        self.broken: trio.Event = trio.Event()

    def _styled(self, text: str, style: str) -> str:
        with self._painter.capture() as capture:
            self._painter.print(Text(text, style), end="", soft_wrap=True)
        return capture.get()

    def line(self, name: str, text: str) -> None:
        """Print a line of a process."""
        end = _RESET if _ESCAPE in text else ""
        self._write(f"{self._prefixes[name]}{text}{end}\n")

    def say(self, text: str, style: str = "") -> None:
        """Print a line of ``trionet up`` itself."""
        self._write(f"{self._own}{self._styled(text, style)}\n")

    def _write(self, line: str) -> None:
        if self.broken.is_set():
            return
        try:
            self._file.write(line.encode(self._encoding, "replace").decode(self._encoding))
            self._file.flush()
        except (OSError, ValueError):
            self.broken.set()
            self._discard()

    def _discard(self) -> None:
        """Send what is still in the buffer to nowhere, so that the interpreter ends in peace."""
        try:
            number = self._file.fileno()
        except (OSError, ValueError):
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
