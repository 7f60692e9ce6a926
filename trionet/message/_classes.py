"""The registry of the classes whose instances may travel, and how an instance is made again.

Duty: what is known of each class, by the class and by its name on the wire.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs

from trionet.errors import BadMessage, text_of


@attrs.frozen
class ValueClass:
    """What is known of a registered class.

    Args:
        cls: the class itself.
        name: the name that stands for it on the wire.
        kind: how its instances are taken apart.
        unknown: what happens to a field that the receiver's class does not have.
        fields: the attrs fields that travel, by name; empty for an enum.
        frozen: whether its instances never change, so that they may be shared.
        checked: whether any field has a validator, so that a receiver has something to check.
        text: bytes of the names that travel with an instance.
    """

    cls: Any
    name: str
    kind: Literal["enum", "record", "exception"]
    unknown: Literal["refuse", "drop"]
    fields: tuple[attrs.Attribute[Any], ...]
    frozen: bool
    checked: bool
    text: int


BY_NAME: Final[dict[str, ValueClass]] = {}
BY_CLASS: Final[dict[type, ValueClass]] = {}


def value_class(key: type | str) -> ValueClass | None:
    """Return what is known of a registered class, by the class or by its name on the wire."""
    return BY_NAME.get(key) if isinstance(key, str) else BY_CLASS.get(key)


def rebuild(info: ValueClass, fields: dict[str, Any]) -> Any:
    """Make an instance of a registered attrs class from the values of all its fields."""
    made: Any = object.__new__(info.cls)
    for name, each in fields.items():
        object.__setattr__(made, name, each)
    if hasattr(info.cls, "_attrs_cached_hash"):
        object.__setattr__(made, "_attrs_cached_hash", None)
    return made


def rebuild_exception(
    info: ValueClass, args: tuple[Any, ...], state: dict[str, Any], fields: dict[str, Any]
) -> Any:
    """Make an instance of a registered exception class without running code of that class.

    Raises:
        BadMessage: if the arguments do not fit the builtin exception that it derives from.
    """
    builtin: Any = next(each for each in info.cls.__mro__ if each.__module__ == "builtins")
    try:
        made = builtin.__new__(info.cls, *args)
        builtin.__init__(made, *args)
    except Exception as error:
        raise BadMessage(f"{info.name}: {text_of(error)}") from error
    made.args = args
    vars(made).update(state)
    for name, each in fields.items():
        object.__setattr__(made, name, each)
    return made
