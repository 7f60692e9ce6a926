"""The walk over a value that copies it.

Theory of operation.  A snapshot walks a value once.  What is deeply immutable is shared, all else is
copied, and the weight of the whole (see :data:`Limits.size`) is counted on the way.  The walk does not
track where it is: only when something is refused, a second walk finds the path for the error text
(:mod:`trionet.message._refusal`).  Cycles need no bookkeeping either: they fail by depth, and the second
walk tells a cycle from depth.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Callable
from decimal import Decimal
from types import NoneType
from typing import Any, Final

from trionet.handle import Handle
from trionet.message._classes import BY_CLASS, ValueClass, rebuild, rebuild_exception
from trionet.message._limits import ITEM_WEIGHT, LEAST_INT, MAX_INT_BITS, PART_WEIGHT, SMALL_INT, Limits


class Refused(Exception):
    """Something in a value may not travel; the path to it is found afterwards."""


class Walk:
    """One walk over one value.

    Attributes:
        limits: how large the value may be.
        weight: what it may weigh from here on.
        depth: how deeply containers may be nested from here on.
        resolve: maps each reference to the one that shall travel in its place.
        checks: the copied instances whose validators the receiver runs.
    """

    __slots__ = ("checks", "depth", "limits", "resolve", "weight")

    def __init__(self, limits: Limits, resolve: Callable[[Any], Any]) -> None:
        self.limits = limits
        self.weight = limits.size
        self.depth = limits.depth
        self.resolve = resolve
        self.checks: list[Any] = []

    def copy(self, item: Any) -> Any:
        """Copy a value and all that is in it.

        Raises:
            Refused: if anything in it may not travel.
            Exception: whatever else code of users' classes raises.
        """
        copier = COPIERS.get(type(item))
        if copier is None:
            raise Refused(_type_name(item))
        return copier(self, item)

    def weigh(self, amount: int) -> None:
        """Count bytes."""
        self.weight -= amount
        if self.weight < 0:
            most = self.limits.size
            raise Refused(f"larger than a message may be, which is {most} bytes (node.message_size)")

    def enter(self, items: int) -> None:
        """Count a container with so many items, and what is copied from here on as one deeper."""
        self.weigh(ITEM_WEIGHT * items + PART_WEIGHT)
        self.depth -= 1
        if self.depth < 0:
            most = self.limits.depth
            raise Refused(
                f"nested deeper than a message may be, which is {most} containers (node.message_depth)"
            )

    # atoms

    def copy_share(self, item: Any) -> Any:
        return item

    def copy_part(self, item: Any) -> Any:
        self.weigh(PART_WEIGHT)
        return item

    def copy_enum(self, item: enum.Enum) -> enum.Enum:
        self.weigh(2 * PART_WEIGHT + BY_CLASS[type(item)].text)
        return item

    def copy_integer(self, item: int) -> int:
        if not LEAST_INT < item < SMALL_INT:
            bits = item.bit_length()
            if bits > MAX_INT_BITS:
                raise Refused(f"int of {bits} bits, more than {MAX_INT_BITS}")
            self.weigh(PART_WEIGHT + bits // 8)
        return item

    def copy_text(self, item: str) -> str:
        if item.isascii():
            self.weigh(len(item))
            return item
        try:
            self.weigh(len(item.encode()))
        except UnicodeEncodeError:
            raise Refused("str with a lone surrogate, which UTF-8 cannot encode") from None
        return item

    def copy_octets(self, item: bytes) -> bytes:
        self.weigh(len(item))
        return item

    def copy_decimal(self, item: Decimal) -> Decimal:
        self.weigh(PART_WEIGHT + len(item.as_tuple().digits))
        return item

    def copy_moment(self, item: dt.datetime) -> dt.datetime:
        offset = item.utcoffset()
        if offset is None:
            raise Refused("datetime without a time zone")
        self.weigh(PART_WEIGHT)
        if item.tzinfo is dt.UTC:
            return item
        return item.replace(tzinfo=dt.timezone(offset), fold=0)

    def copy_reference(self, item: Any) -> Any:
        resolved = self.resolve(item)
        target, interface = resolved.__trionet_reference__()
        text = len(interface or "") + (len(target) if type(target) is str else PART_WEIGHT)
        self.weigh(PART_WEIGHT + text)
        return resolved

    # containers

    def copy_list(self, item: list[Any]) -> list[Any]:
        self.enter(len(item))
        copied = [self.copy(each) for each in item]
        self.depth += 1
        return copied

    def copy_tuple(self, item: tuple[Any, ...]) -> tuple[Any, ...]:
        self.enter(len(item))
        copied = tuple([self.copy(each) for each in item])
        self.depth += 1
        same = all(a is b for a, b in zip(item, copied, strict=True))
        return item if same else copied

    def copy_dict(self, item: dict[Any, Any]) -> dict[Any, Any]:
        self.enter(2 * len(item))
        copied = {self.copy(key): self.copy(each) for key, each in item.items()}
        self.depth += 1
        if len(copied) != len(item):
            raise Refused("dict with keys that become equal as values")
        return copied

    def copy_set(self, item: set[Any] | frozenset[Any]) -> set[Any]:
        self.enter(len(item))
        copied = {self.copy(each) for each in item}
        self.depth += 1
        if len(copied) != len(item):
            raise Refused("set with members that become equal as values")
        return copied

    def copy_frozenset(self, item: frozenset[Any]) -> frozenset[Any]:
        copied = self.copy_set(item)
        same = {id(each) for each in item} == {id(each) for each in copied}
        return item if same else frozenset(copied)

    # declared classes

    def copy_record(self, item: Any) -> Any:
        info = BY_CLASS[type(item)]
        self.enter(2 * len(info.fields))
        self.weigh(PART_WEIGHT + info.text)
        copied = self._fields(info, item)
        self.depth += 1
        if info.frozen and all(getattr(item, k) is v for k, v in copied.items()):
            return item
        return self._checked(info, rebuild(info, copied))

    def copy_exception(self, item: Exception) -> Any:
        info = BY_CLASS[type(item)]
        self.enter(len(item.args) + 2 * len(info.fields) + 2 * len(vars(item)))
        self.weigh(PART_WEIGHT + info.text)
        fields = self._fields(info, item)
        args = tuple([self.copy(each) for each in item.args])
        state = {self.copy(key): self.copy(each) for key, each in vars(item).items()}
        self.depth += 1
        return self._checked(info, rebuild_exception(info, args, state, fields))

    def _fields(self, info: ValueClass, item: Any) -> dict[str, Any]:
        return {field.name: self.copy(getattr(item, field.name)) for field in info.fields}

    def _checked(self, info: ValueClass, copied: Any) -> Any:
        if info.checked:
            self.checks.append(copied)
        return copied


def _type_name(item: Any) -> str:
    cls = type(item)
    if hasattr(cls, "__trionet_commands__"):
        return f"{cls.__module__}.{cls.__qualname__}, which is a service; a reference is a value: self.ref()"
    module = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
    return f"{module}{cls.__qualname__}, which is no value (values are listed in the docs; see trionet.value)"


#: How instances of each class that may travel are copied.
COPIERS: Final[dict[type, Callable[[Walk, Any], Any]]] = {
    NoneType: Walk.copy_share,
    bool: Walk.copy_share,
    int: Walk.copy_integer,
    float: Walk.copy_share,
    str: Walk.copy_text,
    bytes: Walk.copy_octets,
    list: Walk.copy_list,
    tuple: Walk.copy_tuple,
    dict: Walk.copy_dict,
    set: Walk.copy_set,
    frozenset: Walk.copy_frozenset,
    dt.datetime: Walk.copy_moment,
    dt.date: Walk.copy_part,
    dt.timedelta: Walk.copy_part,
    uuid.UUID: Walk.copy_part,
    Decimal: Walk.copy_decimal,
    Handle: Walk.copy_part,
}
#: How instances of declared classes are copied, by :attr:`ValueClass.kind`.
COPIERS_OF_CLASSES: Final[dict[str, Callable[[Walk, Any], Any]]] = {
    "enum": Walk.copy_enum,
    "record": Walk.copy_record,
    "exception": Walk.copy_exception,
}


def register_reference_class(cls: type) -> None:
    """Let instances of a class of references travel; done by the kernel for each class it makes."""
    COPIERS[cls] = Walk.copy_reference
