"""Lines over a connection: cut anywhere, too long, in records and outside of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionet.wire.agreement import Agreement, LinkPeer
from trionet.wire.errors import ProtocolError
from trionet.wire.hellos import Purpose
from trionet.wire.lines import TOO_LONG, LineCoder, TooLong

PEER = LinkPeer(1, 1, Purpose.CONSOLE, 1, bytes(8))
ONE, OTHER = bytes(range(32)), bytes(range(32, 64))
LIMIT = 20

lines = st.lists(st.binary(max_size=40).map(lambda each: each.replace(b"\n", b"")), max_size=10)
cuts = st.lists(st.integers(min_value=1, max_value=30), max_size=20)


def sealed(send: bytes, receive: bytes, received: bytes = b"") -> Agreement:
    return Agreement(PEER, send, receive, received)


def in_pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def taken(coder: LineCoder) -> list[bytes | TooLong]:
    found = []
    while (line := coder.next_line()) is not None:
        found.append(line)
    return found


@given(lines, cuts, st.booleans())
def test_lines_come_as_they_were_sent(sent: list[bytes], sizes: list[int], records: bool) -> None:
    """However they are cut; one that is too long is told once, in its place, and nothing after it is lost."""
    sender = LineCoder(LIMIT, sealed(ONE, OTHER) if records else None)
    receiver = LineCoder(LIMIT, sealed(OTHER, ONE) if records else None)
    for piece in in_pieces(b"".join(map(sender.pack, sent)), sizes):
        receiver.receive_data(piece)
    assert taken(receiver) == [each if len(each) <= LIMIT else TOO_LONG for each in sent]
    assert receiver.dropped == sum(len(each) for each in sent if len(each) > LIMIT)


def test_a_line_that_never_ends_takes_no_room() -> None:
    coder = LineCoder(LIMIT)
    for _ in range(1000):
        coder.receive_data(b"x" * 10)
    assert taken(coder) == [TOO_LONG]
    assert len(coder._partial) == 0
    assert coder.dropped == 10_000
    coder.receive_data(b"x\nshort\n")
    assert taken(coder) == [b"short"]


def test_long_lines_go_in_several_records() -> None:
    line = b"x" * 1_000_000
    receiver = LineCoder(2_000_000, sealed(OTHER, ONE))
    receiver.receive_data(LineCoder(LIMIT, sealed(ONE, OTHER)).pack(line))
    assert taken(receiver) == [line]


def test_what_came_with_the_handshake_counts() -> None:
    packed = LineCoder(LIMIT, sealed(ONE, OTHER)).pack(b"early")
    assert taken(LineCoder(LIMIT, sealed(OTHER, ONE, packed))) == [b"early"]
    assert taken(LineCoder(LIMIT, Agreement(PEER, None, None, b"early\n"))) == [b"early"]


def test_a_record_that_was_changed_is_refused() -> None:
    packed = bytearray(LineCoder(LIMIT, sealed(ONE, OTHER)).pack(b"kill .world"))
    packed[10] ^= 1
    receiver = LineCoder(LIMIT, sealed(OTHER, ONE))
    with pytest.raises(ProtocolError, match="tag is wrong"):
        receiver.receive_data(bytes(packed))
    assert taken(receiver) == []
