"""From a tree to settings: every key known, every value by its rule, every problem told.

Duty: one function that makes an attrs instance of a table under rules; it knows no particular key.
May import: attrs, trionet.config and this package's tree and text modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from trionet.config import Rule
from trionet.configfile._text import parse_value
from trionet.configfile._tree import BROKEN, Leaf, Loose, Origin, Problems, Table, found, plain
from trionet.errors import did_you_mean

T = TypeVar("T")


def rules_of(cls: type) -> dict[str, Rule]:
    """The rules that the fields of a class of settings have as validators, by key."""
    rules = ((each.name, each.validator) for each in attrs.fields(cls))
    return {name: rule for name, rule in rules if isinstance(rule, Rule)}


def build(
    make: Callable[..., T],
    rules: Mapping[str, Rule],
    node: Table | Leaf | None,
    path: str,
    problems: Problems,
    required: tuple[str, ...] = (),
) -> T | None:
    """Make settings of a table.

    Args:
        make: called with the values by key.
        rules: the known keys.
        node: the table; None counts as an empty one.
        path: its dotted key.
        problems: told of everything that is wrong.
        required: keys that must be there.

    Returns:
        What ``make`` returned, or None if there was a problem.
    """
    if node is None:
        return make()
    if isinstance(node, Leaf):
        problems.add(node.origin, path, f"found {found(node)}, expected a table")
        return None
    values: dict[str, Any] = {}
    sound = True
    for key, each in node.entries.items():
        full = f"{path}.{key}"
        rule = rules.get(key)
        if rule is None:
            problems.add(each.origin, full, "unknown key" + did_you_mean(key, rules))
            sound = False
            continue
        good, values[key] = _read(each, rule, full, problems)
        sound = sound and good
    for key in required:
        if key not in node.entries:
            problems.add(node.origin, f"{path}.{key}", f"found nothing, expected {rules[key].expected}")
            sound = False
    return make(**values) if sound else None


def _read(node: Table | Leaf, rule: Rule, path: str, problems: Problems) -> tuple[bool, Any]:
    """Read one value by its rule; tell whether it keeps it, and the value."""
    if isinstance(node, Leaf) and node.value is BROKEN:
        return False, None
    if rule.member is not None:
        return _read_members(node, rule, path, problems)
    value = _value(node, rule)
    if rule.accepts(value):
        return True, value
    hint = did_you_mean(value, rule.choices) if isinstance(value, str) else ""
    problems.add(node.origin, path, f"found {found(node)}, expected {rule.expected}{hint}")
    return False, None


def _value(node: Table | Leaf, rule: Rule) -> Any:
    """Take a value out, reading text where it may stand for something else."""
    value = plain(node)
    if rule.choices and isinstance(value, str):
        return next((each for each in rule.choices if each.lower() == value.lower()), value)
    if isinstance(node, Leaf) and isinstance(node.value, Loose):
        try:
            return rule.read(value)
        except ValueError:
            return value
    return value


def _read_members(node: Table | Leaf, rule: Rule, path: str, problems: Problems) -> tuple[bool, Any]:
    """Read a table with free keys; tables in it stand for dotted keys."""
    assert rule.member is not None
    table = _as_table(node)
    if table is None:
        problems.add(node.origin, path, f"found {found(node)}, expected {rule.expected}")
        return False, None
    values: dict[str, Any] = {}
    sound = True
    for key, each in table.entries.items():
        inner = rule if isinstance(each, Table) else rule.member
        good, value = _read(each, inner, f"{path}.{key}", problems)
        sound = sound and good
        if isinstance(each, Table):
            values.update({f"{key}.{rest}": one for rest, one in (value or {}).items()})
        else:
            values[key] = value
    return sound, values


def _as_table(node: Table | Leaf) -> Table | None:
    if isinstance(node, Table):
        return node
    value = node.value
    if isinstance(value, Loose):
        value = parse_value(value)
    if not isinstance(value, dict):
        return None
    return as_table(value, node.origin)


def as_table(value: dict[str, Any], origin: Origin) -> Table:
    """Make a table of a value whose parts all have one origin."""
    return Table(
        origin,
        {
            key: as_table(each, origin) if isinstance(each, dict) else Leaf(each, origin)
            for key, each in value.items()
        },
    )
