"""Whole clusters in one process, over a simulated network and in virtual time.

Duty: :func:`open_cluster`, and the faults that a test can make: crash, restart, partition, heal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import attrs
import trio

from trionet.cluster_config import ClusterConfig
from trionet.config import NodeConfig
from trionet.kernel.node import Node, open_node
from trionet.kernel.seams import Random, simulated
from trionet.net.harbor import Harbor
from trionet.testing.determinism import seeded_scheduler
from trionet.testing.network import SimulatedNetwork
from trionet.wire.secrets import SECRET_SIZE, Secret

#: Seconds that a simulated process takes from its start to its first step.
START_TIME = 0.01
_MASTER_PORT = 2013
_NODE_PORT = 2526


@attrs.define(eq=False)
class _Process:
    """One simulated process: a node, the scope that ends it at once, and what it ended with."""

    scope: trio.CancelScope
    ready: trio.Event = attrs.field(factory=trio.Event)
    over: trio.Event = attrs.field(factory=trio.Event)
    node: Node | None = None
    failure: BaseException | None = None


class SimulatedCluster:
    """The nodes of a simulation; made by :func:`open_cluster`.

    Attributes:
        network: what connects them; latency can be changed at any time.
    """

    def __init__(
        self, nursery: trio.Nursery, seed: int, master: int, config: NodeConfig, settings: ClusterConfig
    ) -> None:
        self._nursery = nursery
        self._seed = seed
        self._random = Random(seed)
        self._master = master
        self._config = config
        self._settings = settings
        self._processes: dict[int, _Process] = {}
        self._starts = 0
        self._secrets = (Secret(self._random.randbytes(SECRET_SIZE)),)
        self.network = SimulatedNetwork(Random(seed + 1))

    def __getitem__(self, harbor: int) -> Node:
        """The node of a harbor id.

        Raises:
            KeyError: if it does not run.
        """
        process = self._processes.get(harbor)
        if process is None or process.node is None or process.over.is_set():
            raise KeyError(f"node {harbor} does not run")
        return process.node

    @property
    def nodes(self) -> dict[int, Node]:
        """The nodes that run, by harbor id."""
        return {
            harbor: process.node
            for harbor, process in sorted(self._processes.items())
            if process.node is not None and not process.over.is_set()
        }

    async def start(self, harbor: int) -> Node:
        """Start a node, or start it again after its end, and wait until it has joined.

        Cancellation: the node ends at once.

        Raises:
            ClusterError: if it cannot join.
        """
        process = self.launch(harbor)
        try:
            await process.ready.wait()
        except trio.Cancelled:
            process.scope.cancel()
            raise
        if process.failure is not None:
            raise process.failure
        assert process.node is not None
        return process.node

    def launch(self, harbor: int) -> _Process:
        """Start a node without waiting for it."""
        former = self._processes.get(harbor)
        if former is not None and not former.over.is_set():
            raise ValueError(f"node {harbor} runs already")
        process = self._processes[harbor] = _Process(trio.CancelScope())
        self._starts += 1
        self._nursery.start_soon(self._run, harbor, process, self._starts)
        return process

    async def _run(self, harbor: int, process: _Process, number: int) -> None:
        settings = attrs.evolve(
            self._settings,
            harbor=harbor,
            address=f"node{harbor}:{_NODE_PORT}",
            master=f"node{self._master}:{_MASTER_PORT}",
            standalone=f"node{harbor}:{_MASTER_PORT}" if harbor == self._master else None,
        )
        transport = self.network.host(f"node{harbor}")
        config = attrs.evolve(self._config, name=f"node{harbor}")
        seams = simulated(self._seed * 1000 + number)
        harbor_part = Harbor(settings, transport, self._secrets)
        try:
            with process.scope:
                await trio.sleep(START_TIME)
                async with open_node(config, seams=seams, network=harbor_part) as node:
                    process.node = node
                    process.ready.set()
                    await node.serve_forever()
        except Exception as error:
            process.failure = error
            if process.ready.is_set():
                raise
        finally:
            transport.crash()
            process.over.set()
            process.ready.set()

    async def stop(self, harbor: int) -> None:
        """Stop a node in order and wait for its end."""
        self[harbor].shutdown()
        await self._processes[harbor].over.wait()

    async def crash(self, harbor: int) -> None:
        """End a node as SIGKILL does: its streams break, nothing of it is cleaned up for others."""
        process = self._processes[harbor]
        self.network.host(f"node{harbor}").crash()
        process.scope.cancel()
        await process.over.wait()

    async def restart(self, harbor: int) -> Node:
        """Crash a node, if it runs, and start it again with the same harbor id."""
        if harbor in self.nodes:
            await self.crash(harbor)
        return await self.start(harbor)

    def partition(self, *parts: Iterable[int]) -> None:
        """Cut the network into parts; nodes that are in none form one more."""
        self.network.partition(*({f"node{harbor}" for harbor in part} for part in parts))

    def isolate(self, harbor: int) -> None:
        """Let nothing through to or from one node, as if it were frozen."""
        self.network.isolate(f"node{harbor}")

    def heal(self) -> None:
        """Let everything through again."""
        self.network.heal()

    async def settle(self) -> None:
        """Wait until every node that runs is linked to every other.

        Cancellation: changes nothing.
        """
        for harbor, node in self.nodes.items():
            for other in self.nodes:
                if other != harbor:
                    await node.cluster.wait_connected(other)


@asynccontextmanager
async def open_cluster(
    nodes: int = 3,
    *,
    seed: int = 0,
    master: int = 1,
    config: NodeConfig = NodeConfig(),  # noqa: B008 - frozen
    settings: ClusterConfig = ClusterConfig(),  # noqa: B008 - frozen
) -> AsyncIterator[SimulatedCluster]:
    """Open a cluster of nodes in this process; leaving the block stops them.

    Everything that happens follows from the seed: chance, latencies, the order of tasks.  Use it in virtual
    time (pytest-trio's ``autojump_clock``), so that waiting takes no time.

    Args:
        nodes: how many; their harbor ids are 1, 2, ...
        seed: what everything follows from.
        master: the harbor id of the node that is the master.
        config: the settings of each node.
        settings: the numbers of the network; addresses and harbor ids are filled in.
    """
    with seeded_scheduler(seed):
        async with trio.open_nursery() as nursery:
            cluster = SimulatedCluster(nursery, seed, master, config, settings)
            await cluster.start(master)
            for harbor in range(1, nodes + 1):
                if harbor != master:
                    await cluster.start(harbor)
            await cluster.settle()
            yield cluster
            for harbor in sorted(cluster.nodes, key=lambda each: (each == master, each)):
                await cluster.stop(harbor)
