"""The command ``trionet`` itself: its table of commands, ``--version``, the signals."""

from __future__ import annotations

import importlib
import signal
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from trionet._version import __version__
from trionet.cli.process import Process
from trionet.program import EXIT_OK, Parent, Stage, StopSignals

#: Each command with its module, which has it as a Typer of one command named ``app``.
COMMANDS: Final = {
    "run": "trionet.cli.run",
    "up": "trionet.cli.up",
    "check": "trionet.cli.check",
    "console": "trionet.cli.console",
    "top": "trionet.cli.top",
    "keygen": "trionet.cli.keygen",
}
#: What typer makes of a KeyboardInterrupt.
_INTERRUPTED: Final = 130


class _Commands(TyperGroup):
    """Imports the module of a command when that command is wanted: a start shall not pay for the others."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = typer.main.get_command(importlib.import_module(module).app)
        command.name = cmd_name
        return command


app: typer.Typer = typer.Typer(
    cls=_Commands,
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trionet {__version__}")
        raise typer.Exit


@app.callback(epilog="Each command has its own [bold]--help[/bold], with examples.")
def trionet(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Networks of small services on Trio: a call is a function call, even across nodes."""


def main() -> None:
    """Run the command line; the entry of the command ``trionet``.

    A signal that no command saw ends the process as the system does it, so that a shell knows.

    Raises:
        SystemExit: with the exit code.
    """
    parent = Parent.adopt()
    with StopSignals(Stage.LOADING) as stops:
        parent.watch()
        code: object = EXIT_OK
        try:
            app(obj=Process(stops, parent))
        except SystemExit as end:
            code = end.code
        finally:
            stops.leave_for_good()
    if code == _INTERRUPTED and stops.count:
        signal.raise_signal(stops.last)
    raise SystemExit(code)
