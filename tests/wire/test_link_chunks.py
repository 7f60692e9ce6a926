"""Large messages: what passes them, what waits behind them, what an abort leaves."""

from __future__ import annotations

from tests.wire import seen as events
from tests.wire.link_world import flow, links, pump
from tests.wire.seen import RecordedLink, Seen
from trionet.wire.link_frames import CHUNK, LinkSettings
from trionet.wire.outbox import CHUNK_BUDGET

LARGE = bytes(10 * CHUNK)


def commands(happened: list[Seen]) -> list[str]:
    return [each.command for each in happened if isinstance(each, events.SendReceived | events.CallReceived)]


def one_flush(one: RecordedLink, other: RecordedLink) -> list[Seen]:
    other.receive_data(one.data_to_send(0), 0)
    return other.events()


def test_the_greatest_message_that_is_not_cut() -> None:
    one, other = links()
    one.send(5, 7, "c", bytes(CHUNK))
    assert one.statistics().lanes == 0
    one.send(5, 7, "c", bytes(CHUNK + 1))
    assert one.statistics().lanes == 1
    assert [len(each.payload) for each in flow(one, other)] == [CHUNK, CHUNK + 1]  # type: ignore[union-attr]


def test_other_pairs_pass_and_the_same_pair_waits() -> None:
    one, other = links()
    one.send(5, 7, "large", LARGE)
    one_flush(one, other)
    one.send(5, 7, "behind", b"")
    one.send(5, 8, "other target", b"")
    one.send(6, 7, "other source", b"")
    one.call(5, 7, "behind too", b"")
    assert commands(one_flush(one, other)) == ["other target", "other source"]
    assert commands(flow(one, other)) == ["large", "behind", "behind too"]
    one.send(5, 7, "after", b"")
    assert commands(one_flush(one, other)) == ["after"]


def test_a_flush_is_bounded_while_large_messages_are_under_way() -> None:
    one, _ = links()
    one.send(5, 7, "large", LARGE)
    assert CHUNK_BUDGET < len(one.data_to_send(0)) < CHUNK_BUDGET + 1000


def test_control_frames_pass() -> None:
    one, other = links()
    session = one.call(5, 7, "slow", b"")
    flow(one, other)
    one.send(5, 7, "large", LARGE)
    one_flush(one, other)
    one.cancel(session)
    one.watch(5, 8)
    cancelled, watched = one_flush(one, other)
    assert isinstance(cancelled, events.CancelReceived)
    assert isinstance(watched, events.WatchReceived)


def test_an_answer_keeps_its_place_behind_what_its_handler_sent() -> None:
    one, other = links()
    session = one.call(5, 7, "slow", b"")
    watch = one.watch(5, 7)
    cancelled = one.call(5, 7, "slow", b"")
    elsewhere = one.call(6, 7, "slow", b"")
    one.cancel(cancelled)
    flow(one, other)
    other.send(7, 5, "large", LARGE)
    other.reply(session, b"")
    other.confirm_cancel(cancelled)
    other.exited(watch, b"")
    other.reply(elsewhere, b"")
    kinds = [type(event) for event in flow(other, one)]
    assert kinds == [
        events.ReplyReceived,
        events.SendReceived,
        events.ReplyReceived,
        events.CancelConfirmed,
        events.ExitReceived,
    ]


def test_large_messages_take_turns() -> None:
    one, other = links()
    for target, chunks in ((7, 10), (8, 3), (9, 6)):
        one.send(5, target, f"{chunks} chunks", bytes(chunks * CHUNK))
    assert commands(flow(one, other)) == ["3 chunks", "6 chunks", "10 chunks"]


def test_no_more_than_the_peers_slots_and_bytes() -> None:
    settings = LinkSettings(slots=2, message_size=4 * CHUNK, slot_bytes=6 * CHUNK)
    one, other = links(settings=settings)
    for target, chunks in ((7, 4), (8, 3), (9, 2), (10, 2), (11, 2)):
        one.send(5, target, str(target), bytes(chunks * CHUNK))
    assert commands(flow(one, other)) == ["7", "9", "8", "10", "11"]


def test_large_messages_of_one_pair_in_order_with_small_ones_between() -> None:
    one, other = links()
    for number in range(6):
        one.send(5, 7, str(number), LARGE if number % 2 else b"")
        one.send(6, 7, "other", LARGE[: 2 * CHUNK])
    seen = commands(flow(one, other))
    assert [each for each in seen if each != "other"] == ["0", "1", "2", "3", "4", "5"]
    assert seen.count("other") == 6


def test_large_replies_failures_and_ends() -> None:
    one, other = links()
    first, second = one.call(5, 7, "c", b""), one.call(5, 7, "c", b"")
    watch = one.watch(5, 7)
    flow(one, other)
    other.reply(first, LARGE)
    other.fail(second, 3, True, LARGE)
    other.exited(watch, LARGE)
    assert flow(other, one) == [
        events.ReplyReceived(first, None, LARGE),
        events.FailureReceived(second, None, 3, True, LARGE),
        events.ExitReceived(watch, None, LARGE),
    ]


def test_a_call_cancelled_in_the_middle_leaves_no_gap() -> None:
    one, other = links()
    session = one.call(5, 7, "large", LARGE)
    one.send(5, 7, "behind", b"")
    one.call(5, 7, "behind too", b"", token="me")
    one_flush(one, other)
    assert one.cancel(session) is False
    assert commands(flow(one, other)) == ["behind", "behind too"]
    assert one.statistics().calls == 1
    assert one.pending_bytes == 0


def test_a_call_that_went_because_the_one_before_it_was_cancelled_is_on_its_way() -> None:
    one, other = links()
    first = one.call(5, 7, "large", LARGE)
    second = one.call(5, 7, "behind", b"")
    one_flush(one, other)
    one.cancel(first)
    assert one.cancel(second) is True
    call, cancel = flow(one, other)
    assert isinstance(call, events.CallReceived)
    assert cancel == events.CancelReceived(second)


def test_a_call_cancelled_while_it_queues_behind_a_large_message() -> None:
    one, other = links()
    one.send(5, 7, "large", LARGE)
    session = one.call(5, 7, "behind", b"")
    one.send(5, 7, "last", b"")
    assert one.cancel(session) is False
    assert commands(flow(one, other)) == ["large", "last"]


def test_a_large_call_cancelled_before_its_turn() -> None:
    one, other = links(settings=LinkSettings(slots=1))
    one.send(5, 7, "large", LARGE)
    session = one.call(5, 8, "waiting", LARGE)
    one.send(5, 8, "large too", LARGE)
    one_flush(one, other)
    assert one.cancel(session) is False
    assert commands(flow(one, other)) == ["large", "large too"]


def test_a_slot_is_used_again_after_an_abort() -> None:
    one, other = links(settings=LinkSettings(slots=1))
    for number in range(3):
        session = one.call(5, 7, "aborted", LARGE)
        one_flush(one, other)
        assert one.cancel(session) is False
        one.send(5, 8, str(number), bytes(2 * CHUNK))
        assert commands(flow(one, other)) == [str(number)]


def test_messages_are_acknowledged_in_the_order_of_their_ends() -> None:
    one, other = links()
    one.send(5, 7, "large", LARGE, token="large")
    one.send(5, 8, "small", b"", token="small")
    one_flush(one, other)
    other.goodbye("only to flush the acknowledgement")
    flow(other, one)
    fates = one.close("lost")
    assert (fates.unsent, fates.unknown) == (("large",), ())


def test_pending_bytes_go_down_to_nothing() -> None:
    one, other = links()
    one.send(5, 7, "large", LARGE)
    one.send(5, 7, "behind", b"12345")
    one.send(5, 8, "small", b"12345")
    assert len(LARGE) + 10 < one.pending_bytes < len(LARGE) + 100
    assert one.outbox.queued == one.pending_bytes - len(LARGE) - 5
    one_flush(one, other)
    assert one.pending_bytes == len(LARGE) + 5 - CHUNK_BUDGET
    pump(one, other)
    assert one.pending_bytes == 0
