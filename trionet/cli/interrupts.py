"""Ctrl-C, where a person may end what is waited for and go on.

Duty: KeyboardInterrupt only where something is waited for, so that nothing that was read is ever lost.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self


class Interrupts:
    """SIGINT for the block: raised within :meth:`allowed`, kept for the next such place elsewhere."""

    def __init__(self) -> None:
        self._pending = False
        self._allowed = False
        self._former: Any = None

    def __enter__(self) -> Self:
        self._former = signal.signal(signal.SIGINT, self._received)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._former)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let Ctrl-C end the block.

        Raises:
            KeyboardInterrupt: when it comes, or has come before.
        """
        self._allowed = True
        try:
            if self._pending:
                raise KeyboardInterrupt
            yield
        finally:
            self._allowed = self._pending = False

    def _received(self, _number: int, _frame: FrameType | None) -> None:
        self._pending = True
        if self._allowed:
            raise KeyboardInterrupt
