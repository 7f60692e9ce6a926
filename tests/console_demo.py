"""The cluster of the console's pages: three nodes that do the same thing each time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from tests.console_client import Client, console_of
from trionet import Node, NodeConfig, NodeStopping, Service, command, spec
from trionet.services import Launcher
from trionet.testing import SimulatedCluster, open_cluster

NAMES = {1: "world", 2: "rooms", 3: "login"}


class Room(Service):
    """Is asked by players."""

    @command
    def greet(self, who: str, *, loud: bool = False) -> str:
        return f"Hello, {who}" + ("!" if loud else ".")


class Slow(Service):
    """Has somebody waiting."""

    @command
    async def lookup(self, name: str) -> None:
        await trio.sleep_forever()


class Player(Service):
    """Asks a room, again and again.

    Args:
        room: whom it asks.
        rate: how often a second.
        cost: seconds of the processor that each question costs.
    """

    def __init__(self, room: str, rate: float, cost: float) -> None:
        self.room, self.rate, self.cost = room, rate, cost

    async def setup(self) -> None:
        self.nursery.start_soon(self._play)

    async def _play(self) -> None:
        while True:
            await self.node.ref(self.room, Room).greet("player")
            await self.step()
            await trio.sleep(1 / self.rate)

    @command
    def step(self) -> None:
        """Cost what it costs."""
        actor = self._trionet_actor
        assert actor is not None
        actor.cpu_time += self.cost
        actor.messages += 1


@asynccontextmanager
async def demo(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[SimulatedCluster, Client]]:
    """The three nodes, idle but for one handler that waits; code takes no time, so that figures are round."""
    monkeypatch.setattr("trionet.kernel.seams.READING", 0.0)
    async with open_cluster(3, config=NodeConfig(call_deadline=float("inf"))) as cluster:
        for number, name in NAMES.items():
            node = cluster[number]
            node.config = attrs.evolve(node.config, name=name)
            await node.start(Launcher, name=".launcher")
        lobby = await cluster[2].start(Room, name="lobby")
        await cluster[2].start(Room, name="cellar")
        slow = await cluster[1].start(Slow, name=".slow")
        for each in cluster.nodes.values():
            await each.wait_for_name("lobby")
        await lobby.greet("Eve")
        async with console_of(cluster[1]) as client, trio.open_nursery() as nursery:
            nursery.start_soon(_ask, cluster[1], slow)
            await trio.sleep(2.5)
            yield cluster, client
            nursery.cancel_scope.cancel()


async def _ask(node: Node, slow: Slow) -> None:
    try:
        await slow.lookup("Ann")
    except NodeStopping:
        return


async def play(cluster: SimulatedCluster) -> None:
    """Let players play on all nodes."""
    for number, room, rate, cost in [
        (1, "lobby", 80.0, 0.0009),
        (1, "cellar", 30.0, 0.0011),
        (3, "lobby", 200.0, 0.0041),
        (3, "cellar", 20.0, 0.0003),
    ]:
        await cluster[number].start(spec(Player, room, rate, cost), name=f".{room}-player")
