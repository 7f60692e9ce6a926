"""The sending half of a link, as far as small messages go: they wait for the next flush in a bundle.

Duty: calls and sends that go into a bundle, and the numbers of their routes.
May import: the standard library, the other modules of links in trionet.wire, but not link_receive.
"""

from __future__ import annotations

from typing import Any

from trionet.wire.bundle import CALL_ENTRY, MOST_TRACE, SMALL, size_of
from trionet.wire.link_send import MOST_ROUTES, LinkSender, check_route
from trionet.wire.outbox import OpenCall


class SmallSender(LinkSender):
    """The part of a link that calls and sends in bundles; see :class:`~.link.Link`.

    What is not small, or may not be sent now, it leaves to :meth:`~.LinkSender.call` and
    :meth:`~.LinkSender.send`, which say why.
    """

    def __init__(self) -> None:
        super().__init__()
        #: The numbers of the routes of small messages that were sent last.
        self._numbers: dict[tuple[int, int, str], int] = {}

    def send_small(
        self, source: int, target: int, command: str, arguments: tuple[Any, ...], trace: int, token: Any
    ) -> bool:
        """Send a one-way message in a bundle; False if it is not small, or may not be sent now.

        Raises:
            ValueError: if an id or the name is out of its range.
        """
        size = size_of(arguments)
        limits, outbox = self._limits, self.outbox
        if (
            not size
            or limits is None
            or limits.message_size < SMALL
            or trace > MOST_TRACE
            or (outbox.lanes.by_pair and (source, target) in outbox.lanes.by_pair)
        ):
            return False
        number = self._numbers.get((source, target, command))
        if number is None:
            number = self._number(source, target, command)
        if not self._windows.charge(target, SMALL):
            return False
        self._sends += 1
        outbox.send_small(number, trace, arguments, size, token)
        return True

    def call_small(
        self,
        source: int,
        target: int,
        command: str,
        arguments: tuple[Any, ...],
        remaining: float,
        trace: int,
        token: Any,
    ) -> int:
        """Call a service of the peer in a bundle; arguments as of :meth:`~.LinkSender.call`.

        Returns:
            The session; 0 if it is not small, or may not be sent now.

        Raises:
            ValueError: if an id or the name is out of its range.
        """
        size = size_of(arguments)
        limits, outbox = self._limits, self.outbox
        if (
            not size
            or limits is None
            or limits.message_size < SMALL
            or trace > MOST_TRACE
            or (outbox.lanes.by_pair and (source, target) in outbox.lanes.by_pair)
            or len(self.calls) >= limits.sessions
        ):
            return 0
        number = self._numbers.get((source, target, command))
        if number is None:
            number = self._number(source, target, command)
        if not self._windows.charge(target, SMALL):
            return 0
        self._next_session = session = self._next_session + 1
        self.calls[session] = call = OpenCall(token, target, SMALL)
        time = float(remaining) if remaining > 0 else 0.0
        outbox.call_small(call, (CALL_ENTRY, number, trace, session, time, len(arguments)), arguments, size)
        return session

    def _number(self, source: int, target: int, command: str) -> int:
        """Give a route a number, and tell it to the peer."""
        check_route(source, target, command)
        if len(self._numbers) >= MOST_ROUTES:
            self._numbers.clear()
        self._numbers[source, target, command] = number = len(self._numbers)
        self.outbox.define(number, source, target, command)
        return number
