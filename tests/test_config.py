"""The settings and their rules, in code."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from trionet.config import LogConfig, NodeConfig, freeze, thaw


def test_the_defaults_keep_their_own_rules() -> None:
    for cls in (NodeConfig, LogConfig):
        attrs.validate(cls())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", ""),
        ("name", "a b"),
        ("name", "x" * 65),
        ("name", 5),
        ("call_deadline", 0),
        ("call_deadline", -1.0),
        ("call_deadline", math.nan),
        ("call_deadline", "60"),
        ("call_deadline", True),
        ("start_deadline", 0),
        ("stop_grace", -0.1),
        ("stall_threshold", 0),
        ("inbox", 0),
        ("inbox", 1.0),
        ("inbox", True),
        ("concurrency", 0),
        ("message_size", -1),
        ("message_depth", 0),
        ("dead_letter_log_rate", 0),
        ("app", 5),
    ],
)
def test_what_breaks_a_rule_is_refused_with_key_and_rule(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{key}: found .*, expected "):
        NodeConfig(**{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "世界-1.a_b"),
        ("call_deadline", math.inf),
        ("stop_grace", 0),
        ("inbox", 1),
        ("start_deadline", 5),
    ],
)
def test_what_is_at_the_edge_of_a_rule_is_taken(key: str, value: Any) -> None:
    assert value == getattr(NodeConfig(**{key: value}), key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("level", "loud"),
        ("level", 10),
        ("format", "xml"),
        ("levels", "debug"),
        ("levels", {"a": "loud"}),
        ("levels", {1: "INFO"}),
    ],
)
def test_log_settings_that_break_a_rule_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{key}: found "):
        LogConfig(**{key: value})


def test_log_levels_are_taken_in_any_case() -> None:
    config = LogConfig(level="debug", levels={"a.b": "Warning"})
    assert ("DEBUG", {"a.b": "WARNING"}) == (config.level, dict(config.levels))


def test_the_users_table_is_deeply_read_only_and_detached() -> None:
    source: dict[str, Any] = {"db": {"hosts": ["a"]}}
    app = NodeConfig(app=source).app
    source["db"]["hosts"].append("b")
    assert ("a",) == app["db"]["hosts"]
    with pytest.raises(TypeError):
        app["x"] = 1  # type: ignore[index]
    with pytest.raises(TypeError):
        app["db"]["x"] = 1


def test_what_the_users_table_holds_is_not_shown() -> None:
    assert "secret" not in repr(NodeConfig(app={"key": "secret"}))


def test_settings_can_be_compared_and_hashed() -> None:
    first, second = NodeConfig(app={"a": 1}), NodeConfig(app={"a": 1})
    assert first == second
    assert hash(first) == hash(second)
    assert first != NodeConfig(app={"a": 2})
    assert hash(LogConfig()) == hash(LogConfig(levels={}))


def test_limits_are_those_of_messages() -> None:
    limits = NodeConfig(message_size=7, message_depth=3).limits
    assert (7, 3) == (limits.size, limits.depth)


def test_what_is_frozen_can_be_thawed() -> None:
    value = {"a": [1, {"b": [2.5, "x"]}], "c": {}}
    assert value == thaw(freeze(value))
