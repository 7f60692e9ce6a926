"""The page of all settings says what the code says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from trionet.cluster_config import ClusterConfig
from trionet.config import LogConfig, NodeConfig, Rule, TraceConfig
from trionet.configfile import (
    NODE_RESTART,
    NODE_RULES,
    RESTART_RULES,
    SERVICE_RULES,
    UpConfig,
    section_rules,
)
from trionet.console_config import ConsoleConfig
from trionet.kernel.supervise import Restart
from trionet.metrics_config import MetricsConfig

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "configuration.md"


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the first table below a line."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"\n{heading}\n")
    lines = iter(rest.splitlines())
    for line in lines:
        if line.startswith("| --- |"):
            break
    for line in lines:
        if not line.startswith("|"):
            return
        yield [each.strip() for each in line.strip("|").split("|")]


def node_restart() -> Restart:
    return NODE_RESTART


def expected(
    cls: Callable[[], object], rules: Mapping[str, Rule], prefix: str
) -> Iterable[tuple[str, str, str]]:
    instance = cls()
    for key, rule in rules.items():
        value: Any = getattr(instance, key)
        shown = json.dumps(dict(value) if isinstance(value, Mapping) else value)
        yield f"`{prefix}{key}`", "none" if value is None else f"`{shown}`", rule.unit


@pytest.mark.parametrize(
    ("heading", "cls", "rules", "prefix"),
    [
        ("## `[node]`", NodeConfig, section_rules("node"), "node."),
        ("## `[trace]`", TraceConfig, section_rules("trace"), "trace."),
        ("## `[metrics]`", MetricsConfig, section_rules("metrics"), "metrics."),
        ("## `[log]`", LogConfig, section_rules("log"), "log."),
        ("## `[cluster]`", ClusterConfig, section_rules("cluster"), "cluster."),
        ("## `[console]`", ConsoleConfig, section_rules("console"), "console."),
        ("### `[up]`", UpConfig, section_rules("up"), "up."),
        ("The keys of a `restart` table:", Restart, RESTART_RULES, ""),
        ("A node's `restart` table has these defaults:", node_restart, RESTART_RULES, ""),
    ],
)
def test_each_key_has_its_default_and_unit(
    heading: str, cls: Callable[[], object], rules: Mapping[str, Rule], prefix: str
) -> None:
    assert list(expected(cls, rules, prefix)) == [tuple(row[:3]) for row in rows(heading)]


def test_each_key_of_a_service_is_there() -> None:
    assert [f"`{key}`" for key in SERVICE_RULES] == [row[0] for row in rows("## `[[services]]`")]


def test_each_key_of_a_node_of_a_cluster_is_there() -> None:
    table = [row[0] for row in rows("## `cluster.toml` for `trionet up`")]
    assert [f"`{key}`" for key in NODE_RULES] == table


def test_each_field_of_a_class_of_settings_has_a_rule() -> None:
    assert {each.name for each in attrs.fields(Restart)} == set(RESTART_RULES)
    assert {each.name for each in attrs.fields(NodeConfig)} == {*section_rules("node"), "app", "trace"}
    assert {each.name for each in attrs.fields(TraceConfig)} == set(section_rules("trace"))
    assert {each.name for each in attrs.fields(MetricsConfig)} == set(section_rules("metrics"))
    assert {each.name for each in attrs.fields(LogConfig)} == set(section_rules("log"))
    assert {each.name for each in attrs.fields(ClusterConfig)} == set(section_rules("cluster"))
    assert {each.name for each in attrs.fields(ConsoleConfig)} == set(section_rules("console"))
    assert {each.name for each in attrs.fields(UpConfig)} == set(section_rules("up"))
