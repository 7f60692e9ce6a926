"""Values as text: what somebody types as arguments, and what comes back as JSON.

Duty: from text to values without running any of it, and from any value to what JSON knows.
"""

from __future__ import annotations

import ast
import base64
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import attrs

from trionet import TrionetError

#: Words that stand for values in TOML and JSON and not in Python.
_WORDS: Final = {"true": True, "false": False, "null": None, "nan": math.nan, "inf": math.inf}
_EXPECTED: Final = 'a value: text in quotes, a number, true, false, null, [...], {"key": ...} or (...)'
#: Characters of a wrong value that an error tells.
_MOST_SHOWN: Final = 60
#: Containers within containers that are turned into JSON; deeper ones are turned into text.
_DEEPEST: Final = 64


class BadLine(TrionetError):
    """A line of the console says nothing that it knows."""


def parse_arguments(text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Read the arguments of a call, as in ``("Ann", size=3)``; nothing of it is run.

    Args:
        text: with its parentheses; empty text is no arguments.

    Raises:
        BadLine: if one of them is no value.
    """
    try:
        call = ast.parse(f"f{text or '()'}", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it is too deeply nested"
        raise BadLine(f"found {_cut(text)}, which are no arguments: {reason}") from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise BadLine(f'found {_cut(text)}, expected arguments in parentheses, as in ("Ann", size=3)')
    args = tuple(_value_of(each) for each in call.args)
    kwargs: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise BadLine(f"found **{_cut(ast.unparse(keyword.value))}, expected name=value")
        if keyword.arg in kwargs:
            raise BadLine(f"found {keyword.arg} twice, expected each name once")
        kwargs[keyword.arg] = _value_of(keyword.value)
    return args, kwargs


def _value_of(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(_Words().visit(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise BadLine(f"found {_cut(_source(node))}, expected {_EXPECTED}") from None


def _source(node: ast.expr) -> str:
    try:
        return ast.unparse(node)
    except RecursionError:
        return "something too deeply nested"


class _Words(ast.NodeTransformer):
    """Puts values in the place of the words of TOML and JSON."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A word; one that stands for nothing stays, and is refused later."""
        return ast.Constant(_WORDS[node.id]) if node.id in _WORDS else node


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."


def to_json(value: Any, depth: int = 0) -> Any:
    """Turn any value into what JSON knows; what it does not know becomes text."""
    if value is None or type(value) in (bool, int):
        return value
    if type(value) is str:
        return value.encode("utf-8", "backslashreplace").decode()
    if type(value) is float:
        return value if math.isfinite(value) else str(value)
    if depth >= _DEEPEST:
        return repr(value)
    if isinstance(value, Mapping):
        return {
            each if isinstance(each, str) else str(to_json(each, depth + 1)): to_json(item, depth + 1)
            for each, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [to_json(each, depth + 1) for each in value]
    if isinstance(value, set | frozenset):
        return [to_json(each, depth + 1) for each in sorted(value, key=repr)]
    if isinstance(value, bytes):
        return f"base64:{base64.b64encode(value).decode()}"
    if isinstance(value, Enum):
        return value.name
    if attrs.has(type(value)) and "__str__" not in vars(type(value)):
        fields = attrs.fields(type(value))
        return {each.name: to_json(getattr(value, each.name), depth + 1) for each in fields}
    return str(value)
