"""What ``trionet run`` does once it has settings: load what is to run, run it, say how it failed.

The order of the start, which the reference of the command line tells: settings, logging, secret and
certificates, script and classes, Trio, node and cluster, services, ``main``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import attrs

from trionet.cli.classes import Planned, plan, services_of
from trionet.cli.options import located, refuse
from trionet.cli.process import Process
from trionet.cli.script import add_import_path, below, execute, load_script, main_of
from trionet.configfile import Settings, advise
from trionet.console_config import NONE
from trionet.errors import ClusterError, ConfigError, HarborTaken, MasterUnreachable, NameTaken, StartFailed
from trionet.kernel.context import current_owner_label
from trionet.kernel.node import Node
from trionet.logs import setup_logging
from trionet.net.console_door import ConsoleDoor
from trionet.program import EXIT_CRASH, EXIT_USAGE, Launch, NoConsole, open_harbor, run_node

Main = Callable[..., Awaitable[object]]

_log: Final = logging.getLogger("trionet.run")


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
