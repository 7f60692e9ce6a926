"""The page on the protocol tells what the code does: each of its tables is compared with it."""

from __future__ import annotations

import datetime as dt
import enum
import importlib
import re
import typing
import uuid
from decimal import Decimal
from pathlib import Path
from struct import Struct
from typing import Any

import attrs
import pytest

from trionet import value
from trionet.handle import Handle
from trionet.message import Limits
from trionet.net import failures
from trionet.wire import bundle, hellos, link_frames, tables, tags
from trionet.wire import master_messages as messages
from trionet.wire.codec import Codec
from trionet.wire.hellos import Purpose
from trionet.wire.link_frames import KINDS
from trionet.wire.link_send import MOST_ROUTES

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "protocol.md"
TYPES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "f64": "d"}
BODIES: dict[str, Struct | None] = {
    "OPEN": link_frames.OPEN_BODY,
    "HEARTBEAT": link_frames.HEARTBEAT_BODY,
    "ACK": link_frames.NUMBER_BODY,
    "CREDIT": link_frames.CREDIT_BODY,
    "WANT_CREDIT": link_frames.WANT_BODY,
    "CALL": link_frames.CALL_BODY,
    "SEND": link_frames.SEND_BODY,
    "REPLY": link_frames.NUMBER_BODY,
    "FAIL": link_frames.FAIL_BODY,
    "CANCEL": link_frames.NUMBER_BODY,
    "CANCELLED": link_frames.NUMBER_BODY,
    "WATCH": link_frames.WATCH_BODY,
    "UNWATCH": link_frames.NUMBER_BODY,
    "EXIT": link_frames.NUMBER_BODY,
    "UNWATCHED": link_frames.NUMBER_BODY,
    "GOODBYE": link_frames.GOODBYE_BODY,
    "CHUNK_OPEN": link_frames.CHUNK_OPEN_BODY,
    "CHUNK_DATA": link_frames.CHUNK_BODY,
    "CHUNK_ABORT": link_frames.CHUNK_BODY,
    "PAYLOAD": None,
    "STREAM": link_frames.STREAM_BODY,
    "BEGUN": link_frames.NUMBER_BODY,
    "ITEMS": link_frames.ITEMS_BODY,
    "TAKEN": link_frames.TAKEN_BODY,
    "BUNDLE": None,
}


def rows(name: str) -> list[list[str]]:
    """Read the cells of a table of the page, without its head."""
    text = PAGE.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"<!-- table: {name} -->\n\n")
    assert found, f"there is no table {name!r}"
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def struct_of(types: list[str]) -> str:
    """The format of a structure, from the types as the page writes them."""
    return ">" + "".join(TYPES.get(each) or f"{each.removeprefix('b')}s" for each in types)


def test_purposes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert {(each.name, each.value) for each in Purpose} == {
        (name, int(number)) for name, number in re.findall(r"^\| `([A-Z]+)` \| (\d) \| ", text, re.MULTILINE)
    }


@pytest.mark.parametrize(
    ("name", "structure", "kind"),
    [
        ("dialer hello", hellos._DIALER, hellos.DIALER_HELLO),
        ("accepter hello", hellos._ACCEPTER, hellos.ACCEPTER_HELLO),
    ],
)
def test_hellos(name: str, structure: Struct, kind: int) -> None:
    found = rows(name)
    assert structure.format == struct_of([row[1] for row in found])
    assert str(kind) == found[0][2]


def test_frames() -> None:
    found = rows("frames")
    assert [(str(getattr(link_frames, name)), name) for name in BODIES] == [(row[0], row[1]) for row in found]
    assert [str(number) for number in range(1, KINDS)] == [row[0] for row in found]
    for _, name, fields, *_ in found:
        body = BODIES[name]
        types = [each.split()[-1] for each in fields.split(", ")] if fields else []
        assert (body.format if body else ">") == struct_of(types), name


def test_entries_of_bundles() -> None:
    assert [(row[0], row[1]) for row in rows("entries")] == [
        (str(getattr(bundle, f"{name}_ENTRY")), name) for name in ("ROUTE", "SENDS", "CALL", "RETURN")
    ]
    text = PAGE.read_text(encoding="utf-8")
    assert f"at most {bundle.MOST_ARGUMENTS} scalars" in text
    assert f"counts as {bundle.SMALL} bytes" in text
    assert f"0 to {MOST_ROUTES - 1}" in text


@value
class Colour(enum.Enum):
    RED = 1


@value
@attrs.frozen
class Point:
    x: int


@value
class Odd(Exception):
    pass


class Reference:
    """Looks to the codec like a reference."""

    def __trionet_reference__(self) -> tuple[str, None]:
        return "name", None


EXAMPLES: dict[str, tuple[int, object]] = {
    "UUID": (tags.UUID, uuid.UUID(int=1)),
    "date": (tags.DATE, dt.date(2020, 1, 1)),
    "set": (tags.SET, {1}),
    "tuple": (tags.TUPLE, (1,)),
    "frozenset": (tags.FROZENSET, frozenset({1})),
    "dict with other keys": (tags.MAP, {1: 2}),
    "datetime": (tags.DATETIME, dt.datetime(2020, 1, 1, tzinfo=dt.UTC)),
    "timedelta": (tags.TIMEDELTA, dt.timedelta(1)),
    "Decimal": (tags.DECIMAL, Decimal(1)),
    "registered enum": (tags.ENUM, Colour.RED),
    "registered attrs class": (tags.RECORD, Point(1)),
    "registered exception": (tags.EXCEPTION, Odd()),
    "handle": (tags.HANDLE, Handle.make(1, 1, 1)),
    "reference": (tags.REFERENCE, Reference()),
}


def test_tags() -> None:
    first, *found = rows("tags")
    assert ["2, 3", "int beyond 64 bits"] == first[:2]
    assert [(str(tag), what) for what, (tag, _) in EXAMPLES.items()] == [(row[0], row[1]) for row in found]
    known = {each for each in vars(tags).values() if type(each) is int}
    assert {2, 3, *(tag for tag, _ in EXAMPLES.values())} == known


@pytest.mark.parametrize("what", EXAMPLES)
def test_what_is_written_with_a_tag(what: str) -> None:
    tag, example = EXAMPLES[what]
    assert tag == tag_of(Codec(Limits()).encode(example))


def tag_of(data: bytes) -> int:
    """The tag that an item of CBOR begins with."""
    assert data[0] >> 5 == 6
    size = {24: 1, 25: 2}[data[0] & 31]
    return int.from_bytes(data[1 : 1 + size], "big")


def test_error_codes() -> None:
    found = {int(code): name for code, name, _ in rows("errors")}
    assert found.pop(failures.DECLARED) == "a registered exception"
    assert found.pop(failures.REMOTE) == "RemoteError"
    assert found.pop(failures._DEADLOCK) == "Deadlock"
    assert {code: cls.__name__ for code, cls in failures._SIMPLE.items()} == found


def test_messages_of_master_and_slave() -> None:
    senders = dict.fromkeys(typing.get_args(messages.FromMaster), "master")
    senders |= dict.fromkeys(typing.get_args(messages.FromSlave), "slave")
    expected = [
        [str(number), cls.__name__, senders[cls], ", ".join(each.name for each in attrs.fields(cls))]
        for number, (cls, _) in messages._LAYOUTS.items()
    ]
    assert expected == rows("messages")


def test_rows_and_changes() -> None:
    handle, stamp = Handle.make(1, 1, 1), tables.Stamp(1, 1)
    node = tables.NodeRow(1, 1, "host:1", "node", stamp)
    name = tables.NameRow("name", handle, stamp, False)
    changes: list[Any] = [
        tables.NodeJoined(node),
        tables.NodeLeft(1, 1, tables.Leaving.LOST),
        tables.NameSet(name),
        tables.NameGone("name", handle),
        tables.MembersChanged("group", (handle,), ()),
    ]
    assert {type(each) for each in changes} == set(typing.get_args(tables.Change))
    plain: list[type] = [tables.NodeRow, tables.NameRow, tables.GroupRow]
    expected = [[cls.__name__, "", fields_of(cls)] for cls in plain]
    expected += [
        [type(each).__name__, str(tables.CHANGE.pack(each)[0]), fields_of(type(each))] for each in changes
    ]
    assert expected == rows("rows")


def fields_of(cls: type) -> str:
    """The fields of a class, as the page lists them."""
    return ", ".join(each.name for each in attrs.fields(cls))


def test_limits() -> None:
    for what, number, where in rows("limits"):
        module, _, constant = where.partition(".")
        assert int(number) == getattr(importlib.import_module(f"trionet.wire.{module}"), constant), what
