"""``trionet run``: a script, or the services that a configuration names, on one node.

Duty: from the words of the command line to settings; :mod:`trionet.cli.running` does the rest.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import attrs
import typer

from trionet.cli.options import EnvFileOption, NodeOption, SetOption, settings_of
from trionet.cli.process import Process
from trionet.cli.profile import profile_table
from trionet.cli.run_options import (
    AddressOption,
    ArgsArgument,
    ConfigOption,
    ConsoleOption,
    HarborOption,
    LogFormatOption,
    LogLevelOption,
    MasterOption,
    NameOption,
    ProfileOption,
    ScriptArgument,
    SecretFileOption,
    StandaloneOption,
)
from trionet.cli.running import run_settings
from trionet.configfile import Settings, section_rules
from trionet.kernel.node import Node
from trionet.program import EXIT_OK

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

app: typer.Typer = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def run(
    context: typer.Context,
    script: ScriptArgument = None,
    args: ArgsArgument = None,
    config: ConfigOption = None,
    node: NodeOption = None,
    assignments: SetOption = None,
    env_file: EnvFileOption = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
    name: NameOption = None,
    profile: ProfileOption = False,
    harbor: HarborOption = None,
    address: AddressOption = None,
    master: MasterOption = None,
    standalone: StandaloneOption = None,
    secret_file: SecretFileOption = None,
    console: ConsoleOption = None,
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
            settings = with_script(settings, script, tuple(args or ()))
        code = run_settings(settings, process, print_profile if profile else None)
    except KeyboardInterrupt:
        if not process.stops.count:
            raise
        code = EXIT_OK
    raise typer.Exit(code)


def with_script(settings: Settings, script: Path, args: tuple[str, ...]) -> Settings:
    """Settings that run a script; the node is named like it where nothing else names the node."""
    node = settings.node
    if "node.name" not in settings.sources and section_rules("node")["name"].accepts(script.stem):
        node = attrs.evolve(node, name=script.stem)
    return attrs.evolve(settings, node=node, script=script, args=args)


def print_profile(node: Node) -> None:
    """Print what was measured of a node on standard error."""
    for line in profile_table(node.profile()):
        typer.echo(line, err=True)
