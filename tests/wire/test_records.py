"""Records: nothing is handed on that was not sealed, in this order, with this key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.test_framing import split
from trionet.wire.errors import ProtocolError
from trionet.wire.framing import LENGTH, FrameBuffer, frame
from trionet.wire.records import MAX_RECORD, TAG_SIZE, RecordOpener, RecordSealer

KEY = bytes(range(32))


class Opener:
    """A record opener and the frames that came out of it."""

    def __init__(self, key: bytes = KEY, limit: int = MAX_RECORD * 4) -> None:
        self.opener = RecordOpener(key, FrameBuffer(limit))
        self.found: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self.opener.feed(data, lambda data, spans: self.found.extend(data[a:b] for a, b in spans))


@given(
    flushes=st.lists(st.lists(st.binary(min_size=1, max_size=30), min_size=1)),
    cuts=st.lists(st.integers(0, 10_000), max_size=20),
)
def test_every_split_gives_the_same_frames(flushes: list[list[bytes]], cuts: list[int]) -> None:
    sealer, opener = RecordSealer(KEY), Opener()
    data = b"".join(sealer.seal(b"".join(map(frame, bodies))) for bodies in flushes)
    for piece in split(data, cuts):
        opener.feed(piece)
    assert opener.found == [body for bodies in flushes for body in bodies]
    assert len(opener.opener) == 0


def test_one_record_a_flush() -> None:
    sealed = RecordSealer(KEY).seal(b"x" * MAX_RECORD)
    assert len(sealed) == LENGTH.size + MAX_RECORD + TAG_SIZE


def test_a_large_flush_is_several_records_and_a_frame_may_lie_in_two() -> None:
    body, opener = bytes(MAX_RECORD + 100), Opener()
    sealed = RecordSealer(KEY).seal(frame(body))
    assert len(sealed) == 2 * (LENGTH.size + TAG_SIZE) + LENGTH.size + len(body)
    opener.feed(sealed)
    assert opener.found == [body]


@given(place=st.integers(0), bit=st.integers(0, 7))
def test_any_changed_bit_is_refused(place: int, bit: int) -> None:
    sealed = bytearray(RecordSealer(KEY).seal(frame(b"a message")))
    sealed[place % len(sealed)] ^= 1 << bit
    opener = Opener()
    try:
        opener.feed(bytes(sealed))
    except ProtocolError:
        pass
    else:  # a greater length: the peer seems to be in the middle of a record
        assert place % len(sealed) < LENGTH.size
    assert opener.found == []


def test_a_repeated_record_is_refused() -> None:
    sealed, opener = RecordSealer(KEY).seal(frame(b"pay 10")), Opener()
    opener.feed(sealed)
    with pytest.raises(ProtocolError, match="tag is wrong"):
        opener.feed(sealed)
    assert opener.found == [b"pay 10"]


def test_a_left_out_or_moved_record_is_refused() -> None:
    sealer = RecordSealer(KEY)
    first, second = sealer.seal(frame(b"first")), sealer.seal(frame(b"second"))
    with pytest.raises(ProtocolError, match="tag is wrong"):
        Opener().feed(second + first)


def test_a_record_of_another_key_is_refused() -> None:
    sealed = RecordSealer(bytes(32)).seal(frame(b"first"))
    with pytest.raises(ProtocolError, match="tag is wrong"):
        Opener().feed(sealed)


@pytest.mark.parametrize("length", [0, MAX_RECORD + 1, 2**32 - 1])
def test_a_length_out_of_range_is_refused_at_once(length: int) -> None:
    with pytest.raises(ProtocolError, match="a frame of"):
        Opener().feed(LENGTH.pack(length))
