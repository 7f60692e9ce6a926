"""The codec on its bad days: whatever comes in, it is a value or a BadMessage, and nothing else."""

from __future__ import annotations

import struct
from decimal import Decimal, localcontext
from typing import Any

import cbor2
import pytest

from tests.values_table import same
from tests.wire.codec_kit import CODEC, refused, tagged
from trionet.errors import BadMessage
from trionet.wire.plain import loads_plain

# --- each trap of the native decoder ----------------------------------------------------------------

TRAPS = {
    "nothing": ("", "premature end"),
    "bytes-after": ("01 01", "1 bytes after the message, which ends at byte 1"),
    "container-and-bytes-after": ("81 01 ff", "1 bytes after the message"),
    "break-alone": ("ff", "break code"),
    "break-in-array": ("82 01 ff", "break code"),
    "break-as-value": ("a1 61 61 ff", "break code"),
    "break-as-key": ("a1 ff 01", "break code"),
    "break-in-tag": ("d9 c000 ff", "break code"),
    "endless-array": ("9f 01 ff", "indefinite length"),
    "endless-map": ("bf 61 61 01 ff", "indefinite length"),
    "endless-text": ("7f 61 61 ff", "indefinite length"),
    "endless-bytes": ("5f 41 61 ff", "indefinite length"),
    "endless-int": ("1f", "."),
    "endless-tag": ("df 01", "."),
    "reserved-length": ("1c", "."),
    "reserved-float": ("fc", "."),
    "undefined": ("f7", "undefined or a simple value"),
    "undefined-in-list": ("81 f7", "undefined or a simple value"),
    "undefined-deep": ("81 a1 61 61 81 f7", "undefined or a simple value"),
    "undefined-in-tuple": ("d9 c000 81 f7", "undefined or a simple value"),
    "undefined-in-set": ("d9 0102 81 f7", "undefined or a simple value"),
    "undefined-as-key": ("a1 f7 01", "."),
    "undefined-as-any-key": ("d9 c002 82 f7 01", "undefined or a simple value"),
    "undefined-in-record": ("d9 c007 83 66 706c61796572 64 6e616d65 f7", "undefined or a simple value"),
    "simple-value": ("e0", "undefined or a simple value"),
    "simple-value-long": ("f8 ff", "undefined or a simple value"),
    "simple-value-false-again": ("f8 14", "."),
    "duplicate-key": ("a2 61 61 01 61 61 02", "Duplicate map key"),
    "duplicate-key-bytes": ("a2 41 61 01 41 61 02", "Duplicate map key"),
    "int-key-in-native-map": ("a1 01 01", "map key must be a text string or byte string"),
    "list-key-in-native-map": ("a1 80 01", "map key"),
    "map-key-in-native-map": ("a1 a0 01", "map key"),
    "text-not-utf8": ("62 c3 28", "."),
    "text-surrogate": ("63 ed a0 80", "."),
    "text-overlong": ("62 c0 80", "."),
    "key-not-utf8": ("a1 61 ff 01", "."),
    "huge-array": ("9b 7fffffffffffffff", "premature end"),
    "huger-array": ("9b ffffffffffffffff", "."),
    "huge-map": ("bb 7fffffffffffffff", "premature end"),
    "huge-text": ("7b 7fffffffffffffff", "premature end"),
    "huger-text": ("7b ffffffffffffffff", "."),
    "huge-bytes": ("5b 7fffffffffffffff 00", "premature end"),
    "huge-bytes-32": ("5a ffffffff 00", "premature end"),
    "huge-tag": ("db ffffffffffffffff 01", "tag 18446744073709551615, which stands for no value"),
}


@pytest.mark.parametrize(("body", "reason"), TRAPS.values(), ids=TRAPS)
def test_traps(body: str, reason: str) -> None:
    refused(bytes.fromhex(body), reason)
    refused(b"\x82\x01" + bytes.fromhex(body))
    with pytest.raises(BadMessage):
        loads_plain(bytes.fromhex(body), 100)


@pytest.mark.parametrize(
    ("tag", "content"),
    [
        (0, "2024-01-01T00:00:00Z"),
        (1, 0),
        (4, [1, 2]),
        (5, [1, 2]),
        (28, [1]),
        (30, [1, 2]),
        (35, "a+"),
        (36, "MIME-Version: 1.0"),
        (52, b"\x01\x02\x03\x04"),
        (54, b"\0" * 16),
        (256, ["aaa"]),
        (260, b"\x01\x02\x03\x04"),
        (261, {b"\x01\x02\x03\x00": 24}),
        (1004, "2024-01-01"),
        (43000, [1.0, 2.0]),
        (55799, 1),
        (6, 1),
        (49163, 1),
    ],
)
def test_every_other_tag_is_refused(tag: int, content: Any) -> None:
    assert cbor2.loads(tagged(tag, content)) is not None, "the native decoder by itself would take it"
    refused(tagged(tag, content), f"tag {tag}, which stands for no value")
    refused(cbor2.dumps({"a": [cbor2.CBORTag(tag, content)]}), f"tag {tag}")
    with pytest.raises(BadMessage, match=f"tag {tag}"):
        loads_plain(tagged(tag, content), 100)


@pytest.mark.parametrize("body", ["d90100 82 63616161 d819 00", "82 d81c 81 01 d81d 00", "d81c 81 d81d 00"])
def test_what_stands_elsewhere_cannot_be_referred_to(body: str) -> None:
    assert cbor2.loads(bytes.fromhex(body)) is not None, "the native decoder by itself would take it"
    refused(bytes.fromhex(body), "which stands for no value")


def test_control_frames_take_no_tag_at_all() -> None:
    for body in (CODEC.encode((1,)), CODEC.encode(1 << 64), CODEC.encode({1, 2})):
        with pytest.raises(BadMessage, match="which stands for no value"):
            loads_plain(body, 100)
    with pytest.raises(BadMessage, match="101 bytes, more than 100"):
        loads_plain(b"x" * 101, 100)
    with pytest.raises(BadMessage, match="depth"):
        loads_plain(b"\x81" * 5 + b"\x01", 100)


# --- the content of each tag ------------------------------------------------------------------------

Z = b"\0"
CONTENTS: dict[str, tuple[int, Any, str]] = {
    "bignum-array": (2, [1, 2], "int: expected bytes, found list"),
    "bignum-text": (3, "12", "int: expected bytes, found str"),
    "bignum-too-large": (2, b"\x01" + Z * 512, "int of more than 4096 bits"),
    "bignum-too-small": (3, b"\xff" * 512, "int of more than 4096 bits"),
    "bignum-padded": (2, Z * 513, "int of more than 4096 bits"),
    "uuid-short": (37, Z * 15, "16"),
    "uuid-text": (37, "x" * 16, "UUID: expected bytes"),
    "date-text": (100, "2024-01-01", "date: expected int"),
    "date-bool": (100, True, "date: expected int, found bool"),
    "date-late": (100, 1 << 40, "."),
    "date-far": (100, 1 << 63, "."),
    "set-text": (258, "abc", "set: expected list, found str"),
    "set-dict": (258, {"a": 1}, "set: expected list, found dict"),
    "set-of-lists": (258, [[1]], "unhashable"),
    "set-of-dicts": (258, [{}], "unhashable"),
    "set-equal": (258, [1, True], "keys or members that are equal"),
    "set-equal-float": (258, [0, 0.0], "keys or members that are equal"),
    "tuple-int": (49152, 3, "tuple: expected list, found int"),
    "tuple-text": (49152, "ab", "tuple: expected list, found str"),
    "frozenset-equal": (49153, ["a", "a"], "keys or members that are equal"),
    "frozenset-text": (49153, "a", "frozenset: expected list"),
    "dict-odd": (49154, [1, 2, 3], "a key without a value"),
    "dict-equal": (49154, [1, "a", True, "b"], "keys or members that are equal"),
    "dict-equal-float": (49154, [1, "a", 1.0, "b"], "keys or members that are equal"),
    "dict-list-key": (49154, [[1], "a"], "unhashable"),
    "dict-hidden-list-key": (49154, [cbor2.CBORTag(49152, [[1]]), "a"], "unhashable"),
    "dict-nan-key": (49154, [cbor2.CBORTag(49157, "sNaN"), "a"], "signaling NaN"),
    "dict-map": (49154, {"a": 1}, "dict: expected list, found dict"),
    "datetime-text": (49155, "2024-01-01", "datetime: expected bytes"),
    "datetime-short": (49155, Z * 15, "16 bytes"),
    "datetime-late": (49155, struct.pack(">qq", (1 << 63) - 1, 0), "."),
    "datetime-early": (49155, struct.pack(">qq", -(1 << 62), 0), "."),
    "datetime-offset": (49155, struct.pack(">qq", 0, 86_400_000_000), "offset"),
    "timedelta-int": (49156, 1, "timedelta: expected bytes"),
    "timedelta-days": (49156, struct.pack(">iII", 1_000_000_000, 0, 0), "."),
    "timedelta-seconds": (49156, struct.pack(">iII", 0, 86_400, 0), "86,400"),
    "timedelta-micro": (49156, struct.pack(">iII", 0, 0, 1_000_000), "1,000,000"),
    "decimal-int": (49157, 1, "Decimal: expected str"),
    "decimal-word": (49157, "one", "."),
    "decimal-spaced": (49157, " 1", "not in canonical notation"),
    "decimal-grouped": (49157, "1_0", "not in canonical notation"),
    "decimal-digits": (49157, "\u0661", "not in canonical notation"),
    "decimal-exponent": (49157, "1E+" + "9" * 30, "."),
    "enum-text": (49158, "level", "enum: expected list"),
    "enum-short": (49158, ["level"], "."),
    "enum-long": (49158, ["level", "LOW", 1], "."),
    "enum-unknown": (49158, ["nothing", "LOW"], "'nothing' is not registered here as enum"),
    "enum-of-record": (49158, ["player", "name"], "'player' is not registered here as enum"),
    "enum-member": (49158, ["level", "MIDDLE"], "level has no member 'MIDDLE'"),
    "enum-private": (49158, ["level", "__class__"], "has no member"),
    "enum-number": (49158, ["level", 1], "enum: expected str"),
    "enum-flags": (49158, ["tests.values_table.Right", 64], "64 is no combination of the flags"),
    "enum-flags-minus": (49158, ["tests.values_table.Right", -9], "no combination of the flags"),
    "enum-name-list": (49158, [["level"], "LOW"], "name of a class: expected str"),
    "record-empty": (49159, [], "."),
    "record-dict": (49159, {"name": "player"}, "attrs class: expected list"),
    "record-unknown": (49159, ["os.system", "command", "ls"], "'os.system' is not registered here as record"),
    "record-builtin": (49159, ["builtins.ValueError"], "is not registered here"),
    "record-of-enum": (49159, ["level", "name", "x"], "is not registered here as record"),
    "record-odd": (49159, ["player", "name"], "."),
    "record-extra": (49159, ["player", "name", "a", "level", 1], "player has no field 'level'"),
    "record-private": (49159, ["player", "name", "a", "__class__", 1], "player has no field '__class__'"),
    "record-missing": (49159, ["player"], "player: field 'name' is missing and has no default"),
    "record-twice": (49159, ["player", "name", "a", "name", "b"], "player: the same field twice"),
    "record-unhashable": (49159, ["player", [], "a"], "unhashable"),
    "exception-empty": (49160, [], "."),
    "exception-of-record": (49160, ["player", 0, 0], "'player' is not registered here as exception"),
    "exception-unknown": (49160, ["os.Full", 1, 0, "no space"], "'os.Full' is not .*; it says 'no space'$"),
    "exception-unknown-silent": (
        49160,
        ["os.Full", 0, 1, "no", "space"],
        "it says nothing that can be read$",
    ),
    "exception-unknown-short": (49160, ["os.Full"], "it says nothing that can be read$"),
    "exception-no-counts": (49160, ["tests.values_table.Broke"], "."),
    "exception-count": (49160, ["tests.values_table.Broke", -1, 0], "a negative count"),
    "exception-bool": (49160, ["tests.values_table.Broke", True, 0, 1], "expected int, found bool"),
    "exception-short": (49160, ["tests.values_table.Broke", 1 << 60, 0, 1], "fewer arguments and fields"),
    "exception-odd": (49160, ["tests.values_table.Broke", 0, 0, "owner"], "."),
    "exception-key": (49160, ["tests.values_table.Broke", 0, 0, 1, 2], "expected str, found int"),
    "exception-dunder": (49160, ["tests.values_table.Broke", 0, 0, "__class__", 2], "would hide"),
    "exception-method": (49160, ["tests.values_table.Broke", 0, 0, "with_traceback", 2], "would hide"),
    "exception-field": (49160, ["tests.values_table.Refused", 0, 1, "because", 1], "'reason' is missing"),
    "handle-int": (49161, 7, "handle: expected bytes"),
    "handle-short": (49161, Z * 11, "12 bytes"),
    "handle-long": (49161, Z * 13, "12 bytes"),
    "reference-text": (49162, "world", "reference: expected list"),
    "reference-short": (49162, ["world"], "."),
    "reference-local": (49162, [".world", None], "a name that only its own node knows"),
    "reference-no-name": (49162, ["wor ld", None], "is no name"),
    "reference-long-name": (49162, ["a" * 256, None], "longer than"),
    "reference-int": (49162, [7, None], "reference: expected str, found int"),
    "reference-interface": (49162, ["world", 7], "interface of a reference: expected str"),
}


@pytest.mark.parametrize(("tag", "content", "reason"), CONTENTS.values(), ids=CONTENTS)
def test_bad_contents(tag: int, content: Any, reason: str) -> None:
    refused(tagged(tag, content), reason)
    refused(cbor2.dumps([1, {"a": cbor2.CBORTag(tag, content)}]))


def test_a_list_is_no_key_even_where_the_native_decoder_would_make_a_tuple_of_it() -> None:
    refused(bytes.fromhex("a1 d9c000 81 01 01"), "tuple|map key")
    refused(bytes.fromhex("d9c002 82 81 01 01"), "unhashable")


def test_long_texts_of_a_peer_do_not_fill_the_log() -> None:
    refused(cbor2.dumps({"x" * 100_000: 1})[:-1] + b"\xff")
    refused(b"\xa2" + 2 * (cbor2.dumps("x" * 100_000) + b"\x01"), "Duplicate")
    refused(tagged(49159, ["x" * 100_000]), "is not registered here")
    refused(tagged(49159, ["player", "name", "n", "x" * 100_000, 1]), "has no field")
    refused(tagged(49157, "1" * 100_000 + " "), "not in canonical notation")


def test_decimals_do_not_depend_on_the_context() -> None:
    with localcontext() as context:
        context.prec, context.capitals, context.Emax = 2, 0, 5
        context.clear_traps()
        number = Decimal("1.23456789E+50")
        assert same(number, CODEC.decode(CODEC.encode(number))[0])
        refused(tagged(49157, "word"))
