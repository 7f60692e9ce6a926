"""What was refused in a value, and where it is.

Duty: the text of :exc:`~trionet.BadMessage`, with the path to the offending part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from trionet.errors import BadMessage, text_of
from trionet.message._classes import BY_CLASS, ValueClass
from trionet.message._limits import Limits
from trionet.message._walk import Refused, Walk

#: Steps that the path to something refused may have in an error text.
MOST_STEPS: Final = 100


def whole(walk: Walk, item: Any, label: str) -> Any:
    """Copy one of the values of a message.

    Raises:
        BadMessage: if anything in it may not travel; the text names its path and what was found there.
    """
    try:
        return walk.copy(item)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        refused = _refusal(error)
    try:
        path, reason = _locate(item, label, refused, walk.limits, walk.resolve)
    except KeyboardInterrupt:
        raise
    except BaseException:  # it cannot even be looked through
        path, reason = label, str(refused)
    raise BadMessage(f"{path}: {reason}", False) from refused.__cause__


def _refusal(error: BaseException) -> Refused:
    """Code of users' classes runs in the walk too (hashes, comparisons, time zones), and may raise."""
    if isinstance(error, Refused):
        return error
    refused = Refused(f"{type(error).__qualname__}: {text_of(error)}")
    refused.__cause__ = error
    return refused


def _locate(
    item: Any, path: str, refused: Refused, limits: Limits, resolve: Callable[[Any], Any]
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


def _reason(part: Any, limits: Limits, resolve: Callable[[Any], Any]) -> Refused | None:
    try:
        Walk(limits, resolve).copy(part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _refusal(error)
    return None


def _shown(item: Any) -> str:
    try:
        return f"{item!r:.40}"
    except KeyboardInterrupt:
        raise
    except BaseException:
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
    elif (info := BY_CLASS.get(type(item))) is not None:
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
