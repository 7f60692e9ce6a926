"""The watchdog: reports a handler that holds the event loop, while it still does.

Duty: one thread a node that looks at the event loop from outside.

Theory of operation.  Twice a threshold the thread asks the event loop for a sign of life, in the way in which
any thread may call into Trio.  A loop that has not answered when the thread has looked twice, and has been in
the same handler each time, is stuck.  The node knows whose handler that is; the thread takes the loop's
stack.  Nothing is done in the loop itself besides: an instrument that counts its rounds would cost more than
many a message.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Final

import trio

from trionet.kernel import handlers

if TYPE_CHECKING:
    from trionet.kernel.messaging import Messaging

_log = logging.getLogger("trionet.monitor")


#: Where a step of a task begins: what leads there is the same in each stack, and tells nobody anything.
_BEGINNINGS: Final = (trio.run.__code__.co_filename, handlers.__file__)


def _from_users_code(frame: FrameType) -> traceback.StackSummary:
    """The stack from where Trio or a service began to run somebody's code."""
    stack = traceback.extract_stack(frame)
    begun = [number for number, each in enumerate(stack, 1) if each.filename in _BEGINNINGS]
    kept = stack[begun[-1] :] if begun else stack
    return traceback.StackSummary.from_list(kept or stack)


class Monitor:
    """Watches the event loop of one node.

    Attributes:
        stalls: how often the loop was held for longer than the threshold.
    """

    def __init__(self, node: Messaging) -> None:
        self.stalls: int = 0
        self._node = node
        self._threshold = node.config.stall_threshold
        self._answered = True
        self._over = threading.Event()
        self._thread_id = 0
        self._token: trio.lowlevel.TrioToken | None = None

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch while the block runs; does nothing where the node's seams say so."""
        if not self._node.seams.watchdog:
            yield
            return
        self._thread_id = threading.get_ident()
        self._token = trio.lowlevel.current_trio_token()
        thread = threading.Thread(target=self._watch, name="trionet watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _watch(self) -> None:
        """The thread: two looks a threshold; a stall lasts from one whole threshold to its end."""
        looks, suspect = 0, self._node.current
        while not self._over.wait(self._threshold / 2):
            if self._answered or suspect is not self._node.current:
                looks, suspect = 0, self._node.current
                self._ask()
                continue
            looks += 1
            if looks == 2:
                self._report()

    def _ask(self) -> None:
        self._answered = False
        if self._token is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._answer, idempotent=True)

    def _answer(self) -> None:
        self._answered = True

    def _report(self) -> None:
        self.stalls += 1
        frame = sys._current_frames().get(self._thread_id)
        stack = "unknown\n" if frame is None else "".join(_from_users_code(frame).format())
        request = self._node.current
        what = "code outside any handler"
        if request is not None:
            what = f"{request.command} of {request.target.describe()}"
        _log.error(
            "%s has held the event loop for over %g seconds; it is at\n%s", what, self._threshold, stack
        )
