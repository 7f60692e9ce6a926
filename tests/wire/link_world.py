"""Two ends of a link back to back, as the tests of handshake and link use them."""

from __future__ import annotations

from typing import Any

from tests.wire.seen import RecordedLink, Seen
from trionet.wire.agreement import Agreement, Authenticated, HandshakeFailed, LinkIdentity
from trionet.wire.handshake import Accepter, Dialer, Handshake
from trionet.wire.hellos import Purpose
from trionet.wire.link_events import Opened
from trionet.wire.link_frames import LinkSettings
from trionet.wire.secrets import Secret

SECRET = Secret(bytes(range(32)))
NEW_SECRET = Secret(bytes(range(100, 132)))
DIALER_NONCE = b"d" * 32
ACCEPTER_NONCE = b"a" * 32


def identity(harbor: int, **changes: Any) -> LinkIdentity:
    """The identity of a node of the cluster "test", whose incarnation follows from its harbor id."""
    fields: dict[str, Any] = {
        "cluster": "test",
        "harbor": harbor,
        "incarnation": harbor * 1111,
        "secrets": (SECRET,),
        "records": True,
    }
    return LinkIdentity(**(fields | changes))


def dialer(purpose: Purpose = Purpose.PEER, wanted: tuple[int, int] = (2, 2222), **changes: Any) -> Dialer:
    """Harbor 1 dials."""
    return Dialer(identity(changes.pop("harbor", 1), **changes), DIALER_NONCE, purpose, *wanted)


def accepter(purposes: tuple[Purpose, ...] = tuple(Purpose), **changes: Any) -> Accepter:
    """Harbor 2 accepts."""
    return Accepter(identity(changes.pop("harbor", 2), **changes), ACCEPTER_NONCE, purposes)


def outcome(end: Handshake) -> Authenticated | HandshakeFailed | None:
    """The one event of a handshake, or None while there is none."""
    event = end.next_event()
    assert end.next_event() is None
    return event


def reason(end: Handshake) -> str:
    """Why a handshake failed."""
    event = outcome(end)
    assert isinstance(event, HandshakeFailed), event
    assert end.data_to_send() == b""
    return event.reason


def shake(one: Handshake, other: Handshake) -> None:
    """Pass on what both say until neither has more to say."""
    while (said := one.data_to_send()) or (answered := other.data_to_send()):
        if said:
            other.receive_data(said)
        else:
            one.receive_data(answered)


def agreements(one: Dialer, other: Accepter) -> tuple[Agreement, Agreement]:
    """Let a handshake succeed."""
    shake(one, other)
    assert isinstance(outcome(one), Authenticated)
    assert isinstance(outcome(other), Authenticated)
    return one.agree(), other.agree()


def opening(
    purpose: Purpose = Purpose.PEER,
    records: bool = False,
    settings: LinkSettings | None = None,
    other_settings: LinkSettings | None = None,
) -> tuple[RecordedLink, RecordedLink]:
    """Two links that have not said open to each other yet."""
    first, second = agreements(dialer(purpose, records=records), accepter(records=records))
    settings = settings or LinkSettings()
    return RecordedLink(first, settings, 0), RecordedLink(second, other_settings or settings, 0)


def pump(one: RecordedLink, other: RecordedLink, now: float = 0) -> None:
    """Pass on what both links have to send until neither has more."""
    while (said := one.data_to_send(now)) or (answered := other.data_to_send(now)):
        if said:
            other.receive_data(said, now)
        else:
            one.receive_data(answered, now)


def links(
    purpose: Purpose = Purpose.PEER,
    records: bool = False,
    settings: LinkSettings | None = None,
    other_settings: LinkSettings | None = None,
) -> tuple[RecordedLink, RecordedLink]:
    """Two open links."""
    one, other = opening(purpose, records, settings, other_settings)
    pump(one, other)
    for link in (one, other):
        (event,) = link.events()
        assert isinstance(event, Opened)
    return one, other


def flow(one: RecordedLink, other: RecordedLink, now: float = 0) -> list[Seen]:
    """Pass on what one link has to send; returns what the other makes of it."""
    while data := one.data_to_send(now):
        other.receive_data(data, now)
    if not one.outbox:
        assert (one.outbox.answers, one.outbox.ends, one.outbox.pending) == (0, 0, 0)
    return other.events()
