"""What a hostile message may cost: depth, memory and time."""

from __future__ import annotations

import datetime as dt
import tracemalloc
from contextlib import suppress
from typing import Any, Final

import pytest

from tests.values_table import VALUES, Player, Reference, Right, same
from tests.wire.codec_kit import CODEC, SMALL, refused, tagged
from trionet.errors import BadMessage
from trionet.message import Limits, snapshot
from trionet.wire import codec as codec_module
from trionet.wire.codec import Codec
from trionet.wire.native import NativeReader
from trionet.wire.plain import loads_plain
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


def array(count: int, item: bytes) -> bytes:
    return b"\x9a" + count.to_bytes(4) + item * count


LARGE: Final = 1 << 18
#: Bodies that are as large as a message may be, and hold more than a message may.
HOSTILE: Final = {
    "ints": array(LARGE, b"\x00"),
    "texts": array(LARGE // 2, b"\x61a"),
    "lists": array(LARGE, b"\x80"),
    "dicts": array(LARGE, b"\xa0"),
    "dicts-in-a-dict": b"\xba" + (LARGE // 4).to_bytes(4) + b"\x61a\xa0" * (LARGE // 4),
    "tuples": array(LARGE // 4, b"\xd9\xc0\x00\x80"),
    "dates": array(LARGE // 3, b"\xd8\x64\x00"),
    "bignums": array(LARGE // 2, b"\xc2\x40"),
    "decimals": array(LARGE // 5, b"\xd9\xc0\x05\x611"),
    "lists-of-many": array(LARGE // 1001, array(996, b"\x00")),
    "lists-of-few": array(LARGE // 3, b"\x82\x00\x00"),
    "towers": array(LARGE // 60, b"\x81" * 59 + b"\x00"),
    "ints-then-lists": array(2, b"")[:5] + array(LARGE // 2, b"\x00") + array(LARGE // 2, b"\x80"),
    "the-worst-at-the-end": array(2, b"")[:5]
    + array(8 * 1024, b"\x00")
    + array(LARGE // 3, b"\x81" * 2 + b"\xc2"),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_small_bytes_cannot_become_a_great_heap(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds more than a message may is refused before anything is read."""
    codec = Codec(Limits(size=LARGE))
    monkeypatch.setattr(codec_module, "_QUICKER", 1)
    monkeypatch.setattr(NativeReader, "read", lambda _, body: pytest.fail(f"{len(body)} bytes are read"))
    tracemalloc.start()
    try:
        with pytest.raises(BadMessage, match="more items than a message may have"):
            codec.decode(body)
        assert tracemalloc.get_traced_memory()[1] < 2 * len(body)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_control_frame_holds_no_more_than_its_bytes_allow(body: bytes) -> None:
    """A frame that is refused has not cost more memory than it has bytes; another few times as much."""
    tracemalloc.start()
    try:
        with suppress(BadMessage):
            loads_plain(body, len(body))
        assert tracemalloc.get_traced_memory()[1] < 12 * len(body)
    finally:
        tracemalloc.stop()


def test_plain_items_are_read_quicker_than_counted() -> None:
    """So a body that could be a few times too many of them is not looked through."""
    codec = Codec(Limits(size=64_000))
    assert codec.decode(array(8_200, b"\x00"))[0] == [0] * 8_200
    refused(array(40_000, b"\x00"), "more items than a message may have", codec)


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
        survey(CODEC.encode(snapshot(item, "args")[0]), 64, 10_000, 10_000)
