"""``trionet check``: what is wrong with a configuration, what looks wrong, and what it amounts to."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trionet.cli.classes import plan, services_of
from trionet.cli.options import (
    EnvFileOption,
    NodeOption,
    SetOption,
    check_files,
    nodes_of,
    problems_of,
    refuse,
    settings_of,
)
from trionet.cli.script import add_import_path
from trionet.config import thaw
from trionet.configfile import Advice, PlannedNode, Settings, advise, has_nodes, section_rules
from trionet.errors import ConfigError
from trionet.program import EXIT_USAGE

EXAMPLES: Final = """\
[bold]Examples[/bold]

  trionet check server.toml

  trionet check server.toml --env-file prod.env --set node.stop_grace=5

  trionet check cluster.toml

[bold]Exit codes[/bold]  0 if all is well, warnings included; 2 if not: then one line for each problem, on
standard error.
"""
#: Columns of an output that no terminal wraps.
_UNWRAPPED: Final = 1000
_SECRET: Final = re.compile(r"passw|secret|token|credential|private|api_?key", re.IGNORECASE)
_STYLES: Final = {"warning": "yellow", "info": "dim"}

app: typer.Typer = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def check(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Configuration in TOML; later ones win.")
    ],
    node: NodeOption = None,
    assignments: SetOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Check a configuration: print every problem, or all settings with where they come from.

    Of a cluster.toml all nodes are checked, and what they set is printed.  The classes of services are
    imported, and their arguments checked; nothing is started.
    """
    console = _console()
    if node is None and has_nodes(files):
        planned = nodes_of(files, env_file, assignments)
        _check_code(files, [each.settings for each in planned])
        console.print(table_of_nodes(planned))
        for each in planned:
            console.print(Text(f"\n[nodes.{each.name}]", style="bold"))
            console.print(table_of(each.settings, with_defaults=False))
        _print_advice(gathered(planned))
    else:
        settings = settings_of(files, env_file, assignments, node=node)
        _check_code(files, [settings])
        console.print(table_of(settings))
        _print_advice((each, "") for each in advise(settings))
    console.print(Text(f"OK: {', '.join(map(str, files))}", style="green"), soft_wrap=True)


def _console(*, stderr: bool = False) -> Console:
    console = Console(highlight=False, stderr=stderr)
    if not console.is_terminal:
        console.width = _UNWRAPPED
    return console


def _check_code(files: list[Path], all_settings: list[Settings]) -> None:
    """Check all that settings name: files, classes, arguments.

    Raises:
        typer.Exit: with code 2 if there are problems, which are printed.
    """
    scripts = [each.script.parent for each in all_settings if each.script is not None]
    add_import_path(*scripts, *(each.parent for each in files), Path())
    problems = problems_of(check_files, *all_settings)
    for settings in all_settings:
        os.environ.update(settings.variables)
        problems += problems_of(plan, services_of(settings))
    if problems:
        refuse(ConfigError(list(dict.fromkeys(problems))))
        raise typer.Exit(EXIT_USAGE)


def gathered(planned: tuple[PlannedNode, ...]) -> Iterator[tuple[Advice, str]]:
    """The advice on several nodes, each once, with the nodes that it is for."""
    found: dict[Advice, list[str]] = {}
    for node in planned:
        for advice in advise(node.settings):
            found.setdefault(advice, []).append(node.name)
    for advice, names in found.items():
        yield advice, "" if len(names) == len(planned) else f" ({', '.join(names)})"


def _print_advice(found: Iterable[tuple[Advice, str]]) -> None:
    console = _console(stderr=True)
    for advice, names in found:
        console.print(Text(f"{advice.level}: {advice}{names}", style=_STYLES[advice.level]), soft_wrap=True)


def table_of_nodes(planned: tuple[PlannedNode, ...]) -> Table:
    """The nodes of a ``cluster.toml``: what they run, and their places in the cluster."""
    table = Table(
        "node", "runs", "harbor", "address", "restart", "from", box=None, pad_edge=False, header_style="bold"
    )
    for node in planned:
        settings, cluster = node.settings, node.settings.cluster
        runs = "services" if settings.script is None else " ".join([str(settings.script), *settings.args])
        harbor = "none" if cluster is None else f"{cluster.harbor}{' (master)' if node.is_master else ''}"
        address = "none" if cluster is None else cluster.address
        table.add_row(*map(Text, (node.name, runs, harbor, address, node.restart.when, node.origin)))
    return table


def table_of(settings: Settings, *, with_defaults: bool = True) -> Table:
    """All settings, or those that are no defaults: key, value, unit, source."""
    table = Table("key", "value", "unit", "from", box=None, pad_edge=False, header_style="bold")
    for key, value, unit in rows_of(settings):
        source = settings.sources.get(key)
        style = "dim" if source is None else ""
        if source is not None or with_defaults:
            table.add_row(key, Text(value), unit, Text(source or "default"), style=style)
    for service in settings.services:
        restart = "" if service.restart is None else f", restart {service.restart.when}"
        table.add_row(Text(service.key), Text(f"{service}{restart}"), "", Text(service.origin))
    return table


def rows_of(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Key, value and unit of each setting; what looks like a secret is hidden."""
    sections = {
        "node": settings.node,
        "trace": settings.node.trace,
        "metrics": settings.metrics,
        "log": settings.log,
        "cluster": settings.cluster,
        "console": settings.console,
    }
    for section, values in sections.items():
        if values is None:
            continue
        for key, rule in section_rules(section).items():
            value = getattr(values, key)
            if rule.member is None:
                yield f"{section}.{key}", "none" if value is None else _shown(value), rule.unit
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
