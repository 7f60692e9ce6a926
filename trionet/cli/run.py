"""``trionet run``: a script, or the services that a configuration names, on one node.

The order of the start, which the reference of the command line tells: settings, logging, secret and
certificates, script and classes, Trio, node and cluster, services, ``main``.
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

from trionet.cli.classes import Planned, plan, services_of
from trionet.cli.options import EnvFileOption, NodeOption, SetOption, located, refuse, settings_of
from trionet.cli.process import Process
from trionet.cli.profile import profile_table
from trionet.cli.script import add_import_path, below, execute, load_script, main_of
from trionet.configfile import Settings, advise
from trionet.console_config import NONE
from trionet.errors import ClusterError, ConfigError, HarborTaken, MasterUnreachable, NameTaken, StartFailed
from trionet.kernel.context import current_owner_label
from trionet.kernel.node import Node
from trionet.logs import setup_logging
from trionet.net.console_door import ConsoleDoor
from trionet.program import EXIT_CRASH, EXIT_OK, EXIT_USAGE, Launch, NoConsole, open_harbor, run_node

Main = Callable[..., Awaitable[object]]

_log: Final = logging.getLogger("trionet.run")

EXAMPLES: Final = """\
[bold]Examples[/bold]

  trionet run hello.py

  trionet run hello.py --log-level debug --set node.stop_grace=2

  trionet run hello.py --profile

  trionet run job.py -- --the-script's-own-option

  trionet run --config server.toml --env-file prod.env

  trionet run world.py --harbor 1 --standalone 127.0.0.1:2013 --address 127.0.0.1:2526

  trionet run login.py --harbor 2 --master 127.0.0.1:2013 --address 127.0.0.1:2527

[bold]Exit codes[/bold]  0 ended as wanted, by a signal too; 1 crashed, or no place in the cluster; 2 wrong
usage or configuration; 75 something had to be cut off.
"""
_CLUSTER: Final = "Cluster"

app: typer.Typer = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


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
    node: NodeOption = None,
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
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Measure each command of each class of services; a table at the end."
            " [dim]node.profile, TRIONET_NODE_PROFILE[/dim]",
        ),
    ] = False,
    harbor: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            rich_help_panel=_CLUSTER,
            help="The node's harbor id, 1 to 255, or auto. [dim]cluster.harbor, TRIONET_CLUSTER_HARBOR[/dim]",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=_CLUSTER,
            help="Where the node listens for others, host:port or unix:path. "
            "[dim]cluster.address, TRIONET_CLUSTER_ADDRESS[/dim]",
        ),
    ] = None,
    master: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=_CLUSTER,
            help="Where the master listens; by default the --standalone address. "
            "[dim]cluster.master, TRIONET_CLUSTER_MASTER[/dim]",
        ),
    ] = None,
    standalone: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=_CLUSTER,
            help="Run the master on this node, and where it listens. "
            "[dim]cluster.standalone, TRIONET_CLUSTER_STANDALONE[/dim]",
        ),
    ] = None,
    secret_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_CLUSTER,
            help="The secret that all nodes share; see trionet keygen. "
            "[dim]cluster.secret_file, TRIONET_CLUSTER_SECRET_FILE[/dim]",
        ),
    ] = None,
    console: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Where the debug console listens: auto, none, unix:path or host:port. "
            "[dim]console.address, TRIONET_CONSOLE_ADDRESS[/dim]",
        ),
    ] = None,
) -> None:
    """Run a script, or the services of a configuration, on one node, until they end or a signal comes."""
    options = {
        "--log-level": ("log.level", log_level),
        "--log-format": ("log.format", log_format),
        "--name": ("node.name", name),
        "--profile": ("node.profile", "true" if profile else None),
        "--harbor": ("cluster.harbor", harbor),
        "--address": ("cluster.address", address),
        "--master": ("cluster.master", master),
        "--standalone": ("cluster.standalone", standalone),
        "--secret-file": ("cluster.secret_file", secret_file),
        "--console": ("console.address", console),
    }
    process = Process.of(context)
    try:
        settings = settings_of(config, env_file, assignments, options, node)
        os.environ.update(settings.variables)
        if script is not None:
            settings = attrs.evolve(settings, script=script, args=tuple(args or ()))
        code = run_settings(settings, process, print_profile if profile else None)
    except KeyboardInterrupt:
        if not process.stops.count:
            raise
        code = EXIT_OK
    raise typer.Exit(code)


def print_profile(node: Node) -> None:
    """Print what was measured of a node on standard error."""
    for line in profile_table(node.profile()):
        typer.echo(line, err=True)


def run_settings(settings: Settings, process: Process, closed: Callable[[Node], None] | None = None) -> int:
    """Load what is to run, run it, and log how it failed if it did.

    Args:
        settings: say what is to run.
        process: its signals and its parent.
        closed: told when the node has closed.

    Returns:
        The exit code.

    Raises:
        SystemExit: if the script or its ``main`` raised it.
        KeyboardInterrupt: if a signal came while the script was being loaded.
    """
    setup_logging(settings.log, owner=current_owner_label, node=settings.node.name)
    try:
        network = None if settings.cluster is None else open_harbor(settings.cluster)
        door = None if settings.console.address == NONE else ConsoleDoor(settings.console, settings.cluster)
        program = load_program(settings)
    except ConfigError as error:
        refuse(error, settings.sources)
        return EXIT_USAGE
    except Exception as error:
        _log.critical("%s could not be loaded", settings.script, exc_info=below(error, execute.__code__))
        return EXIT_CRASH
    for advice in advise(settings):
        if advice.level == "warning":
            _log.warning("%s", advice)
    launch = Launch(program.run_main, (), settings.node, network, program.start_services, door=door)
    if closed is not None:
        launch = attrs.evolve(launch, closed=closed)
    try:
        return run_node(launch, process.stops, process.parent)
    except _NotStarted as failure:
        _log.critical("%s", failure, exc_info=failure.__cause__)
    except _MainFailed as failure:
        _log.critical("main failed", exc_info=failure.__cause__)
    except ClusterError as error:
        _log.critical("%s", describe(error, settings))
    except NoConsole as error:
        _log.critical("%s", ": ".join(located(ConfigError([str(error)]), settings.sources)))
    except (Exception, BaseExceptionGroup, KeyboardInterrupt) as error:
        _log.critical("the node failed", exc_info=error)
    return EXIT_CRASH


class _NotStarted(Exception):
    """A service of the configuration did not start; the reason is the cause."""


class _MainFailed(Exception):
    """``main`` raised; its exception is the cause."""


def describe(error: ClusterError, settings: Settings) -> str:
    """Say in one line why the node is no part of its cluster, and which setting that is about."""
    assert settings.cluster is not None
    text = " ".join(str(error).split())
    if isinstance(error, MasterUnreachable):
        key = "cluster.standalone" if settings.cluster.master is None else "cluster.master"
    elif isinstance(error, HarborTaken):
        key = "cluster.harbor"
    else:
        key, separator, rest = text.partition(": ")
        if not separator or not key.startswith("cluster."):
            return text
        text = rest
    return ": ".join(part for part in (settings.sources.get(key, ""), key, text) if part)


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

    async def start_services(self, node: Node) -> None:
        """Start the services of the configuration."""
        for each in self.services:
            try:
                await node.start(each.spec, name=each.config.name, restart=each.config.restart)
            except (StartFailed, NameTaken) as error:
                problem = f"{each.config.origin}: {each.config.key}: {each.config} did not start: {error}"
                raise _NotStarted(problem) from error

    async def run_main(self, node: Node) -> None:
        """Run ``main``; what it raises is told apart from what the node raises."""
        if self.main is None:
            await node.serve_forever()
            return
        try:
            await self.main(node, *self.args)
        except Exception as error:
            raise _MainFailed from below(error, Program.run_main.__code__)


def load_program(settings: Settings) -> Program:
    """Load the script and the classes of the services.

    Raises:
        ConfigError: if one of them cannot be used, or there is nothing to run.
        BaseException: what the script raises.
    """
    folders = [each.parent for each in settings.files]
    script = settings.script
    if script is None:
        if not settings.services:
            raise ConfigError(["found nothing to run, expected a script or a --config with [[services]]"])
        add_import_path(*folders, Path())
        return Program(plan(services_of(settings)))
    add_import_path(script.parent, *folders)
    sys.argv = [str(script), *settings.args]
    main, extra = main_of(script, load_script(script), settings.args)
    return Program(plan(services_of(settings)), main, extra)
