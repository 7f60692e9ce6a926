"""The options that several commands have, and the settings that they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from trionet.configfile import Override, Settings, load_settings
from trionet.errors import ConfigError
from trionet.program import EXIT_USAGE

SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting, such as node.stop_grace=5; wins over all else. Repeatable.",
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
) -> Settings:
    """Load the settings that the options of a command lead to.

    Args:
        files: of ``--config``.
        env_files: of ``--env-file``.
        assignments: of ``--set``.
        options: the key and the value of each option that has a key of its own, None if not given.

    Raises:
        typer.Exit: with code 2 if there are problems, which are printed.
    """
    overrides = [Override.parse(each) for each in assignments or ()]
    for option, (key, value) in (options or {}).items():
        if value is not None:
            overrides.append(Override(key, value, option))
    try:
        return load_settings(files or (), env_files=env_files or (), overrides=overrides)
    except ConfigError as error:
        refuse(error)
        raise typer.Exit(EXIT_USAGE) from None


def refuse(error: ConfigError) -> None:
    """Print the problems, one line each, on standard error."""
    for problem in error.problems:
        typer.echo(problem, err=True)
