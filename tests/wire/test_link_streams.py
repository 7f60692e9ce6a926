"""Streams on a link: what each end says and sees, and what a peer may not do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire import seen as events
from tests.wire.link_world import flow, links, pump
from tests.wire.seen import RecordedLink
from tests.wire.test_link_breach import body, refused
from trionet.errors import BadMessage
from trionet.message import Limits
from trionet.wire import link_frames as frames
from trionet.wire.codec import Codec
from trionet.wire.errors import ProtocolError
from trionet.wire.link_errors import LinkBusy, LinkNotOpen, MessageTooLarge, WindowFull
from trionet.wire.link_frames import CHUNK, LinkSettings


def stream(session: int = 1, items: int = 4, size: int = 100, name: bytes = b"s", **tail: int) -> bytes:
    """A stream as a hostile peer might open it."""
    fields = (session, items, size, 0, 0, len(name), tail.get("source", 5), tail.get("target", 7))
    return body(frames.STREAM, "QIIQQBII", *fields, tail=name)


def opened(
    items: int = 4, size: int = 100, **settings: Any
) -> tuple[RecordedLink, RecordedLink, int, events.StreamReceived]:
    """Two links, and a stream of service 7 of the second one that service 5 of the first has opened."""
    one, other = links(settings=LinkSettings(**settings))
    session = one.stream(5, 7, "s", b"args", items=items, size=size, trace=3, token="token")
    (event,) = flow(one, other)
    assert isinstance(event, events.StreamReceived)
    return one, other, session, event


def test_a_whole_stream() -> None:
    one, other, session, event = opened()
    assert (event.session, event.route) == (session, events.Route(5, 7, "s"))
    assert (event.payload, event.trace) == (b"args", 3)
    other.begun(session)
    assert flow(other, one) == [events.StreamBegun(session, "token")]
    for size in (1, 2):
        event.outflow.charge(size)
    other.items(session, 2, b"abb")
    assert flow(other, one) == [events.ItemsReceived(session, "token", 2, b"abb")]
    one.taken(session, 2, 3)
    assert flow(one, other) == [events.ItemsTaken(session)]
    assert (event.outflow.items, event.outflow.bytes) == (0, 0)
    event.outflow.charge(1)
    other.items(session, 1, b"c")
    other.reply(session, b"end")
    assert flow(other, one) == [
        events.ItemsReceived(session, "token", 1, b"c"),
        events.ReplyReceived(session, "token", b"end"),
    ]
    one.taken(session, 1, 1)  # of a stream that has ended: passed over
    assert flow(one, other) == []
    assert other.statistics().serving == one.statistics().calls == 0


@pytest.mark.parametrize(
    ("how", "arguments"), [("reply", [b"end"]), ("fail", [7, None]), ("confirm_cancel", [])]
)
def test_items_are_taken_while_the_end_is_on_its_way(how: str, arguments: list[Any]) -> None:
    """No breach: who took them cannot know yet that the stream has ended."""
    one, other, session, event = opened()
    event.outflow.charge(1)
    other.items(session, 1, b"a")
    flow(other, one)
    one.cancel(session)
    flow(one, other)
    getattr(other, how)(session, *arguments)
    one.taken(session, 1, 1)
    assert flow(one, other) == []
    assert len(flow(other, one)) == 1


@pytest.mark.parametrize("records", [False, True])
@given(sizes=st.lists(st.integers(1, 3 * CHUNK), max_size=6), cuts=st.lists(st.integers(1, 5000), max_size=8))
def test_every_split_of_the_bytes_gives_the_same(records: bool, sizes: list[int], cuts: list[int]) -> None:
    one, other = links(records=records)
    session = one.stream(5, 7, "s", bytes(70_000), items=10, size=2**30)
    pump(one, other)
    (event,) = other.events()
    assert isinstance(event, events.StreamReceived)
    for number, size in enumerate(sizes):
        event.outflow.charge(size)
        other.items(session, 1, bytes([number]) * size)
        if size % 2:
            other.send(7, 5, "between", bytes([number]))
    other.reply(session, b"")
    data = b""
    while more := other.data_to_send(0):
        data += more
    for cut in cuts:
        one.receive_data(data[:cut], 0)
        data = data[cut:]
    one.receive_data(data, 0)
    expected: list[tuple[str, bytes]] = []
    for number, size in enumerate(sizes):
        expected.append(("ItemsReceived", bytes([number]) * size))
        expected += [("SendReceived", bytes([number]))] * (size % 2)
    seen: list[Any] = one.events()
    assert [(type(each).__name__, each.payload) for each in seen] == [*expected, ("ReplyReceived", b"")]


def test_an_item_larger_than_all_the_room_goes_alone() -> None:
    one, other, session, event = opened(items=4, size=100)
    event.outflow.charge(99)
    assert event.outflow.has_room()
    event.outflow.charge(300_000)
    assert not event.outflow.has_room()
    other.items(session, 1, bytes(99))
    other.items(session, 1, bytes(300_000))
    assert [len(each.payload) for each in flow(other, one) if isinstance(each, events.ItemsReceived)] == [
        99,
        300_000,
    ]


def test_cancelled_with_items_under_way() -> None:
    one, other, session, event = opened()
    event.outflow.charge(1)
    other.items(session, 1, b"a")
    assert one.cancel(session) is True
    one.abandon(session)
    assert flow(other, one) == []  # who abandoned it hears only of its end
    assert flow(one, other) == [events.CancelReceived(session)]
    other.confirm_cancel(session)
    assert flow(other, one) == [events.AbandonedEnded(session, "token")]


def test_taken_back_before_it_was_sent() -> None:
    one, _ = links()
    session = one.stream(5, 7, "s", bytes(300_000), items=1, size=1)
    one.data_to_send(0)
    assert one.cancel(session) is False
    assert one.statistics().calls == 0


def test_its_fate_at_the_end_of_the_link() -> None:
    one, other, session, _ = opened()
    fates = one.close("tested")
    assert fates.calls == (("token", None),)
    assert other.close("tested").serving == (session,)
    with pytest.raises(LinkNotOpen):
        other.items(session, 1, b"")
    with pytest.raises(LinkNotOpen):
        other.begun(session)
    with pytest.raises(LinkNotOpen):
        one.stream(5, 7, "s", b"", items=1, size=1)
    one.taken(session, 1, 1)


def test_what_this_end_refuses() -> None:
    one, other, session, _ = opened(sessions=2, window_messages=3, message_size=1000)
    with pytest.raises(MessageTooLarge):
        other.items(session, 1, bytes(1001))
    with pytest.raises(KeyError):
        other.items(77, 1, b"")
    with pytest.raises(ValueError, match="more was taken of a stream than had come"):
        one.taken(session, 1, 0)
    with pytest.raises(ValueError, match="out of range"):
        one.stream(5, 7, "", b"", items=1, size=1)
    with pytest.raises(MessageTooLarge):
        one.stream(5, 7, "s", bytes(1001), items=1, size=1)
    one.stream(5, 7, "s", b"", items=1, size=1)
    with pytest.raises(LinkBusy):
        one.stream(5, 7, "s", b"", items=1, size=1)
    with pytest.raises(MessageTooLarge):
        one.check_size(1001)


def test_opening_takes_room_in_the_window() -> None:
    one, other, _, _ = opened(window_messages=1)
    with pytest.raises(WindowFull):
        one.stream(5, 7, "s", b"", items=1, size=1)
    other.consumed(7, 1, 4)
    assert flow(other, one) == [events.CreditAvailable(7)]
    one.stream(5, 7, "s", b"", items=1, size=1)
    assert other.statistics().arrived == 1


# --- a peer that breaks the rules ------------------------------------------------------------------------


def items(session: int, count: int = 1, size: int = 1) -> bytes:
    return body(frames.ITEMS, "QI", session, count, tail=bytes(size))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (items(2), "an item of session 2, which is no open stream"),
        (items(0), "an item of session 0"),
        (items(1, 0), "0 items in 1 bytes"),
        (items(1, 1, 0), "1 items in 0 bytes"),
        (items(1, 2**31, 90), "2147483648 items in 90 bytes"),
        (items(1, 5, 5), "buffer of a stream was overrun"),
        (items(1, 4, 4) + items(1), "buffer of a stream was overrun"),
        (items(1, 1, 100) + items(1), "buffer of a stream was overrun"),
        (body(frames.ITEMS, "Q", 1), "malformed|shorter"),
        (body(frames.BEGUN, "Q", 2), "an item of session 2"),
        (body(frames.BEGUN, "Q", 1) * 2, "the stream of session 1 began twice"),
        (items(1) + body(frames.BEGUN, "Q", 1), "the stream of session 1 began twice"),
        (body(frames.BEGUN, "QB", 1, 1), "wrong length"),
        (body(frames.REPLY, "Q", 1) + items(1), "an item of session 1"),
    ],
)
def test_items_that_nobody_has_room_for(data: bytes, text: str) -> None:
    one, _, session, _ = opened()
    assert session == 1
    refused(one, data, text)


def test_items_of_a_call() -> None:
    one, other = links()
    one.call(5, 7, "c", b"")
    flow(one, other)
    refused(one, items(1), "an item of session 1, which is no open stream")


def test_items_of_a_stream_that_was_not_wholly_opened() -> None:
    one, other = links()
    one.stream(5, 7, "s", bytes(300_000), items=4, size=100)
    other.receive_data(one.data_to_send(0), 0)
    refused(one, items(1), "an item of session 1, which is no open stream")


def test_many_items_in_one_large_frame() -> None:
    one, _, _, _ = opened(items=4, size=2**30)
    refused(one, items(1, 2, CHUNK + 1), f"2 items of {CHUNK + 1} bytes in one frame|a frame of")


def test_large_items_whose_head_has_the_wrong_length() -> None:
    one, _, _, _ = opened(items=4, size=2**30)
    head = bytes([frames.ITEMS]) + (1).to_bytes(8) + (1).to_bytes(4) + b"x"
    pieces = body(frames.CHUNK_DATA, "B", 0, tail=bytes(CHUNK)) + body(frames.CHUNK_DATA, "B", 0, tail=b"x")
    refused(one, body(frames.CHUNK_OPEN, "BI", 0, CHUNK + 1, tail=head) + pieces, "wrong length")


def taken(session: int, count: int, size: int) -> bytes:
    return body(frames.TAKEN, "QIQ", session, count, size)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (taken(1, 2, 1), "never owed"),
        (taken(1, 1, 2), "never owed"),
        (taken(1, 0, 0), "never owed"),
        (taken(1, 1, 1) * 2, "never owed"),
        (taken(2, 1, 1), "items taken of session 2, which is no stream"),
        (body(frames.TAKEN, "QI", 1, 1), "wrong length"),
    ],
)
def test_room_that_nobody_took(data: bytes, text: str) -> None:
    _, other, session, event = opened()
    event.outflow.charge(1)
    other.items(session, 1, b"a")
    other.data_to_send(0)
    refused(other, data, text)


def test_room_for_items_of_a_call() -> None:
    one, other = links()
    one.call(5, 7, "c", b"")
    flow(one, other)
    refused(other, taken(1, 1, 1), "items taken of session 1, which is no stream")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (stream(items=0), "a stream without a buffer"),
        (stream(size=0), "a stream without a buffer"),
        (stream(name=b""), "field out of range"),
        (stream(source=2**24), "field out of range"),
        (stream(target=2**24), "field out of range"),
        (stream(session=0), "session 0, which is open already"),
        (stream() * 2, "session 1, which is open already"),
        (stream() + stream(2) + stream(3), "more than 2 calls at a time"),
        (body(frames.STREAM, "QIIQQBII", 1, 1, 1, 0, 0, 2, 5, 7, tail=b"s"), "shorter"),
        (stream(name=b"\xff"), "no text"),
    ],
)
def test_a_stream_that_may_not_be_opened(data: bytes, text: str) -> None:
    _, other = links(settings=LinkSettings(sessions=2))
    refused(other, data, text)


def test_a_large_stream_whose_head_has_the_wrong_length() -> None:
    _, other = links()
    head = stream()[4:] + b"x"
    pieces = body(frames.CHUNK_DATA, "B", 0, tail=bytes(CHUNK)) + body(frames.CHUNK_DATA, "B", 0, tail=b"x")
    opening = body(frames.CHUNK_OPEN, "BI", 0, CHUNK + 1, tail=head)
    refused(other, opening + pieces, "a stream whose head has the wrong length")


def test_items_of_a_producer_that_does_not_read_what_it_provokes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trionet.wire.link_receive.MAX_CONTROL", 100)
    one, _, session, _ = opened(items=1, size=1)
    for _ in range(5):
        one.receive_data(items(1), 0)
        one.taken(session, 1, 1)
    with pytest.raises(ProtocolError, match="does not read what it provokes"):
        one.receive_data(items(1), 0)


def test_streams_whose_end_is_never_read_count_as_open() -> None:
    _, other = links(settings=LinkSettings(sessions=2))
    other.receive_data(stream(1) + stream(2), 0)
    other.reply(1, b"")
    other.fail(2, 1, None)
    refused(other, stream(3), "more than 2 calls at a time")


# --- the values of items -----------------------------------------------------------------------------------


@given(
    st.lists(
        st.one_of(st.integers(-(2**70), 2**70), st.text(max_size=5), st.none(), st.lists(st.booleans())),
        min_size=1,
    )
)
def test_items_are_values_one_after_another(values: list[Any]) -> None:
    codec = Codec(Limits())
    data = b"".join(map(codec.encode, values))
    assert codec.decode_items(len(values), data) == [(value, []) for value in values]
    for count in (len(values) + 1, 2**31):
        with pytest.raises(BadMessage):
            codec.decode_items(count, data)
    with pytest.raises(BadMessage):
        codec.decode_items(len(values), data + codec.encode(1))


def test_an_item_is_as_deep_and_as_large_as_a_message() -> None:
    codec = Codec(Limits(size=1000, depth=3))
    deep: Any = [[[1]]]
    data = codec.encode(deep)
    assert codec.decode_items(2, data * 2) == [(deep, []), (deep, [])]
    with pytest.raises(BadMessage):
        codec.decode_items(2, codec.encode(1) + b"\x81" + data)
