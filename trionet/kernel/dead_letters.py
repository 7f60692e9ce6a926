"""Messages that did not arrive (C5): counted, logged within a rate, offered to subscribers."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from trionet.errors import printable
from trionet.handle import Handle
from trionet.kernel.subscribers import Subscribers
from trionet.message import value

if TYPE_CHECKING:
    from trionet.kernel.request import Request

#: Dead letters that a subscriber may lag behind before further ones are dropped for it.
SUBSCRIBER_BUFFER: Final = 1000

_log = logging.getLogger("trionet.dead_letters")


@value(name="trionet.DeadLetter", unknown="drop")
@attrs.frozen
class DeadLetter:
    """A one-way message that did not arrive, or whose fate is unknown.

    Args:
        source: the handle of the sending service, or None for code outside any service.
        target: the handle or the name it was sent to.
        command: the name of the command.
        args: the positional arguments.
        kwargs: the arguments by name.
        reason: what became of it, for people.
    """

    source: Handle | None
    target: Handle | str
    command: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    reason: str


class DeadLetters:
    """The dead letters of a node.

    Attributes:
        count: how many there were since the node started.
        by_target: how many for each handle or name, the most frequent thousand at most.
    """

    def __init__(self, log_rate: int) -> None:
        self.count: int = 0
        self.by_target: Counter[str] = Counter()
        self._rate = log_rate
        self._second = -1
        self._logged = 0
        self._muted = 0
        self._subscribers: Subscribers[DeadLetter] = Subscribers(SUBSCRIBER_BUFFER)

    def report(self, request: Request, reason: str) -> None:
        """Count a request of this node that reached no handler."""
        self.add(
            DeadLetter(
                request.source_handle(),
                request.target.handle,
                request.command,
                request.args,
                request.kwargs,
                reason,
            )
        )

    def add(self, letter: DeadLetter) -> None:
        """Count a dead letter, log it within the rate, and offer it to every subscriber."""
        self.count += 1
        if len(self.by_target) < 1000 or str(letter.target) in self.by_target:
            self.by_target[str(letter.target)] += 1
        self._log_within_rate(letter)
        self._subscribers.offer(letter)  # who misses it can see so by the count

    def _log_within_rate(self, letter: DeadLetter) -> None:
        second = int(trio.current_time())
        if second != self._second:
            self.log_muted()
            self._second, self._logged = second, 0
        if self._logged >= self._rate:
            self._muted += 1
            return
        self._logged += 1
        source = "the node" if letter.source is None else letter.source
        command = printable(letter.command)
        _log.warning("dead letter: %s from %s to %s: %s", command, source, letter.target, letter.reason)

    def log_muted(self) -> None:
        """Tell how many the rate has kept out of the log since the last line."""
        muted, self._muted = self._muted, 0
        if muted:
            _log.warning("%d more dead letters were not logged", muted)

    def subscribe(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[DeadLetter]]:
        """Open a stream of the dead letters from now on; leaving the block closes it.

        A subscriber that lags by more than 1,000 misses the newest ones.

        Cancellation: entering and leaving never wait.
        """
        return self._subscribers.subscribe()
