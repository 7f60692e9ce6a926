"""What a hostile message may cost: depth, memory and time."""

from __future__ import annotations

import datetime as dt
import tracemalloc
from typing import Any

import pytest

from tests.values_table import VALUES, Player, Reference, Right, same
from tests.wire.codec_kit import CODEC, SMALL, refused, tagged
from trionet.message import Limits, snapshot
from trionet.wire.codec import Codec
from trionet.wire.survey import survey

# --- cost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["9b 0000000000ffffff", "bb 0000000000ffffff", "5a 3fffffff", "7a 3fffffff"])
def test_a_declared_length_allocates_nothing(head: str) -> None:
    tracemalloc.start()
    try:
        refused(bytes.fromhex(head))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_small_bytes_cannot_become_a_great_heap() -> None:
    codec = Codec(Limits(size=1 << 18))
    body = b"\x9a\x00\x08\x00\x00" + b"\x80" * (1 << 19)
    tracemalloc.start()
    try:
        refused(body, "more containers than a message may have", codec)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(body)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("tag", [258, 49153, 49154])
def test_keys_that_share_a_hash_are_refused(tag: int) -> None:
    modulus = (1 << 61) - 1
    members = [number * modulus for number in range(2000)]
    content = members if tag != 49154 else [part for number in members for part in (number, 1)]
    refused(tagged(tag, content), "share one hash")


def test_some_keys_may_share_a_hash() -> None:
    members = {-1, -2, 0, (1 << 61) - 1, *range(5, 500)}
    assert members == CODEC.decode(CODEC.encode(members))[0]


@pytest.mark.parametrize("depth", [9, 10, 17, 18, 19, 22, 1000, 100_000])
@pytest.mark.parametrize(
    "head", ["81", "a1 60", "d9 c000 81", "d9 c002 82 01", "d9 c000", "c2", "d9 c006 82 01"]
)
def test_nothing_is_nested_too_deeply(head: str, depth: int) -> None:
    refused(bytes.fromhex(head) * depth + b"\x80", codec=SMALL)


def test_a_scalar_in_the_deepest_place_is_not_too_deep() -> None:
    item: Any = [Reference("world"), Right.READ | Right.RUN, dt.timedelta(1)]
    for _ in range(7):
        item = Player("ann", item) if isinstance(item, list) else [item]
    assert same(item, SMALL.decode(SMALL.encode(item))[0])


def test_checks_are_told_once_when_a_deep_message_is_read_twice() -> None:
    age = tagged(49159, ["tests.values_table.Age", "years", 1])
    body = b"\x82" + age + bytes.fromhex("d9c000 81") * 7 + b"\x01"
    assert len(SMALL.decode(body)[1]) == 1


def test_the_survey_reads_what_the_decoder_reads() -> None:
    for item in VALUES.values():
        survey(CODEC.encode(snapshot(item, "args")[0]), 64, 10_000)
