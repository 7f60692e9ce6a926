"""The codec and drawn values: each comes out as it went in."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.values_table import (
    Age,
    Broke,
    Color,
    Empty,
    Key,
    Level,
    Player,
    Point,
    Reference,
    Right,
    Word,
    same,
)
from trionet.handle import Handle
from trionet.message import ITEM_WEIGHT, PART_WEIGHT, Limits, snapshot, weighed_snapshot
from trionet.wire.codec import Codec
from trionet.wire.survey import survey

CODEC = Codec(Limits(), Reference)

NUMBERS = st.integers(-(1 << 70), 1 << 70) | st.binary(max_size=512).map(int.from_bytes)
OFFSETS = st.integers(-86_399_999_999, 86_399_999_999).map(
    lambda us: dt.timezone(dt.timedelta(microseconds=us))
)
TEXT = st.text()
HANDLES = st.builds(Handle, st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1))
HASHABLE_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.floats(),
    TEXT,
    st.binary(),
    st.datetimes(timezones=OFFSETS),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
    st.decimals(allow_nan=False),
    HANDLES,
    st.builds(Reference, HANDLES | st.from_regex(r"[a-z]{1,20}", fullmatch=True), st.none() | TEXT),
    st.sampled_from([*Color, *Level, *Word, *Right, Right.READ | Right.RUN]),
    st.builds(Point, NUMBERS, st.integers()),
    st.builds(Age, st.integers(0)),
    st.builds(Key, st.lists(TEXT).map(tuple)),
)
# Strategies of one's own keep the text of what is built of them short.


@st.composite
def scalars(draw: st.DrawFn) -> Any:
    return draw(HASHABLE_SCALARS | st.decimals() | st.builds(Empty))


@st.composite
def hashables(draw: st.DrawFn, depth: int = 2) -> Any:
    if not depth:
        return draw(HASHABLE_SCALARS)
    inner = hashables(depth - 1)
    return draw(HASHABLE_SCALARS | st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3))


ANY = st.recursive(
    scalars() | hashables(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(TEXT, inner, max_size=4),
        st.dictionaries(hashables(), inner, max_size=3),
        st.sets(hashables(), max_size=3),
        st.builds(Player, TEXT, st.lists(inner, max_size=3), st.none() | st.builds(Point, NUMBERS)),
        st.builds(Broke, TEXT, inner),
    ),
    max_leaves=20,
)


@given(ANY)
def test_every_value_makes_the_round_trip(item: Any) -> None:
    local, _ = snapshot(item, "args")
    assert same(local, CODEC.decode(CODEC.encode(local))[0])


@given(ANY)
def test_what_a_value_weighs_bounds_what_it_takes(item: Any) -> None:
    """So what a sender may send is never too much for its receiver, who counts bytes, items and parts."""
    copied, _, alone = weighed_snapshot(item, "args", Limits(), lambda reference: reference)
    body = CODEC.encode(copied)
    weight = alone + ITEM_WEIGHT + PART_WEIGHT  # as the only item of a list
    assert len(body) <= weight * 9 / 8
    survey(body, 64, weight // (PART_WEIGHT + ITEM_WEIGHT), weight // ITEM_WEIGHT)


@given(ANY)
def test_the_input_may_be_any_buffer(item: Any) -> None:
    body = CODEC.encode(snapshot(item, "args")[0])
    whole = CODEC.decode(body)[0]
    assert same(whole, CODEC.decode(memoryview(body))[0])
    assert same(whole, CODEC.decode(bytearray(body))[0])
