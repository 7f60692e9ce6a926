"""The table of values (C1): each runs through the local and the remote path, type and equality compared."""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
import zoneinfo
from collections import OrderedDict, namedtuple
from decimal import Decimal
from typing import Any

import attrs

from trionet.handle import Handle
from trionet.message import register_reference_class, value


@value
class Color(enum.Enum):
    RED = 1
    GREEN = "green"
    ALSO_RED = 1  # noqa: PIE796 - an alias travels as what it stands for


@value(name="level")
class Level(enum.IntEnum):
    LOW = 1
    HIGH = 10


@value
class Word(enum.StrEnum):
    YES = "yes"


@value
class Right(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3
    RUN = 4


@value
@attrs.frozen
class Point:
    x: int
    y: int = 0


@value(name="player")
@attrs.define
class Player:
    name: str
    items: list[Any] = attrs.Factory(list)
    spot: Point | None = None


@value
@attrs.frozen(cache_hash=True)
class Key:
    parts: tuple[str, ...]


@value
@attrs.frozen
class Age:
    years: int = attrs.field(validator=attrs.validators.ge(0))


@value
@attrs.define
class Empty:
    pass


@value
class Broke(Exception):
    def __init__(self, owner: str, missing: int) -> None:
        super().__init__(f"{owner} lacks {missing}")
        self.owner = owner
        self.missing = missing


@value
@attrs.define(eq=False)
class Refused(Exception):
    reason: str
    by: Point | None = None


@value
@attrs.define(eq=False, slots=False)
class RefusedOpen(Exception):
    reason: str


@attrs.frozen
class Reference:
    """Stands for the kernel's references, of which the codec knows only this one method."""

    target: Handle | str
    interface: str | None = None

    def __trionet_reference__(self) -> tuple[Handle | str, str | None]:
        return self.target, self.interface


register_reference_class(Reference)


def _noted() -> Exception:
    error = Broke("ann", 3)
    error.add_note("at the till")
    return error


class Unregistered(enum.Enum):
    ONE = 1


@attrs.frozen
class Unknown:
    x: int = 0


class Count(int):
    pass


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - what is tested is that it is refused

UTC = dt.UTC
HANDLE = Handle(0x01000007, 0x0123456789ABCDEF)
BIG = (1 << 4096) - 1

#: Each value with a name for the test's id.
VALUES: dict[str, Any] = {
    "none": None,
    "true": True,
    "false": False,
    **{
        f"int-{number.bit_length()}-{'minus' if number < 0 else 'plus'}-{number & 1}": number
        for edge in (0, 1, 24, 1 << 8, 1 << 16, 1 << 31, 1 << 32, 1 << 62, 1 << 63, 1 << 64, 1 << 65, BIG)
        for number in (edge, -edge, edge - 1, 1 - edge)
    },
    "int-64-least": -(1 << 64),
    "int-beyond-64": -(1 << 64) - 1,
    "float-zero": 0.0,
    "float-minus-zero": -0.0,
    "float-one": 1.0,
    "float-third": 1 / 3,
    "float-least": 5e-324,
    "float-largest": 1.7976931348623157e308,
    "float-inf": math.inf,
    "float-minus-inf": -math.inf,
    "float-nan": math.nan,
    "str-empty": "",
    "str-ascii": "hello",
    "str-latin": "é",
    "str-chinese": "服务",
    "str-emoji": "🙂",
    "str-nul": "a\0b",
    "str-long": "ä" * 70_000,
    "bytes-empty": b"",
    "bytes-all": bytes(range(256)),
    "bytes-long": b"x" * 70_000,
    "list-empty": [],
    "list": [1, "a", None, 2.5, b"b", True],
    "list-nested": [[], [[]], [{}], [()]],
    "list-alias": [[1]] * 3,
    "tuple-empty": (),
    "tuple": (1, "a", None),
    "tuple-nested": ((), ([],), {"a": (1,)}),
    "dict-empty": {},
    "dict": {"a": 1, "b": [2]},
    "dict-order": {"z": 1, "a": 2, "m": 3},
    "dict-bytes-keys": {b"a": 1, "a": 2},
    "dict-int-keys": {1: "one", 2: "two"},
    "dict-mixed-keys": {None: 0, 1: 1, 2.5: 2, "s": 3, b"s": 4, (1, "t"): 5, frozenset({1}): 6, Point(1): 7},
    "dict-date-keys": {dt.date(2024, 2, 29): 1, dt.timedelta(1): 2, uuid.UUID(int=7): 3, Decimal("1.5"): 4},
    "dict-handle-keys": {HANDLE: 1, Reference("world"): 2, Color.RED: 3},
    "dict-nan-key": {math.nan: 1},
    "set-empty": set(),
    "set": {1, "a", None, (1, 2)},
    "set-of-sets": {frozenset({1}), frozenset()},
    "frozenset-empty": frozenset(),
    "frozenset": frozenset({1, "a", Point(2, 3)}),
    "set-large": set(range(1000)),
    "datetime-utc": dt.datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC),
    "datetime-east": dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=45))),
    "datetime-odd": dt.datetime(1900, 1, 1, tzinfo=dt.timezone(-dt.timedelta(minutes=3, microseconds=1))),
    "datetime-first": dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=23, minutes=59))),
    "datetime-last": dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=23, minutes=59))),
    "date": dt.date(2024, 2, 29),
    "date-first": dt.date.min,
    "date-last": dt.date.max,
    "timedelta-zero": dt.timedelta(),
    "timedelta": dt.timedelta(1, 2, 3),
    "timedelta-minus": -dt.timedelta(microseconds=1),
    "timedelta-least": dt.timedelta.min,
    "timedelta-largest": dt.timedelta.max,
    "uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    **{
        f"decimal-{text}": Decimal(text)
        for text in (  # noqa: SIM905
            "0 -0 1 -1.50 0E+3 1E+999999 1E-999999 NaN -NaN NaN123 sNaN -sNaN7 Infinity -Infinity "
            "3.14159265358979323846264338327950288419716939937510 1E+999999999999999999"
        ).split()
    },
    "handle": HANDLE,
    "handle-largest": Handle(0xFFFFFFFF, (1 << 64) - 1),
    "handle-least": Handle(1, 0),
    "reference-name": Reference("world"),
    "reference-name-typed": Reference("服务", "game.World"),
    "reference-handle": Reference(HANDLE),
    "reference-handle-typed": Reference(HANDLE, "game.World"),
    "enum": Color.GREEN,
    "enum-alias": Color.ALSO_RED,
    "enum-int": Level.HIGH,
    "enum-str": Word.YES,
    "enum-flag": Right.READ,
    "enum-flag-named": Right.READ | Right.WRITE,
    "enum-flag-unnamed": Right.READ | Right.RUN,
    "enum-flag-none": Right(0),
    "record": Point(1, 2),
    "record-mutable": Player("ann", [1, (2,)], Point(3)),
    "record-cached-hash": Key(("a", "b")),
    "record-validated": Age(3),
    "record-empty": Empty(),
    "exception": Broke("ann", 3),
    "exception-noted": _noted(),
    "exception-attrs": Refused("no", Point(1)),
    "exception-attrs-open": RefusedOpen("no"),
    "mixture": {"who": Player("bob"), "at": (HANDLE, [dt.timedelta(1), {1: {2, 3}}]), "why": Broke("b", 1)},
}

#: What no message may hold, each with a part of the reason that is given for it.
REFUSED: dict[str, tuple[Any, str]] = {
    "int-too-large": (1 << 4096, "int of 4097 bits"),
    "int-subclass": (Count(1), "Count"),
    "str-surrogate": ("a\ud800", "surrogate"),
    "bytearray": (bytearray(b"x"), "bytearray"),
    "complex": (1j, "complex"),
    "function": (len, "builtin_function_or_method"),
    "object": (object(), "object"),
    "class": (int, "type"),
    "named-tuple": (Pair(1, 2), "Pair"),
    "ordered-dict": (OrderedDict(a=1), "OrderedDict"),
    "naive-datetime": (dt.datetime(2024, 1, 1), "datetime without a time zone"),
    "time": (dt.time(1), "time"),
    "zone": (zoneinfo.ZoneInfo("UTC"), "ZoneInfo"),
    "unregistered-enum": (Unregistered.ONE, "Unregistered"),
    "unregistered-class": (Unknown(), "Unknown"),
    "unregistered-exception": (ValueError("x"), "ValueError"),
    "nested": ([{"a": (1, {"b": object()})}], "object"),
}


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are of the same types and equal, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return bool(one.hex() == other.hex())  # tells the zeros apart, and takes every NaN for one
    if isinstance(one, Decimal):
        return bool(one.as_tuple() == other.as_tuple())
    if isinstance(one, dt.datetime):
        return bool(one == other and one.utcoffset() == other.utcoffset())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, set | frozenset):
        found = {each: each for each in other}
        return len(one) == len(other) and all(
            any(same(a, b) for b in (found.get(a), *_nans(other))) for a in one
        )
    if isinstance(one, Exception):
        return same((one.args, _state(one)), (other.args, _state(other)))
    if attrs.has(type(one)):
        return same(_state(one), _state(other))
    return bool(one == other)


def _nans(members: Any) -> list[float]:
    return [each for each in members if isinstance(each, float) and math.isnan(each)]


def _state(one: Any) -> dict[str, Any]:
    fields = (
        {field.name: getattr(one, field.name) for field in attrs.fields(type(one))}
        if attrs.has(type(one))
        else {}
    )
    rest = vars(one) if isinstance(one, Exception) else {}
    return dict(sorted({**rest, **fields}.items()))
