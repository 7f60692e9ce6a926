"""Windows: nobody overruns, everybody who waits is told, and nothing stays behind."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire import seen as events
from tests.wire.link_world import flow, links
from tests.wire.seen import CallReceived, RecordedLink, SendReceived
from trionet.wire.bundle import SMALL
from trionet.wire.credit import Credit, ReceiveWindows, SendWindows
from trionet.wire.errors import ProtocolError
from trionet.wire.link_errors import WindowFull
from trionet.wire.link_frames import CHUNK, LinkSettings

MESSAGES = LinkSettings(window_messages=8)
BYTES = LinkSettings(window_bytes=100)


def fill(one: RecordedLink, other: RecordedLink, count: int, size: int = 0) -> None:
    for _ in range(count):
        one.send(5, 7, "c", bytes(size))
    assert len(flow(one, other)) == count


def test_a_full_window_and_its_credit_in_batches() -> None:
    one, other = links(settings=MESSAGES)
    fill(one, other, 8)
    assert not one.can_send(7, 0)
    assert one.can_send(8, 0)
    with pytest.raises(WindowFull, match="the window of service 7 has no room for 0 bytes"):
        one.send(5, 7, "c", b"")
    with pytest.raises(WindowFull):
        one.call(5, 7, "c", b"")
    other.consumed(7, 1, 0)
    assert flow(other, one) == []
    other.consumed(7, 1, 0)
    assert flow(other, one) == [events.CreditAvailable(7)]
    fill(one, other, 2)
    assert not one.can_send(7, 0)


def test_nobody_is_told_who_did_not_wait() -> None:
    one, other = links(settings=MESSAGES)
    fill(one, other, 8)
    other.consumed(7, 8, 0)
    assert flow(other, one) == []
    assert one.can_send(7, 0)


def test_a_window_of_bytes() -> None:
    one, other = links(settings=BYTES)
    fill(one, other, 2, 50)
    assert not one.can_send(7, 1)
    other.consumed(7, 1, 50)
    assert flow(other, one) == [events.CreditAvailable(7)]


def test_a_message_above_the_window_goes_when_nothing_else_is_there() -> None:
    one, other = links(settings=BYTES)
    fill(one, other, 1, 1000)
    assert not one.can_send(7, 1)
    other.consumed(7, 1, 1000)
    assert flow(other, one) == [events.CreditAvailable(7)]
    fill(one, other, 1, 1)
    assert not one.can_send(7, 100)


def test_a_large_message_waits_for_less_than_half_a_window() -> None:
    """Its sender says so; else credit would come only with the next sweep."""
    one, other = links(settings=BYTES)
    fill(one, other, 1, 40)
    assert not one.can_send(7, 90)
    assert not one.can_send(7, 90)
    assert flow(one, other) == []
    other.consumed(7, 1, 40)
    assert flow(other, one) == [events.CreditAvailable(7)]
    fill(one, other, 1, 90)


def test_the_same_when_everything_was_taken_before() -> None:
    one, other = links(settings=BYTES)
    fill(one, other, 1, 40)
    other.consumed(7, 1, 40)
    assert not one.can_send(7, 90)
    flow(one, other)
    assert flow(other, one) == [events.CreditAvailable(7)]


def test_the_same_when_the_wish_overtakes_what_it_waits_for() -> None:
    settings = LinkSettings(window_bytes=8 * CHUNK)
    one, other = links(settings=settings)
    one.send(5, 7, "c", bytes(3 * CHUNK))
    assert not one.can_send(7, 6 * CHUNK)
    assert len(flow(one, other)) == 1
    other.consumed(7, 1, 3 * CHUNK)
    assert flow(other, one) == [events.CreditAvailable(7)]
    assert one.can_send(7, 6 * CHUNK)


def test_left_over_credit_comes_with_the_heartbeat() -> None:
    one, other = links(settings=MESSAGES)
    fill(one, other, 8)
    assert not one.can_send(7, 0)
    other.consumed(7, 1, 0)
    other.tick(5.0)
    assert flow(other, one) == [events.CreditAvailable(7)]


def test_a_call_that_is_taken_back_gives_its_room_back() -> None:
    one, other = links(settings=LinkSettings(window_bytes=4 * CHUNK))
    session = one.call(5, 7, "c", bytes(3 * CHUNK))
    assert not one.can_send(7, 2 * CHUNK)
    assert one.cancel(session) is False
    assert one.events() == [events.CreditAvailable(7)]
    one.send(5, 7, "c", bytes(4 * CHUNK))
    assert len(flow(one, other)) == 1


def test_nothing_can_be_taken_that_never_came() -> None:
    one, other = links()
    with pytest.raises(ValueError, match="nothing that could be taken"):
        other.consumed(7, 1, 0)
    fill(one, other, 1, 10)
    for messages, size in ((2, 10), (1, 11)):
        with pytest.raises(ValueError, match="more was taken"):
            other.consumed(7, messages, size)
    other.consumed(7, 1, 10)


# --- the accounts themselves ----------------------------------------------------------------------------


class Accounts:
    """Both accounts of one service; messages and credit each take their time."""

    def __init__(self) -> None:
        self.sent, self.received = SendWindows(4, 100), ReceiveWindows(4, 100)
        self.there: list[int] = []
        self.inbox: list[int] = []
        self.back: list[Credit] = []

    def send(self, size: int) -> None:
        room = self.sent.has_room(7, size)
        assert self.sent.charge(7, size) is room
        if room:
            self.there.append(size)
        elif self.sent.refuse(7, size):
            self.give(self.received.want(7))

    def arrive(self) -> None:
        if self.there:
            self.received.charge(7, self.there[0])
            self.inbox.append(self.there.pop(0))

    def take(self) -> None:
        if self.inbox:
            self.give(self.received.take(7, 1, self.inbox.pop(0)))

    def sweep(self) -> None:
        self.back += self.received.sweep()

    def credit(self) -> None:
        if self.back:
            self.sent.credit(*self.back.pop(0))

    def give(self, credit: Credit | None) -> None:
        self.back += [] if credit is None else [credit]


STEPS = st.one_of(
    st.sampled_from(["arrive", "take", "credit", "sweep"]), st.sampled_from([0, 10, 60, 100, 200])
)


@given(st.lists(STEPS, max_size=60))
def test_both_accounts_agree_and_are_forgotten(steps: list[str | int]) -> None:
    """Whatever the sender may send the receiver may receive; in the end neither has anything left."""
    accounts = Accounts()
    for step in steps:
        if isinstance(step, int):
            accounts.send(step)
        else:
            getattr(accounts, step)()
    for step in ["arrive", "take"] * 60 + ["sweep"] + ["credit"] * 60:
        getattr(accounts, step)()
    assert len(accounts.sent) == len(accounts.received) == 0


def test_credit_for_all_messages_but_not_for_all_bytes() -> None:
    sent = SendWindows(4, 100)
    assert sent.charge(7, 50)
    with pytest.raises(ProtocolError, match="not for all bytes"):
        sent.credit(7, 1, 49)


@pytest.mark.parametrize("kind", ["send", "small send", "small call"])
def test_messages_to_many_services_leave_no_accounts_behind(kind: str) -> None:
    """A peer that sends to ever new services makes the receiver give all credit back."""
    one, other = links()
    send: Callable[[int], object] = {
        "send": lambda target: one.send(5, target, "c", b""),
        "small send": lambda target: one.send_small(5, target, "c", (), 0, None),
        "small call": lambda target: one.call_small(5, target, "c", (), inf, 0, None),
    }[kind]
    received = ReceiveWindows(4, 100)
    for target in range(5000):
        crowded = received.charge(target, 1)
        received.take(target, 1, 1)
        if crowded:
            assert len(received.sweep()) == 1025
            assert len(received) == 0
    for target in range(1, 3000):
        send(target)
        if target % 100 == 0:
            for event in flow(one, other):
                assert isinstance(event, SendReceived | CallReceived)
                other.consumed(event.target, 1, SMALL if event.payload == () else 0)
            flow(other, one)
    assert len(one._windows) < 2000
    assert len(other._receiver.windows) < 2000


def test_wishes_of_many_services_leave_no_accounts_behind() -> None:
    received = ReceiveWindows(4, 100)
    for target in range(5000):
        assert received.want(target) is None
        if received.crowded:
            assert received.sweep() == []
            assert len(received) == 0
    assert len(received) < 1025


def test_accounts_in_use_do_not_make_every_message_a_sweep() -> None:
    received = ReceiveWindows(4, 100)
    for target in range(3000):
        if received.charge(target, 1):
            assert received.sweep() == []
    assert len(received) == 3000
    assert not received.crowded


def test_a_peer_that_wishes_for_much_makes_the_link_sweep() -> None:
    one, other = links(settings=BYTES)
    for target in range(1, 1501):
        one.send(5, target, "c", bytes(60))
        assert not one.can_send(target, 60)
    for event in flow(one, other):
        assert isinstance(event, events.SendReceived)
        other.consumed(event.target, 1, 60)
    assert len(flow(other, one)) == 1500
    for target in range(1, 1501):
        one.send(5, target, "c", b"x")
        assert not one.can_send(target, 100)
    assert len(flow(one, other)) == 1500
    other.consumed(1, 1, 1)
    assert flow(other, one) == [events.CreditAvailable(1)]
