"""``trionet run``: a script, or the services that a configuration names, on one node.

The order of the start, which the reference of the command line tells: settings, logging, script and
classes, Trio, node, services, ``main``.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import typer

from trionet.cli.classes import Planned, plan
from trionet.cli.options import EnvFileOption, SetOption, refuse, settings_of
from trionet.cli.script import add_import_path, below, execute, load_script, main_of
from trionet.configfile import Settings
from trionet.errors import ConfigError, NameTaken, StartFailed
from trionet.kernel.context import current_owner_label
from trionet.kernel.node import Node
from trionet.logs import setup_logging
from trionet.program import EXIT_CRASH, EXIT_OK, EXIT_USAGE, Stage, StopSignals, run_node

Main = Callable[..., Awaitable[object]]

_log: Final = logging.getLogger("trionet.run")

EXAMPLES: Final = """\
[bold]Examples[/bold]

  trionet run hello.py

  trionet run hello.py --log-level debug --set node.stop_grace=2

  trionet run job.py -- --the-script's-own-option

  trionet run --config server.toml --env-file prod.env

[bold]Exit codes[/bold]  0 ended as wanted, by a signal too; 1 crashed; 2 wrong usage or configuration;
75 something had to be cut off.
"""

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def run(
    context: typer.Context,
    script: Annotated[
        Path | None,
        typer.Argument(
            metavar="SCRIPT", help="A file with [bold]async def main(node)[/bold].", show_default=False
        ),
    ] = None,
    args: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARGS",
            help="For the script: in sys.argv, and for [bold]main(node, args)[/bold]. Options after --.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="Configuration in TOML. Repeatable. [dim]TRIONET_CONFIG[/dim]",
        ),
    ] = None,
    assignments: SetOption = None,
    env_file: EnvFileOption = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL",
            help="debug, info, warning, error, critical. [dim]log.level, TRIONET_LOG_LEVEL[/dim]",
        ),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(metavar="text|json", help="[dim]log.format, TRIONET_LOG_FORMAT[/dim]"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The name of the node. [dim]node.name, TRIONET_NODE_NAME[/dim]"),
    ] = None,
) -> None:
    """Run a script, or the services of a configuration, on one node, until they end or a signal comes."""
    options = {
        "--log-level": ("log.level", log_level),
        "--log-format": ("log.format", log_format),
        "--name": ("node.name", name),
    }
    stops = context.obj if isinstance(context.obj, StopSignals) else StopSignals(Stage.LOADING)
    try:
        settings = settings_of(config, env_file, assignments, options)
        os.environ.update(settings.variables)
        code = run_settings(settings, script, tuple(args or ()), stops)
    except KeyboardInterrupt:
        if not stops.count:
            raise
        code = EXIT_OK
    raise typer.Exit(code)


def run_settings(settings: Settings, script: Path | None, args: tuple[str, ...], stops: StopSignals) -> int:
    """Load what is to run, run it, and log how it failed if it did.

    Returns:
        The exit code.

    Raises:
        SystemExit: if the script or its ``main`` raised it.
        KeyboardInterrupt: if a signal came while the script was being loaded.
    """
    setup_logging(settings.log, owner=current_owner_label, node=settings.node.name)
    try:
        program = load_program(settings, script, args)
    except ConfigError as error:
        refuse(error)
        return EXIT_USAGE
    except Exception as error:
        _log.critical("%s could not be loaded", script, exc_info=below(error, execute.__code__))
        return EXIT_CRASH
    try:
        return run_node(program, (), settings.node, stops)
    except _NotStarted as failure:
        _log.critical("%s", failure, exc_info=failure.__cause__)
    except (Exception, BaseExceptionGroup, KeyboardInterrupt) as error:
        _log.critical("main failed", exc_info=below(error, Program.__call__.__code__))
    return EXIT_CRASH


class _NotStarted(Exception):
    """A service of the configuration did not start; the reason is the cause."""


@attrs.frozen
class Program:
    """What runs on the node: services first, then ``main``, or for ever if there is none.

    Args:
        services: started in this order.
        main: of the script, or None.
        args: what ``main`` takes besides the node.
    """

    services: list[Planned]
    main: Main | None = None
    args: tuple[Any, ...] = ()

    async def __call__(self, node: Node) -> None:
        """Run it."""
        for each in self.services:
            try:
                await node.start(each.spec, name=each.config.name, restart=each.config.restart)
            except (StartFailed, NameTaken) as error:
                problem = f"{each.config.origin}: {each.config.key}: {each.config} did not start: {error}"
                raise _NotStarted(problem) from error
        if self.main is None:
            await node.serve_forever()
        else:
            await self.main(node, *self.args)


def load_program(settings: Settings, script: Path | None, args: tuple[str, ...]) -> Program:
    """Load the script and the classes of the services.

    Raises:
        ConfigError: if one of them cannot be used, or there is nothing to run.
        BaseException: what the script raises.
    """
    folders = [each.parent for each in settings.files]
    if script is None:
        if not settings.services:
            raise ConfigError(["found nothing to run, expected a script or a --config with [[services]]"])
        add_import_path(*folders, Path())
        return Program(plan(settings.services))
    add_import_path(script.parent, *folders)
    sys.argv = [str(script), *args]
    main, extra = main_of(script, load_script(script), args)
    return Program(plan(settings.services), main, extra)
