"""A datacenter in a process of its own that is killed: what was acknowledged is there when it is back."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio

from tests.processes.children import open_stage
from trionet import Node, NodeDown
from trionet.services import datacenter

pytestmark = pytest.mark.timeout(240)

#: In the configuration of its node, before the service that tells that the node is ready.
SERVICE = """
[[services]]
class = "trionet.services:Datacenter"
name = "datacenter"
kwargs = {{ path = "{path}" }}
"""
WRITERS = 20
#: Acknowledged writes after which it is killed, each time.
WRITES = (100, 300)


class Writing:
    """Writers that never stop, and what they know.

    Attributes:
        acknowledged: what is there for certain.
        unknown: what nobody can know of.
    """

    def __init__(self, node: Node) -> None:
        self.acknowledged: dict[str, int] = {}
        self.unknown: dict[str, int] = {}
        self._dc = datacenter(node)
        self._more = trio.Event()

    async def write(self, writer: int) -> None:
        """Write one number after another, each at its own path."""
        number = 0
        while True:
            number += 1
            path = f"writers/{writer}/{number}"
            self.unknown[path] = number
            try:
                await self._dc.set(path, number)
            except NodeDown:
                continue
            self.acknowledged[path] = self.unknown.pop(path)
            self._more.set()

    async def wait(self, count: int) -> None:
        """Wait until so many more are acknowledged."""
        count += len(self.acknowledged)
        while len(self.acknowledged) < count:
            self._more = trio.Event()
            await self._more.wait()

    async def check(self) -> None:
        """All that was acknowledged is there, and nothing that was never written."""
        branch = await self._dc.get("writers")
        found = {
            f"writers/{writer}/{key}": each for writer, few in branch.items() for key, each in few.items()
        }
        assert {path: found.get(path) for path in self.acknowledged} == self.acknowledged
        assert found.items() <= (self.acknowledged | self.unknown).items()


async def test_sigkill_during_acknowledged_writes(tmp_path: Path) -> None:
    more = SERVICE.format(path=tmp_path / "world.db")
    async with open_stage(tmp_path) as stage, stage.node() as node:
        writing = Writing(node)
        async with trio.open_nursery() as nursery:
            for writer in range(WRITERS):
                nursery.start_soon(writing.write, writer)
            for count in WRITES:
                child = await stage.start(2, more=more)
                await writing.wait(count)
                child.process.send_signal(signal.SIGKILL)
                await child.process.wait()
            await stage.start(2, more=more)
            await writing.wait(1)
            nursery.cancel_scope.cancel()
        assert len(writing.unknown) <= WRITERS * (len(WRITES) + 1)
        await writing.check()
