"""Messages are values: which types may travel, and how a value is copied within a node (C1).

Duty: the table of value types, the registry of declared classes, and :func:`snapshot`, which every
message, result and error passes before anybody else sees it, on the local path and on the remote one.
May import: the standard library, attrs and the other values.

Theory of operation.  A snapshot walks a value once.  What is deeply immutable is shared, all else is
copied, and the weight of the whole (see :data:`Limits.size`) is counted on the way.  The walk does not
track where it is: only when something is refused, a second walk finds the path for the error text.
Cycles need no bookkeeping either: they fail by depth, and the second walk tells a cycle from depth.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from types import NoneType
from typing import Any, Final, Literal, TypeVar, overload

import attrs

from trionet.errors import BadMessage, text_of
from trionet.handle import Handle

C = TypeVar("C", bound=type)

#: Largest integer that may travel, in bits.
MAX_INT_BITS: Final = 4096
#: What each item of a container weighs, in bytes, besides its text.
ITEM_WEIGHT: Final = 8
#: What a container weighs besides, and every value but None, bool, int, float, str and bytes: so much more
#: memory and time does it take.  A value of a declared class weighs it twice.
PART_WEIGHT: Final = 56
#: Steps that the path to something refused may have in an error text.
MOST_STEPS: Final = 100
_SMALL_INT: Final = 1 << 62
_LEAST_INT: Final = -_SMALL_INT
#: Arguments, at most, of a message that is not walked through.
_FEW: Final = 8
_TEXTS: Final = frozenset({str, bytes})
_ATOMS: Final = frozenset({NoneType, bool, float})


@attrs.frozen
class Limits:
    """How large a message may be.

    Args:
        size: weight of a message in bytes: the UTF-8 of its text, its bytes, 8 for each item of a container,
            and 56 for each container and for each value that is not None, bool, int, float, str or bytes,
            112 for one of a declared class.
        depth: how many containers may be nested.

    Attributes:
        plain_text: characters or bytes that a value may have which is not walked through: so many that a
            message of few of them is within the size.
        plain_arguments: how many such values a message may have.
    """

    size: int = 16 * 1024 * 1024
    depth: int = 64
    plain_text: int = attrs.field(init=False, eq=False, repr=False)
    plain_arguments: int = attrs.field(init=False, eq=False, repr=False)

    @plain_text.default
    def _plain_text(self) -> int:
        return (self.size - PART_WEIGHT) // _FEW - ITEM_WEIGHT

    @plain_arguments.default
    def _plain_arguments(self) -> int:
        return _FEW if self.plain_text > 0 else 0


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


_BY_NAME: Final[dict[str, ValueClass]] = {}
_BY_CLASS: Final[dict[type, ValueClass]] = {}


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
        known = _BY_NAME.get(info.name)
        if known is not None and _origin(known.cls) != _origin(cls):
            raise ValueError(f"the value name {info.name!r} stands for {known.cls!r} already")
        _BY_NAME[info.name] = info
        _BY_CLASS[cls] = info
        _COPIERS[cls] = {
            "enum": _Snapshot.copy_enum,
            "record": _Snapshot.copy_record,
            "exception": _Snapshot.copy_exception,
        }[info.kind]
        return cls

    return register if cls is None else register(cls)


def value_class(key: type | str) -> ValueClass | None:
    """Return what is known of a registered class, by the class or by its name on the wire."""
    return _BY_NAME.get(key) if isinstance(key, str) else _BY_CLASS.get(key)


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
        raise TypeError(f"{cls.__qualname__} is no enum, attrs class or exception class")
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cls) if attrs.has(cls) else ()
    frozen = attrs.has(cls) and attrs.inspect(cls).is_frozen
    checked = any(field.validator is not None for field in fields)
    text = sum(len(each.encode()) for each in (name, *(field.name for field in fields)))
    return ValueClass(cls, name, kind, unknown, fields, frozen, checked, text)


# --- the copy ---------------------------------------------------------------------------------------


class _Refused(Exception):
    """Something in a value may not travel; the path to it is found afterwards."""


def _keep(reference: Any) -> Any:
    return reference


class _Snapshot:
    """One walk over one value."""

    __slots__ = ("checks", "depth", "limits", "resolve", "weight")

    def __init__(self, limits: Limits, resolve: Callable[[Any], Any]) -> None:
        self.limits = limits
        self.weight = limits.size
        self.depth = limits.depth
        self.resolve = resolve
        self.checks: list[Any] = []

    def whole(self, item: Any, label: str) -> Any:
        """Copy one of the values of a message, or raise BadMessage."""
        try:
            return self.copy(item)
        except Exception as error:
            refused = _refusal(error)
        path, reason = _locate(item, label, refused, self.limits, self.resolve)
        raise BadMessage(f"{path}: {reason}", False) from refused.__cause__

    def copy(self, item: Any) -> Any:
        copier = _COPIERS.get(type(item))
        if copier is None:
            raise _Refused(_type_name(item))
        return copier(self, item)

    def weigh(self, amount: int) -> None:
        self.weight -= amount
        if self.weight < 0:
            raise _Refused("larger than a message may be")

    def enter(self, items: int) -> None:
        self.weigh(ITEM_WEIGHT * items + PART_WEIGHT)
        self.depth -= 1
        if self.depth < 0:
            raise _Refused("nested deeper than a message may be")

    # atoms

    def copy_share(self, item: Any) -> Any:
        return item

    def copy_part(self, item: Any) -> Any:
        self.weigh(PART_WEIGHT)
        return item

    def copy_enum(self, item: enum.Enum) -> enum.Enum:
        self.weigh(2 * PART_WEIGHT + _BY_CLASS[type(item)].text)
        return item

    def copy_integer(self, item: int) -> int:
        if not _LEAST_INT < item < _SMALL_INT:
            bits = item.bit_length()
            if bits > MAX_INT_BITS:
                raise _Refused(f"int of {bits} bits, more than {MAX_INT_BITS}")
            self.weigh(PART_WEIGHT + bits // 8)
        return item

    def copy_text(self, item: str) -> str:
        if item.isascii():
            self.weigh(len(item))
            return item
        try:
            self.weigh(len(item.encode()))
        except UnicodeEncodeError:
            raise _Refused("str with a lone surrogate, which UTF-8 cannot encode") from None
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
            raise _Refused("datetime without a time zone")
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
            raise _Refused("dict with keys that become equal as values")
        return copied

    def copy_set(self, item: set[Any] | frozenset[Any]) -> set[Any]:
        self.enter(len(item))
        copied = {self.copy(each) for each in item}
        self.depth += 1
        if len(copied) != len(item):
            raise _Refused("set with members that become equal as values")
        return copied

    def copy_frozenset(self, item: frozenset[Any]) -> frozenset[Any]:
        copied = self.copy_set(item)
        same = {id(each) for each in item} == {id(each) for each in copied}
        return item if same else frozenset(copied)

    # declared classes

    def copy_record(self, item: Any) -> Any:
        info = _BY_CLASS[type(item)]
        self.enter(2 * len(info.fields))
        self.weigh(PART_WEIGHT + info.text)
        copied = self._fields(info, item)
        self.depth += 1
        if info.frozen and all(getattr(item, k) is v for k, v in copied.items()):
            return item
        return self._checked(info, rebuild(info, copied))

    def copy_exception(self, item: Exception) -> Any:
        info = _BY_CLASS[type(item)]
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


_COPIERS: Final[dict[type, Callable[[_Snapshot, Any], Any]]] = {
    NoneType: _Snapshot.copy_share,
    bool: _Snapshot.copy_share,
    int: _Snapshot.copy_integer,
    float: _Snapshot.copy_share,
    str: _Snapshot.copy_text,
    bytes: _Snapshot.copy_octets,
    list: _Snapshot.copy_list,
    tuple: _Snapshot.copy_tuple,
    dict: _Snapshot.copy_dict,
    set: _Snapshot.copy_set,
    frozenset: _Snapshot.copy_frozenset,
    dt.datetime: _Snapshot.copy_moment,
    dt.date: _Snapshot.copy_part,
    dt.timedelta: _Snapshot.copy_part,
    uuid.UUID: _Snapshot.copy_part,
    Decimal: _Snapshot.copy_decimal,
    Handle: _Snapshot.copy_part,
}


def register_reference_class(cls: type) -> None:
    """Let instances of a class of references travel; done by the kernel for each class it makes."""
    _COPIERS[cls] = _Snapshot.copy_reference


def snapshot(
    item: Any,
    label: str,
    limits: Limits = Limits(),
    resolve: Callable[[Any], Any] = _keep,
) -> tuple[Any, list[Any]]:
    """Copy a value so that nobody sees a later change of the other side.

    Args:
        item: the value.
        label: what it is, the first part of the path in an error text, such as ``result``.
        limits: how large it may be.
        resolve: maps each reference in it to the one that shall travel in its place.

    Returns:
        The copy, which shares what never changes, and those copied instances of registered classes
        that have validators: the receiver runs them with :func:`check`.

    Raises:
        BadMessage: if it holds anything that is no value, or is too large or too deep; the text names
            the offending path and what was found there.
    """
    walk = _Snapshot(limits, resolve)
    return walk.whole(item, label), walk.checks


def weighed_snapshot(
    item: Any, label: str, limits: Limits, resolve: Callable[[Any], Any]
) -> tuple[Any, list[Any], int]:
    """Copy a value as :func:`snapshot` does, and tell also its weight in bytes.

    Raises:
        BadMessage: as :func:`snapshot` does.
    """
    walk = _Snapshot(limits, resolve)
    copied = walk.whole(item, label)
    return copied, walk.checks, limits.size - walk.weight


def weight_of_plain(item: Any) -> int:
    """The weight of what :func:`is_plain` tells to be plain."""
    return ITEM_WEIGHT + len(item) if type(item) in _TEXTS else ITEM_WEIGHT


def is_plain(item: Any, limits: Limits) -> bool:
    """Tell at once that a value needs no copy: a scalar that never changes, far from the limits."""
    kind = type(item)
    if kind is int:
        return bool(_LEAST_INT < item < _SMALL_INT)
    if kind is str:
        return bool(len(item) <= limits.plain_text and item.isascii())
    if kind is bytes:
        return len(item) <= limits.plain_text
    return kind in _ATOMS


#: Nothing for the receiver to check.
NO_CHECKS: Final[tuple[object, ...]] = ()


def are_plain(args: tuple[Any, ...], kwargs: dict[str, Any], limits: Limits) -> bool:
    """Tell at once that the arguments of a message need no copy; as :func:`is_plain` for each."""
    if kwargs or len(args) > limits.plain_arguments:
        return False
    for item in args:
        kind = type(item)
        if kind is int:
            if not _LEAST_INT < item < _SMALL_INT:
                return False
        elif kind is bytes:
            if len(item) > limits.plain_text:
                return False
        elif kind not in _ATOMS and not is_plain(item, limits):
            return False
    return True


def snapshot_arguments(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    limits: Limits,
    resolve: Callable[[Any], Any],
) -> tuple[tuple[Any, ...], dict[str, Any], Sequence[object]]:
    """Copy the arguments of a message as :func:`snapshot` does, at no cost where all are plain.

    Raises:
        BadMessage: as :func:`snapshot` does.
    """
    if are_plain(args, kwargs, limits):
        return args, kwargs, NO_CHECKS
    walk = _Snapshot(limits, resolve)
    copied = walk.whole(args, "args")
    return copied, walk.whole(kwargs, "kwargs") if kwargs else kwargs, walk.checks


def check(instances: Sequence[Any]) -> None:
    """Run the validators of copied instances; the receiver's dispatcher does it.

    Raises:
        BadMessage: if a validator refuses its field.
    """
    for each in instances:
        try:
            attrs.validate(each)
        except Exception as error:
            name = type(each).__qualname__
            raise BadMessage(f"{name} was refused by its validator: {_first_text(error)}", False) from error


def _first_text(error: Exception) -> object:
    """The sentence of an error; attrs adds the field and more behind it."""
    return error.args[0] if error.args and isinstance(error.args[0], str) else error


# --- finding what was refused -----------------------------------------------------------------------


def _refusal(error: Exception) -> _Refused:
    """Code of users' classes runs in the walk too (hashes, comparisons, time zones), and may raise."""
    if isinstance(error, _Refused):
        return error
    refused = _Refused(f"{type(error).__qualname__}: {text_of(error)}")
    refused.__cause__ = error
    return refused


def _locate(
    item: Any, path: str, refused: _Refused, limits: Limits, resolve: Callable[[Any], Any]
) -> tuple[str, str]:
    """Follow the first refused part down to where the refusal comes from."""
    seen: list[int] = []
    while True:
        if id(item) in seen:
            return path, "a container that holds itself; a message is a tree"
        seen.append(id(item))
        for step, part in _parts(item):
            reason = _reason(part, limits, resolve)
            if reason is not None:
                path, item, refused = path + step, part, reason
                break
        else:
            return path, str(refused)
        if len(seen) > MOST_STEPS:
            return f"{path}...", str(refused)


def _reason(part: Any, limits: Limits, resolve: Callable[[Any], Any]) -> _Refused | None:
    try:
        _Snapshot(limits, resolve).copy(part)
    except Exception as error:
        return _refusal(error)
    return None


def _shown(item: Any) -> str:
    try:
        return f"{item!r:.40}"
    except Exception:
        return f"<{type(item).__qualname__}>"


def _parts(item: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a container with the step of the path that leads to each."""
    if isinstance(item, list | tuple):
        for index, each in enumerate(item):
            yield f"[{index}]", each
    elif isinstance(item, dict):
        for key, each in item.items():
            yield f" key {_shown(key)}", key
            yield f"[{_shown(key)}]", each
    elif isinstance(item, set | frozenset):
        for each in item:
            yield f"{{{_shown(each)}}}", each
    elif (info := _BY_CLASS.get(type(item))) is not None:
        yield from _attributes(info, item)


def _attributes(info: ValueClass, item: Any) -> Iterator[tuple[str, Any]]:
    for field in info.fields:
        if hasattr(item, field.name):
            yield f".{field.name}", getattr(item, field.name)
    if info.kind == "exception":
        for index, each in enumerate(item.args):
            yield f".args[{index}]", each
        for name, each in vars(item).items():
            yield f".{name}", each


def _type_name(item: Any) -> str:
    cls = type(item)
    module = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
    return f"{module}{cls.__qualname__}, which is no value (values are listed in the docs; see trionet.value)"
