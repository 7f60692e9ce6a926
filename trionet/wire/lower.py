"""From values to what CBOR can write: the sending half of the table in :mod:`trionet.wire.tags`.

Duty: rewrite the parts of a value that need a tag; the rest is handed on as it is, not even copied.
May import: the standard library and the values.

Theory of operation.  A container that holds only what CBOR writes of its own is recognised by the set of
the types in it, which costs no Python code for each item.  Only other containers are walked.
"""

from __future__ import annotations

import datetime as dt
import enum
import struct
import uuid
from collections.abc import Callable, Iterable
from decimal import Context, Decimal, InvalidOperation
from types import NoneType
from typing import Any, Final

from trionet.errors import BadMessage
from trionet.handle import Handle, is_local_name
from trionet.message import ValueClass, value_class
from trionet.wire import tags

#: Writes a tagged item: its tag and its content.
Tag = Callable[[int, Any], Any]

TOO_DEEP: Final = "nested deeper than a message may be"

#: Types that CBOR writes of its own and that hold nothing.
ATOMS: Final = frozenset({NoneType, bool, int, float, str, bytes})
#: Types of the keys of a native map.
KEYS: Final = frozenset({str, bytes})

#: Two signed 64-bit integers: a moment.
MOMENT: Final = struct.Struct(">qq")
#: Days, seconds and microseconds: a span of time.
SPAN: Final = struct.Struct(">iII")
#: The value of a handle and an incarnation.
HANDLE: Final = struct.Struct(">IQ")
#: What a moment is counted from, on the clock of its own time zone.
EPOCH: Final = dt.datetime(1970, 1, 1)
MICROSECOND: Final = dt.timedelta(microseconds=1)
#: What a date is counted from.
EPOCH_DAY: Final = EPOCH.toordinal()
#: Reads and writes decimals, whatever the context of the current task is.
DECIMALS: Final = Context(capitals=1, traps=[InvalidOperation])


class Lower:
    """Rewrites values for an encoder that knows plain CBOR and tags.

    Args:
        tag: makes a tagged item.
    """

    __slots__ = ("_by_type", "_tag")

    def __init__(self, tag: Tag) -> None:
        self._tag = tag
        self._by_type: Final[dict[type, Callable[[Any, int], Any]]] = {
            list: self._list,
            tuple: self._tuple,
            dict: self._dict,
            set: self._set,
            frozenset: self._frozenset,
            dt.datetime: self._datetime,
            dt.date: self._date,
            dt.timedelta: self._timedelta,
            uuid.UUID: self._uuid,
            Decimal: self._decimal,
            Handle: self._handle,
        }

    def item(self, item: Any, depth: int) -> Any:
        """Rewrite one value.

        Args:
            item: a value, as ``trionet.message.snapshot`` made it.
            depth: how many containers may be nested in it.

        Raises:
            BadMessage: if there is anything in it that is no value, or it is nested deeper.
        """
        lower = self._by_type.get(type(item))
        if lower is not None:
            return lower(item, depth)
        return item if type(item) in ATOMS else self._declared(item, depth)

    def _items(self, items: Iterable[Any], depth: int) -> list[Any]:
        return [each if type(each) in ATOMS else self.item(each, depth) for each in items]

    # containers

    def _list(self, item: list[Any], depth: int) -> list[Any]:
        if depth <= 0:
            raise BadMessage(TOO_DEEP)
        return item if ATOMS.issuperset(map(type, item)) else self._items(item, depth - 1)

    def _tuple(self, item: tuple[Any, ...], depth: int) -> Any:
        if depth <= 0:
            raise BadMessage(TOO_DEEP)
        content = item if ATOMS.issuperset(map(type, item)) else self._items(item, depth - 1)
        return self._tag(tags.TUPLE, content)

    def _dict(self, item: dict[Any, Any], depth: int) -> Any:
        if depth <= 0:
            raise BadMessage(TOO_DEEP)
        if not KEYS.issuperset(map(type, item)):
            flat = [part for pair in item.items() for part in pair]
            return self._tag(tags.MAP, self._items(flat, depth - 1))
        if ATOMS.issuperset(map(type, item.values())):
            return item
        return {key: self.item(each, depth - 1) for key, each in item.items()}

    def _set(self, item: set[Any], depth: int) -> Any:
        if depth <= 0:
            raise BadMessage(TOO_DEEP)
        return self._tag(tags.SET, self._items(item, depth - 1))

    def _frozenset(self, item: frozenset[Any], depth: int) -> Any:
        if depth <= 0:
            raise BadMessage(TOO_DEEP)
        return self._tag(tags.FROZENSET, self._items(item, depth - 1))

    # scalars

    def _datetime(self, item: dt.datetime, _: int) -> Any:
        offset = item.utcoffset()
        if offset is None:
            raise BadMessage("datetime without a time zone")
        wall = (item.replace(tzinfo=None) - EPOCH) // MICROSECOND
        return self._tag(tags.DATETIME, MOMENT.pack(wall, offset // MICROSECOND))

    def _date(self, item: dt.date, _: int) -> Any:
        return self._tag(tags.DATE, item.toordinal() - EPOCH_DAY)

    def _timedelta(self, item: dt.timedelta, _: int) -> Any:
        return self._tag(tags.TIMEDELTA, SPAN.pack(item.days, item.seconds, item.microseconds))

    def _uuid(self, item: uuid.UUID, _: int) -> Any:
        return self._tag(tags.UUID, item.bytes)

    def _decimal(self, item: Decimal, _: int) -> Any:
        return self._tag(tags.DECIMAL, DECIMALS.to_sci_string(item))

    def _handle(self, item: Handle, _: int) -> Any:
        try:
            return self._tag(tags.HANDLE, HANDLE.pack(item.value, item.incarnation))
        except struct.error:
            raise BadMessage(f"{item.value!r:.40} of {item.incarnation!r:.40} is no handle") from None

    # declared classes and references

    def _declared(self, item: Any, depth: int) -> Any:
        kind = type(item)
        info = value_class(kind)
        if info is None:
            return self._reference(item)
        if info.kind == "enum":
            return self._enum(info, item)
        if depth <= 0:
            raise BadMessage(TOO_DEEP)
        if info.kind == "record":
            return self._tag(tags.RECORD, [info.name, *self._fields(info, item, depth - 1)])
        return self._exception(info, item, depth - 1)

    def _reference(self, item: Any) -> Any:
        parts = getattr(type(item), "__trionet_reference__", None)
        if parts is None:
            raise BadMessage(f"{type(item).__module__}.{type(item).__qualname__}, which is no value")
        target, interface = parts(item)
        if isinstance(target, str):
            if is_local_name(target):
                raise BadMessage(f"a reference to {target!r:.80}, a name that only its own node knows")
            return self._tag(tags.REFERENCE, [target, interface])
        return self._tag(tags.REFERENCE, [self._handle(target, 0), interface])

    def _enum(self, info: ValueClass, item: enum.Enum) -> Any:
        # Some combinations of flags have a name made of others' names, and some have none.
        named = item.name in type(item).__members__
        return self._tag(tags.ENUM, [info.name, item.name if named else item.value])

    def _fields(self, info: ValueClass, item: Any, depth: int) -> list[Any]:
        flat = [part for field in info.fields for part in (field.name, getattr(item, field.name))]
        return self._items(flat, depth)

    def _exception(self, info: ValueClass, item: Exception, depth: int) -> Any:
        fields = self._fields(info, item, depth)
        known = {field.name for field in info.fields}
        state = [part for pair in vars(item).items() if pair[0] not in known for part in pair]
        content = [info.name, len(item.args), len(info.fields)]
        content += self._items(item.args, depth) + fields + self._items(state, depth)
        return self._tag(tags.EXCEPTION, content)
