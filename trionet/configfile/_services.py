"""The entries of ``[[services]]``.

Duty: what an entry may hold, and the making of :class:`ServiceConfig` from it.
May import: the kernel's restart policy and names of classes besides this package's own modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from trionet.config import Rule, freeze
from trionet.configfile._check import as_table, build, rules_of
from trionet.configfile._tree import BROKEN, Leaf, Problems, Table, found
from trionet.errors import did_you_mean
from trionet.handle import check_name
from trionet.kernel.classes import CLASS_NAME
from trionet.kernel.supervise import WHEN, Restart


@attrs.frozen(kw_only=True)
class ServiceConfig:
    """A service that is started with the node: one entry of ``[[services]]``.

    Args:
        class_name: where its class is: ``package.module:Class``.
        name: the name it is registered under, or None.
        args: the arguments of its constructor, read-only.
        kwargs: the named arguments of its constructor, read-only.
        restart: when it is started again; None: never.
        origin: the file and the line of the entry.
        key: its key, such as ``services[0]``.
    """

    class_name: str
    name: str | None = None
    args: tuple[Any, ...] = attrs.field(default=(), converter=freeze)
    kwargs: Mapping[str, Any] = attrs.field(factory=dict, converter=freeze, hash=False)
    restart: Restart | None = None
    origin: str = attrs.field(default="", eq=False)
    key: str = attrs.field(default="services", eq=False)

    def __str__(self) -> str:
        return self.class_name if self.name is None else f"{self.name} ({self.class_name})"


def _is_class(value: Any) -> bool:
    return isinstance(value, str) and CLASS_NAME.fullmatch(value) is not None


def _is_name(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        check_name(value)
    except ValueError:
        return False
    return True


SERVICE_RULES: Final[dict[str, Rule]] = {
    "class": Rule(expected='a class as in "package.module:Class"', accepts=_is_class),
    "name": Rule(
        expected='a name without white space, ":" and "@", as in ".local" or "global"',
        accepts=_is_name,
    ),
    "args": Rule(expected="an array", accepts=lambda value: isinstance(value, list)),
    "kwargs": Rule(expected="a table", accepts=lambda value: isinstance(value, dict)),
    "restart": Rule(
        expected='"never", "failure", "always" or a table',
        accepts=lambda value: isinstance(value, Restart),
    ),
}
RESTART_RULES: Final[dict[str, Rule]] = rules_of(Restart)


def build_services(tables: list[Table], problems: Problems) -> tuple[ServiceConfig, ...]:
    """Make all entries; one with the name of an earlier one, of another file, stands in its place."""
    entries: dict[object, tuple[ServiceConfig, str]] = {}
    for index, table in enumerate(tables):
        entry = _build_service(table, f"services[{index}]", problems)
        if entry is None:
            continue
        key = index if entry.name is None else entry.name
        earlier = entries.get(key)
        if earlier is not None and earlier[1] == table.origin.source:
            where = earlier[0].origin
            problems.add(
                table.origin,
                f"services[{index}].name",
                f'found "{entry.name}", which the service at {where} has; expected another name',
            )
        entries[key] = entry, table.origin.source
    return tuple(entry for entry, _ in entries.values())


def _build_service(table: Table, path: str, problems: Problems) -> ServiceConfig | None:
    entries = dict(table.entries)
    restart, sound = read_restart(entries.pop("restart", None), f"{path}.restart", problems)

    def make(**values: Any) -> ServiceConfig:
        values["class_name"] = values.pop("class")
        return ServiceConfig(restart=restart, origin=str(table.origin), key=path, **values)

    made = build(make, SERVICE_RULES, Table(table.origin, entries), path, problems, required=("class",))
    return made if sound else None


def read_restart(
    node: Table | Leaf | None,
    path: str,
    problems: Problems,
    make: Callable[..., Restart] = Restart,
) -> tuple[Restart | None, bool]:
    """Read a policy: one word, or a table; tell also whether it was sound.

    Args:
        node: the word or the table; None if there is none, then so is the policy.
        path: its dotted key.
        problems: told of everything that is wrong.
        make: makes the policy of the keys that are there.
    """
    if node is None:
        return None, True
    if isinstance(node, Leaf):
        if node.value is BROKEN:
            return None, False
        if isinstance(node.value, str) and node.value.lower() in WHEN:
            return make(when=node.value.lower()), True
        if not isinstance(node.value, dict):
            hint = did_you_mean(node.value, WHEN) if isinstance(node.value, str) else ""
            expected = SERVICE_RULES["restart"].expected
            problems.add(node.origin, path, f"found {found(node)}, expected {expected}{hint}")
            return None, False
        node = as_table(node.value, node.origin)
    made = build(make, RESTART_RULES, node, path, problems)
    return made, made is not None
