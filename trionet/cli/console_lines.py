"""Lines that somebody types: their history, and what completes them.

Duty: what the line editor of the standard library needs; without it, lines are typed plainly.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Final

from trionet.cli.console_client import ConsoleClient, ConsoleProblem

_editor: ModuleType | None
try:
    import readline as _editor
except ImportError:  # a Python that was built without it
    _editor = None

#: Lines of the history that are kept.
MOST_LINES: Final = 1_000
#: Commands that have no service for their second word.
_WITHOUT_SERVICE: Final = ("list", "names", "nodes", "links", "net", "mem", "gc", "start", "loglevel", "load")


def history_file() -> Path:
    """Where the history is kept: in the folder of the user's state."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "trionet" / "console_history"


class Completer:
    """Completes the words of a line: commands, then services by name and by handle.

    Args:
        client: is asked what there is.
    """

    def __init__(self, client: ConsoleClient) -> None:
        self._client = client
        self._commands: list[str] = []
        self._found: list[str] = []

    def __call__(self, word: str, state: int) -> str | None:
        """The next completion of a word, as the line editor asks for it."""
        if state == 0 and _editor is not None:
            before = _editor.get_line_buffer()[: _editor.get_begidx()]
            self._found = [each for each in self.words(before) if each.startswith(word)]
        return self._found[state] if state < len(self._found) else None

    def words(self, before: str) -> list[str]:
        """What may follow what was typed before the word.

        It never raises: a line editor shows no errors.
        """
        words = before.split()
        node = words.pop(0) if words and words[0].startswith("@") else ""
        with suppress(ConsoleProblem):
            if not words or words == ["help"]:
                return self._known_commands()
            if len(words) == 1 and words[0] not in _WITHOUT_SERVICE:
                return self._services(node)
        return []

    def _known_commands(self) -> list[str]:
        if not self._commands:
            told = self._client.result("help") or []
            self._commands = [each["command"].split()[0] for each in told]
        return self._commands

    def _services(self, node: str) -> list[str]:
        names = self._client.result(f"{node} names") or []
        handles = self._client.result(f"{node} list") or []
        return [each["name"] for each in names] + [each["handle"] for each in handles]


@contextmanager
def edited(completer: Callable[[str, int], str | None]) -> Iterator[None]:
    """Have lines edited, completed and remembered for the block."""
    if _editor is None:
        yield
        return
    path = history_file()
    _editor.set_completer(completer)
    _editor.set_completer_delims(" \t\n")
    _editor.parse_and_bind("tab: complete")
    _editor.set_history_length(MOST_LINES)
    with suppress(OSError):
        _editor.read_history_file(path)
    try:
        yield
    finally:
        _editor.set_completer(None)
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _editor.write_history_file(path)
            path.chmod(0o600)
