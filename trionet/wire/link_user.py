"""Who takes what a link receives.

Duty: what a link calls.
May import: the standard library and trionet.wire.link_events.

Messages and replies are most of what a link carries, so each is told by a call of its own and needs no
object; all else is an event.  Both are told while the frame is read, in the order of the frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from trionet.wire.link_events import LinkEvent, Route


class Messages(Protocol):
    """Who takes the messages that a link receives; called while the frame is read, so nothing here may wait.

    A message that came takes room in the window of its target until ``Link.consumed``, unless what is called
    says that the target has no need of that room any more.  When the call is over the message counts as
    delivered.
    """

    def called(self, session: int, route: Route, remaining: float, trace: int, payload: bytes) -> bool:
        """A service of the peer calls one of this node.

        It ends by exactly one of ``Link.reply``, ``Link.fail`` and ``Link.confirm_cancel``.

        Args:
            session: names the call on this link.
            route: who calls what.
            remaining: seconds that are left until the caller's deadline; infinite for none.
            trace: the number of its call chain.
            payload: the encoded arguments.

        Returns:
            Whether the message takes no more room: it was handled, or refused.
        """

    def sent(self, route: Route, trace: int, payload: bytes) -> bool:
        """A service of the peer sends a one-way message; arguments and result as in :meth:`called`."""

    def called_small(
        self, session: int, route: Route, remaining: float, trace: int, arguments: tuple[Any, ...]
    ) -> bool:
        """As :meth:`called`, with arguments that are scalars; the message counts as SMALL bytes."""

    def sent_small(self, route: Route, trace: int, messages: Sequence[tuple[Any, ...]]) -> int:
        """A service of the peer sends one-way messages, the arguments of which are scalars.

        Returns:
            How many of them take no more room; each counts as SMALL bytes.
        """

    def replied(self, session: int, token: Any, payload: bytes) -> None:
        """A call of this side returned.

        Args:
            session: the call.
            token: what ``Link.call`` was given.
            payload: the encoded result.
        """

    def returned(self, session: int, token: Any, value: Any) -> None:
        """As :meth:`replied`, with a result that is a scalar."""


class LinkUser(Messages, Protocol):
    """Who takes all that a link receives."""

    def happened(self, event: LinkEvent) -> None:
        """Anything but a message."""


class NoMessages:
    """What a dialogue does with calls and sends: its link refuses them before anybody is told."""

    def called(self, session: int, route: Route, remaining: float, trace: int, payload: bytes) -> bool:
        """There are no calls."""
        raise AssertionError(route)

    def sent(self, route: Route, trace: int, payload: bytes) -> bool:
        """There are no sends."""
        raise AssertionError(route)

    def called_small(
        self, session: int, route: Route, remaining: float, trace: int, arguments: tuple[Any, ...]
    ) -> bool:
        """There are no calls."""
        raise AssertionError(route)

    def sent_small(self, route: Route, trace: int, messages: Sequence[tuple[Any, ...]]) -> int:
        """There are no sends."""
        raise AssertionError(route)

    def replied(self, session: int, token: object, payload: bytes) -> None:
        """There are no replies."""
        raise AssertionError(token)

    def returned(self, session: int, token: object, value: object) -> None:
        """There are no replies."""
        raise AssertionError(token)
