"""The codec on its good days: the table of values, drawn values, references, sizes, depth."""

from __future__ import annotations

import datetime as dt
import gc
import uuid
import weakref
import zoneinfo
from typing import Any

import attrs
import pytest

from tests.values_table import (
    HANDLE,
    REFUSED,
    VALUES,
    Age,
    Broke,
    Color,
    Level,
    Player,
    Point,
    Reference,
    same,
)
from trionet.errors import BadMessage
from trionet.handle import Handle
from trionet.message import Limits, check, snapshot
from trionet.wire import codec as codec_module
from trionet.wire.codec import Codec
from trionet.wire.plain import dumps_plain, loads_plain

CODEC = Codec(Limits(), Reference)


def through(item: Any, codec: Codec = CODEC) -> Any:
    return codec.decode(codec.encode(item))[0]


# --- the table --------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", VALUES.values(), ids=VALUES)
def test_a_value_comes_out_the_same_on_both_paths(item: Any) -> None:
    local, _ = snapshot(item, "args")
    remote = through(local)
    assert same(item, local)
    assert same(item, remote)


@pytest.mark.parametrize("item", VALUES.values(), ids=VALUES)
def test_a_value_comes_out_the_same_inside_others(item: Any) -> None:
    for around in ([item], (item,), {"a": item}, {1: item}, Player("ann", [item]), Broke("ann", item)):
        assert same(around, through(snapshot(around, "args")[0]))


@pytest.mark.parametrize(("item", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_value_is_refused_by_the_copy(item: Any, reason: str) -> None:
    with pytest.raises(BadMessage, match=reason):
        snapshot(item, "args")


@pytest.mark.parametrize("name", sorted(set(REFUSED) - {"int-too-large", "str-surrogate"}))
def test_what_is_no_value_is_refused_by_the_codec_too(name: str) -> None:
    item, reason = REFUSED[name]
    with pytest.raises(BadMessage, match=reason):
        CODEC.encode(item)


def test_a_lone_surrogate_is_never_written() -> None:
    with pytest.raises(BadMessage, match="surrogate"):
        CODEC.encode(["\udc80"])
    assert through(["still", "works"]) == ["still", "works"]


def test_an_int_of_too_many_bits_is_never_read() -> None:
    for number in (1 << 4096, -(1 << 4096)):
        with pytest.raises(BadMessage, match="int of more than 4096 bits"):
            through(number)


def test_a_time_zone_becomes_a_fixed_offset() -> None:
    moment = dt.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Vienna"))
    arrived = through(snapshot(moment, "args")[0])
    assert arrived == moment
    assert arrived.tzinfo == dt.timezone(dt.timedelta(hours=2))


# --- plain messages take the short way --------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "body"),
    [
        ([1, "a", None], "83 01 61 61 f6"),
        ({"a": [1.5]}, "a1 61 61 81 fb 3ff8000000000000"),
        ((1,), "d9 c000 81 01"),
        ({1: 2}, "d9 c002 82 01 02"),
        ({7}, "d9 0102 81 07"),
        (frozenset({7}), "d9 c001 81 07"),
        (dt.date(1970, 1, 2), "d8 64 01"),
        (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "d9 c003 50" + "00" * 16),
        (dt.timedelta(-1, 2, 3), "d9 c004 4c ffffffff 00000002 00000003"),
        (uuid.UUID(int=1), "d8 25 50" + "00" * 15 + "01"),
        (HANDLE, "d9 c009 4c 01000007 0123456789abcdef"),
        (Reference("w", "I"), "d9 c00a 82 6177 6149"),
        (Level.HIGH, "d9 c006 82 65 6c6576656c 64 48494748"),
        (Player("x"), "d9 c007 87 66 706c61796572 64 6e616d65 6178 65 6974656d73 80 64 73706f74 f6"),
        (1 << 64, "c2 49 010000000000000000"),
    ],
)
def test_the_bytes_are_those_of_the_table(item: Any, body: str) -> None:
    assert bytes.fromhex(body) == CODEC.encode(item)


def test_plain_containers_are_not_copied_on_their_way_to_the_encoder() -> None:
    lower = CODEC._lower
    for item in ([1, "a"], {"a": 1}, [], {}):
        assert lower.item(item, 4) is item


# --- declared classes -------------------------------------------------------------------------------


def test_validators_are_left_to_the_dispatcher() -> None:
    age = attrs.evolve(Age(1))
    object.__setattr__(age, "years", -1)
    made, checks = CODEC.decode(CODEC.encode([age, Point(1), Age(2)]))
    assert [made[0], made[2]] == checks
    with pytest.raises(BadMessage, match="Age was refused by its validator"):
        check(checks)


def test_each_message_has_its_own_checks() -> None:
    CODEC.decode(CODEC.encode(Age(1)))
    assert CODEC.decode(CODEC.encode(1)) == (1, [])


def test_an_exception_keeps_its_notes_and_attributes() -> None:
    error = Broke("ann", 3)
    error.add_note("seen")
    made = through(error)
    assert type(made) is Broke
    assert made.args == ("ann lacks 3",)
    assert vars(made) == {"owner": "ann", "missing": 3, "__notes__": ["seen"]}


# --- references -------------------------------------------------------------------------------------


def test_references_are_refused_where_none_can_be_made() -> None:
    body = CODEC.encode(Reference("world", "game.World"))
    with pytest.raises(BadMessage, match=r"a reference to world as game\.World, where none can be read"):
        Codec(Limits()).decode(body)


def test_a_local_name_does_not_leave_its_node() -> None:
    with pytest.raises(BadMessage, match=r"'\.world', a name that only its own node knows"):
        CODEC.encode(Reference(".world"))


def test_what_makes_references_may_refuse_them() -> None:
    def refuse(target: Handle | str, interface: str | None) -> object:
        raise LookupError("no such interface")

    with pytest.raises(BadMessage, match="no such interface"):
        Codec(Limits(), refuse).decode(CODEC.encode(Reference("world")))


def test_a_codec_leaves_nothing_behind() -> None:
    class Link:
        def __init__(self) -> None:
            self.codec = Codec(Limits(), self.make)

        def make(self, target: Handle | str, interface: str | None) -> object:
            return self

    link = Link()
    made, _ = link.codec.decode(CODEC.encode([Reference("world"), Age(1)]))
    with pytest.raises(BadMessage):
        link.codec.decode(b"\x82\x01")
    gone = weakref.ref(link)
    del link, made
    gc.collect()
    assert gone() is None


# --- limits -----------------------------------------------------------------------------------------


def nested(depth: int, wrap: Any) -> Any:
    item: Any = wrap(None)
    for _ in range(depth - 1):
        item = wrap(item)
    return item


WRAPS = {
    "list": lambda inner: [inner],
    "tuple": lambda inner: (inner,),
    "dict": lambda inner: {"a": inner},
    "general-dict": lambda inner: {1: inner},
    "frozenset": lambda inner: frozenset({inner}),
    "record": lambda inner: Player("ann", inner),
    "exception": lambda inner: Broke("ann", inner),
    "reference-inside": lambda inner: [inner if inner is not None else Reference(HANDLE, "I")],
    "enum-inside": lambda inner: (inner if inner is not None else Color.RED,),
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_depth_is_counted_as_the_copy_counts_it(wrap: Any) -> None:
    codec = Codec(Limits(depth=7), Reference, envelope=0)
    deepest, _ = snapshot(nested(7, wrap), "args", Limits(depth=7))
    assert same(deepest, through(deepest, codec))
    deeper = nested(8, wrap)
    with pytest.raises(BadMessage, match="nested deeper"):
        codec.encode(deeper)
    with pytest.raises(BadMessage, match="nested deeper"):
        codec.decode(CODEC.encode(deeper))


def test_the_envelope_has_levels_of_its_own() -> None:
    codec = Codec(Limits(depth=2))
    assert [[[]]] == through([[[]]], codec)
    with pytest.raises(BadMessage, match="nested deeper"):
        through([[[[]]]], codec)


def test_a_set_is_a_level_too() -> None:
    with pytest.raises(BadMessage, match="nested deeper"):
        Codec(Limits(depth=0)).encode([set()])


def test_a_handle_out_of_its_range_is_never_written() -> None:
    for wrong in (Handle(1 << 32, 0), Handle(-1, 0), Handle(1, 1 << 64)):
        with pytest.raises(BadMessage, match="is no handle"):
            CODEC.encode([wrong])


def test_what_a_declared_class_raises_fails_the_message() -> None:
    with pytest.raises(BadMessage, match="name"):
        CODEC.encode(object.__new__(Player))


def test_depth_beyond_the_interpreter_is_refused() -> None:
    codec = Codec(Limits(depth=1_000_000))
    with pytest.raises(BadMessage, match="deeper than this interpreter can follow"):
        codec.decode(b"\x81" * 50_000 + b"\x01")


def test_far_too_deep_values_fail_before_they_reach_native_code() -> None:
    codec = Codec(Limits(depth=1_000_000))
    with pytest.raises(BadMessage, match="nested deeper"):
        codec.encode(nested(100_000, lambda inner: [inner]))


def test_the_size_is_bounded_both_ways() -> None:
    codec = Codec(Limits(size=1000))
    assert codec.max_bytes == 1125 + 64 * 1024
    fits = b"x" * (codec.max_bytes - 5)
    assert fits == through(fits, codec)
    with pytest.raises(BadMessage, match="when encoded, more than 66661"):
        codec.encode(fits + b"x")
    with pytest.raises(BadMessage, match="66662 bytes, more than 66661"):
        codec.decode(CODEC.encode(fits + b"x"))


@pytest.mark.parametrize(
    "part", [[], (), {}, {1: 2}, Color.RED, 1 << 80, Point(1), HANDLE, Reference("world")]
)
def test_the_number_of_containers_and_tagged_values_is_bounded(part: Any) -> None:
    limits = Limits(size=64_000)
    codec = Codec(limits, Reference)
    most, _ = snapshot([part] * 200, "args", limits)
    assert same(most, through(most, codec))
    with pytest.raises(BadMessage, match="larger than a message may be"):
        snapshot([part] * 1001, "args", limits)
    with pytest.raises(BadMessage, match="more items than a message may have"):
        codec.decode(CODEC.encode([part] * 1005))


def test_text_that_only_looks_like_containers_is_no_container() -> None:
    codec = Codec(Limits(size=32_000), Reference)
    item = ["服务" * 1000, b"\x80" * 3000, 0x8080808080, Color.RED, Reference(HANDLE)]
    assert same(item, through(item, codec))


# --- control frames ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item", [None, True, 0, -(1 << 64), (1 << 64) - 1, 1.5, "é", b"x", [], {}, [1, {"a": [b"b"]}, {b"k": 1}]]
)
def test_control_frames_are_plain(item: Any) -> None:
    assert same(item, loads_plain(dumps_plain(item), 100))


@pytest.mark.parametrize(
    "item", [(1,), {1}, 1 << 64, -(1 << 64) - 1, {1: 2}, HANDLE, Level.LOW, "\ud800", [[[[[]]]]], Point(1)]
)
def test_control_frames_hold_nothing_else(item: Any) -> None:
    with pytest.raises(BadMessage):
        dumps_plain(item)


@pytest.mark.parametrize("size", [codec_module._LONG - 1, codec_module._LONG, 70_000])
def test_long_bytes_are_bytes(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert CODEC.decode(CODEC.encode(data)) == (data, [])
    assert CODEC.decode_arguments(CODEC.encode_arguments((data,), {})) == ((data,), {}, [])
    small = Codec(Limits(size=1000))
    if size > small.max_bytes:
        with pytest.raises(BadMessage, match=f"more than {small.max_bytes}"):
            small.encode(data)
        with pytest.raises(BadMessage, match=f"more than {small.max_bytes}"):
            small.encode_arguments((data,), {})
