"""From tagged items to values: the receiving half of the table in :mod:`trionet.wire.tags`.

Duty: check the content of each tag and build the value; run no validator, but collect what has any.
May import: the standard library, attrs and the values.

Everything here reads what a hostile peer may have written.  A method may raise any exception; the codec
turns it into a BadMessage.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from decimal import Decimal
from typing import Any, Final, TypeVar

import attrs

from trionet.errors import BadMessage
from trionet.handle import Handle, check_name, is_local_name
from trionet.message import MAX_INT_BITS, ValueClass, rebuild, rebuild_exception, value_class
from trionet.wire import tags
from trionet.wire.lower import DECIMALS, EPOCH, EPOCH_DAY, HANDLE, MICROSECOND, MOMENT, SPAN

#: Makes the reference of a received target and the name of its interface.
MakeReference = Callable[[Handle | str, str | None], object]

C = TypeVar("C", bound=Collection[Any])

#: Characters of what an exception says whose class is not known.
_MOST_SAID: Final = 500
#: Members of a set or keys of a dict that may share one hash: more would make it as slow as a list.
MAX_COLLISIONS: Final = 64
_DAY: Final = 86_400
_SECOND: Final = 1_000_000


class Tags(dict[int, Callable[[Any, bool], Any]]):
    """What each tag is read by; a tag that is not in it is refused before its content is read."""

    __slots__ = ()

    def __missing__(self, tag: int) -> Callable[[Any, bool], Any]:
        raise BadMessage(f"tag {tag}, which stands for no value")


def no_reference(target: Handle | str, interface: str | None) -> object:
    """Refuse a reference, where none is expected."""
    raise BadMessage(f"a reference to {target!s:.80} as {interface!s:.80}, where none can be read")


class Revive:
    """Builds values from the content of tagged items.

    Args:
        foreign: types that the native decoder makes and that are no values.

    Attributes:
        checks: the instances built so far that have validators.
        make_reference: makes the references.
    """

    __slots__ = ("_foreign", "_open", "checks", "make_reference")

    def __init__(self, foreign: frozenset[type]) -> None:
        self._foreign = foreign
        self._open = foreign | {list, dict}
        self.checks: list[object] = []
        self.make_reference: MakeReference = no_reference

    def tags(self) -> Tags:
        """Return what the native decoder calls for each tag, with the content and a flag of its own."""
        return Tags(
            {
                tags.POSITIVE_BIGNUM: lambda content, _: _big(_typed(content, bytes, "int")),
                tags.NEGATIVE_BIGNUM: lambda content, _: _big(_typed(content, bytes, "int"), negative=True),
                tags.UUID: lambda content, _: uuid.UUID(bytes=_typed(content, bytes, "UUID")),
                tags.DATE: lambda content, _: _day(_typed(content, int, "date")),
                tags.SET: lambda content, _: _hashed(self._items(content, "set"), set),
                tags.TUPLE: lambda content, _: tuple(self._items(content, "tuple")),
                tags.FROZENSET: lambda content, _: _hashed(self._items(content, "frozenset"), frozenset),
                tags.MAP: lambda content, _: self._map(self._items(content, "dict")),
                tags.DATETIME: lambda content, _: _moment(_typed(content, bytes, "datetime")),
                tags.TIMEDELTA: lambda content, _: _span(_typed(content, bytes, "timedelta")),
                tags.DECIMAL: lambda content, _: _decimal(_typed(content, str, "Decimal")),
                tags.ENUM: lambda content, _: _member(*_typed(content, list, "enum")),
                tags.RECORD: lambda content, _: self._record(self._items(content, "attrs class")),
                tags.EXCEPTION: lambda content, _: self._exception(self._items(content, "exception")),
                tags.HANDLE: lambda content, _: Handle(*HANDLE.unpack(_typed(content, bytes, "handle"))),
                tags.REFERENCE: lambda content, _: self._reference(*_typed(content, list, "reference")),
            }
        )

    def sound(self, items: Iterable[Any]) -> None:
        """Refuse what is no value in natively decoded items, however deep below lists and dicts.

        Raises:
            BadMessage: if there is any.
        """
        kinds = set(map(type, items))
        if kinds.isdisjoint(self._open):
            return
        if not kinds.isdisjoint(self._foreign):
            raise BadMessage("undefined or a simple value, which stands for no value")
        for each in items:
            if type(each) is list:
                self.sound(each)
            elif type(each) is dict:
                self.sound(each.values())

    def _items(self, content: Any, what: str) -> list[Any]:
        items: list[Any] = _typed(content, list, what)
        self.sound(items)
        return items

    def _map(self, items: list[Any]) -> dict[Any, Any]:
        if len(items) % 2:
            raise BadMessage("dict: a key without a value")
        return _hashed(items[::2], lambda keys: dict(zip(keys, items[1::2], strict=True)))

    def _record(self, items: list[Any]) -> Any:
        info = _class(items[0], "record")
        return self._checked(info, rebuild(info, _fields(info, items[1::2], items[2::2])))

    def _exception(self, items: list[Any]) -> Any:
        try:
            info = _class(items[0], "exception")
        except BadMessage as error:
            raise BadMessage(f"{error}; it says {_said(items):.{_MOST_SAID}}") from None
        first = 3 + _count(items[1])
        second = first + 2 * _count(items[2])
        if second > len(items):
            raise BadMessage(f"{info.name}: fewer arguments and fields than announced")
        fields = _fields(info, items[first:second:2], items[first + 1 : second : 2])
        state = dict(zip(items[second::2], items[second + 1 :: 2], strict=True))
        for name in state:
            if hasattr(Exception, _typed(name, str, info.name)):
                raise BadMessage(f"{info.name}: attribute {name!r} would hide one of every exception")
        return self._checked(info, rebuild_exception(info, tuple(items[3:first]), state, fields))

    def _checked(self, info: ValueClass, made: Any) -> Any:
        if info.checked:
            self.checks.append(made)
        return made

    def _reference(self, target: Any, interface: Any) -> object:
        if type(target) is not Handle and is_local_name(check_name(_typed(target, str, "reference"))):
            raise BadMessage(f"a reference to {target!r}, a name that only its own node knows")
        if interface is not None:
            _typed(interface, str, "interface of a reference")
        return self.make_reference(target, interface)


def _typed(content: Any, kind: type, what: str) -> Any:
    if type(content) is not kind:
        raise BadMessage(f"{what}: expected {kind.__name__}, found {type(content).__name__}")
    return content


def _said(items: list[Any]) -> str:
    """What an exception of an unknown class says, as far as that is a text."""
    has_text = len(items) > 3 and items[1] != 0 and type(items[3]) is str
    return repr(items[3]) if has_text else "nothing that can be read"


def _count(number: Any) -> int:
    count: int = _typed(number, int, "exception")
    if count < 0:
        raise BadMessage("exception: a negative count")
    return count


def _big(content: bytes, *, negative: bool = False) -> int:
    if len(content) <= MAX_INT_BITS // 8:
        number = int.from_bytes(content)
        number = -1 - number if negative else number
        if number.bit_length() <= MAX_INT_BITS:
            return number
    raise BadMessage(f"int of more than {MAX_INT_BITS} bits")


def _day(number: int) -> dt.date:
    return dt.date.fromordinal(number + EPOCH_DAY)


def _moment(content: bytes) -> dt.datetime:
    wall, offset = MOMENT.unpack(content)
    made: dt.datetime = EPOCH + wall * MICROSECOND
    return made.replace(tzinfo=dt.timezone(offset * MICROSECOND))


def _span(content: bytes) -> dt.timedelta:
    days, seconds, microseconds = SPAN.unpack(content)
    if seconds >= _DAY or microseconds >= _SECOND:
        raise BadMessage("timedelta: a day of more than 86,400 s or a second of more than 1,000,000 µs")
    return dt.timedelta(days, seconds, microseconds)


def _decimal(text: str) -> Decimal:
    made = Decimal(text, DECIMALS)
    if DECIMALS.to_sci_string(made) != text:
        raise BadMessage(f"Decimal: {text!r:.80} is not in canonical notation")
    return made


def _hashed(members: list[Any], build: Callable[[list[Any]], C]) -> C:
    if len(members) > MAX_COLLISIONS and max(Counter(map(hash, members)).values()) > MAX_COLLISIONS:
        raise BadMessage("too many keys or members that share one hash")
    made = build(members)
    if len(made) != len(members):
        raise BadMessage("keys or members that are equal")
    return made


# --- declared classes -------------------------------------------------------------------------------


def _class(name: Any, kind: str) -> ValueClass:
    info = value_class(_typed(name, str, "name of a class"))
    if info is None or info.kind != kind:
        raise BadMessage(f"{name!r:.120} is not registered here as {kind} (see trionet.value)")
    return info


def _member(name: Any, member: Any) -> enum.Enum:
    cls: Any = _class(name, "enum").cls
    if type(member) is int and issubclass(cls, enum.Flag):
        return _flags(cls, member)
    found: enum.Enum | None = cls.__members__.get(_typed(member, str, "enum"))
    if found is None:
        raise BadMessage(f"{name} has no member {member!r:.80}")
    return found


def _flags(cls: type[enum.Flag], number: int) -> enum.Flag:
    every = 0
    for flag in cls:
        every |= flag.value
    if number & ~every:  # each number that it once made an instance of stays in the class for ever
        raise BadMessage(f"{number} is no combination of the flags of {cls.__qualname__}")
    return cls(number)


def _fields(info: ValueClass, names: list[Any], values: list[Any]) -> dict[str, Any]:
    """Fit received fields to the class as it is here."""
    received = dict(zip(names, values, strict=True))
    if len(received) != len(names):
        raise BadMessage(f"{info.name}: the same field twice")
    fields: dict[str, Any] = {}
    for field in info.fields:
        if field.name in received:
            fields[field.name] = received.pop(field.name)
        else:
            fields[field.name] = _default(info, field, fields)
    if received and info.unknown == "refuse":
        raise BadMessage(f"{info.name} has no field {next(iter(received))!r:.80}")
    return fields


def _default(info: ValueClass, field: attrs.Attribute[Any], earlier: dict[str, Any]) -> Any:
    if field.default is attrs.NOTHING:
        raise BadMessage(f"{info.name}: field {field.name!r} is missing and has no default")
    if not isinstance(field.default, attrs.Factory):  # type: ignore[arg-type]
        return field.default
    factory: Any = field.default
    return factory.factory(rebuild(info, earlier)) if factory.takes_self else factory.factory()
