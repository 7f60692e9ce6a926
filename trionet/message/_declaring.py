"""Declare a class as a value.

Duty: the decorator :func:`value`, which finds out what a class is and registers it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

import attrs

from trionet.message._classes import BY_CLASS, BY_NAME, ValueClass
from trionet.message._walk import COPIERS, COPIERS_OF_CLASSES

C = TypeVar("C", bound=type)


@overload
def value(cls: C, /) -> C: ...
@overload
def value(*, name: str | None = None, unknown: Literal["refuse", "drop"] = "refuse") -> Callable[[C], C]: ...
def value(
    cls: Any = None, /, *, name: str | None = None, unknown: Literal["refuse", "drop"] = "refuse"
) -> Any:
    """Declare an enum, an attrs class or an exception class as a value, so that it may travel.

    Use it as ``@value`` above ``@attrs.frozen``, or on an enum or an exception class.  An instance
    travels as its registered name and its fields: neither ``__init__`` nor ``__attrs_post_init__`` runs
    at the receiver, but validators do, and their failure fails the call with
    :exc:`~trionet.BadMessage`.  An exception travels as its ``args`` and attributes.

    Args:
        name: the name on the wire; by default module and qualified name.  It must be unique.
        unknown: ``"drop"`` ignores fields that the receiver's class does not have.

    Raises:
        TypeError: if the class is of another kind.
        ValueError: if the name stands for another class already.
    """

    def register(cls: C) -> C:
        info = _describe(cls, name or f"{cls.__module__}.{cls.__qualname__}", unknown)
        known = BY_NAME.get(info.name)
        if known is not None and _origin(known.cls) != _origin(cls):
            raise ValueError(f"the value name {info.name!r} stands for {known.cls!r} already")
        BY_NAME[info.name] = info
        BY_CLASS[cls] = info
        COPIERS[cls] = COPIERS_OF_CLASSES[info.kind]
        return cls

    return register if cls is None else register(cls)


def _origin(cls: type) -> tuple[str, str]:
    """A module that is loaded anew replaces its classes; another one may not take their names."""
    return cls.__module__, cls.__qualname__


def _describe(cls: type, name: str, unknown: Literal["refuse", "drop"]) -> ValueClass:
    if not isinstance(cls, type):
        raise TypeError(f"{cls!r} is no class")
    kind: Literal["enum", "record", "exception"]
    if issubclass(cls, enum.Enum):
        text = len(name.encode()) + max(len(each.encode()) for each in ("", *cls.__members__))
        return ValueClass(cls, name, "enum", unknown, (), frozen=True, checked=False, text=text)
    if issubclass(cls, Exception):
        kind = "exception"
    elif attrs.has(cls):
        kind = "record"
    else:
        hint = "declare it with @attrs.frozen, and put @value above that"
        raise TypeError(f"{cls.__qualname__} is no enum, attrs class or exception class; {hint}")
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cls) if attrs.has(cls) else ()
    frozen = attrs.has(cls) and attrs.inspect(cls).is_frozen
    checked = any(field.validator is not None for field in fields)
    text = sum(len(each.encode()) for each in (name, *(field.name for field in fields)))
    return ValueClass(cls, name, kind, unknown, fields, frozen, checked, text)
