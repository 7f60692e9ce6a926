"""``trionet top``: a cluster, live."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer
from rich.live import Live

from trionet.cli.console import (
    AddressArgument,
    ClusterOption,
    SecretOption,
    connected,
    printer,
)
from trionet.cli.console_client import ConsoleClient
from trionet.cli.console_show import show_error
from trionet.cli.interrupts import Interrupts
from trionet.cli.top_view import picture, room_for_services
from trionet.program import EXIT_CRASH

EXAMPLES: Final = """\
[bold]Examples[/bold]

  trionet top

  trionet top world --interval 0.5

  trionet top 10.0.0.5:2600 --secret-file cluster.key --once

[bold]Exit codes[/bold]  0 ended as wanted, by Ctrl-C too; 1 the node went away; 2 wrong usage, or no console.
"""
#: Services of a node that are asked for, and shown where no terminal has an end.
_MOST: Final = 50

app: typer.Typer = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command(epilog=EXAMPLES)
def top(
    address: AddressArgument = None,
    once: Annotated[bool, typer.Option("--once", help="Print one report, and end.")] = False,
    interval: Annotated[
        float, typer.Option(min=0.1, max=3600, metavar="SECONDS", help="Seconds between two reports.")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print each report as one line of JSON.")] = False,
    secret_file: SecretOption = None,
    cluster: ClusterOption = "trionet",
) -> None:
    """Show a cluster live: its nodes, its links, and the services that handle most messages.

    Rates and shares of the processor are those since the report before.
    """
    with connected(address, secret_file, cluster) as client, Interrupts() as interrupts:
        client.waiting = interrupts.allowed
        reports = _reports(client, f"load {interval!r} {_MOST}", once=once)
        try:
            if as_json:
                for report in reports:
                    typer.echo(json.dumps(report))
            elif once:
                for report in reports:
                    printer().print(picture(report, _title(client, report), _MOST))
            else:
                _show_live(client, reports)
        except KeyboardInterrupt:
            return


def _show_live(client: ConsoleClient, reports: Iterator[list[dict[str, Any]]]) -> None:
    terminal = printer()
    with Live(console=terminal, screen=terminal.is_terminal, auto_refresh=False) as live:
        for report in reports:
            most = room_for_services(terminal.height, report)
            live.update(picture(report, _title(client, report), most), refresh=True)


def _reports(client: ConsoleClient, line: str, *, once: bool) -> Iterator[list[dict[str, Any]]]:
    """The reports as they come; ``once`` waits until every node is in it, or has a problem."""
    for reply in client.ask(line):
        if reply["reply"] != "item":
            show_error(printer(stderr=True), reply)
            raise typer.Exit(EXIT_CRASH)
        report = reply["data"]
        if once and any(each.get("problem") == "no answer yet" for each in report):
            continue
        yield report
        if once:
            return


def _title(client: ConsoleClient, report: list[dict[str, Any]]) -> str:
    alive = [each for each in report if "node" in each]
    rate = sum(each["rate"] for each in alive)
    services = sum(each["node"]["services"] for each in alive)
    return (
        f"{len(alive)} of {len(report)} nodes, {services} services, {rate:,.0f} messages a second, "
        f"seen from {client.hello.get('node')}"
    )
