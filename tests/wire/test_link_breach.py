"""A peer that breaks the protocol costs its own link, and nothing it sent after that counts."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire import seen as events
from tests.wire.link_world import accepter, agreements, dialer, flow, links, opening
from tests.wire.seen import RecordedLink
from trionet.wire import link_frames as frames
from trionet.wire.bundle import SMALL
from trionet.wire.chunks import Assembler
from trionet.wire.errors import ProtocolError
from trionet.wire.framing import LENGTH, frame
from trionet.wire.hellos import Purpose
from trionet.wire.link_errors import LinkNotOpen
from trionet.wire.link_frames import CHUNK, LinkSettings
from trionet.wire.plain import dumps_plain

INF = math.inf


def body(kind: int, layout: str = "", *fields: object, tail: bytes = b"") -> bytes:
    """A frame as a hostile peer might make it."""
    return frame(bytes([kind]) + struct.pack(">" + layout, *fields) + tail)


def call(session: int = 1, source: int = 5, target: int = 7, left: float = INF, name: bytes = b"c") -> bytes:
    return body(frames.CALL, "QdQQBII", session, left, 0, 0, len(name), source, target, tail=name)


def send(source: int = 5, target: int = 7, name: bytes = b"c", size: int = 0) -> bytes:
    return body(frames.SEND, "QQBII", 0, 0, len(name), source, target, tail=name + bytes(size))


def chunk_open(slot: int, size: int, head: bytes = bytes([frames.PAYLOAD])) -> bytes:
    return body(frames.CHUNK_OPEN, "BI", slot, size, tail=head)


def refused(link: RecordedLink, data: bytes, text: str) -> list[events.Seen]:
    """Let a link read something; it must break, and what came before must still be there."""
    with pytest.raises(ProtocolError, match=text):
        link.receive_data(data, 0)
    happened = link.events()
    with pytest.raises(LinkNotOpen):
        link.send(5, 7, "c", b"")
    link.receive_data(send(), 0)
    assert link.events() == []
    assert not link.is_open
    return happened


def bundle(*items: object, tail: bytes = b"") -> bytes:
    """A bundle with these items, after the number 0 was given to a route."""
    return body(frames.BUNDLE, tail=dumps_plain([0, 0, 5, 7, "c", *items]) + tail)


def entries(*items: object) -> bytes:
    return body(frames.BUNDLE, tail=dumps_plain(list(items)))


OPEN_MIDDLE = struct.pack(">IIIIIIBd", 1000, 2**20, 2**20, 2**24, 10, 10, 64, 5.0)

BREACHES: list[tuple[str, bytes, str]] = [
    ("a kind that does not exist", body(0), "kind 0, which is not allowed now"),
    ("the greatest kind", body(255), "kind 255, which is not allowed now"),
    ("the kind after the last", body(frames.KINDS), "not allowed now"),
    ("a second open", body(frames.OPEN, tail=OPEN_MIDDLE), "not allowed now"),
    ("a dialogue on a link of peers", body(frames.PAYLOAD), "not allowed now"),
    ("a huge length", LENGTH.pack(2**32 - 1), "a frame of 4294967295 bytes"),
    ("an empty frame", LENGTH.pack(0), "a frame of 0 bytes"),
    ("a heartbeat that is too long", body(frames.HEARTBEAT, "ddd", 0, 0, 0, tail=b"x"), "wrong length"),
    ("a heartbeat without a time", body(frames.HEARTBEAT), "wrong length"),
    ("a heartbeat of no time", body(frames.HEARTBEAT, "ddd", math.nan, 0, 0), "a heartbeat with a field"),
    ("a heartbeat from never", body(frames.HEARTBEAT, "ddd", 0, -INF, 0), "a heartbeat with a field"),
    ("a heartbeat from the future", body(frames.HEARTBEAT, "ddd", 0, 0, -1), "a heartbeat with a field"),
    ("a heartbeat that was held", body(frames.HEARTBEAT, "ddd", 0, 0, math.nan), "a heartbeat with a field"),
    ("a call that is too short", body(frames.CALL, tail=b"x"), "malformed frame|shorter than its fields"),
    ("a call whose name is longer than the frame", call(name=b"")[:-9] + b"\xff" + bytes(8), "shorter"),
    ("a source that is no local id", call(source=2**24), "field out of range"),
    ("the peer's claim to be another harbor", call(source=3 << 24 | 5), "field out of range"),
    ("a target that is no local id", send(target=2**24), "field out of range"),
    ("a time that is no number", call(left=math.nan), "field out of range"),
    ("a negative time", call(left=-1.0), "field out of range"),
    ("a call without a command", call(name=b""), "field out of range"),
    ("a command that is no text", send(name=b"\xff\xff"), "whose name is no text"),
    ("a session that is zero", call(session=0), "session 0"),
    ("a session that is open already", call() + call(), "session 1, which is open already"),
    ("a reply to no session", body(frames.REPLY, "Q", 1), "session 1, which is not open"),
    ("a failure of no session", body(frames.FAIL, "QBB", 1, 1, 0), "session 1, which is not open"),
    ("a confirmation of no session", body(frames.CANCELLED, "Q", 1), "session 1, which is not open"),
    ("a reply that is too short", body(frames.REPLY, "I", 1), "shorter|malformed"),
    ("a failure executed in a strange way", body(frames.FAIL, "QBB", 1, 1, 3), "in the way 3"),
    ("a cancellation of no session", body(frames.CANCEL, "Q", 1), "which never was"),
    ("a cancellation of the wrong length", body(frames.CANCEL, "QB", 1, 1), "wrong length"),
    ("the end of no watch", body(frames.EXIT, "Q", 1), "watch 1, which is not open"),
    ("leaving no watch", body(frames.UNWATCH, "Q", 1), "which never was"),
    ("the leaving of no watch confirmed", body(frames.UNWATCHED, "Q", 1), "watch 1, which is not open"),
    ("a watch by nobody", body(frames.WATCH, "QII", 1, 2**24, 7), "field out of range"),
    ("a watch that is zero", body(frames.WATCH, "QII", 0, 5, 7), "field out of range"),
    ("a watch again", body(frames.WATCH, "QII", 1, 5, 7) * 2, "field out of range"),
    ("an acknowledgement of nothing", body(frames.ACK, "Q", 1), "1 messages acknowledged, of 0"),
    ("credit that is not owed", body(frames.CREDIT, "IIQ", 7, 1, 0), "never owed"),
    ("credit of the wrong length", body(frames.CREDIT, "II", 7, 1), "wrong length"),
    ("a wish for credit of nobody", body(frames.WANT_CREDIT, "I", 2**24), "field out of range"),
    ("a goodbye that is too short", body(frames.GOODBYE), "malformed|shorter"),
    ("a goodbye that is half final", body(frames.GOODBYE, "B", 2), "malformed goodbye"),
    ("a goodbye that does not end", body(frames.GOODBYE, "B", 0, tail=b"x" * 401), "malformed goodbye"),
    ("a goodbye that is no text", body(frames.GOODBYE, "B", 0, tail=b"\xff"), "no text"),
    ("anything after the last goodbye", body(frames.GOODBYE, "B", 1) + body(frames.HEARTBEAT), "not allowed"),
    ("a chunk without a slot", body(frames.CHUNK_DATA), "without a slot"),
    ("a chunk of nothing", body(frames.CHUNK_DATA, "B", 0, tail=b"x"), "does not belong there"),
    ("the end of no large message", body(frames.CHUNK_ABORT, "B", 0), "where there is none"),
    ("a slot that is not there", chunk_open(64, CHUNK + 1), "not free"),
    ("a slot that is taken", chunk_open(0, CHUNK + 1) * 2, "not free"),
    ("a large message that is small", chunk_open(0, CHUNK), "a large message of 65536 bytes"),
    ("a large message that is too large", chunk_open(0, 2**24 + 1), "a large message of 16777217 bytes"),
    ("a large message without a kind", chunk_open(0, CHUNK + 1, b""), "never large"),
    ("a large cancellation", chunk_open(0, CHUNK + 1, bytes([frames.CANCEL])), "never large"),
    ("a bundle of nothing", body(frames.BUNDLE), "cannot be read"),
    ("a bundle that is no CBOR", body(frames.BUNDLE, tail=b"\x82\x01"), "cannot be read"),
    ("a bundle that is no list", body(frames.BUNDLE, tail=b"\x01"), "cannot be read"),
    ("a bundle with something behind it", bundle(tail=b"\x01"), "cannot be read"),
    ("a list in a bundle", bundle(1, 0, 0, 1, 1, []), "cannot be read"),
    ("a list with something in it in a bundle", bundle(1, 0, 0, 1, 1, [1]), "cannot be read"),
    ("a tag in a bundle", body(frames.BUNDLE, tail=b"\x81\xc1\x01"), "cannot be read"),
    ("undefined in a bundle", body(frames.BUNDLE, tail=b"\x81\xf7"), "cannot be read"),
    ("a text in a bundle that is none", body(frames.BUNDLE, tail=b"\x81\x61\xff"), "cannot be read"),
    ("an entry of no kind", bundle(4), "an entry of a bundle of kind 4"),
    ("an entry that is a text", bundle("x" * 200), "an entry of a bundle of kind"),
    ("a route that is too short", entries(0, 0, 5, 7), "shorter than its fields"),
    ("the number of a route beyond the last", entries(0, 1024, 5, 7, "c"), "a route in a bundle"),
    ("the number of a route below the first", entries(0, -1, 5, 7, "c"), "a route in a bundle"),
    ("the number of a route that is none", entries(0, True, 5, 7, "c"), "a route in a bundle"),
    ("a source of a route that is no local id", entries(0, 0, 2**24, 7, "c"), "a route in a bundle"),
    ("a target of a route that is no local id", entries(0, 0, 5, 2**24, "c"), "a route in a bundle"),
    ("a route without a command", entries(0, 0, 5, 7, ""), "a route in a bundle"),
    ("a route with a long command", entries(0, 0, 5, 7, "x" * 256), "a route in a bundle"),
    ("a route whose command is no text", entries(0, 0, 5, 7, b"c"), "a route in a bundle"),
    ("sends that are too short", bundle(1, 0, 0, 1), "shorter than its fields"),
    ("sends of a route that is not known", bundle(1, 1, 0, 1, 1, 9), "sends in a bundle"),
    (
        "sends with half a trace",
        bundle(1, 0, 0.5, 1, 1, 9),
        "sends in a bundle",
    ),
    ("sends with a trace that is negative", bundle(1, 0, -1, 1, 1, 9), "sends in a bundle"),
    ("sends with too many arguments", bundle(1, 0, 0, 9, 1, *range(9)), "sends in a bundle"),
    ("sends with less than no arguments", bundle(1, 0, 0, -1, 1), "sends in a bundle"),
    ("no sends", bundle(1, 0, 0, 1, 0), "sends in a bundle"),
    ("sends of half a number", bundle(1, 0, 0, 1, 1.5), "sends in a bundle"),
    ("sends with arguments left out", bundle(1, 0, 0, 2, 2, 1, 2, 3), "shorter than its fields"),
    ("sends of nothing without end", bundle(1, 0, 0, 0, 2**63), "window of service 7 was overrun"),
    ("a small call that is too short", bundle(2, 0, 0, 1, 1.0), "shorter than its fields"),
    ("a small call of a route that is not known", bundle(2, 1, 0, 1, 1.0, 0), "a call in a bundle"),
    ("a small call without a time", bundle(2, 0, 0, 1, math.nan, 0), "a call in a bundle"),
    ("a small call whose time is over", bundle(2, 0, 0, 1, -1.0, 0), "a call in a bundle"),
    ("a small call whose time is whole", bundle(2, 0, 0, 1, 1, 0), "a call in a bundle"),
    ("a small call in half a session", bundle(2, 0, 0, 0.5, 1.0, 0), "a call in a bundle"),
    ("a small call in session 0", bundle(2, 0, 0, 0, 1.0, 0), "session 0"),
    ("a small call in an open session", bundle(*(2, 0, 0, 1, 1.0, 0) * 2), "session 1, which is open"),
    ("a small call with too many arguments", bundle(2, 0, 0, 1, 1.0, 9, *range(9)), "a call in a bundle"),
    ("a small call with arguments left out", bundle(2, 0, 0, 1, 1.0, 2, 1), "shorter than its fields"),
    ("a small call with a trace that is none", bundle(2, 0, None, 1, 1.0, 0), "a call in a bundle"),
    ("a small result that is too short", bundle(3, 1), "shorter than its fields"),
    ("a small result of no session", bundle(3, 1, None), "session 1, which is not open"),
    ("a small message that is large", bundle(1, 0, 0, 1, 1, bytes(800)), "with 3 small messages"),
    ("large messages within each other", chunk_open(0, CHUNK + 1, bytes([frames.CHUNK_OPEN])), "never large"),
]


@pytest.mark.parametrize(
    ("data", "text"), [each[1:] for each in BREACHES], ids=[each[0] for each in BREACHES]
)
def test_a_breach(data: bytes, text: str) -> None:
    _, link = links()
    refused(link, data, text)


@pytest.mark.parametrize(
    ("data", "text"), [each[1:] for each in BREACHES[:24]], ids=[e[0] for e in BREACHES[:24]]
)
def test_what_came_before_a_breach_counts(data: bytes, text: str) -> None:
    _, link = links()
    assert isinstance(refused(link, send() + data, text)[0], events.SendReceived)


# --- state ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [body(frames.HEARTBEAT), send(), body(frames.PAYLOAD), body(frames.ACK, "Q", 1)]
)
def test_the_first_frame_must_be_open(data: bytes) -> None:
    _, link = opening()
    refused(link, data, "not allowed now")


def test_messages_before_this_end_said_open() -> None:
    one, other = opening()
    refused(other, one.data_to_send(0) + send(), "before this end had said open")


def test_messages_that_came_while_this_end_was_held() -> None:
    first, second = agreements(dialer(records=False), accepter(records=False))
    ahead = RecordedLink(first, LinkSettings(), 0).data_to_send(0) + send()
    held = type(second)(second.peer, None, None, ahead)
    with pytest.raises(ProtocolError, match="before this end had said open"):
        RecordedLink(held, LinkSettings(), 0)


@pytest.mark.parametrize(
    "fields",
    [
        (0, 1, 1, 1, 1, 1, 1, 1.0),
        (1, 2**31 + 1, 1, 1, 1, 1, 1, 1.0),
        (1, 1, 1, 1, 1, 1, 0, 1.0),
        (1, 1, 2, 1, 1, 1, 1, 1.0),
        (1, 1, 1, 1, 1, 1, 1, 0.0),
        (1, 1, 1, 1, 1, 1, 1, math.inf),
        (1, 1, 1, 1, 1, 1, 1, math.nan),
    ],
)
def test_an_open_with_impossible_limits(fields: tuple[float, ...]) -> None:
    _, link = opening()
    refused(link, body(frames.OPEN, "IIIIIIBd", *fields), "an open with a number out of range")


def test_an_open_of_the_wrong_length() -> None:
    _, link = opening()
    refused(link, body(frames.OPEN, tail=OPEN_MIDDLE + b"x"), "malformed open")


@pytest.mark.parametrize("purpose", [Purpose.MASTER, Purpose.CONSOLE])
@pytest.mark.parametrize(
    "data", [call(), send(), body(frames.ACK, "Q", 0), body(frames.WATCH, "QII", 1, 5, 7)]
)
def test_no_messages_to_services_on_a_dialogue(purpose: Purpose, data: bytes) -> None:
    _, link = links(purpose)
    refused(link, data, "not allowed now")


def test_no_large_messages_to_services_on_a_dialogue() -> None:
    _, link = links(Purpose.MASTER)
    head = call()[4:]
    pieces = body(frames.CHUNK_DATA, "B", 0, tail=bytes(CHUNK)) + body(frames.CHUNK_DATA, "B", 0, tail=b"x")
    refused(link, chunk_open(0, CHUNK + 1, head) + pieces, "a large message of kind 6")


# --- sessions of others ---------------------------------------------------------------------------------


def test_a_second_answer() -> None:
    one, other = links()
    session = other.call(7, 5, "c", b"", token="mine")
    flow(other, one)
    reply = body(frames.REPLY, "Q", session)
    (event,) = refused(other, reply + reply, "session 1, which is not open")
    assert isinstance(event, events.ReplyReceived)


def test_an_answer_to_a_session_of_the_other_direction() -> None:
    one, other = links()
    one.call(5, 7, "c", b"")
    flow(one, other)
    refused(other, body(frames.REPLY, "Q", 1), "session 1, which is not open")


def test_an_answer_to_a_call_that_is_not_wholly_sent() -> None:
    one, other = links()
    session = other.call(7, 5, "c", bytes(300_000))
    one.receive_data(other.data_to_send(0), 0)
    refused(other, body(frames.REPLY, "Q", session), "which is not open")


def test_a_confirmation_of_what_was_never_cancelled() -> None:
    one, other = links()
    session = other.call(7, 5, "c", b"")
    flow(other, one)
    refused(other, body(frames.CANCELLED, "Q", session), "was never cancelled")


def test_a_watch_said_to_be_left_that_was_not() -> None:
    one, other = links()
    watch = other.watch(7, 5)
    flow(other, one)
    refused(other, body(frames.UNWATCHED, "Q", watch), "was never left")


def test_acknowledgements_never_go_back_nor_ahead() -> None:
    for count in (0, 3):
        one, other = links()
        for _ in range(2):
            other.send(7, 5, "c", b"")
        flow(other, one)
        other.send(7, 5, "not flushed", b"")
        refused(other, body(frames.ACK, "Q", 1) + body(frames.ACK, "Q", count), f"{count} messages acknow")


# --- windows and counts ---------------------------------------------------------------------------------


def test_a_window_of_messages_overrun() -> None:
    _, link = links(settings=LinkSettings(window_messages=3))
    link.receive_data(send() * 3 + send(target=8), 0)
    assert len(refused(link, send(), "the window of service 7 was overrun")) == 4


def test_a_window_of_bytes_overrun() -> None:
    _, link = links(settings=LinkSettings(window_bytes=100))
    link.receive_data(send(size=60) + send(size=40), 0)
    refused(link, send(size=1), "the window of service 7 was overrun")


def test_a_window_overrun_by_a_bundle() -> None:
    settings = LinkSettings(window_messages=3)
    _, link = links(settings=settings)
    assert len(refused(link, bundle(1, 0, 0, 1, 3, 1, 2, 3) + bundle(1, 0, 0, 0, 1), "overrun")) == 3
    _, link = links(settings=settings)
    assert refused(link, bundle(1, 0, 0, 1, 4, 1, 2, 3, 4), "overrun") == []
    _, link = links(settings=LinkSettings(window_bytes=2 * SMALL))
    assert refused(link, bundle(1, 0, 0, 1, 3, 1, 2, 3), "overrun") == []


def test_no_bundles_where_messages_must_be_smaller_than_those_in_them() -> None:
    settings = LinkSettings(message_size=SMALL - 1)
    one, other = links(settings=settings)
    assert not one.send_small(5, 7, "c", (), trace=0, token=None)
    refused(other, bundle(1, 0, 0, 0, 1), "kind 25, which is not allowed now")


def test_more_credit_than_was_sent() -> None:
    for credit in ((7, 2, 0), (7, 1, 11), (8, 1, 10), (7, 1, 9)):
        one, other = links()
        other.send(5, 7, "c", bytes(10))
        flow(other, one)
        refused(other, body(frames.CREDIT, "IIQ", *credit), "credit for service")


def test_more_calls_and_watches_than_allowed() -> None:
    _, link = links(settings=LinkSettings(sessions=2, watches=2))
    refused(link, b"".join(call(session) for session in (1, 2, 3)), "more than 2 calls")
    _, link = links(settings=LinkSettings(sessions=2, watches=2))
    watches = b"".join(body(frames.WATCH, "QII", number, 5, 7) for number in (1, 2, 3))
    refused(link, watches, "more than 2 watches")


@pytest.mark.parametrize("kind", [frames.REPLY, frames.FAIL, frames.EXIT, frames.SEND])
def test_a_small_message_above_the_limit(kind: int) -> None:
    _, link = links(settings=LinkSettings(message_size=10))
    hostile = {
        frames.REPLY: body(frames.REPLY, "Q", 1, tail=bytes(11)),
        frames.FAIL: body(frames.FAIL, "QBB", 1, 1, 1, tail=bytes(11)),
        frames.EXIT: body(frames.EXIT, "Q", 1, tail=bytes(11)),
        frames.SEND: send(size=11),
    }
    refused(link, hostile[kind], "a message of 11 bytes")


def test_a_dialogue_above_the_limit() -> None:
    _, link = links(Purpose.MASTER, settings=LinkSettings(message_size=10))
    refused(link, body(frames.PAYLOAD, tail=bytes(11)), "a message of 11 bytes")


@pytest.mark.parametrize("size", [1, CHUNK - 1])
def test_chunks_that_are_too_small(size: int) -> None:
    """Else many small ones would cost more memory than the message."""
    _, link = links(Purpose.MASTER)
    piece = body(frames.CHUNK_DATA, "B", 0, tail=bytes(size))
    refused(link, chunk_open(0, CHUNK + 1) + piece, "does not belong there")


def test_a_chunk_that_is_longer_than_what_was_left() -> None:
    _, link = links(Purpose.MASTER)
    pieces = body(frames.CHUNK_DATA, "B", 0, tail=bytes(CHUNK)) + body(
        frames.CHUNK_DATA, "B", 0, tail=bytes(2)
    )
    refused(link, chunk_open(0, CHUNK + 1) + pieces, "does not belong there")


def test_large_messages_of_more_bytes_than_agreed() -> None:
    _, link = links(Purpose.MASTER, settings=LinkSettings(message_size=2 * CHUNK, slot_bytes=3 * CHUNK))
    refused(link, chunk_open(0, 2 * CHUNK) + chunk_open(1, CHUNK + 1), "more bytes than may be under way")


@pytest.mark.parametrize("head", [call()[4:] + b"x", call()[4:-1], send()[4:] + b"x", send()[4:-1]])
def test_a_large_message_whose_head_has_the_wrong_length(head: bytes) -> None:
    _, link = links()
    pieces = body(frames.CHUNK_DATA, "B", 0, tail=bytes(CHUNK)) + body(frames.CHUNK_DATA, "B", 0, tail=b"x")
    refused(link, chunk_open(0, CHUNK + 1, head) + pieces, "wrong length|malformed")


def test_a_large_message_whose_head_is_too_long() -> None:
    with pytest.raises(ProtocolError, match="never large"):
        Assembler(1, 2**20, 2**20).open(0, CHUNK + 1, bytes([frames.SEND]) + bytes(frames.MAX_HEAD))


# --- garbage and injection -----------------------------------------------------------------------------

GOOD_FRAMES = st.sampled_from(
    [
        call(),
        send(),
        bundle(1, 0, 0, 1, 1, 9),
        frames.heartbeat(1.0, 1.0, INF),
        body(frames.CANCEL, "Q", 1),
        chunk_open(0, CHUNK + 1),
    ]
)


@given(st.lists(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(frame), GOOD_FRAMES)))
def test_garbage_is_a_protocol_error_and_nothing_else(pieces: list[bytes]) -> None:
    for purpose in Purpose:
        _, link = links(purpose)
        try:
            for piece in pieces:
                link.receive_data(piece, 0)
        except ProtocolError:
            assert not link.is_open
        link.close("tested")


@given(kind=st.integers(1, frames.KINDS), fields=st.binary(max_size=60))
def test_every_kind_with_arbitrary_fields(kind: int, fields: bytes) -> None:
    _, link = links()
    try:
        link.receive_data(frame(bytes([kind]) + fields), 0)
    except ProtocolError:
        assert not link.is_open


@given(st.lists(st.one_of(st.integers(-1, 4), st.floats(), st.text(max_size=3), st.none()), max_size=20))
def test_a_bundle_of_arbitrary_items(items: list[object]) -> None:
    _, link = links()
    try:
        link.receive_data(bundle(*items), 0)
    except ProtocolError:
        assert not link.is_open


def test_a_frame_injected_into_records() -> None:
    one, other = links(records=True)
    one.send(5, 7, "real", b"")
    other.receive_data(one.data_to_send(0), 0)
    (event,) = refused(other, frame(send()) + bytes(16), "tag is wrong")
    assert isinstance(event, events.SendReceived)


def test_a_record_replayed_changed_or_reflected() -> None:
    one, other = links(records=True)
    one.send(5, 7, "pay", b"10")
    data = one.data_to_send(0)
    other.receive_data(data, 0)
    refused(other, data, "tag is wrong")
    refused(one, data, "tag is wrong")
    one, other = links(records=True)
    one.send(5, 7, "pay", b"10")
    refused(other, one.data_to_send(0).replace(b"pay10", b"pay99"), "tag is wrong")


def test_records_of_another_link_are_of_no_use() -> None:
    first, _ = links(records=True)
    first.send(5, 7, "pay", b"10")
    first.data_to_send(0)
    one, other = links(records=True, settings=LinkSettings())
    other.receive_data(b"", 0)
    agreement, _ = agreements(dialer(harbor=3), accepter())
    stranger = RecordedLink(agreement, LinkSettings(), 0)
    refused(other, stranger.data_to_send(0), "tag is wrong")
    assert one.is_open


# --- peers that do not read ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 3 * CHUNK])
def test_calls_whose_answers_are_never_read_count_as_open(size: int) -> None:
    """Else answers would pile up for a peer that calls and never reads."""
    one, other = links(settings=LinkSettings(sessions=3))
    for session in (1, 2, 3):
        other.receive_data(call(session), 0)
    other.reply(1, bytes(size))
    other.fail(2, 1, True)
    other.confirm_cancel(3)
    refused(other, call(4), "more than 3 calls at a time")
    assert one.is_open


def test_answers_that_were_flushed_do_not_count() -> None:
    _, other = links(settings=LinkSettings(sessions=2))
    for session in range(1, 20, 2):
        other.receive_data(call(session) + call(session + 1, target=8), 0)
        other.reply(session, bytes(2 * CHUNK))
        other.reply(session + 1, b"")
        while other.data_to_send(0):
            pass
    assert other.statistics().arrived == 20


@pytest.mark.parametrize("size", [0, 3 * CHUNK])
def test_watches_whose_ends_are_never_read_count_as_open(size: int) -> None:
    _, other = links(settings=LinkSettings(watches=2))
    watches = [body(frames.WATCH, "QII", number, 5, 7) for number in (1, 2, 3)]
    other.receive_data(watches[0] + watches[1] + body(frames.UNWATCH, "Q", 1), 0)
    other.exited(2, bytes(size))
    refused(other, watches[2], "more than 2 watches at a time")


def test_ends_that_were_flushed_do_not_count() -> None:
    _, other = links(settings=LinkSettings(watches=2))
    for number in range(1, 20, 2):
        watches = [body(frames.WATCH, "QII", each, 5, 7) for each in (number, number + 1)]
        other.receive_data(b"".join(watches) + body(frames.UNWATCH, "Q", number), 0)
        other.exited(number + 1, bytes(2 * CHUNK))
        while other.data_to_send(0):
            pass
    assert other.statistics().watched == 0


def test_credit_that_is_provoked_and_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trionet.wire.link_receive.MAX_CONTROL", 100)
    _, other = links()
    wish = body(frames.WANT_CREDIT, "I", 7)
    for _ in range(5):
        other.receive_data(send(size=1) + wish, 0)
        other.consumed(7, 1, 1)
    refused(other, wish, "does not read what it provokes")
