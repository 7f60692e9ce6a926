"""What is typed as arguments, and what comes back as JSON: nothing is ever run, nothing breaks."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trionet import Handle
from trionet.services.console.values import BadLine, parse_arguments, to_json

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=50)
@given(
    st.lists(plain, max_size=3), st.dictionaries(st.from_regex(r"[a-z]_[a-z]{1,5}", fullmatch=True), plain)
)
def test_what_python_prints_is_read_again(args: list[object], kwargs: dict[str, object]) -> None:
    named = [f"{key}={each!r}" for key, each in kwargs.items()]
    text = ", ".join([*map(repr, args), *named])
    assert parse_arguments(f"({text})") == (tuple(args), kwargs)


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()))
def test_what_json_prints_is_read_too(content: dict[str, object]) -> None:
    text = json.dumps(content, ensure_ascii=True)
    if "\\ud8" not in text and "\\ud9" not in text and "\\uda" not in text and "\\udb" not in text:
        assert parse_arguments(f"({text})") == ((content,), {})


@given(st.text(max_size=50))
def test_any_text_is_arguments_or_a_clear_error(text: str) -> None:
    with suppress(BadLine):
        parse_arguments(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ((), {})),
        ("()", ((), {})),
        ("(true, false, null)", ((True, False, None), {})),
        ("(-1, [1, 2], {'a': (1,)}, {1, 2}, b'x')", ((-1, [1, 2], {"a": (1,)}, {1, 2}, b"x"), {})),
        ('("a" "b", size=-2.5)', (("ab",), {"size": -2.5})),
        ("(inf, x=-inf)", ((math.inf,), {"x": -math.inf})),
    ],
)
def test_arguments(text: str, expected: object) -> None:
    assert parse_arguments(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("(Ann)", "found Ann, expected a value: text in quotes, a number, true"),
        ("(__import__('os').system('id'))", "found __import__('os').system('id'), expected a value"),
        ("([x for x in ()])", "found [x for x in ()], expected a value"),
        ("(f'{1}')", "expected a value"),
        ("(1 + 1)", "found 1 + 1, expected a value"),
        ("(*[1])", "expected a value"),
        ("(**{})", "found **{}, expected name=value"),
        ("(1, 2", "which are no arguments"),
        ("(1)(2)", "expected arguments in parentheses"),
        ("().x", "expected arguments in parentheses"),
        (" + (1)", "expected arguments in parentheses"),
        ("(a=1, a=2)", "found a twice, expected each name once"),
        ("(" + "[" * 500 + "]" * 500 + ")", "which are no arguments"),
        ("(" + "-" * 20_000 + "1)", "no"),
        ("(" + "9" * 6_000 + ")", "which are no arguments"),
        ("('" + "x" * 100, "..., which are no arguments"),
        ("(\x00)", "which are no arguments"),
    ],
)
def test_what_is_no_argument(text: str, problem: str) -> None:
    with pytest.raises(BadLine) as caught:
        parse_arguments(text)
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 400


class Colour(Enum):
    RED = 1


@attrs.frozen
class Point:
    x: int
    y: object


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Point(1, [Point(2, None)]), {"x": 1, "y": [{"x": 2, "y": None}]}),
        (Handle(0x01000007, 5), ":01000007"),
        ({1: "a", Handle(7, 5): 2}, {"1": "a", ":00000007": 2}),
        ({3, 1}, [1, 3]),
        (b"\x00\xff", "base64:AP8="),
        (math.nan, "nan"),
        (Colour.RED, "RED"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        ("\ud800", "\\ud800"),
    ],
)
def test_values_become_json(value: object, expected: object) -> None:
    assert to_json(value) == expected
    json.dumps(to_json(value), allow_nan=False)


def test_deep_values_become_json() -> None:
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    json.dumps(to_json(deep))
