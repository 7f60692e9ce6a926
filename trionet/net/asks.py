"""What services asked the directory for and wait for: registrations and names.

Duty: tokens, and the tasks behind them.
"""

from __future__ import annotations

from itertools import count

import trio

from trionet.errors import ClusterError, NameTaken, NodeStopping
from trionet.handle import Handle
from trionet.wire import effects
from trionet.wire.effects import Failure


class Asks:
    """Those who wait for an answer of the directory."""

    def __init__(self) -> None:
        self._tokens = count(1)
        self._waiting: dict[int, _Ask] = {}

    def open(self, name: str) -> int:
        """Begin to wait; returns the token for the machine."""
        token = next(self._tokens)
        self._waiting[token] = _Ask(name)
        return token

    async def answer(self, token: int) -> Handle:
        """Wait for the answer.

        Cancellation: the token is forgotten; cancel it at the machine, too.

        Raises:
            NameTaken: if another service owns the name.
            ClusterError: if the master's table is full.
            NodeStopping: if the node has left the cluster.
        """
        ask = self._waiting[token]
        try:
            await ask.event.wait()
        finally:
            del self._waiting[token]
        if isinstance(ask.answer, effects.Done):
            return ask.answer.handle
        assert ask.answer is not None
        match ask.answer.failure:
            case Failure.TAKEN:
                raise NameTaken(ask.name, ask.answer.owner)
            case Failure.FULL:
                raise ClusterError(f"the master has no room for the name {ask.name!r}")
            case Failure.ENDED:
                raise NodeStopping(f"the node has left the cluster; {ask.name!r} is out of reach")

    def tell(self, answer: effects.Done | effects.Failed) -> None:
        """An answer has come."""
        ask = self._waiting.get(answer.token)  # type: ignore[call-overload]
        if ask is not None:
            ask.answer = answer
            ask.event.set()


class _Ask:
    def __init__(self, name: str) -> None:
        self.name = name
        self.event = trio.Event()
        self.answer: effects.Done | effects.Failed | None = None
