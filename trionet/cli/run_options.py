"""The options of ``trionet run`` that no other command has, and its arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

_CLUSTER: Final = "Cluster"

ScriptArgument: TypeAlias = Annotated[
    Path | None,
    typer.Argument(
        metavar="SCRIPT", help="A file with [bold]async def main(node)[/bold].", show_default=False
    ),
]
ArgsArgument: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ARGS",
        help="For the script: in sys.argv, and for [bold]main(node, args)[/bold]. Options after --.",
        show_default=False,
    ),
]
ConfigOption: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration in TOML. Repeatable. [dim]TRIONET_CONFIG[/dim]",
    ),
]
LogLevelOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="LEVEL",
        help="debug, info, warning, error, critical. [dim]log.level, TRIONET_LOG_LEVEL[/dim]",
    ),
]
LogFormatOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="text|json", help="[dim]log.format, TRIONET_LOG_FORMAT[/dim]"),
]
NameOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The name of the node. [dim]node.name, TRIONET_NODE_NAME[/dim]"),
]
ProfileOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--profile",
        help="Measure each command of each class of services; a table at the end."
        " [dim]node.profile, TRIONET_NODE_PROFILE[/dim]",
    ),
]
HarborOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        rich_help_panel=_CLUSTER,
        help="The node's harbor id, 1 to 255, or auto. [dim]cluster.harbor, TRIONET_CLUSTER_HARBOR[/dim]",
    ),
]
AddressOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        rich_help_panel=_CLUSTER,
        help="Where the node listens for others, host:port or unix:path. "
        "[dim]cluster.address, TRIONET_CLUSTER_ADDRESS[/dim]",
    ),
]
MasterOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        rich_help_panel=_CLUSTER,
        help="Where the master listens; by default the --standalone address. "
        "[dim]cluster.master, TRIONET_CLUSTER_MASTER[/dim]",
    ),
]
StandaloneOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        rich_help_panel=_CLUSTER,
        help="Run the master on this node, and where it listens. "
        "[dim]cluster.standalone, TRIONET_CLUSTER_STANDALONE[/dim]",
    ),
]
SecretFileOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_CLUSTER,
        help="The secret that all nodes share; see trionet keygen. "
        "[dim]cluster.secret_file, TRIONET_CLUSTER_SECRET_FILE[/dim]",
    ),
]
ConsoleOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Where the debug console listens: auto, none, unix:path or host:port. "
        "[dim]console.address, TRIONET_CONSOLE_ADDRESS[/dim]",
    ),
]
