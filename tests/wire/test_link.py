"""A link that is used as it should be: each kind of message, and what becomes of it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire import seen as events
from tests.wire.link_world import accepter, agreements, dialer, flow, links, opening, pump
from tests.wire.seen import RecordedLink
from tests.wire.test_framing import split
from trionet.wire.errors import ProtocolError
from trionet.wire.hellos import Purpose
from trionet.wire.link import ACK_BATCH, turn_away
from trionet.wire.link_errors import LinkBusy, LinkNotOpen, MessageTooLarge
from trionet.wire.link_frames import MAX_REASON, LinkSettings, goodbye


def served(one: RecordedLink, other: RecordedLink, **options: Any) -> int:
    """Let one side call the other; returns the session."""
    session = one.call(5, 7, "greet", b"Trio", token="me", **options)
    (event,) = flow(one, other)
    assert isinstance(event, events.CallReceived)
    return session


# --- opening -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("records", [False, True])
def test_nothing_but_open_is_sent_before_both_said_it(records: bool) -> None:
    one, other = opening(records=records)
    with pytest.raises(LinkNotOpen):
        one.send(5, 7, "greet", b"")
    with pytest.raises(LinkNotOpen):
        one.goodbye("too early")
    one.tick(100.0)
    assert one.next_deadline() == math.inf
    (opened,) = flow(one, other)
    assert isinstance(opened, events.Opened)
    assert other.is_open
    other.send(7, 5, "greet", b"")
    assert [type(event) for event in flow(other, one)] == [events.Opened, events.SendReceived]


def test_each_tells_its_limits() -> None:
    mine, yours = LinkSettings(window_messages=3, heartbeat=0.5), LinkSettings(slots=2, message_size=100)
    one, other = opening(settings=mine, other_settings=yours)
    pump(one, other)
    assert one.events() == [events.Opened(yours)]
    assert other.events() == [events.Opened(mine)]
    assert (one.peer.harbor, other.peer.harbor) == (2, 1)


# --- calls and sends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("records", [False, True])
def test_a_call_and_its_reply(records: bool) -> None:
    one, other = links(records=records)
    session = one.call(5, 7, "grüße", b"Trio", remaining=0.5, trace=2**127 + 1, token="me")
    assert flow(one, other) == [events.CallReceived(session, 5, 7, "grüße", 0.5, 2**127 + 1, b"Trio")]
    other.reply(session, b"Hello, Trio!")
    assert flow(other, one) == [events.ReplyReceived(session, "me", b"Hello, Trio!")]
    assert one.statistics().calls == other.statistics().serving == 0


@pytest.mark.parametrize("executed", [False, True, None])
def test_a_call_that_fails(executed: bool | None) -> None:
    one, other = links()
    session = served(one, other)
    other.fail(session, 255, executed, b"why")
    assert flow(other, one) == [events.FailureReceived(session, "me", 255, executed, b"why")]


def test_a_send() -> None:
    one, other = links()
    one.send(0, 2**24 - 1, "x" * 255, b"payload", trace=2**128 - 1)
    assert flow(one, other) == [events.SendReceived(0, 2**24 - 1, "x" * 255, 2**128 - 1, b"payload")]


@pytest.mark.parametrize(
    ("remaining", "told"), [(-1.0, 0.0), (0.0, 0.0), (math.nan, 0.0), (math.inf, math.inf)]
)
def test_the_time_that_is_left(remaining: float, told: float) -> None:
    one, other = links()
    one.call(5, 7, "greet", b"", remaining=remaining)
    (event,) = flow(one, other)
    assert isinstance(event, events.CallReceived)
    assert event.remaining == told


@pytest.mark.parametrize(
    ("source", "target", "command"),
    [(2**24, 7, "c"), (5, 2**24, "c"), (-1, 7, "c"), (5, 7, ""), (5, 7, "c" * 256)],
)
def test_fields_out_of_range_are_the_callers_mistake(source: int, target: int, command: str) -> None:
    one, other = links()
    with pytest.raises(ValueError, match="out of range"):
        one.call(source, target, command, b"")
    with pytest.raises(ValueError, match="out of range"):
        one.send(source, target, command, b"")
    assert flow(one, other) == []


def test_a_message_of_just_the_peers_limit_arrives() -> None:
    one, other = links(other_settings=LinkSettings(message_size=100))
    answered, failed = other.call(7, 5, "c", b""), other.call(7, 5, "c", b"")
    flow(other, one)
    one.send(5, 7, "c", bytes(100))
    one.call(5, 7, "c", bytes(100))
    one.reply(answered, bytes(100))
    one.fail(failed, 1, True, bytes(100))
    assert [len(each.payload) for each in flow(one, other)] == [100] * 4  # type: ignore[union-attr]


def test_a_message_above_the_peers_limit_is_refused_here() -> None:
    one, other = links(other_settings=LinkSettings(message_size=100))
    with pytest.raises(MessageTooLarge, match="101 bytes, the peer takes 100"):
        one.send(5, 7, "c", bytes(101))
    with pytest.raises(MessageTooLarge):
        one.can_send(7, 101)
    session = other.call(7, 5, "c", b"")
    flow(other, one)
    with pytest.raises(MessageTooLarge):
        one.reply(session, bytes(101))
    with pytest.raises(MessageTooLarge):
        one.fail(session, 1, True, bytes(101))
    with pytest.raises(MessageTooLarge):
        one.exited(1, bytes(101))
    one.fail(session, 1, True, b"the result is too large")
    assert len(flow(one, other)) == 1


def test_as_many_calls_as_the_peer_allows() -> None:
    one, other = links(settings=LinkSettings(sessions=2))
    first = served(one, other)
    served(one, other)
    with pytest.raises(LinkBusy, match="2 calls are open"):
        one.call(5, 7, "greet", b"")
    other.reply(first, b"")
    flow(other, one)
    served(one, other)


def test_a_session_has_one_end() -> None:
    one, other = links()
    session = served(one, other)
    other.reply(session, b"")
    with pytest.raises(KeyError):
        other.reply(session, b"")
    with pytest.raises(KeyError):
        other.fail(session, 1, True)
    with pytest.raises(KeyError):
        other.confirm_cancel(session)
    flow(other, one)
    with pytest.raises(KeyError):
        one.cancel(session)
    with pytest.raises(KeyError):
        one.abandon(session)


@given(cuts=st.lists(st.integers(0, 1_000_000), max_size=30), records=st.booleans())
def test_every_split_gives_the_same_events(cuts: list[int], records: bool) -> None:
    one, other = links(records=records)
    session = one.call(5, 7, "first", b"a" * 100)
    one.send(5, 7, "second", bytes(range(256)) * 300)
    one.send(6, 7, "third", b"c")
    one.cancel(session)
    data = b"".join(iter(lambda: one.data_to_send(0), b""))
    for piece in split(data, cuts):
        other.receive_data(piece, 0)
    first, third, cancelled, second = other.events()
    assert isinstance(first, events.CallReceived)
    assert isinstance(third, events.SendReceived)
    assert cancelled == events.CancelReceived(session)
    assert isinstance(second, events.SendReceived)
    assert second.payload == bytes(range(256)) * 300


# --- cancellation --------------------------------------------------------------------------------------


def test_a_cancelled_call_and_its_confirmation() -> None:
    one, other = links()
    session = served(one, other)
    assert one.cancel(session) is True
    assert one.cancel(session) is True
    assert flow(one, other) == [events.CancelReceived(session)]
    other.confirm_cancel(session)
    assert flow(other, one) == [events.CancelConfirmed(session, "me")]


def test_a_cancelled_call_that_returned_all_the_same() -> None:
    one, other = links()
    session = served(one, other)
    one.cancel(session)
    other.reply(session, b"done")
    assert flow(one, other) == []
    assert flow(other, one) == [events.ReplyReceived(session, "me", b"done")]


@pytest.mark.parametrize("how", ["reply", "fail", "confirm"])
def test_an_abandoned_call_stays_counted_until_it_ends(how: str) -> None:
    one, other = links(settings=LinkSettings(sessions=1))
    session = served(one, other)
    one.abandon(session)
    assert flow(one, other) == [events.CancelReceived(session)]
    with pytest.raises(LinkBusy):
        one.call(5, 7, "greet", b"")
    match how:
        case "reply":
            other.reply(session, b"late")
        case "fail":
            other.fail(session, 1, True, b"late")
        case _:
            other.confirm_cancel(session)
    assert flow(other, one) == [events.AbandonedEnded(session, "me")]
    served(one, other)


def test_a_small_call_may_overtake_a_large_one_of_another_pair() -> None:
    one, other = links()
    large = one.call(5, 7, "large", bytes(300_000))
    small = one.call(6, 7, "small", b"")
    assert small > large
    one.cancel(small)
    seen = flow(one, other)
    assert [event.session for event in seen] == [small, small, large]  # type: ignore[union-attr]
    one.cancel(large)
    assert flow(one, other) == [events.CancelReceived(large)]


# --- watches -----------------------------------------------------------------------------------------


def test_a_watch_and_its_end() -> None:
    one, other = links()
    watch = one.watch(5, 7, token="me")
    assert flow(one, other) == [events.WatchReceived(watch, 5, 7)]
    other.send(7, 5, "last words", b"")
    other.exited(watch, b"stopped")
    last, end = flow(other, one)
    assert isinstance(last, events.SendReceived)
    assert end == events.ExitReceived(watch, "me", b"stopped")
    one.unwatch(watch)
    assert flow(one, other) == []
    other.exited(watch, b"again")
    assert flow(other, one) == []


def test_leaving_a_watch_leaves_nothing_behind() -> None:
    one, other = links()
    watch = one.watch(5, 7)
    flow(one, other)
    one.unwatch(watch)
    assert flow(one, other) == [events.UnwatchReceived(watch)]
    other.exited(watch, b"stopped")
    assert flow(other, one) == []
    assert one.statistics().watches == other.statistics().watched == 0


def test_an_end_that_crosses_with_leaving() -> None:
    one, other = links()
    watch = one.watch(5, 7)
    flow(one, other)
    one.unwatch(watch)
    other.exited(watch, b"stopped")
    assert flow(other, one) == []
    assert flow(one, other) == []


def test_as_many_watches_as_the_peer_allows_with_those_being_left() -> None:
    one, other = links(settings=LinkSettings(watches=1))
    watch = one.watch(5, 7)
    one.unwatch(watch)
    with pytest.raises(LinkBusy, match="1 watches are open"):
        one.watch(5, 7)
    pump(one, other)
    assert one.watch(5, 7) > watch


# --- dialogue ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", [Purpose.MASTER, Purpose.CONSOLE])
def test_the_dialogue_with_a_master_or_console(purpose: Purpose) -> None:
    one, other = links(purpose)
    sizes = [3, 100_000, 5, 200_000, 0]
    for size in sizes:
        one.send_payload(bytes(size))
    received = flow(one, other)
    assert received == [events.PayloadReceived(bytes(size)) for size in sizes]
    with pytest.raises(MessageTooLarge):
        one.send_payload(bytes(16 * 1024 * 1024 + 1))


# --- acknowledgements and fates ----------------------------------------------------------------------


def test_a_send_that_came_is_acknowledged_with_the_next_flush() -> None:
    one, other = links()
    one.send(5, 7, "first", b"", token=1)
    session = one.call(5, 7, "second", b"", token=2)
    flow(one, other)
    assert not other.sendable
    assert other.data_to_send(0) == b""
    assert one.statistics().unacknowledged == 1
    other.reply(session, b"")
    flow(other, one)
    assert one.statistics().unacknowledged == 0
    assert one.statistics().sent == other.statistics().arrived == 2


@pytest.mark.parametrize(("count", "goes"), [(ACK_BATCH - 1, False), (ACK_BATCH, True)])
def test_an_acknowledgement_waits_for_so_many_messages_at_most(count: int, goes: bool) -> None:
    one, other = links()
    for _ in range(count):
        one.send(5, 7, "c", b"")
    flow(one, other)
    assert other.sendable is goes
    flow(other, one)
    assert one.statistics().unacknowledged == (0 if goes else count)


def test_the_fates_at_the_end() -> None:
    one, other = links()
    one.send(5, 7, "acknowledged", b"", token="acknowledged")
    answered = one.call(5, 7, "answered", b"", token="answered")
    flow(one, other)
    other.reply(answered, b"")
    flow(other, one)
    one.send(5, 7, "sent", b"", token="sent")
    one.call(5, 7, "sent", b"", token="sent call")
    left = one.call(5, 7, "sent", b"", token="left")
    one.send(5, 8, "large", bytes(300_000), token="in the middle")
    one.send(5, 8, "small", b"", token="behind it")
    one.data_to_send(0)
    one.abandon(left)
    one.call(5, 7, "queued", b"", token="queued call")
    one.call(5, 8, "large", bytes(300_000), token="large call")
    one.send(5, 7, "queued", b"", token="queued")
    one.watch(5, 7, token="watch")
    fates = one.close("the network is down")
    assert fates.unknown == ("sent",)
    assert fates.unsent == ("queued", "in the middle", "behind it")
    assert dict(fates.calls) == {"sent call": None, "queued call": False, "large call": False}
    assert fates.abandoned == ("left",)
    assert fates.watches == ("watch",)
    assert not one.sendable
    assert one.data_to_send(0) == b""


def test_the_fates_of_what_the_peer_began() -> None:
    one, other = links()
    session = served(one, other)
    watch = one.watch(5, 7)
    flow(one, other)
    fates = other.close("lost")
    assert (fates.serving, fates.watched) == ((session,), (watch,))
    with pytest.raises(LinkNotOpen):
        other.reply(session, b"")
    other.receive_data(b"garbage", 0)
    assert other.events() == []


# --- goodbye -----------------------------------------------------------------------------------------


def test_a_goodbye_lets_calls_end() -> None:
    one, other = links()
    session = served(one, other)
    other.goodbye("stopping")
    other.reply(session, b"done")
    goodbye, reply = flow(other, one)
    assert goodbye == events.GoodbyeReceived("stopping", False)
    assert isinstance(reply, events.ReplyReceived)
    assert not one.is_clean


def test_a_final_goodbye_comes_after_everything_else() -> None:
    one, other = links()
    one.send(5, 7, "large", bytes(400_000))
    one.goodbye("stopping", final=True)
    with pytest.raises(LinkNotOpen):
        one.send(5, 7, "c", b"")
    with pytest.raises(LinkNotOpen):
        one.goodbye("twice", final=True)
    large, goodbye = flow(one, other)
    assert isinstance(large, events.SendReceived)
    assert goodbye == events.GoodbyeReceived("stopping", True)
    assert not one.sendable
    assert other.is_clean
    assert other.receive_eof() == "the peer said goodbye: stopping"


@pytest.mark.parametrize("records", [False, True])
def test_an_end_that_decides_against_the_link_says_why_instead_of_open(records: bool) -> None:
    first, second = agreements(dialer(records=records), accepter(records=records))
    one = RecordedLink(first, LinkSettings(), 0)
    one.receive_data(turn_away(second, "unknown here"), 0)
    assert one.events() == [events.GoodbyeReceived("unknown here", True)]
    assert one.was_turned_away
    assert not one.is_open
    assert one.receive_eof() == "the peer said goodbye: unknown here"
    if not records:
        with pytest.raises(ProtocolError, match="not allowed now"):
            one.receive_data(LinkSettings().encode(), 0)


def test_a_goodbye_before_open_is_final() -> None:
    one, _ = opening()
    with pytest.raises(ProtocolError, match="a malformed goodbye"):
        one.receive_data(goodbye("soon", False), 0)


def test_a_link_that_ends_by_goodbye_was_not_turned_away() -> None:
    one, other = links()
    other.goodbye("stopping", final=True)
    flow(other, one)
    assert not one.was_turned_away


def test_acknowledgements_are_read_after_a_final_goodbye() -> None:
    one, other = links()
    one.send(5, 7, "c", b"", token="sent")
    one.goodbye("stopping", final=True)
    flow(one, other)
    other.goodbye("you too", final=True)
    flow(other, one)
    assert one.close("done").unknown == ()


def test_a_long_reason_is_cut_between_characters() -> None:
    one, other = links()
    one.goodbye("ö" * 1000)
    (event,) = flow(one, other)
    assert event == events.GoodbyeReceived("ö" * (MAX_REASON // 2), False)


def test_the_end_of_the_stream() -> None:
    one, other = links(records=True)
    assert other.receive_eof() == "the connection was lost"
    one.send(5, 7, "c", b"")
    other.receive_data(one.data_to_send(0)[:-1], 0)
    assert other.receive_eof() == "the connection was lost in the middle of a message"
