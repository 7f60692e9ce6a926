"""What a link told its user, as events of which tests can make a list: messages are events here as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from trionet.wire.agreement import Agreement
from trionet.wire.link import Link
from trionet.wire.link_events import *  # noqa: F403 - this is that module with the messages in it
from trionet.wire.link_events import LinkEvent, Route
from trionet.wire.link_frames import LinkSettings


@attrs.define
class CallReceived:
    """What ``LinkUser.called`` was told."""

    session: int
    source: int
    target: int
    command: str
    remaining: float
    trace: int
    payload: bytes | tuple[Any, ...]


@attrs.define
class SendReceived:
    """What ``LinkUser.sent`` was told."""

    source: int
    target: int
    command: str
    trace: int
    payload: bytes | tuple[Any, ...]


@attrs.define
class ReplyReceived:
    """What ``LinkUser.replied`` was told."""

    session: int
    token: Any
    payload: bytes


@attrs.define
class ReturnReceived:
    """What ``LinkUser.returned`` was told."""

    session: int
    token: Any
    value: Any


Seen = LinkEvent | CallReceived | SendReceived | ReplyReceived | ReturnReceived


class Recorder:
    """A user that remembers what it was told, and keeps all messages in their inboxes.

    Attributes:
        answer: called with the payload of each send, if a test sets it.
        told: what it was told since somebody last looked.
    """

    def __init__(self) -> None:
        self.told: list[Seen] = []
        self.answer: Callable[[Any], None] | None = None

    def called(self, session: int, route: Route, remaining: float, trace: int, payload: bytes) -> bool:
        """A call came."""
        place = (route.source, route.target, route.command)
        self.told.append(CallReceived(session, *place, remaining, trace, payload))
        return False

    def sent(self, route: Route, trace: int, payload: bytes) -> bool:
        """A send came."""
        self.told.append(SendReceived(route.source, route.target, route.command, trace, payload))
        if self.answer is not None:
            self.answer(payload)
        return False

    def called_small(
        self, session: int, route: Route, remaining: float, trace: int, arguments: tuple[Any, ...]
    ) -> bool:
        """A small call came."""
        place = (route.source, route.target, route.command)
        self.told.append(CallReceived(session, *place, remaining, trace, arguments))
        return False

    def sent_small(self, route: Route, trace: int, messages: Sequence[tuple[Any, ...]]) -> int:
        """Small sends came."""
        place = (route.source, route.target, route.command)
        for arguments in messages:
            self.told.append(SendReceived(*place, trace, arguments))
            if self.answer is not None:
                self.answer(arguments)
        return 0

    def returned(self, session: int, token: Any, value: Any) -> None:
        """A call returned something small."""
        self.told.append(ReturnReceived(session, token, value))

    def replied(self, session: int, token: Any, payload: bytes) -> None:
        """A call returned."""
        self.told.append(ReplyReceived(session, token, payload))

    def happened(self, event: LinkEvent) -> None:
        """Anything else."""
        self.told.append(event)


class RecordedLink(Link):
    """A link whose user is a :class:`Recorder`."""

    def __init__(self, agreement: Agreement, settings: LinkSettings, now: float) -> None:
        self.recorder = Recorder()
        super().__init__(agreement, settings, now, self.recorder)
        self.begin(now)

    def events(self) -> list[Seen]:
        """What it was told since the last time."""
        told, self.recorder.told = self.recorder.told, []
        return told
