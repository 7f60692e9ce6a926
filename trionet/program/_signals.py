"""SIGINT and SIGTERM, from the first moment of a program to its last.

Duty: count the signals, and act on them as the stage of the program allows.
May import: Trio and the standard library.

Theory of operation.  One handler serves both signals from first to last, and what it does depends on the
stage.  Before Trio runs it raises KeyboardInterrupt, which ends the loading of a script.  While Trio runs it
only counts and wakes the event loop, so no code is ever interrupted at a random place; the count is read
when the loop can act, so that a signal between two stages is not lost.  The second signal also restores
what the system does by default: if the loop is held by code that never ends, the third one ends the process.
"""

from __future__ import annotations

import enum
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, Self

import trio

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Stage(enum.Enum):
    """How far a program has come, as far as signals are concerned."""

    LOADING = "loading"
    RUNNING = "running"


class StopSignals:
    """SIGINT and SIGTERM, counted; a context manager that leaves the handlers as it found them.

    In a thread other than the main one it does nothing, as signals do not arrive there.

    Args:
        stage: LOADING raises KeyboardInterrupt at a signal, RUNNING does not.

    Attributes:
        count: the signals that arrived.
        last: the last of them.
    """

    def __init__(self, stage: Stage = Stage.RUNNING) -> None:
        self.stage = stage
        self.count: int = 0
        self.last: signal.Signals = signal.SIGINT
        self._act: Callable[[str], None] | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        with suppress(ValueError):  # not the main thread
            for each in _SIGNALS:
                self._previous[each] = signal.signal(each, self._received)
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._previous.items():
            signal.signal(each, handler)
        self._previous.clear()

    def leave_for_good(self) -> None:
        """Let the system's default end the process from now on, quietly; nothing is left to stop."""
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        for each in self._previous:
            signal.signal(each, signal.SIG_DFL)
        self._previous.clear()

    @contextmanager
    def telling(self, act: Callable[[str], None]) -> Iterator[None]:
        """Tell each signal to a function in the event loop; one that came before is told at once.

        Args:
            act: takes the signal's name; :attr:`count` says how many there were.
        """
        self._token, self._act = trio.lowlevel.current_trio_token(), act
        try:
            if self.count:
                act(self.last.name)
            yield
        finally:
            self._token = self._act = None

    def _received(self, number: int, _: FrameType | None) -> None:
        self.count += 1
        self.last = signal.Signals(number)
        if self.count > 1:
            for each in self._previous:
                signal.signal(each, signal.SIG_DFL)
        if self.stage is Stage.LOADING:
            raise KeyboardInterrupt
        if self._token is not None:
            self._token.run_sync_soon(self._tell, self.last.name)

    def _tell(self, name: str) -> None:
        if self._act is not None:
            self._act(name)
