"""Configuration files: reading, ``include``, ``env_file``, and the environment they draw from.

Duty: from paths to one tree; what the keys mean is not known here, but for the two that name files.
May import: the standard library and this package's tree and text modules.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trionet.configfile._paths import anchor
from trionet.configfile._text import expand_all, key_lines, parse_env, to_tree
from trionet.configfile._tree import BROKEN, Leaf, Origin, Problems, Table, found, merge

INCLUDE: Final = "include"
ENV_FILE: Final = "env_file"
_WHERE: Final = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")


class Environment:
    """The environment variables, each with its origin; what is set earlier stays.

    Args:
        variables: those of the process.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._values = {name: (value, Origin(name)) for name, value in variables.items()}

    def get(self, name: str) -> str | None:
        """The value of a variable, or None."""
        entry = self._values.get(name)
        return None if entry is None else entry[0]

    def items(self) -> list[tuple[str, str, Origin]]:
        """All variables: name, value, origin."""
        return [(name, value, origin) for name, (value, origin) in self._values.items()]

    def put(self, name: str, value: str, origin: Origin) -> None:
        """Set a variable, whatever it was before."""
        self._values[name] = (value, origin)

    def read_file(self, path: Path, named_at: Origin, problems: Problems) -> None:
        """Add the variables of a file of KEY=VALUE lines that are not set yet."""
        text = read_text(path, named_at, ENV_FILE, problems)
        if text is None:
            return
        source = str(path)

        def complain(line: int, what: str) -> None:
            problems.add(Origin(source, line), "", what)

        for name, (value, line) in parse_env(text, complain).items():
            self._values.setdefault(name, (value, Origin(source, line)))


class Files:
    """Reads configuration files into trees.

    Args:
        environment: gives the values for ``${VAR}``; files named by ``env_file`` are added to it.
        problems: told of everything that is wrong.
    """

    def __init__(self, environment: Environment, problems: Problems) -> None:
        self.environment = environment
        self.problems = problems
        self.services: list[Table] = []
        self._read: set[Path] = set()

    def load(self, path: Path, named_at: Origin, chain: tuple[Path, ...] = ()) -> Table:
        """Read a file and those that it includes; a file that was read already adds nothing.

        Returns:
            The tree without the keys that name files; what is in ``services`` is added to the list of
            that name, because those of all files add up.
        """
        key = INCLUDE if chain else "config"
        real = path.resolve()
        if real in chain:
            circle = " -> ".join(str(each) for each in (*chain[chain.index(real) :], real))
            self.problems.add(named_at, key, f"found a circle, expected none: {circle}")
            return Table(named_at)
        if real in self._read:
            return Table(named_at)
        self._read.add(real)
        document = self._document(path, named_at, key)
        for name, origin in self._paths(document, ENV_FILE):
            self.environment.read_file(path.parent / name, origin, self.problems)
        tree = Table(Origin(str(path)))
        for name, origin in self._paths(document, INCLUDE):
            tree = merge(tree, self.load(path.parent / name, origin, (*chain, real)))
        expanded = self._expanded(document)
        assert isinstance(expanded, Table)
        expanded = anchor(expanded, path.parent)
        self._take_services(expanded)
        return merge(tree, expanded)

    def _document(self, path: Path, named_at: Origin, key: str) -> Table:
        source = str(path)
        empty = Table(Origin(source))
        text = read_text(path, named_at, key, self.problems)
        if text is None:
            return empty
        try:
            document = tomllib.loads(text)
        except RecursionError:
            self.problems.add(Origin(source), "", "found TOML that is nested too deeply to be read")
        except ValueError as error:
            self.problems.add(*_syntax_problem(source, str(error), text))
        else:
            return to_tree(document, key_lines(text, document), source)
        return empty

    def _paths(self, document: Table, key: str) -> list[tuple[str, Origin]]:
        """Take the paths out that stand under a key: one string or an array of them."""
        leaf = document.entries.pop(key, None)
        if leaf is None:
            return []
        leaf = self._expanded(leaf, key)
        value = leaf.value if isinstance(leaf, Leaf) else None
        if value is BROKEN:
            return []
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list) and all(isinstance(name, str) and name for name in names):
            return [(name, leaf.origin) for name in names]
        self.problems.add(leaf.origin, key, f"found {found(leaf)}, expected a path or an array of paths")
        return []

    def _expanded(self, node: Table | Leaf, key: str = "") -> Table | Leaf:
        """Put values in the place of variables."""
        if isinstance(node, Table):
            entries = {
                name: self._expanded(each, f"{key}.{name}" if key else name)
                for name, each in node.entries.items()
            }
            return Table(node.origin, entries)
        if isinstance(node.value, list) and any(isinstance(each, Table) for each in node.value):
            items = [self._expanded(each, f"{key}[{i}]") for i, each in enumerate(node.value)]
            return Leaf(items, node.origin)

        wrong: list[str] = []
        value = expand_all(node.value, self.environment.get, wrong.append)
        for what in wrong:
            self.problems.add(node.origin, key, what)
        return Leaf(BROKEN if wrong else value, node.origin)

    def _take_services(self, tree: Table) -> None:
        leaf = tree.entries.get("services")
        if isinstance(leaf, Leaf) and isinstance(leaf.value, list):
            tables = [each for each in leaf.value if isinstance(each, Table)]
            if len(tables) == len(leaf.value):
                del tree.entries["services"]
                self.services.extend(tables)


def read_text(path: Path, named_at: Origin, key: str, problems: Problems) -> str | None:
    """Read a text file; None, and a problem noted, if that cannot be done."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        problems.add(named_at, key, f'found "{path}", expected a file that can be read: {reason}')
    except UnicodeDecodeError as error:
        problems.add(Origin(str(path)), "", f"found bytes that are no UTF-8 at offset {error.start}")
    except ValueError as error:
        problems.add(named_at, key, f"found a path that cannot be one: {error}")
    return None


def _syntax_problem(source: str, message: str, text: str) -> tuple[Origin, str, str]:
    """Say where TOML ends to be TOML."""
    where = _WHERE.search(message)
    if where is None:
        return Origin(source), "", f"found no valid TOML: {message}"
    line = int(where["line"]) if where["line"] else max(1, len(text.splitlines()))
    column = f" (column {where['column']})" if where["column"] else ""
    return Origin(source, line), "", f"found no valid TOML: {message[: where.start()]}{column}"
