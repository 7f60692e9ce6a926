"""Who of those that a topic goes to has no room, and the publishers who wait for them.

Duty: the line of publishers of one topic on one node.
May import: Trio.
"""

from __future__ import annotations

import trio


class Room:
    """Whether all who shall not miss anything have room, on one node and for one topic."""

    __slots__ = ("_change", "_full", "_turn")

    def __init__(self) -> None:
        self._full: dict[object, None] = {}
        self._turn: trio.Lock | None = None
        self._change: trio.Event | None = None

    @property
    def is_free(self) -> bool:
        """Whether nobody is full, and no publisher waits."""
        return not self._full and self._turn is None

    def fill(self, who: object) -> None:
        """Somebody has no room any more."""
        self._full[who] = None

    def free(self, who: object) -> None:
        """Somebody has room, or is not there any more."""
        self._full.pop(who, None)
        if not self._full and self._change is not None:
            self._change.set()
            self._change = None

    async def wait(self) -> None:
        """Wait until it is this publisher's turn and everybody has room; then it must publish at once.

        Cancellation: leaves nothing behind.
        """
        turn = self._turn = self._turn or trio.Lock()
        try:
            async with turn:
                while self._full:
                    self._change = self._change or trio.Event()
                    await self._change.wait()
        finally:
            if not turn.locked():
                self._turn = None
