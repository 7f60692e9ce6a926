"""``trionet up``: the nodes of a ``cluster.toml``, each a process of this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import trio
import typer

from trionet.cli.options import EnvFileOption, SetOption, nodes_of
from trionet.cli.output import Output
from trionet.cli.process import Process
from trionet.cli.supervisor import Supervisor
from trionet.configfile import PlannedNode
from trionet.program import EXIT_OK, Stage

EXAMPLES: Final = """\
[bold]Examples[/bold]

  trionet up cluster.toml

  trionet up cluster.toml --set node.stop_grace=1 --set nodes.room1.app.size=5

[bold]Exit codes[/bold]  0 ended as wanted, by a signal too; 1 a node failed and was not to be started again;
2 wrong usage or configuration; 75 something had to be cut off.
"""

app: typer.Typer = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def up(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="The cluster.toml; of several, later ones win.")
    ],
    assignments: SetOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Run the nodes of a cluster.toml on this machine, until they end or a signal comes.

    The first signal stops all nodes in order, the one with the master last; a second one kills them.
    """
    process = Process.of(context)
    try:
        planned = nodes_of(files, env_file, assignments)
    except KeyboardInterrupt:
        if not process.stops.count:
            raise
        raise typer.Exit(EXIT_OK) from None
    options = [
        *(f"--config={each}" for each in files),
        *(f"--env-file={each}" for each in env_file or ()),
        *(f"--set={each}" for each in assignments or ()),
    ]

    def command(node: PlannedNode) -> list[str]:
        return [sys.executable, "-m", "trionet", "run", *options, "--node", node.name]

    process.stops.stage = Stage.RUNNING
    raise typer.Exit(trio.run(_up, planned, command, process))


async def _up(
    planned: tuple[PlannedNode, ...], command: Callable[[PlannedNode], list[str]], process: Process
) -> int:
    output = Output([each.name for each in planned])
    code = await Supervisor(planned, command, output).run(process.stops)
    output.say("all nodes have stopped")
    return code
