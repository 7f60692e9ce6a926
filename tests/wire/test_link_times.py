"""Heartbeats, silence and late acknowledgements, at times that are only numbers."""

from __future__ import annotations

import math

from tests.wire import seen as events
from tests.wire.link_world import flow, links, opening
from tests.wire.seen import RecordedLink

SILENT = events.PeerSilent


def quiet(link: RecordedLink, start: float, until: float) -> list[tuple[float, events.Seen]]:
    """Tick at each deadline, sending into nothing; returns what happened and when."""
    happened: list[tuple[float, events.Seen]] = []
    now = start
    while (now := max(now, link.next_deadline())) <= until:
        link.tick(now)
        link.data_to_send(now)
        happened += [(now, event) for event in link.events()]
    return happened


def test_a_heartbeat_in_each_interval() -> None:
    one, other = links()
    assert one.next_deadline() == 5.0
    one.tick(4.9)
    assert one.data_to_send(4.9) == b""
    one.tick(5.0)
    assert flow(one, other, 5.0) == []
    assert one.next_deadline() == 10.0
    one.send(5, 7, "c", b"")
    flow(one, other, 7.0)
    assert one.next_deadline() == 10.0


def test_one_heartbeat_at_most_waits_to_be_sent() -> None:
    one, other = links()
    one.send(5, 7, "c", b"")
    one.tick(5.0)
    before = one.pending_bytes
    assert one.next_deadline() == 10.0  # not at once again, though the stream takes nothing
    one.tick(10.0)
    assert one.pending_bytes == before
    assert len(flow(one, other, 11.0)) == 1
    one.tick(15.0)
    assert one.pending_bytes > 0


def test_the_round_trip() -> None:
    """The way there and back, whatever clock the other end has, and however long it held the heartbeat."""
    one, other = links()
    one.tick(5.0)
    other.receive_data(one.data_to_send(5.0), 1000.0)
    assert other.statistics().round_trip is None  # it has given nothing back yet
    other.tick(1003.0)
    one.receive_data(other.data_to_send(1003.0), 8.25)
    assert one.statistics().round_trip == 0.25
    one.tick(10.0)
    other.receive_data(one.data_to_send(10.0), 1005.5)
    assert other.statistics().round_trip == 0.75  # held by the first end for 1.75 seconds


def test_a_clock_that_runs_at_another_rate_makes_no_negative_time() -> None:
    one, other = links()
    one.tick(5.0)
    other.receive_data(one.data_to_send(5.0), 1000.0)
    other.tick(1006.0)
    one.receive_data(other.data_to_send(1006.0), 10.5)
    assert one.statistics().round_trip == 0.0


def test_a_silent_peer_is_told_once_at_its_time() -> None:
    one, _ = links()
    assert quiet(one, 0.0, 100.0) == [(20.0, SILENT(20.0))]


def test_any_byte_counts() -> None:
    one, other = links()
    other.send(7, 5, "c", b"12345678")
    data = other.data_to_send(0)
    assert quiet(one, 0.0, 19.0) == []
    one.receive_data(data[:1], 19.0)
    assert quiet(one, 19.0, 38.9) == []
    assert quiet(one, 38.9, 60.0) == [(39.0, SILENT(20.0))]


def test_heartbeats_of_both_keep_a_link_alive() -> None:
    one, other = links()
    now = 0.0
    while now < 200.0:
        now = min(one.next_deadline(), other.next_deadline())
        for link in (one, other):
            link.tick(now)
        assert flow(one, other, now) == flow(other, one, now) == []


def test_a_process_that_stood_still_reads_before_it_judges() -> None:
    one, other = links()
    one.tick(5.0)
    one.data_to_send(5.0)
    one.tick(60.0)
    assert one.events() == []
    other.tick(60.0)
    one.receive_data(other.data_to_send(60.0), 60.1)
    assert quiet(one, 60.1, 80.0) == []


def test_a_process_that_stood_still_and_finds_nothing_to_read() -> None:
    one, _ = links()
    one.tick(60.0)
    one.data_to_send(60.0)
    assert quiet(one, 60.0, 100.0) == [(65.0, SILENT(65.0))]


def test_an_acknowledgement_goes_alone_after_its_delay() -> None:
    one, other = links()
    one.send(5, 7, "c", b"")
    assert other.next_deadline() == 5.0
    other.receive_data(one.data_to_send(2.0), 2.0)
    assert other.next_deadline() == 3.0
    other.tick(2.9)
    assert other.data_to_send(2.9) == b""
    other.tick(3.0)
    flow(other, one, 3.0)
    assert one.statistics().unacknowledged == 0
    assert other.next_deadline() == 5.0


def test_no_times_before_it_is_open_nor_after_its_end() -> None:
    one, _ = opening()
    one.tick(1000.0)
    assert one.next_deadline() == math.inf
    assert one.events() == []
    one, _ = links()
    one.close("done")
    one.tick(1000.0)
    assert one.next_deadline() == math.inf
    assert one.events() == []
