"""Small programs that ``trionet up`` could run, which need no time to start, and an output to wait for."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import trio
from rich.console import Console

from trionet.cli.output import Output
from trionet.cli.supervisor import Supervisor
from trionet.cluster_config import ClusterConfig
from trionet.config import NodeConfig
from trionet.configfile import PlannedNode, Settings, UpConfig
from trionet.kernel.supervise import Restart

#: What each program begins with: it can report how far it is, count its starts, and wait for the signal.
BEGIN = """
import json, os, signal, sys
name = sys.argv[1]

def tell(**report):
    os.write(int(os.environ["TRIONET_READY_FD"]), (json.dumps(report) + "\\n").encode())

def ready():
    tell(event="open", harbor=len(name), address="here")
    tell(event="ready")

def starts():
    with open(name + ".starts", "a+") as file:
        file.write("x")
        return file.tell()

def wait(code=0):
    def stop(*_):
        print(name, "stops", flush=True)
        os._exit(code)
    signal.signal(signal.SIGTERM, stop)
    ready()
    while True:
        signal.pause()
"""

MASTER = Settings(cluster=ClusterConfig(harbor=1, standalone="127.0.0.1:1"))


class Lines(io.StringIO):
    """An output whose text can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._written = trio.Event()

    def write(self, text: str) -> int:
        self._written.set()
        self._written = trio.Event()
        return super().write(text)

    async def wait_for(self, text: str) -> None:
        """Wait until a text is there."""
        while text not in self.text:
            await self._written.wait()

    @property
    def lines(self) -> list[str]:
        """All lines, without the space that aligns the names."""
        return [" ".join(line.split()) for line in self.getvalue().splitlines()]

    @property
    def text(self) -> str:
        """All lines as one text."""
        return "\n".join(self.lines)


def planned(
    name: str,
    *,
    restart: Restart = Restart("never"),  # noqa: B008 - frozen
    master: bool = False,
    patience: float = 30,
) -> PlannedNode:
    """A node that may take so many seconds to stop."""
    settings = MASTER if master else Settings()
    config, up = NodeConfig(stop_grace=patience), UpConfig(kill_after=0)
    settings = Settings(node=config, cluster=settings.cluster, up=up)
    return PlannedNode(name=name, settings=settings, restart=restart)


def command_of(programs: dict[str, str]) -> Callable[[PlannedNode], list[str]]:
    """The command that runs the program of a node."""

    def command(node: PlannedNode) -> list[str]:
        path = Path(f"{node.name}.py")
        path.write_text(BEGIN + programs[node.name], encoding="utf-8")
        return [sys.executable, "-S", str(path), node.name]

    return command


def supervisor_of(nodes: tuple[PlannedNode, ...], programs: dict[str, str], file: io.StringIO) -> Supervisor:
    """A supervisor of programs, with its output into a file."""
    output = Output([each.name for each in nodes], Console(file=file, highlight=False, width=1000))
    return Supervisor(nodes, command_of(programs), output)
