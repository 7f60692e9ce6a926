"""Settings on their way in: trees whose leaves know where they come from.

Duty: the tree, how two trees become one, and the list of problems.
May import: the standard library, attrs and trionet.errors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import attrs

from trionet.errors import ConfigError

_LONGEST_FOUND: Final = 60


@attrs.frozen
class Origin:
    """Where a setting stands: a file with a line, a variable, an option.

    Args:
        source: the path of the file, the name of the variable or the option.
        line: the line in the file, counted from 1, where it is known.
    """

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


#: Stands where a value could not be made; the problem is told already.
BROKEN: Final = object()


class Loose(str):
    """Text that may stand for a number or another value, as all text outside of TOML may."""

    __slots__ = ()


@attrs.frozen
class Leaf:
    """One value: a scalar, an array, or an array of tables (then a list of :class:`Table`)."""

    value: Any
    origin: Origin


@attrs.frozen
class Table:
    """A table: its entries by key."""

    origin: Origin
    entries: dict[str, Table | Leaf] = attrs.field(factory=dict)


class Problems:
    """All that is wrong with the settings."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, origin: Origin, key: str, text: str) -> None:
        """Note one problem; the key may be empty where it is about a whole file."""
        self._lines.append(": ".join(str(part) for part in (origin, key, text) if str(part)))

    def raise_if_any(self) -> None:
        """End the loading if there were problems.

        Raises:
            ConfigError: with every problem.
        """
        if self._lines:
            raise ConfigError(self._lines)


def merge(base: Table, over: Table) -> Table:
    """Lay one table over another: tables are joined and stay where they were, all else is replaced."""
    entries = dict(base.entries)
    for key, new in over.entries.items():
        old = entries.get(key)
        both = isinstance(old, Table) and isinstance(new, Table)
        entries[key] = merge(old, new) if both else new  # type: ignore[arg-type]
    return Table(base.origin, entries)


def assign(tree: Table, path: tuple[str, ...], value: Any, origin: Origin) -> Table:
    """Return a tree in which one key has a new value."""
    node: Table | Leaf = Leaf(value, origin)
    for key in reversed(path):
        node = Table(origin, {key: node})
    assert isinstance(node, Table)
    return merge(tree, node)


def plain(node: Any) -> Any:
    """Return what a part of a tree holds, without origins."""
    if isinstance(node, Table):
        return {key: plain(each) for key, each in node.entries.items()}
    if isinstance(node, Leaf):
        return plain(node.value)
    if isinstance(node, list):
        return [plain(each) for each in node]
    if isinstance(node, dict):
        return {key: plain(each) for key, each in node.items()}
    return str(node) if isinstance(node, Loose) else node


def leaves(node: Table | Leaf, path: str = "") -> Iterator[tuple[str, Origin]]:
    """Every leaf with its dotted key."""
    if isinstance(node, Leaf):
        yield path, node.origin
        return
    for key, each in node.entries.items():
        yield from leaves(each, f"{path}.{key}" if path else key)


def found(node: Any) -> str:
    """Say what stands there, for the first half of "found ..., expected ..."."""
    value = plain(node)
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= _LONGEST_FOUND else text[:_LONGEST_FOUND] + '..."'
    return str(value).lower() if isinstance(value, bool) else str(value)
