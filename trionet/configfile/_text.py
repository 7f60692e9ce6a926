"""Text formats: TOML with line numbers, ``${VAR}`` in strings, files of environment variables.

Duty: from text to values; nothing here reads a file or knows a key.
May import: the standard library and trionet.configfile._tree.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Final

from trionet.configfile._tree import Leaf, Loose, Origin, Table

Path = tuple[str | int, ...]

_HEADER: Final = re.compile(r"(\[\[?)([^\[\]]+)\]\]?\s*(#.*)?")
_LONG_QUOTES: Final = ('"""', "'''")
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_]\w*)(:-(?P<default>[^}]*))?\}|\$\{")
_ASSIGNMENT: Final = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>.*)")
_QUOTED: Final = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*')\s*(#.*)?""")
_ESCAPE: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


# --- TOML -------------------------------------------------------------------------------------------


def parse_key(text: str) -> tuple[str, ...] | None:
    """Split a dotted TOML key; None if it is no key."""
    try:
        table = tomllib.loads(f"{text.strip()} = 0")
    except ValueError:
        return None
    path: list[str] = []
    node: Any = table
    while isinstance(node, dict) and len(node) == 1:
        (key, node), *_ = node.items()
        path.append(key)
    return tuple(path) if node == 0 else None


def parse_value(text: str) -> Any:
    """Read a TOML value; text that is none stands for itself."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return document["value"] if len(document) == 1 else text


def key_lines(text: str, document: dict[str, Any]) -> dict[Path, int]:
    """Find the lines of most keys of a TOML text; array items count as keys.

    A plain scan, made for texts that a person wrote: where it cannot tell, the key has no line.
    """
    lines: dict[Path, int] = {}
    prefix: Path = ()
    closing: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if closing is not None:
            closing = None if closing in line else closing
            continue
        header = _HEADER.fullmatch(stripped)
        if header is not None:
            prefix = _header_path(header, document, lines) or prefix
            for end in range(1, len(prefix) + 1):
                lines.setdefault(prefix[:end], number)
        elif path := parse_key(stripped.partition("=")[0]):
            for end in range(1, len(path) + 1):
                lines.setdefault((*prefix, *path[:end]), number)
        closing = next((quote for quote in _LONG_QUOTES if line.count(quote) == 1), None)
    return lines


def _header_path(header: re.Match[str], document: dict[str, Any], lines: dict[Path, int]) -> Path | None:
    keys = parse_key(header[2])
    if keys is None:
        return None
    path: Path = ()
    node: Any = document
    for position, key in enumerate(keys, 1):
        if not isinstance(node, dict) or key not in node:
            return None
        path, node = (*path, key), node[key]
        if isinstance(node, list):
            seen = sum(1 for known in lines if len(known) == len(path) + 1 and known[:-1] == path)
            index = seen if header[1] == "[[" and position == len(keys) else seen - 1
            if not 0 <= index < len(node):
                return None
            path, node = (*path, index), node[index]
    return path


def to_tree(document: dict[str, Any], lines: Mapping[Path, int], source: str) -> Table:
    """Make a tree of a TOML document."""

    def convert(value: Any, path: Path, line: int | None) -> Any:
        line = lines.get(path, line)
        origin = Origin(source, line)
        if isinstance(value, dict):
            return Table(origin, {k: convert(each, (*path, k), line) for k, each in value.items()})
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            return Leaf([convert(each, (*path, i), line) for i, each in enumerate(value)], origin)
        return Leaf(value, origin)

    tree: Table = convert(document, (), None)
    return tree


# --- ${VAR} -----------------------------------------------------------------------------------------


def expand(text: str, lookup: Callable[[str], str | None], complain: Callable[[str], None]) -> str:
    """Put values in the place of ``${VAR}`` and ``${VAR:-default}``; ``$${`` stands for ``${``.

    Args:
        text: the text.
        lookup: returns the value of a variable, or None.
        complain: told of each variable that has no value and of each ``${`` that is none.

    Returns:
        The text; a :class:`Loose` one if a variable was in it.
    """
    replaced = False

    def replace(match: re.Match[str]) -> str:
        nonlocal replaced
        if match[0] == "$${":
            return "${"
        replaced = True
        name, default = match["name"], match["default"]
        if name is None:
            wrong = "".join(text[match.start() :].partition("}")[:2])
            complain(f"found {wrong!r}, expected ${{VAR}} or ${{VAR:-default}}; a plain ${{ is written $${{")
            return ""
        value = lookup(name)
        if default is not None:
            return value or default
        if value is None:
            complain(f"found ${{{name}}}, which is not set, expected a set variable or ${{{name}:-default}}")
        return value or ""

    expanded = _VARIABLE.sub(replace, text)
    return Loose(expanded) if replaced else expanded


def expand_all(value: Any, lookup: Callable[[str], str | None], complain: Callable[[str], None]) -> Any:
    """Expand every string of an array or an inline table."""
    if isinstance(value, str):
        return expand(value, lookup, complain)
    if isinstance(value, list):
        return [expand_all(each, lookup, complain) for each in value]
    if isinstance(value, dict):
        return {key: expand_all(each, lookup, complain) for key, each in value.items()}
    return value


# --- environment files ------------------------------------------------------------------------------


def parse_env(text: str, complain: Callable[[int, str], None]) -> dict[str, tuple[str, int]]:
    r"""Read lines of ``KEY=VALUE``, with comments, quotes and a leading ``export``.

    In double quotes ``\n``, ``\t``, ``\r``, ``\\`` and ``\"`` are escapes; a value without quotes ends
    before `` #``.

    Args:
        text: the text.
        complain: told of each line that is none, with its number.

    Returns:
        Each variable with its value and its line.
    """
    variables: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(stripped)
        if match is None:
            complain(number, "found no variable, expected KEY=VALUE")
            continue
        value = _env_value(match["value"])
        if value is None:
            complain(number, "found a quote that is not closed, expected the whole value on one line")
            continue
        variables[match["name"]] = value, number
    return variables


def _env_value(text: str) -> str | None:
    if not text.startswith(('"', "'")):
        return re.split(r"\s#|^#", text, maxsplit=1)[0].rstrip()
    match = _QUOTED.fullmatch(text)
    if match is None:
        return None
    inner = match[1][1:-1]
    if text[0] == "'":
        return inner
    return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), inner)
