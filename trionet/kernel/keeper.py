"""Keeping a service alive: starting it again as its restart policy says.

Duty: one task that runs a service, and after its end a new one in its place.  The new one has a new handle
and the old names, which stay reserved in between.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from trionet.kernel.exceptions import log_with_trace
from trionet.kernel.life import live
from trionet.kernel.supervise import Restart, RestartHistory

if TYPE_CHECKING:
    from trionet.handle import Handle
    from trionet.kernel.actor import Actor

_log = logging.getLogger("trionet.supervise")


class Keeper:
    """One service through all its restarts.

    Attributes:
        actor: the present one; between two, the former.
        handle: the handle of the first, under which its starter lists it.
        keeps: False once its owner ended it or the policy gave up.
        failure: what it failed of for good, once it has started.
    """

    def __init__(self, actor: Actor, policy: Restart) -> None:
        self.actor: Actor = actor
        self.handle: Handle = actor.handle
        self.keeps: bool = True
        self._history = RestartHistory(policy)
        self._pause: trio.CancelScope | None = None
        self._ended = trio.Event()
        self._has_started = False
        self.failure: BaseException | None = None
        actor.keeper = self

    async def run(self) -> None:
        """Run the service and its successors; the body of the task."""
        try:
            while True:
                await live(self.actor)
                delay = self._next_delay()
                if delay is None or not await self._rest(delay):
                    return
                self.actor = self.actor.node.successor(self.actor)
        finally:
            self._give_up()

    def _next_delay(self) -> float | None:
        """Decide whether to start it again: after how many seconds, or None."""
        actor = self.actor
        assert actor.exit is not None
        self._has_started = self._has_started or actor.has_started
        if not self._has_started:
            return None  # its starter is told
        delay = None
        if self.keeps and self._history.wants(actor.exit):
            delay = self._history.next_delay(trio.current_time())
            if delay is None:
                policy = self._history.policy
                text = "%s ended again after %d restarts in %g seconds; its restart policy gives up"
                _log.error(text, actor.describe(), policy.most, policy.within)
        if delay is None:
            self.failure = actor.error
        else:
            text = "%s %s; it starts again in %g seconds"
            about = actor.describe(), actor.exit, delay
            log_with_trace(_log, logging.WARNING, text, *about, error=actor.error)
        return delay

    async def _rest(self, delay: float) -> bool:
        """Wait before the restart; tell whether it is still wanted."""
        with trio.CancelScope() as self._pause:
            await trio.sleep(delay)
        return self.keeps

    def _give_up(self) -> None:
        actor = self.actor
        self.keeps = False
        actor.node.free_kept_names(actor)
        actor.node.forget_keeper(self)
        self._ended.set()
        if self.failure is not None:
            actor.node.escalate(actor, self.failure)

    def request_stop(self, deadline: float) -> None:
        """Stop the service in order, for good."""
        self._end_pause()
        self.actor.request_stop(deadline)

    def kill(self) -> None:
        """End the service at once, for good."""
        self._end_pause()
        self.actor.kill()

    def _end_pause(self) -> None:
        self.keeps = False
        if self._pause is not None:
            self._pause.cancel()

    async def wait_ended(self) -> None:
        """Wait until it has ended for good.

        Cancellation: changes nothing.
        """
        await self._ended.wait()
