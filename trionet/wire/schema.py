"""Layouts: how the fields of a frozen class become a plain list and come back.

Duty: small codecs between Python values and what CBOR can carry (int, str, bool, None, list), which
check type, range, length and count in both directions.
May import: the standard library, attrs, the handles of trionet and wire.errors.

A sender's mistake and a receiver's garbage fail alike, with :exc:`ProtocolError` and the path to the
field.  Nothing is allocated from a count that was read: lists arrive whole from the codec below, which
bounds them by the bytes that are there.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from trionet.handle import LOCAL_BITS, MAX_HARBOR, MAX_LOCAL, Handle, check_name, is_local_name
from trionet.wire.errors import ProtocolError


@attrs.frozen
class Codec:
    """How one kind of field travels.

    Args:
        pack: checks a value and returns its plain form.
        unpack: checks a plain form and returns the value.
    """

    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


def _same(check: Callable[[Any], Any]) -> Codec:
    return Codec(check, check)


def integer(low: int, high: int) -> Codec:
    """A whole number, both bounds allowed."""

    def check(item: Any) -> int:
        if type(item) is not int or not low <= item <= high:
            raise ProtocolError(f"{item!r:.40} is no int in {low}..{high}")
        return item

    return _same(check)


def text(limit: int) -> Codec:
    """Text of at most ``limit`` bytes of UTF-8, without control characters."""

    def check(item: Any) -> str:
        if type(item) is not str or len(item) > limit:
            raise ProtocolError(f"{item!r:.40} is no text of at most {limit} bytes")
        try:
            size = len(item.encode())
        except UnicodeEncodeError:
            raise ProtocolError("text with a lone surrogate") from None
        if size > limit or (item and not item.isprintable()):
            raise ProtocolError(f"{item!r:.40} is no printable text of at most {limit} bytes")
        return item

    return _same(check)


def optional(codec: Codec) -> Codec:
    """None, or what ``codec`` carries."""

    def through(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda item: None if item is None else step(item)

    return Codec(through(codec.pack), through(codec.unpack))


def many(codec: Codec, limit: int) -> Codec:
    """A tuple of at most ``limit`` values."""

    def pack(items: Any) -> list[Any]:
        if type(items) is not tuple or len(items) > limit:
            raise ProtocolError(f"{items!r:.40} is no tuple of at most {limit}")
        return [codec.pack(each) for each in items]

    def unpack(items: Any) -> tuple[Any, ...]:
        if type(items) is not list or len(items) > limit:
            raise ProtocolError(f"{items!r:.40} is no list of at most {limit}")
        return tuple([codec.unpack(each) for each in items])

    return Codec(pack, unpack)


def choice(cls: type[enum.Enum]) -> Codec:
    """A member of an enum, which travels as its value."""

    def pack(item: Any) -> Any:
        if type(item) is not cls:
            raise ProtocolError(f"{item!r:.40} is no {cls.__name__}")
        return item.value

    def unpack(item: Any) -> enum.Enum:
        try:
            if type(item) is str:
                return cls(item)
        except ValueError:
            pass
        raise ProtocolError(f"{item!r:.40} is no {cls.__name__}")

    return Codec(pack, unpack)


def record(cls: type, *codecs: Codec) -> Codec:
    """A frozen attrs class, which travels as the list of its fields."""
    names = [field.name for field in attrs.fields(cls)]
    steps = list(zip(names, codecs, strict=True))

    def at(name: str, step: Callable[[Any], Any], item: Any) -> Any:
        try:
            return step(item)
        except ProtocolError as error:
            raise ProtocolError(f"{cls.__name__}.{name}: {error}") from None

    def pack(item: Any) -> list[Any]:
        if type(item) is not cls:
            raise ProtocolError(f"{item!r:.40} is no {cls.__name__}")
        return [at(name, codec.pack, getattr(item, name)) for name, codec in steps]

    def unpack(item: Any) -> Any:
        if type(item) is not list or len(item) != len(steps):
            raise ProtocolError(f"{item!r:.40} is no list of the {len(steps)} fields of {cls.__name__}")
        return cls(*[at(name, codec.unpack, each) for (name, codec), each in zip(steps, item, strict=True)])

    return Codec(pack, unpack)


def union(layouts: Mapping[int, tuple[type, Codec]]) -> Codec:
    """One of several records, which travels as its tag and its fields."""
    tags = {cls: (tag, codec) for tag, (cls, codec) in layouts.items()}

    def pack(item: Any) -> list[Any]:
        if type(item) not in tags:
            raise ProtocolError(f"{item!r:.40} is not known here")
        tag, codec = tags[type(item)]
        return [tag, *codec.pack(item)]

    def unpack(item: Any) -> Any:
        if type(item) is not list or not item or type(item[0]) is not int or item[0] not in layouts:
            raise ProtocolError(f"{item!r:.40} begins with no known tag")
        return layouts[item[0]][1].unpack(item[1:])

    return Codec(pack, unpack)


def _pack_handle(item: Any) -> list[int]:
    if type(item) is not Handle:
        raise ProtocolError(f"{item!r:.40} is no handle")
    return [_HANDLE_VALUE.pack(item.value), U64.pack(item.incarnation)]


def _unpack_handle(item: Any) -> Handle:
    if type(item) is not list or len(item) != 2:
        raise ProtocolError(f"{item!r:.40} is no handle")
    value = _HANDLE_VALUE.unpack(item[0])
    if value & MAX_LOCAL == 0:
        raise ProtocolError(f"handle {value:#x} has the local id 0")
    return Handle(value, U64.unpack(item[1]))


def _check_global(item: Any) -> str:
    if type(item) is not str:
        raise ProtocolError(f"{item!r:.40} is no name")
    try:
        check_name(item)
    except ValueError as error:
        raise ProtocolError(str(error)) from None
    if is_local_name(item):
        raise ProtocolError(f"{item!r} is a name of its own node only")
    return item


#: 64 random bits: incarnations, the id of a master, nonces.
U64: Final = integer(0, (1 << 64) - 1)
#: Epochs, counters and sequence numbers: far from the end of 64 bits, so that adding one is safe.
MOST_COUNT: Final = (1 << 62) - 1
COUNT: Final = integer(0, MOST_COUNT)
HARBOR: Final = integer(1, MAX_HARBOR)
FLAG: Final = _same(lambda item: _check_flag(item))
_HANDLE_VALUE: Final = integer(1 << LOCAL_BITS | 1, MAX_HARBOR << LOCAL_BITS | MAX_LOCAL)
HANDLE: Final = Codec(_pack_handle, _unpack_handle)
GLOBAL_NAME: Final = _same(_check_global)


def _check_flag(item: Any) -> bool:
    if type(item) is not bool:
        raise ProtocolError(f"{item!r:.40} is no bool")
    return item
