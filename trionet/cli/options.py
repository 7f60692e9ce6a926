"""The options that several commands have, and the settings that they lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from trionet.configfile import Override, PlannedNode, Settings, load_nodes, load_settings
from trionet.errors import ConfigError
from trionet.program import EXIT_USAGE, open_harbor

SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting, such as node.stop_grace=5; wins over all else. Repeatable.",
    ),
]
NodeOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--node",
        metavar="NAME",
        help="The node, where the configuration has several [bold]\\[nodes.NAME][/bold]: a cluster.toml.",
    ),
]
EnvFileOption: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--env-file",
        metavar="FILE",
        help="KEY=VALUE lines, added to the environment where they are not set yet. Repeatable."
        " [dim]TRIONET_ENV_FILE[/dim]",
    ),
]


def settings_of(
    files: list[Path] | None,
    env_files: list[Path] | None,
    assignments: list[str] | None,
    options: dict[str, tuple[str, str | None]] | None = None,
    node: str | None = None,
) -> Settings:
    """Load the settings that the options of a command lead to.

    Args:
        files: of ``--config``.
        env_files: of ``--env-file``.
        assignments: of ``--set``.
        options: the key and the value of each option that has a key of its own, None if not given.
        node: of ``--node``.

    Raises:
        typer.Exit: with code 2 if there are problems, which are printed.
    """
    overrides = [Override.parse(each) for each in assignments or ()]
    for option, (key, value) in (options or {}).items():
        if value is not None:
            overrides.append(Override(key, value, option))
    try:
        return load_settings(files or (), env_files=env_files or (), overrides=overrides, node=node)
    except ConfigError as error:
        refuse(error)
        raise typer.Exit(EXIT_USAGE) from None


def nodes_of(
    files: list[Path], env_files: list[Path] | None, assignments: list[str] | None
) -> tuple[PlannedNode, ...]:
    """Load the settings of all nodes of a ``cluster.toml``.

    Args: as :func:`settings_of`.

    Raises:
        typer.Exit: with code 2 if there are problems, which are printed.
    """
    try:
        planned = load_nodes(files, env_files=env_files or (), overrides=assignments or ())
        check_files(*(each.settings for each in planned))
    except ConfigError as error:
        refuse(error)
        raise typer.Exit(EXIT_USAGE) from None
    return planned


def check_files(*all_settings: Settings) -> None:
    """Read the secrets and the certificates that settings name, and look for their scripts.

    Raises:
        ConfigError: if some cannot be used, with every problem.
    """
    problems: list[str] = []
    for settings in all_settings:
        if settings.script is not None and not settings.script.is_file():
            entry = f"{settings.sources.get('node.name')}: nodes.{settings.node.name}"
            problems.append(f"{entry}.script: found no file {settings.script}, expected a script")
        if settings.cluster is not None:
            try:
                open_harbor(settings.cluster)
            except ConfigError as error:
                problems.extend(located(error, settings.sources))
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def problems_of(action: Callable[..., object], *arguments: object) -> list[str]:
    """The problems with which an action ends, none if it succeeds."""
    try:
        action(*arguments)
    except ConfigError as error:
        return list(error.problems)
    return []


def located(error: ConfigError, sources: Mapping[str, str]) -> list[str]:
    """The problems, those that begin with a key with the place where it stands before it."""
    found = ((sources.get(problem.partition(": ")[0]), problem) for problem in error.problems)
    return [f"{source}: {problem}" if source else problem for source, problem in found]


def refuse(error: ConfigError, sources: Mapping[str, str] | None = None) -> None:
    """Print the problems, one line each, on standard error.

    Args:
        error: has the problems.
        sources: where keys stand, for problems that begin with a key.
    """
    for problem in located(error, sources or {}):
        typer.echo(problem, err=True)
