"""Paths in a configuration file are relative to that file.

Duty: which keys hold paths, and what becomes of them when their file is read.
May import: this package's tree.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from trionet.configfile._tree import Leaf, Table

_FILES: Final = ("secret_file", "tls_certificate", "tls_key", "tls_authority")
_ADDRESSES: Final = ("address", "master", "standalone")
_NODE_FILES: Final = ("script", "config")
_UNIX: Final = "unix:"


def anchor(tree: Table, folder: Path) -> Table:
    """Return the tree of a file with its paths made relative to the current directory, as the file is."""
    tree = _at(tree, "cluster", lambda table: _cluster(table, folder))
    tree = _at(tree, "console", lambda table: _console(table, folder))
    return _at(tree, "nodes", lambda nodes: _each(nodes, lambda table: _node(table, folder)))


def _node(table: Table, folder: Path) -> Table:
    table = _at(table, "cluster", lambda inner: _cluster(inner, folder))
    table = _at(table, "console", lambda inner: _console(inner, folder))
    return _leaves(_cluster(table, folder), _NODE_FILES, lambda text: _file(text, folder))


def _cluster(table: Table, folder: Path) -> Table:
    table = _leaves(table, _FILES, lambda text: _file(text, folder))
    return _leaves(table, _ADDRESSES, lambda text: _address(text, folder))


def _console(table: Table, folder: Path) -> Table:
    return _leaves(table, ("address",), lambda text: _address(text, folder))


def _file(text: str, folder: Path) -> str:
    return str(folder / text) if text else text


def _address(text: str, folder: Path) -> str:
    path = text.removeprefix(_UNIX)
    return f"{_UNIX}{folder / path}" if text.startswith(_UNIX) and path else text


def _leaves(table: Table, keys: tuple[str, ...], change: Callable[[str], str]) -> Table:
    entries = dict(table.entries)
    for key in keys:
        leaf = entries.get(key)
        if isinstance(leaf, Leaf):
            entries[key] = Leaf(_changed(leaf.value, change), leaf.origin)
    return Table(table.origin, entries)


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_changed(each, change) for each in value]
    return value


def _at(table: Table, key: str, change: Callable[[Table], Table]) -> Table:
    inner = table.entries.get(key)
    return Table(table.origin, table.entries | {key: change(inner)}) if isinstance(inner, Table) else table


def _each(table: Table, change: Callable[[Table], Table]) -> Table:
    entries = {key: change(each) if isinstance(each, Table) else each for key, each in table.entries.items()}
    return Table(table.origin, entries)
