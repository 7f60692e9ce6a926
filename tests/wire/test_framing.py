"""Frames out of a byte stream, however it was split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionet.wire.errors import ProtocolError
from trionet.wire.framing import LENGTH, FrameBuffer, Spans, frame


def feed(buffer: FrameBuffer, *pieces: bytes) -> list[bytes]:
    found: list[bytes] = []
    for piece in pieces:
        buffer.feed(piece, lambda data, spans: found.extend(data[a:b] for a, b in spans))
    return found


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut bytes at places given as numbers of any size."""
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(
    bodies=st.lists(st.binary(min_size=1, max_size=50)),
    cuts=st.lists(st.integers(0, 10_000), max_size=20),
    trailer=st.integers(0, 5),
)
def test_every_split_gives_the_same_frames(bodies: list[bytes], cuts: list[int], trailer: int) -> None:
    tail = b"t" * trailer
    data = b"".join(frame(body) + tail for body in bodies)
    buffer = FrameBuffer(50, trailer)
    assert feed(buffer, *split(data, cuts)) == [body + tail for body in bodies]
    assert len(buffer) == 0


@given(
    bodies=st.lists(st.binary(min_size=1, max_size=50)), cuts=st.lists(st.integers(0, 10_000), max_size=20)
)
def test_taking_one_at_a_time(bodies: list[bytes], cuts: list[int]) -> None:
    buffer, found = FrameBuffer(50), []
    for piece in split(b"".join(map(frame, bodies)), cuts):
        buffer.hold(piece)
        while (body := buffer.take()) is not None:
            found.append(body)
    assert found == bodies
    assert buffer.rest() == b""


@pytest.mark.parametrize("length", [0, 51, 2**31, 2**32 - 1])
def test_a_length_out_of_range_is_refused_before_anything_is_kept(length: int) -> None:
    with pytest.raises(ProtocolError, match=f"a frame of {length} bytes, expected 1 to 50"):
        feed(FrameBuffer(50), LENGTH.pack(length))
    buffer = FrameBuffer(50)
    buffer.hold(LENGTH.pack(length))
    with pytest.raises(ProtocolError, match=f"a frame of {length} bytes, expected 1 to 50"):
        buffer.take()


def test_the_greatest_length_is_allowed() -> None:
    assert feed(FrameBuffer(50), frame(b"x" * 50)) == [b"x" * 50]


def test_frames_before_a_bad_one_are_handed_on() -> None:
    found: list[bytes] = []

    def consume(data: bytes, spans: Spans) -> None:
        found.extend(data[start:end] for start, end in spans)

    with pytest.raises(ProtocolError):
        FrameBuffer(50).feed(frame(b"good") + LENGTH.pack(0), consume)
    assert found == [b"good"]


def test_rest_gives_what_belongs_to_no_frame() -> None:
    buffer = FrameBuffer(50)
    buffer.hold(frame(b"one") + b"more")
    assert buffer.take() == b"one"
    assert buffer.rest() == b"more"
    assert feed(buffer, frame(b"two")) == [b"two"]
