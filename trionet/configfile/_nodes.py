"""The entries ``[nodes.NAME]`` of a ``cluster.toml``.

Duty: what an entry may hold, and what it lays over the tables that all nodes share.
May import: the values, the kernel's restart policy and this package's own modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs

from trionet.config import Rule, table_of
from trionet.configfile._check import build
from trionet.configfile._sections import section_rules
from trionet.configfile._services import SERVICE_RULES, read_restart
from trionet.configfile._tree import Leaf, Origin, Problems, Table, found
from trionet.kernel.supervise import Restart

#: Starting a process takes longer than starting a service, so the period is longer too.
NODE_RESTART: Final = Restart(most=5, within=60.0, delay=0.5)
#: Keys of an entry that are keys of its ``[cluster]``.
_SHORT: Final = ("harbor", "address", "standalone")
_LAYERS: Final = ("node", "trace", "metrics", "log", "cluster", "console", "app")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _paths(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


_table: Final = Rule(expected="a table", accepts=lambda value: isinstance(value, Mapping))
NODE_RULES: Final[dict[str, Rule]] = {
    "script": Rule(expected="a path", accepts=_is_text),
    "args": Rule(expected="an array of strings", accepts=_are_texts),
    "config": Rule(
        expected="a path or an array of paths", accepts=lambda value: _is_text(value) or _are_texts(value)
    ),
    **{key: section_rules("cluster")[key] for key in _SHORT},
    "env": table_of(Rule(expected="a string", accepts=lambda value: isinstance(value, str)), "variables"),
    "restart": SERVICE_RULES["restart"],
    **dict.fromkeys(_LAYERS, _table),
    "services": Rule(expected="an array of tables", accepts=lambda value: isinstance(value, list)),
}


@attrs.frozen(kw_only=True)
class Entry:
    """One entry, checked as far as it is not a part of the node's settings.

    Args:
        name: the node's name in the file.
        origin: where the entry stands.
        layer: what it lays over the common tables.
        services: its own services.
        restart: when its process is started again.
        script: its script, or None.
        args: the arguments of the script.
        config: its own configuration files.
        env: its own environment variables.
    """

    name: str
    origin: Origin
    layer: Table
    services: list[Table]
    restart: Restart = NODE_RESTART
    script: Path | None = attrs.field(default=None, converter=attrs.converters.optional(Path))
    args: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    config: tuple[str, ...] = attrs.field(default=(), converter=_paths)
    env: Mapping[str, str] = attrs.field(factory=dict)


def read_entry(name: str, node: Table | Leaf, problems: Problems) -> Entry | None:
    """Read one entry; None, and problems noted, if it cannot be used."""
    path = f"nodes.{name}"
    if isinstance(node, Leaf):
        problems.add(node.origin, path, f"found {found(node)}, expected a table")
        return None
    entries = dict(node.entries)
    layer = _take_layer(entries, node.origin, path, problems)
    services = _take_services(entries, path, problems)
    restart, _ = read_restart(
        entries.pop("restart", None), f"{path}.restart", problems, partial(attrs.evolve, NODE_RESTART)
    )
    make: Callable[..., Entry] = partial(
        Entry,
        name=name,
        origin=node.origin,
        layer=layer,
        services=services,
        restart=restart or NODE_RESTART,
    )
    return build(make, NODE_RULES, Table(node.origin, entries), path, problems)


def _take_layer(entries: dict[str, Table | Leaf], origin: Origin, path: str, problems: Problems) -> Table:
    """Take out what is a part of the node's settings: its tables, and the short keys."""
    layer: dict[str, Table | Leaf] = {key: entries.pop(key) for key in _LAYERS if key in entries}
    short = {key: entries.pop(key) for key in _SHORT if key in entries}
    if short:
        given = layer.get("cluster", Table(origin))
        inner = given.entries if isinstance(given, Table) else {}
        for key in short.keys() & inner.keys():
            wrong = f"found it beside {path}.cluster.{key}, expected one of them"
            problems.add(short[key].origin, f"{path}.{key}", wrong)
        layer["cluster"] = Table(given.origin, inner | short)
    return Table(origin, layer)


def _take_services(entries: dict[str, Table | Leaf], path: str, problems: Problems) -> list[Table]:
    node = entries.pop("services", None)
    if node is None:
        return []
    value = node.value if isinstance(node, Leaf) else None
    if isinstance(value, list) and all(isinstance(each, Table) for each in value):
        return value
    problems.add(node.origin, f"{path}.services", f"found {found(node)}, expected an array of tables")
    return []


def find_standalone(nodes: Table) -> Leaf | None:
    """The address of the first master that an entry has."""
    for node in nodes.entries.values():
        if not isinstance(node, Table):
            continue
        inner = node.entries.get("cluster")
        for table in (node, inner):
            leaf = table.entries.get("standalone") if isinstance(table, Table) else None
            if isinstance(leaf, Leaf):
                return leaf
    return None
