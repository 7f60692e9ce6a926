"""``trionet console``: asks a running node, line by line or once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer
from rich.console import Console

from trionet.cli.console_client import ConsoleClient, ConsoleProblem, find_console
from trionet.cli.console_lines import Completer, edited
from trionet.cli.console_show import show, show_error, show_json
from trionet.cli.interrupts import Interrupts
from trionet.cli.process import Process
from trionet.cluster_config import ClusterConfig
from trionet.errors import ConfigError
from trionet.kernel.seams import Seams
from trionet.net.identity import read_secrets
from trionet.program import EXIT_CRASH, EXIT_OK, EXIT_USAGE

EXAMPLES: Final = """\
[bold]Examples[/bold]

  trionet console

  trionet console world

  trionet console world list

  trionet console world --node 2 'call .greeter greet("Ann", loud=true)'

  trionet console 10.0.0.5:2600 --secret-file cluster.key --json nodes

[bold]Exit codes[/bold]  0 ended as wanted; 1 the command failed, or the node went away; 2 wrong usage, or no
console.
"""
#: Columns of an output that no terminal wraps.
_UNWRAPPED: Final = 1000

AddressArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="ADDRESS",
        help="The name of a node of this machine, the path of a socket, unix:path, host:port, or - for the "
        "only node here.",
        show_default=False,
    ),
]
NodeOption = Annotated[
    int | None,
    typer.Option("--node", metavar="ID", help="The node to ask, by its harbor id: as @ID before a line."),
]
SecretOption = Annotated[
    str | None,
    typer.Option(
        "--secret-file",
        metavar="FILE",
        envvar="TRIONET_CLUSTER_SECRET_FILE",
        help="The secret of the cluster; TCP needs it.",
    ),
]
ClusterOption = Annotated[
    str,
    typer.Option(
        "--cluster", metavar="NAME", envvar="TRIONET_CLUSTER_NAME", help="The name of the cluster; for TCP."
    ),
]

app: typer.Typer = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES, context_settings={"ignore_unknown_options": True})
def console(
    context: typer.Context,
    address: AddressArgument = None,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND", help="What to ask; without it, lines are read.", show_default=False
        ),
    ] = None,
    node: NodeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each result as one line of JSON.")] = False,
    secret_file: SecretOption = None,
    cluster: ClusterOption = "trionet",
) -> None:
    """Ask a running node, and through it every node of its cluster: services, memory, links, messages, logs.

    Ctrl-C ends the command that runs; Ctrl-D, or an empty input, the console.
    """
    process = Process.of(context)
    with connected(address, secret_file, cluster) as client, Interrupts() as interrupts:
        client.waiting = interrupts.allowed
        shell = Shell(client, process, node, as_json=as_json)
        code = shell.run(" ".join(command)) if command else shell.run_all()
    raise typer.Exit(code)


@contextmanager
def connected(address: str | None, secret_file: str | None, cluster: str) -> Iterator[ConsoleClient]:
    """Come into a console for the block; what goes wrong with it ends the command.

    Raises:
        typer.Exit: with code 2 if there is no console, 1 if it goes away; the reason is printed.
    """
    try:
        secrets = read_secrets(ClusterConfig(secret_file=secret_file)) if secret_file else ()
        client = ConsoleClient.connect(find_console(address), cluster, secrets, Seams().random)
    except (ConsoleProblem, ConfigError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_USAGE) from None
    with client:
        try:
            yield client
        except ConsoleProblem as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(EXIT_CRASH) from None


def printer(*, stderr: bool = False) -> Console:
    """The terminal, or a file whose lines are as long as they need to be."""
    made = Console(highlight=False, stderr=stderr)
    if not made.is_terminal:
        made.width = _UNWRAPPED
    return made


class Shell:
    """Lines, and what is printed of their replies.

    Args:
        client: the console.
        process: the process; a SIGTERM ends the shell.
        node: the harbor id of the node that is asked where a line names none.
        as_json: whether results are printed as JSON.
    """

    def __init__(self, client: ConsoleClient, process: Process, node: int | None, *, as_json: bool) -> None:
        self._client = client
        self._process = process
        self._node = node
        self._show = show_json if as_json else show
        self._out = printer()
        self._errors = printer(stderr=True)

    def run_all(self) -> int:
        """Read lines until there are no more; the exit code is that of the last."""
        prompt = f"{self._client.hello.get('node')}> " if sys.stdin.isatty() else ""
        code = EXIT_OK
        with edited(Completer(self._client)):
            while not self._process.stops.count:
                try:
                    with self._client.waiting():
                        line = input(prompt).strip()
                except EOFError:
                    break
                except KeyboardInterrupt:
                    typer.echo("")
                    continue
                if line in ("exit", "quit"):
                    break
                if line:
                    code = self.run(line)
        if prompt:
            typer.echo("")
        return code

    def run(self, line: str) -> int:
        """Ask one line and print its replies; returns the exit code."""
        if self._node is not None and not line.startswith("@"):
            line = f"@{self._node} {line}"
        try:
            for reply in self._client.ask(line):
                if reply["reply"] == "error":
                    show_error(self._errors, reply)
                    return EXIT_CRASH
                self._show(self._out, reply.get("data"))
        except KeyboardInterrupt:
            self._client.stop()
        return EXIT_OK
