"""The codec and declared classes: two versions of one, and what code of theirs raises."""

from __future__ import annotations

import attrs
import cbor2
import pytest

from tests.values_table import Reference
from tests.wire.codec_kit import CODEC, refused, tagged
from trionet.message import Limits, value
from trionet.wire.codec import Codec

# --- classes of two versions ------------------------------------------------------------------------


@value(name="old")
@attrs.frozen
class Old:
    kept: int
    more: list[int] = attrs.Factory(list)
    twice: int = attrs.field(default=attrs.Factory(lambda self: self.kept * 2, takes_self=True))
    plain: str = "p"


@value(name="lax", unknown="drop")
@attrs.frozen
class Lax:
    kept: int


@value(name="failing")
@attrs.frozen
class Failing:
    kept: int = attrs.Factory(lambda: 1 // 0)

    def __hash__(self) -> int:
        raise LookupError("no hash today")


@value(name="unmade")
class Unmade(UnicodeDecodeError):
    pass


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_missing_fields_take_their_defaults() -> None:
    made, _ = CODEC.decode(tagged(49159, ["old", "kept", 3]))
    assert made == Old(3, [], 6, "p")
    made, _ = CODEC.decode(tagged(49159, ["old", "plain", "q", "kept", 3, "twice", 0]))
    assert made == Old(3, [], 0, "q")


def test_unknown_fields_are_dropped_only_where_the_class_says_so() -> None:
    assert CODEC.decode(tagged(49159, ["lax", "new", [1], "kept", 3])) == (Lax(3), [])
    refused(tagged(49159, ["old", "new", 1, "kept", 3]), "old has no field 'new'")


def test_what_a_declared_class_raises_is_the_fault_of_the_message() -> None:
    refused(tagged(49159, ["failing"]), "zero")
    refused(tagged(258, [cbor2.CBORTag(49159, ["failing", "kept", 1])]), "no hash today")
    refused(tagged(49160, ["unmade", 0, 0]), "exactly 5 arguments")


def test_an_error_without_text_is_told_by_its_class() -> None:
    def fail(target: object, interface: object) -> object:
        raise Mute

    refused(CODEC.encode(Reference("world")), "Mute", Codec(Limits(), fail))


def test_an_interrupt_is_not_taken_for_a_bad_message() -> None:
    def interrupt(target: object, interface: object) -> object:
        raise KeyboardInterrupt

    codec = Codec(Limits(), interrupt)
    with pytest.raises(KeyboardInterrupt):
        codec.decode(CODEC.encode([Reference("world")]))
    assert codec.decode(b"\x01") == (1, [])
