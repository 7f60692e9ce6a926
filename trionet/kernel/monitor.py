"""The watchdog: reports a handler that holds the event loop, while it still does.

Duty: one thread a node that looks at the event loop from outside.

Theory of operation.  A Trio instrument counts the rounds of the event loop and notes when the loop waits
for input.  The thread compares: when the loop is busy and has not turned since it last looked a threshold
ago, whatever runs now is stuck.  The node knows whose handler that is; the thread takes the loop's stack.
It never touches anything of Trio, and it does not wake an idle loop.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trionet.kernel.messaging import Messaging

_log = logging.getLogger("trionet.monitor")


class _LoopState(trio.abc.Instrument):
    """Counts the rounds of the event loop."""

    def __init__(self) -> None:
        self.rounds = 0
        self.idle = False

    def before_io_wait(self, timeout: float) -> None:
        """The loop has nothing to run."""
        self.idle = True

    def after_io_wait(self, timeout: float) -> None:
        """The loop begins a round."""
        self.rounds += 1
        self.idle = False


class Monitor:
    """Watches the event loop of one node.

    Attributes:
        stalls: how often the loop was held for longer than the threshold.
    """

    def __init__(self, node: Messaging) -> None:
        self.stalls: int = 0
        self._node = node
        self._threshold = node.config.stall_threshold
        self._loop = _LoopState()
        self._over = threading.Event()
        self._thread_id = 0

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch while the block runs; does nothing where the node's seams say so."""
        if not self._node.seams.watchdog:
            yield
            return
        self._thread_id = threading.get_ident()
        thread = threading.Thread(target=self._watch, name="trionet watchdog", daemon=True)
        trio.lowlevel.add_instrument(self._loop)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            trio.lowlevel.remove_instrument(self._loop)
            thread.join()

    def _watch(self) -> None:
        """The thread: two looks a threshold; a stall lasts from one whole threshold to its end."""
        seen, same, told = -1, 0, False
        while not self._over.wait(self._threshold / 2):
            rounds = self._loop.rounds
            if self._loop.idle or rounds != seen:
                seen, same, told = rounds, 0, False
                continue
            same += 1
            if same >= 2 and not told:
                told = True
                self._report()

    def _report(self) -> None:
        self.stalls += 1
        frame = sys._current_frames().get(self._thread_id)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else "unknown\n"
        request = self._node.current
        what = "code outside any handler"
        if request is not None:
            what = f"{request.command} of {request.target.describe()}"
        _log.error(
            "%s has held the event loop for over %g seconds; it is at\n%s", what, self._threshold, stack
        )
