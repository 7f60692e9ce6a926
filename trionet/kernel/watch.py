"""Watching a service: who is told of its end, once, and why it ended (C15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import attrs
import trio

from trionet.handle import Handle
from trionet.message import value

Reason = Literal["stopped", "failed", "killed", "node down", "gone"]


@value(name="trionet.Exit")
@attrs.frozen
class Exit:
    """How a service ended.

    Args:
        handle: the service.
        reason: ``"stopped"`` in order; ``"failed"`` by an exception of its own; ``"killed"``;
            ``"node down"`` when there is no link to its node; ``"gone"`` when it ended so long ago
            that the reason is forgotten, or never was.
        error: for a failure: the text of the exception.
    """

    handle: Handle
    reason: Reason
    error: str | None = None

    def __str__(self) -> str:
        return self.reason if self.error is None else f"{self.reason}: {self.error}"


class Watch:
    """The end of one service, to wait for; made by :meth:`trionet.Node.watch`.

    Attributes:
        exit: how it ended, or None while it lives.
    """

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.exit: Exit | None = None
        self._event = trio.Event()

    async def wait(self) -> Exit:
        """Wait until the service has ended, and tell how.

        By then every message that it sent to the watcher is in the watcher's inbox.

        Cancellation: nothing is lost; it can be waited for again.

        Returns:
            How it ended; the same at each call.
        """
        await self._event.wait()
        assert self.exit is not None
        return self.exit

    def tell(self, exit_: Exit) -> None:
        """The service has ended; only the first telling counts."""
        if self.exit is None:
            self.exit = exit_
            self._event.set()


class Watchers:
    """Those who wait for the end of one service: told once, or gone before that."""

    __slots__ = ("_tell",)

    def __init__(self) -> None:
        self._tell: dict[Callable[[Exit], None], None] = {}

    def add(self, tell: Callable[[Exit], None]) -> None:
        """Call ``tell`` at the end of the service."""
        self._tell[tell] = None

    def remove(self, tell: Callable[[Exit], None]) -> None:
        """Forget one; it may have been told already."""
        self._tell.pop(tell, None)

    def tell_all(self, exit_: Exit) -> None:
        """Tell everybody."""
        told, self._tell = self._tell, {}
        for tell in told:
            tell(exit_)

    def __len__(self) -> int:
        return len(self._tell)
