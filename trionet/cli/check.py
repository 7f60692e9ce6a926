"""``trionet check``: what is wrong with a configuration, or what it amounts to."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trionet.cli.classes import plan
from trionet.cli.options import EnvFileOption, SetOption, refuse, settings_of
from trionet.cli.script import add_import_path
from trionet.config import thaw
from trionet.configfile import Settings, section_rules
from trionet.errors import ConfigError
from trionet.program import EXIT_USAGE

EXAMPLES: Final = """\
[bold]Examples[/bold]

  trionet check server.toml

  trionet check server.toml --env-file prod.env --set node.stop_grace=5

[bold]Exit codes[/bold]  0 if all is well; 2 if not: then one line for each problem, on standard error.
"""
#: Columns of an output that no terminal wraps.
_UNWRAPPED: Final = 1000
_SECRET: Final = re.compile(r"passw|secret|token|credential|private|api_?key", re.IGNORECASE)

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def check(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Configuration in TOML; later ones win.")
    ],
    assignments: SetOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Check a configuration: print every problem, or all settings with where they come from.

    The classes of its services are imported, and their arguments checked; nothing is started.
    """
    settings = settings_of(files, env_file, assignments)
    os.environ.update(settings.variables)
    add_import_path(*(each.parent for each in files), Path())
    try:
        plan(settings.services)
    except ConfigError as error:
        refuse(error)
        raise typer.Exit(EXIT_USAGE) from None
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _UNWRAPPED
    console.print(table_of(settings))
    console.print(Text(f"OK: {', '.join(map(str, files))}", style="green"), soft_wrap=True)


def table_of(settings: Settings) -> Table:
    """All settings: key, value, unit, source."""
    table = Table("key", "value", "unit", "from", box=None, pad_edge=False, header_style="bold")
    for key, value, unit in rows_of(settings):
        source = settings.sources.get(key)
        style = "dim" if source is None else ""
        table.add_row(key, Text(value), unit, Text(source or "default"), style=style)
    for service in settings.services:
        restart = "" if service.restart is None else f", restart {service.restart.when}"
        table.add_row(Text(service.key), Text(f"{service}{restart}"), "", Text(service.origin))
    return table


def rows_of(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Key, value and unit of each setting; what looks like a secret is hidden."""
    for section, values in (("node", settings.node), ("log", settings.log)):
        for key, rule in section_rules(section).items():
            value = getattr(values, key)
            if rule.member is None:
                yield f"{section}.{key}", _shown(value), rule.unit
            else:
                yield from _rows(f"{section}.{key}", value)
    yield from _rows("app", settings.app)


def _rows(path: str, value: Any) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _rows(f"{path}.{key}", each)
    else:
        yield path, "(hidden)" if _SECRET.search(path) else _shown(value), ""


def _shown(value: Any) -> str:
    return json.dumps(thaw(value), ensure_ascii=False, default=str)
