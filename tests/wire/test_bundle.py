"""Small messages travel in bundles, and nobody can tell by what comes of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire import seen as events
from tests.wire.link_world import flow, links
from tests.wire.seen import CallReceived, RecordedLink, ReturnReceived, SendReceived
from trionet.wire.bundle import FULL, MOST_ARGUMENTS, MOST_TRACE, SMALL, size_of
from trionet.wire.framing import LENGTH
from trionet.wire.link_frames import BUNDLE, CHUNK, LinkSettings
from trionet.wire.link_send import MOST_ROUTES
from trionet.wire.plain import AtomCodec

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 64), (1 << 64) - 1),
    st.floats(allow_nan=False),
    st.text(max_size=80),
    st.binary(max_size=80),
)
ARGUMENTS = st.lists(ATOMS, max_size=MOST_ARGUMENTS).map(tuple)


def send(link: RecordedLink, *arguments: Any, to: int = 7, name: str = "c", trace: int = 0) -> bool:
    """Service 5 sends."""
    return link.send_small(5, to, name, arguments, trace=trace, token=arguments)


def kinds(data: bytes) -> list[int]:
    """The kinds of the frames in what a link sends."""
    found = []
    while data:
        (length,) = LENGTH.unpack_from(data)
        found.append(data[4])
        data = data[4 + length :]
    return found


def arguments_of(seen: list[events.Seen]) -> list[object]:
    """The arguments, or payloads, of sends and calls, in the order in which they came."""
    assert all(isinstance(each, SendReceived | CallReceived) for each in seen)
    return [each.payload for each in seen if isinstance(each, SendReceived | CallReceived)]


@given(ARGUMENTS)
def test_no_small_message_is_larger_than_it_was_told_to_be(arguments: tuple[Any, ...]) -> None:
    size = size_of(arguments)
    if size:
        entry = [1, MOST_ROUTES - 1, MOST_TRACE, len(arguments), 1, *arguments]
        assert len(AtomCodec().encode(entry)) <= size <= SMALL
    else:
        assert len(AtomCodec().encode(list(arguments))) > SMALL - 32 - 9 * MOST_ARGUMENTS


@pytest.mark.parametrize(
    "arguments",
    [
        (1 << 64,),
        (-(1 << 64) - 1,),
        ("x" * SMALL,),
        ("\u6f22" * 80,),
        (b"x" * SMALL,),
        ("\ud800",),
        ([],),
        ((),),
        ({},),
        (MOST_ARGUMENTS + 1) * (None,),
        (b"x" * 60,) * 4,
    ],
    ids=repr,
)
def test_what_is_not_small(arguments: tuple[Any, ...]) -> None:
    assert size_of(arguments) == 0
    one, _ = links()
    assert not send(one, *arguments)
    assert one.call_small(5, 7, "c", arguments, 1.0, 0, None) == 0


@given(
    st.lists(st.tuples(ARGUMENTS, st.integers(1, 3), st.sampled_from("ab"), st.sampled_from([0, MOST_TRACE])))
)
def test_what_is_sent_comes_as_it_was(messages: list[tuple[tuple[Any, ...], int, str, int]]) -> None:
    one, other = links()
    sent = [each for each in messages if send(one, *each[0], to=each[1], name=each[2], trace=each[3])]
    came = flow(one, other)
    assert came == [SendReceived(5, to, name, trace, given) for given, to, name, trace in sent]
    assert other.data_to_send(0) == b""
    other.tick(10)
    flow(other, one)
    assert one.statistics().unacknowledged == 0


def test_sends_of_one_route_share_a_frame_and_an_entry() -> None:
    one, other = links()
    for number in range(100):
        assert send(one, number)
    data = one.data_to_send(0)
    assert kinds(data) == [BUNDLE] * 3
    assert FULL < 100 * size_of((0,)) < 3 * FULL
    assert len(data) < 350
    other.receive_data(data, 0)
    assert arguments_of(other.events()) == [(number,) for number in range(100)]


def test_a_route_whose_first_send_finds_no_room_parts_those_around_it() -> None:
    """What it means is told all the same, between sends that are one entry otherwise."""
    one, other = links(settings=LinkSettings(window_messages=2))
    assert send(one, "fills", to=8)
    assert send(one, "it", to=8)
    assert send(one, 1)
    assert not send(one, "no room", to=8, name="d")
    assert send(one, 2)
    assert arguments_of(flow(one, other)) == [("fills",), ("it",), (1,), (2,)]


def test_the_order_of_a_pair_stays() -> None:
    one, other = links()
    assert send(one, 1)
    one.send(5, 7, "c", b"2")
    assert send(one, 3)
    assert one.call_small(5, 7, "c", (4,), remaining=1.0, trace=0, token=None)
    one.call(5, 7, "c", b"5")
    assert send(one, 6)
    one.send(5, 7, "c", bytes(2 * CHUNK))
    assert not send(one, "it would pass the large one")
    assert send(one, "of another pair", to=8)
    one.send(5, 7, "c", b"8")
    came = arguments_of(flow(one, other))
    assert came.pop(6) == ("of another pair",)
    assert came == [(1,), b"2", (3,), (4,), b"5", (6,), bytes(2 * CHUNK), b"8"]


def test_a_call_and_its_result() -> None:
    one, other = links()
    session = one.call_small(5, 7, "c", ("x", None), remaining=-3.0, trace=9, token="mine")
    (call,) = flow(one, other)
    assert call == CallReceived(session, 5, 7, "c", 0.0, 9, ("x", None))
    assert not other.return_small(session, [])
    assert other.return_small(session, 1.5)
    assert flow(other, one) == [ReturnReceived(session, "mine", 1.5)]
    assert one.statistics().calls == 0
    assert other.statistics().serving == 0


def test_the_result_of_an_abandoned_call() -> None:
    one, other = links()
    session = one.call_small(5, 7, "c", (), remaining=1.0, trace=0, token="mine")
    one.abandon(session)
    flow(one, other)
    assert other.return_small(session, None)
    assert flow(other, one) == [events.AbandonedEnded(session, "mine")]


def test_a_small_result_goes_behind_what_its_pair_has_sent() -> None:
    one, other = links()
    session = one.call_small(5, 7, "c", (), remaining=1.0, trace=0, token=None)
    flow(one, other)
    other.send(7, 5, "c", bytes(2 * CHUNK))
    assert not other.return_small(session, None)
    other.reply(session, b"behind it")
    assert [type(each) for each in flow(other, one)] == [SendReceived, events.ReplyReceived]


def test_small_messages_keep_to_the_window() -> None:
    one, other = links(settings=LinkSettings(window_messages=4))
    assert [send(one, number) for number in range(6)] == [True] * 4 + [False] * 2
    assert one.call_small(5, 7, "c", (), remaining=1.0, trace=0, token=None) == 0
    assert not one.can_send(7, SMALL)
    flow(one, other)
    assert other.consumed(7, 1, SMALL)
    assert flow(other, one) == [events.CreditAvailable(7)]
    assert [send(one, number) for number in range(2)] == [True, False]


def test_room_that_is_not_needed_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = links(settings=LinkSettings(window_messages=4))
    monkeypatch.setattr(other._receiver, "_sent_small", lambda route, trace, messages: len(messages))
    monkeypatch.setattr(other._receiver, "_called_small", lambda *_: True)
    for _ in range(5):
        assert all(send(one, number) for number in range(3))
        assert one.call_small(5, 7, "c", (), remaining=1.0, trace=0, token=None)
        flow(one, other)
        flow(other, one)


def test_as_many_calls_as_the_peer_takes() -> None:
    one, _ = links(settings=LinkSettings(sessions=2))
    calls = [one.call_small(5, 7, "c", (), remaining=1.0, trace=0, token=None) for _ in range(3)]
    assert calls == [1, 2, 0]


def test_a_recorded_chain_is_not_for_bundles() -> None:
    one, _ = links()
    assert not send(one, trace=MOST_TRACE + 1)
    assert one.call_small(5, 7, "c", (), remaining=1.0, trace=MOST_TRACE + 1, token=None) == 0


def test_more_routes_than_have_numbers() -> None:
    one, other = links()
    for to in range(1, MOST_ROUTES + 3):
        assert send(one, to, to=to)
    assert send(one, "the first again", to=1)
    came = flow(one, other)
    assert arguments_of(came) == [(to,) for to in range(1, MOST_ROUTES + 3)] + [("the first again",)]
    assert [each.target for each in came if isinstance(each, SendReceived)] == [*range(1, MOST_ROUTES + 3), 1]


@pytest.mark.parametrize(
    ("source", "to", "name"), [(1 << 24, 7, "c"), (5, 1 << 24, "c"), (5, 7, ""), (5, 7, "x" * 256)]
)
def test_a_route_out_of_range(source: int, to: int, name: str) -> None:
    one, _ = links()
    with pytest.raises(ValueError, match="a name or local id out of range"):
        one.send_small(source, to, name, (), trace=0, token=None)


def test_what_became_of_small_messages_at_the_end() -> None:
    one, other = links()
    assert send(one, "written")
    called = one.call_small(5, 7, "c", (), remaining=1.0, trace=0, token="written")
    one.data_to_send(0)
    assert send(one, "not written")
    one.call_small(5, 7, "c", (), remaining=1.0, trace=0, token="not written")
    fates = one.close("the end")
    assert fates.unknown == (("written",),)
    assert fates.unsent == (("not written",),)
    assert fates.calls == (("written", None), ("not written", False))
    assert called == 1
    assert not send(one, "too late")
    assert one.data_to_send(0) == b""
    assert other.is_open


def test_after_a_goodbye_there_are_no_small_messages() -> None:
    one, other = links()
    session = one.call_small(5, 7, "c", (), remaining=1.0, trace=0, token=None)
    flow(one, other)
    for link in (one, other):
        link.goodbye("leaving", final=True)
    assert not send(one)
    assert one.call_small(5, 7, "c", (), remaining=1.0, trace=0, token=None) == 0
    assert not other.return_small(session, None)


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_name_out_of_range_takes_no_room(name: str) -> None:
    one, other = links(settings=LinkSettings(window_messages=1))
    with pytest.raises(ValueError, match="out of range"):
        send(one, name=name)
    with pytest.raises(ValueError, match="out of range"):
        one.call_small(5, 7, name, (), 1.0, 0, None)
    assert send(one, "there is room")
    assert arguments_of(flow(one, other)) == [("there is room",)]
