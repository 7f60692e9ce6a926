"""Damaged messages, garbage and well-formed nonsense: a value or a BadMessage, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.values_table import VALUES, Broke, same
from tests.wire.codec_kit import CODEC, SMALL
from trionet.errors import BadMessage
from trionet.message import Limits, snapshot
from trionet.wire.codec import Codec
from trionet.wire.survey import survey

# --- damaged messages -------------------------------------------------------------------------------

SAMPLES = [
    CODEC.encode(snapshot(item, "args")[0])
    for name, item in VALUES.items()
    if "long" not in name and name != "set-large"
]
RICH = CODEC.encode(
    [7, 1 << 40, "greet", list(VALUES["mixture"].values()), VALUES["dict-mixed-keys"], Broke("a", 2)]
)


def survive(body: bytes) -> None:
    """Decode what may be anything, and what comes out must be a value again."""
    try:
        made, _ = SMALL.decode(body)
    except BadMessage as error:
        json.dumps(str(error))
    else:
        assert same(made, SMALL.decode(SMALL.encode(snapshot(made, "again")[0]))[0])
    try:
        survey(body, 8, 1000, 1000)
    except BadMessage:
        return


@pytest.mark.parametrize("body", [*SAMPLES, RICH], ids=range(len(SAMPLES) + 1))
def test_every_truncation_is_refused(body: bytes) -> None:
    for end in range(len(body)):
        with pytest.raises(BadMessage):
            CODEC.decode(body[:end])
        with pytest.raises(BadMessage):
            survey(body[:end], 64, 10_000, 10_000)


def test_every_changed_byte_is_survived() -> None:
    for place in range(len(RICH)):
        for byte in (0, 0x1F, 0x60, 0x80, 0xA1, 0xC2, 0xD9, 0xF7, 0xFF, RICH[place] ^ 1, RICH[place] ^ 0x20):
            survive(RICH[:place] + bytes([byte]) + RICH[place + 1 :])


@given(st.binary())
def test_garbage_is_survived(body: bytes) -> None:
    survive(body)


@given(st.sampled_from([*SAMPLES, RICH]), st.data())
def test_damaged_messages_are_survived(body: bytes, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body)))
        cut = data.draw(st.integers(0, 3))
        body = body[:place] + data.draw(st.binary(max_size=3)) + body[place + cut :]
    survive(body)


CBOR: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.integers(-(1 << 64), 1 << 64)
    | st.text(max_size=5)
    | st.binary(max_size=17)
    | st.just(cbor2.undefined),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=3) | st.integers(0, 3), inner, max_size=3),
        st.builds(
            cbor2.CBORTag,
            st.sampled_from([2, 3, 37, 100, 258, *range(49152, 49163)]),
            inner
            | st.lists(st.sampled_from(["player", "level", "old", "LOW", "kept", 0, 1]) | inner, max_size=5),
        ),
    ),
    max_leaves=12,
)


@given(CBOR)
def test_well_formed_nonsense_is_survived(item: Any) -> None:
    survive(cbor2.dumps(item))


def test_the_decoder_is_not_kept_when_it_failed_with_a_large_body() -> None:
    codec = Codec(Limits())
    for body in (b"\x82" + cbor2.dumps(b"x" * 200_000), cbor2.dumps(b"x" * 200_000) + b"\x01", b"\x82\x01"):
        with pytest.raises(BadMessage):
            codec.decode(body)
    assert codec.decode(cbor2.dumps(b"x" * 200_000)) == (b"x" * 200_000, [])
    assert codec.decode(cbor2.dumps([1])) == ([1], [])
