"""The receiving half of a link, as far as bundles go: each small message in them is told, or it is a breach.

Duty: the structure of bundles, and that nothing in them is allowed that would not be outside.
May import: the standard library, the other modules of links in trionet.wire, but not link_receive.
"""

from __future__ import annotations

import abc
from typing import Any, Final

from trionet.errors import BadMessage
from trionet.wire import link_events as events
from trionet.wire.bundle import (
    CALL_ENTRY,
    MOST_ARGUMENTS,
    MOST_TRACE,
    RETURN_ENTRY,
    ROUTE_ENTRY,
    ROUTE_SIZE,
    SENDS_ENTRY,
    SMALL,
)
from trionet.wire.credit import Credit, ReceiveWindows
from trionet.wire.errors import ProtocolError
from trionet.wire.link_answer_receive import AnswerReceiver
from trionet.wire.link_answers import LinkAnswers
from trionet.wire.link_events import Route
from trionet.wire.link_frames import MAX_LOCAL, MAX_TEXT, LinkSettings
from trionet.wire.link_send import MOST_ROUTES
from trionet.wire.link_user import LinkUser
from trionet.wire.plain import AtomCodec

#: Bytes of the head of a bundle.
_HEAD: Final = 16
#: The largest number of a session: it has 64 bits in all other frames.
MOST_SESSION: Final = (1 << 64) - 1
_SHORT: Final = "an entry of a bundle that is shorter than its fields"


class BundleReceiver(AnswerReceiver):
    """The part of a receiver that reads bundles; see :class:`~.link_receive.LinkReceiver`."""

    arrived: int

    def __init__(self, settings: LinkSettings, sender: LinkAnswers, user: LinkUser) -> None:
        super().__init__(settings, sender, user)
        self._sent_small = user.sent_small
        self._called_small = user.called_small
        self._returned = user.returned
        self._atoms = AtomCodec()
        self._numbered: dict[int, Route] = {}
        self._entries = {
            ROUTE_ENTRY: self._number,
            SENDS_ENTRY: self._sends,
            CALL_ENTRY: self._small_call,
            RETURN_ENTRY: self._return,
        }
        #: Small messages of the bundle that is being read.
        self._small = 0
        self.windows: ReceiveWindows = ReceiveWindows(settings.window_messages, settings.window_bytes)

    @abc.abstractmethod
    def _sweep(self) -> None:
        """Be rid of idle accounts."""

    @abc.abstractmethod
    def give(self, given: list[Credit]) -> None:
        """Queue credit for the peer."""

    def _bundle(self, data: bytes, start: int, end: int, _: bytes | None) -> None:
        try:
            items = self._atoms.decode(data[start:end])
        except BadMessage as error:
            raise ProtocolError(f"a bundle that cannot be read: {error}") from None
        self._small = 0
        at, size, entries = 0, len(items), self._entries
        while at < size:
            entry = entries.get(items[at])
            if entry is None:
                raise ProtocolError(f"an entry of a bundle of kind {items[at]!r:.40}")
            at = entry(items, at + 1)
        if end - start > _HEAD + self._small * SMALL:
            raise ProtocolError(f"a bundle of {end - start} bytes with {self._small} small messages")

    def _number(self, items: list[Any], at: int) -> int:
        """Read what a number means from now on."""
        end = at + 4
        try:
            number, source, target, name = items[at:end]
        except ValueError:
            raise ProtocolError(_SHORT) from None
        if (
            not _is_number(number, MOST_ROUTES - 1)
            or not _is_number(source, MAX_LOCAL)
            or not _is_number(target, MAX_LOCAL)
            or type(name) is not str
            or not 0 < len(name.encode()) <= MAX_TEXT
        ):
            raise ProtocolError("a route in a bundle with a field out of range")
        self._numbered[number] = Route(source, target, name)
        self._small += ROUTE_SIZE
        return end

    def _sends(self, items: list[Any], at: int) -> int:
        first = at + 4
        try:
            number, trace, arity, count = items[at:first]
        except ValueError:
            raise ProtocolError(_SHORT) from None
        route = self._numbered.get(number)
        if (
            route is None
            or not _is_number(trace, MOST_TRACE)
            or not _is_number(arity, MOST_ARGUMENTS)
            or type(count) is not int
            or count < 1
        ):
            raise ProtocolError("sends in a bundle with a field out of range")
        end: int = first + arity * count
        if end > len(items):
            raise ProtocolError(_SHORT)
        self.arrived += count
        self._small += count
        if self.windows.charge_many(route.target, count, SMALL):
            self._sweep()
        each = iter(items[first:end])
        messages = list(zip(*[each] * arity, strict=True)) if arity else [()] * count
        over = self._sent_small(route, trace, messages)
        if over:
            credit = self.windows.take(route.target, over, over * SMALL)
            if credit is not None:
                self.give([credit])
        return end

    def _small_call(self, items: list[Any], at: int) -> int:
        first = at + 5
        try:
            number, trace, session, remaining, arity = items[at:first]
        except ValueError:
            raise ProtocolError(_SHORT) from None
        route = self._numbered.get(number)
        if (
            route is None
            or type(trace) is not int
            or not 0 <= trace <= MOST_TRACE
            or type(session) is not int
            or not 0 <= session <= MOST_SESSION
            or type(remaining) is not float
            or not remaining >= 0
            or type(arity) is not int
            or not 0 <= arity <= MOST_ARGUMENTS
        ):
            raise ProtocolError("a call in a bundle with a field out of range")
        end = first + arity
        if end > len(items):
            raise ProtocolError(_SHORT)
        self._open_session(session)
        self._small += 1
        target = route.target
        if self.windows.charge(target, SMALL):
            self._sweep()
        self._sender.serving[session] = (target, route.source)
        if self._called_small(session, route, remaining, trace, tuple(items[first:end])):
            credit = self.windows.take(target, 1, SMALL)
            if credit is not None:
                self.give([credit])
        return end

    def _return(self, items: list[Any], at: int) -> int:
        end = at + 2
        try:
            session, value = items[at:end]
        except ValueError:
            raise ProtocolError(_SHORT) from None
        self._small += 1
        call = self._sender.call_ended(session)
        if call.abandoned:
            self._happened(events.AbandonedEnded(session, call.token))
        else:
            self._returned(session, call.token, value)
        return end


def _is_number(item: Any, most: int) -> bool:
    """Tell whether an item is a whole number of 0 to ``most``."""
    return type(item) is int and 0 <= item <= most
