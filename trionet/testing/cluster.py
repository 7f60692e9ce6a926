"""Whole clusters in one process, over a simulated network and in virtual time.

Duty: :func:`open_cluster`, and the faults that a test can make: crash, restart, partition, heal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from trionet.cluster_config import ClusterConfig
from trionet.config import NodeConfig
from trionet.kernel.node import Node, open_node
from trionet.kernel.seams import Random, Seams, simulated
from trionet.net.harbor import Harbor
from trionet.testing.determinism import seeded_scheduler
from trionet.testing.leaks import find_leaks
from trionet.testing.link_leaks import find_link_leaks
from trionet.testing.loopback import LoopbackNetwork
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
    failure: Exception | None = None
    leaks: tuple[str, ...] = ()


class SimulatedCluster:
    """The nodes of a simulation; made by :func:`open_cluster`.

    Each node has a number, from 1 on, which is its harbor id unless it is started with another one.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        network: SimulatedNetwork | LoopbackNetwork,
        seed: int,
        master: int,
        config: NodeConfig,
        settings: ClusterConfig,
    ) -> None:
        self._nursery = nursery
        self._network = network
        self._seed = seed
        self._master = master
        self._config = config
        self._settings = settings
        self._processes: dict[int, _Process] = {}
        self._starts = 0
        self._secrets = (Secret(Random(seed).randbytes(SECRET_SIZE)),)

    def __getitem__(self, number: int) -> Node:
        """The node of a number.

        Raises:
            KeyError: if it does not run.
        """
        node = self.nodes.get(number)
        if node is None:
            raise KeyError(f"node {number} does not run")
        return node

    @property
    def nodes(self) -> dict[int, Node]:
        """The nodes that run, by number."""
        return {
            number: process.node
            for number, process in sorted(self._processes.items())
            if process.node is not None and not process.over.is_set()
        }

    @property
    def latency(self) -> float:
        """Seconds that data takes from node to node, from now on, at least; half as much more at most.

        Raises:
            RuntimeError: if the cluster runs over real sockets, which have no faults on demand.
        """
        return self._simulated().latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        network = self._simulated()
        network.latency, network.jitter = seconds, seconds / 2

    def _simulated(self) -> SimulatedNetwork:
        if isinstance(self._network, SimulatedNetwork):
            return self._network
        raise RuntimeError("this cluster runs over real sockets: only nodes can fail, not the network")

    # --- nodes ---------------------------------------------------------------------------------------

    async def start(self, number: int, *, config: NodeConfig | None = None, **settings: Any) -> Node:
        """Start a node, or start it again after its end, and wait until it has joined.

        Cancellation: the node ends at once.

        Args:
            number: the number of the node.
            config: its own settings, in place of those that all nodes have.
            settings: what differs from the cluster's settings, as for :class:`trionet.ClusterConfig`:
                ``harbor="auto"``, ``master="node2:2013"``.

        Raises:
            ClusterError: if it cannot join.
            OSError: if an address cannot be listened at.
            ValueError: if it runs already.
        """
        process = self._launch(number, config or self._config, settings)
        try:
            await process.ready.wait()
        except trio.Cancelled:
            process.scope.cancel()
            raise
        if process.node is None:
            failure = _claim_failure(process)
            assert failure is not None
            raise failure
        return process.node

    def launch(self, number: int, *, config: NodeConfig | None = None, **settings: Any) -> None:
        """Start a node without waiting for it; :meth:`wait_ended` tells why it could not join.

        Args: as :meth:`start`.

        Raises:
            ValueError: if it runs already.
        """
        self._launch(number, config or self._config, settings)

    def _launch(self, number: int, config: NodeConfig, settings: dict[str, Any]) -> _Process:
        former = self._processes.get(number)
        if former is not None and not former.over.is_set():
            raise ValueError(f"node {number} runs already")
        process = self._processes[number] = _Process(trio.CancelScope())
        self._starts += 1
        self._nursery.start_soon(self._run, number, process, self._starts, config, settings)
        return process

    async def _run(
        self, number: int, process: _Process, starts: int, config: NodeConfig, settings: dict[str, Any]
    ) -> None:
        host = self._network.host(f"node{number}")
        config = attrs.evolve(config, name=f"node{number}")
        harbor = Harbor(self._settings_of(number, settings), host, self._secrets)
        try:
            with process.scope:
                await trio.sleep(START_TIME)
                async with open_node(config, seams=self._seams(starts), network=harbor) as node:
                    process.node = node
                    process.ready.set()
                    await node.serve_forever()
                    harbor.leaving()
                    await node.close()
                    await trio.lowlevel.checkpoint()
                    process.leaks = (*find_leaks(node), *find_link_leaks(harbor))
        except Exception as error:
            process.failure = error
        finally:
            host.crash()
            process.over.set()
            process.ready.set()

    def _settings_of(self, number: int, settings: dict[str, Any]) -> ClusterConfig:
        own = {
            "harbor": number,
            "fence": "tasks",  # an alarm of the system knows no virtual time
            "address": f"node{number}:{_NODE_PORT}",
            "master": f"node{self._master}:{_MASTER_PORT}",
            "standalone": f"node{number}:{_MASTER_PORT}" if number == self._master else None,
        }
        return attrs.evolve(self._settings, **{**own, **settings})

    def _seams(self, starts: int) -> Seams:
        if isinstance(self._network, SimulatedNetwork):
            return simulated(self._seed * 1000 + starts)
        return Seams()

    async def stop(self, number: int) -> None:
        """Stop a node in order and wait for its end.

        Cancellation: the node stops all the same.

        Raises:
            KeyError: if it does not run.
        """
        self[number].shutdown()
        await self._processes[number].over.wait()

    async def crash(self, number: int) -> None:
        """End a node as SIGKILL does: its streams break, nothing of it is cleaned up for others.

        Cancellation: the node ends all the same.

        Raises:
            KeyError: if it was never started.
        """
        process = self._started(number)
        self._network.host(f"node{number}").crash()
        process.scope.cancel()
        await process.over.wait()

    async def restart(self, number: int, **settings: Any) -> Node:
        """Crash a node, if it runs, and start it again.

        Cancellation, Args, Raises: as :meth:`start`.
        """
        if number in self.nodes:
            await self.crash(number)
        return await self.start(number, **settings)

    async def wait_ended(self, number: int) -> Exception | None:
        """Wait until a node has ended, however it did.

        Whoever does not ask for the error of a node that ends by itself gets it at the end of the cluster.

        Cancellation: changes nothing.

        Returns:
            The error that ended it, if any.

        Raises:
            KeyError: if it was never started.
        """
        process = self._started(number)
        await process.over.wait()
        return _claim_failure(process)

    def _started(self, number: int) -> _Process:
        process = self._processes.get(number)
        if process is None:
            raise KeyError(f"node {number} was never started")
        return process

    # --- the network ---------------------------------------------------------------------------------

    def partition(self, *parts: Iterable[int]) -> None:
        """Cut the network into parts; nodes that are in none form one more.

        Between parts nothing arrives, nor does anybody learn that a connection has ended.

        Raises:
            RuntimeError: as :attr:`latency`.
        """
        self._simulated().partition(*({f"node{number}" for number in part} for part in parts))

    def isolate(self, number: int) -> None:
        """Let nothing through to or from one node, as if it were frozen.

        Raises:
            RuntimeError: as :attr:`latency`.
        """
        self._simulated().isolate(f"node{number}")

    def heal(self) -> None:
        """Let everything through again; what was on its way arrives.

        Raises:
            RuntimeError: as :attr:`latency`.
        """
        self._simulated().heal()

    async def settle(self) -> None:
        """Wait until every node that runs is linked to every other.

        Cancellation: changes nothing.
        """
        for node in self.nodes.values():
            for other in self.nodes.values():
                if other is not node:
                    await node.cluster.wait_connected(other.harbor)

    # --- the end -------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop all nodes that run, the master last, and check that nothing is left of them.

        :func:`open_cluster` does it at the end of its block.

        Cancellation: the nodes stop all the same, but are not waited for.

        Raises:
            Exception: with which a node ended by itself, if nobody asked for it.
            AssertionError: if something was left on a node.
        """
        running = sorted(self.nodes, key=lambda each: (each == self._master, each))
        for number in running:
            if number in self.nodes:
                harbor = self[number].harbor
                await self.stop(number)
                for node in self.nodes.values():  # until its last words have arrived
                    await node.cluster.wait_disconnected(harbor)
        for process in self._processes.values():
            failure = _claim_failure(process)
            if failure is not None:
                raise failure
        left = [f"  node {number}: {leak}" for number in running for leak in self._processes[number].leaks]
        if left:
            raise AssertionError("left on the nodes of the cluster:\n" + "\n".join(left))


def _claim_failure(process: _Process) -> Exception | None:
    failure, process.failure = process.failure, None
    return failure


@asynccontextmanager
async def open_cluster(
    nodes: int = 3,
    *,
    seed: int = 0,
    master: int = 1,
    config: NodeConfig = NodeConfig(),  # noqa: B008 - frozen
    settings: ClusterConfig = ClusterConfig(),  # noqa: B008 - frozen
    real: bool = False,
) -> AsyncIterator[SimulatedCluster]:
    """Open a cluster of nodes in this process; leaving the block stops them, the master last.

    Everything that happens follows from the seed: chance, latencies, the order of tasks.  Use it in virtual
    time (the fixture ``virtual_time``, or ``autojump_clock`` of pytest-trio), so that waiting takes no time.
    At the end nothing may be left on the nodes that then still run: no task, no service, no call, no name.

    Cancellation: the nodes end at once, and nothing is checked.

    Args:
        nodes: how many; their harbor ids are 1, 2, ...
        seed: what everything follows from.
        master: the harbor id of the node that is the master.
        config: the settings of each node.
        settings: the numbers of the network; addresses and harbor ids are filled in.
        real: whether the nodes talk over real TCP on the loopback interface; then time must be real too, the
            network has no faults on demand, and nothing is repeatable.

    Raises:
        Exception: with which a node ended by itself, if nobody asked for it; see
            :meth:`SimulatedCluster.wait_ended`.
        AssertionError: if something was left on a node.
        ValueError: if ``nodes`` is not a number from 1 on.
    """
    if nodes < 1:
        raise ValueError(f"nodes: found {nodes}, expected 1 or more")
    network = LoopbackNetwork() if real else SimulatedNetwork(Random(seed + 1))
    failure: BaseException | None = None
    with seeded_scheduler(seed):
        async with trio.open_nursery() as nursery:
            cluster = SimulatedCluster(nursery, network, seed, master, config, settings)
            try:
                await cluster.start(master)
                for number in range(1, nodes + 1):
                    if number != master:
                        await cluster.start(number)
                await cluster.settle()
                yield cluster
                await cluster.close()
            except BaseException as error:  # raised again below, as it is: not within the nursery's group
                failure = error
                nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
