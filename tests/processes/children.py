"""Nodes as child processes: started with ``trionet run``, killed, frozen, and gone when a test ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from tests.ports import free_address as free_address
from tests.processes.echo import Echo
from trionet import ClusterConfig, Harbor, Node, NodeConfig, open_node

ROOT = Path(__file__).parents[2]
SERVICE = """
[[services]]
class = "tests.processes.echo:{service}"
name = "{name}{harbor}"
"""
#: Seconds in which nodes start, on a machine that is busy with other things.
STARTED = 90.0
#: Seconds that a whole test may take; before pytest ends it without a word of what the nodes said.
WHOLE = 55.0
#: Settings of all nodes, the one of the test included.  Only the end of a stream can tell of a death while
#: the heartbeat timeout is this long.
SETTINGS = {
    "heartbeat": 5.0,
    "heartbeat_timeout": 120.0,
    "handshake_timeout": 10.0,
    "reconnect_most": 0.2,
}


class Child:
    """One child process.

    Args:
        process: the process.
        log: the file with all it says.
    """

    def __init__(self, process: trio.Process, log: Path) -> None:
        self.process = process
        self.log = log

    def text(self) -> str:
        """Return all that it has said so far."""
        return self.log.read_text(encoding="utf-8")

    async def end(self) -> tuple[int, str]:
        """Wait for its end; returns the exit code and what it said."""
        return await self.process.wait(), self.text()


class Stage:
    """The child processes of one test, and the node of the test itself.

    Args:
        folder: for configurations and logs.
        standalone: where the node of the test runs the master; None if a child does.
        settings: keys of ``[cluster]`` that differ.
    """

    def __init__(self, folder: Path, standalone: bool, settings: dict[str, Any]) -> None:
        self.master = free_address()
        self.started: list[Child] = []
        self._folder = folder
        self._settings = SETTINGS | settings
        self._standalone = standalone

    @asynccontextmanager
    async def node(self) -> AsyncIterator[Node]:
        """Open the node of the test, harbor 1."""
        standalone = self.master if self._standalone else None
        config = ClusterConfig(harbor=1, master=self.master, standalone=standalone, **self._settings)
        async with open_node(NodeConfig(name="node1"), network=Harbor(config)) as node:
            yield node

    async def start(
        self, harbor: int, *options: str, before: str | None = None, more: str = "", **settings: Any
    ) -> Child:
        """Start a node with a service ``echoN``; returns before it has joined.

        Args:
            harbor: its harbor id, the N of the name.
            options: more options of ``trionet run``.
            before: the class of a service that has started when ``echoN`` is known; its name is made alike.
            more: more text of its configuration.
            settings: keys of ``[cluster]`` that differ.
        """
        number = len(self.started)
        config = self._folder / f"node{harbor}-{number}.toml"
        services = [each for each in (before, "Echo") if each]
        text = [SERVICE.format(service=each, name=each.lower(), harbor=harbor) for each in services]
        config.write_text("".join([more, *text]), encoding="utf-8")
        words = [sys.executable, "-P", "-m", "trionet", "run", "--config", str(config)]
        words += [f"--name=node{harbor}", f"--harbor={harbor}", *options]
        words += [] if "--standalone" in " ".join(options) else [f"--master={self.master}"]
        for key, each in (self._settings | settings).items():
            words.append(f"--set=cluster.{key}={each}")
        return await self._open(words, config.with_suffix(".log"))

    async def _open(self, words: list[str], log: Path) -> Child:
        environ = {key: each for key, each in os.environ.items() if not key.startswith("TRIONET_")}
        with log.open("wb") as output:
            process = await trio.lowlevel.open_process(
                words, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        child = Child(process, log)
        self.started.append(child)
        return child

    async def start_all(self, node: Node, *harbors: int) -> list[Child]:
        """Start nodes and wait until they are linked and their names are known."""
        children = [await self.start(harbor) for harbor in harbors]
        with trio.fail_after(STARTED):
            for harbor in harbors:
                await self.linked(node, harbor)
        return children

    async def linked(self, node: Node, harbor: int) -> None:
        """Wait until a node is linked, and its service has been started and answers."""
        await node.wait_for_name(f"echo{harbor}")
        await node.cluster.wait_connected(harbor)
        await node.ref(f"echo{harbor}", Echo).echo("are you there?")


@asynccontextmanager
async def open_stage(folder: Path, *, standalone: bool = True, **settings: Any) -> AsyncIterator[Stage]:
    """Open a stage; what still runs when the block ends is killed, and what it said is told if it failed."""
    stage = Stage(folder, standalone, settings)
    try:
        with trio.fail_after(WHOLE):
            yield stage
    except BaseException as error:
        for child in stage.started:
            error.add_note(f"--- {child.log.name}\n{child.text()}")
        raise
    finally:
        with trio.CancelScope(shield=True):
            for child in stage.started:
                if child.process.poll() is None:
                    child.process.send_signal(signal.SIGKILL)
                await child.process.wait()
