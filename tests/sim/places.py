"""What the tests of the contract share: the same scenario within one node, and across two.

Theory of operation.  A scenario speaks of two places: *here*, from where it calls, and *there*, where the
services live.  In the placement ``local`` both are one node; in the placement ``remote`` they are two nodes
of a simulated cluster, in virtual time.  A scenario that passes in both keeps the contract across nodes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
import trio

from tests.kernel.stage import Caller, Puppet, Stage, check_node, puppet
from trionet import ClusterConfig, Node, NodeConfig, spec
from trionet.testing import SimulatedCluster, open_cluster, open_simulated_node

Placement = Literal["local", "remote"]

#: A test for both placements.
everywhere = pytest.mark.parametrize("placement", ["local", "remote"])

#: Seconds, of virtual time, in which everything has come to rest: many times what a message takes.
REST = 0.1


class Places:
    """Where a scenario takes place.

    Attributes:
        here: the node of the callers.
        there: the node of the services.
        cluster: both of them, in the remote placement.
        stage: what the test shares with its puppets.
    """

    def __init__(self, here: Node, there: Node, cluster: SimulatedCluster | None) -> None:
        self.here = here
        self.there = there
        self.cluster = cluster
        self.stage = Stage()

    def from_here(self, reference: Any) -> Any:
        """The same reference, for callers who are here."""
        return self.here.ref(reference, reference.__trionet_interface__)

    async def start(self, name: str | None = None, **options: Any) -> Puppet:
        """Start a puppet there; returns a reference for callers who are here."""
        started = await self.there.start(spec(puppet(**options), self.stage), name=name)
        reference: Puppet = self.from_here(started)
        return reference

    async def start_here(self, name: str | None = None, **options: Any) -> Puppet:
        """Start a puppet here."""
        return await self.here.start(spec(puppet(**options), self.stage), name=name)

    async def begin(self, nursery: trio.Nursery, call: Callable[[], Awaitable[object]]) -> Caller:
        """Start a caller and let it get as far as it can."""
        caller = Caller(call)
        nursery.start_soon(caller.run)
        await trio.sleep(REST)
        return caller

    async def rest(self) -> list[str]:
        """Let everything come to rest, check the nodes, return what was written since the last time."""
        await trio.sleep(REST)
        for node in {self.here, self.there}:
            check_node(node)
        log, self.stage.log = self.stage.log, []
        return log


@asynccontextmanager
async def open_places(
    placement: Placement,
    config: NodeConfig = NodeConfig(),  # noqa: B008 - frozen
    **settings: Any,
) -> AsyncIterator[Places]:
    """Open the places for the block; nothing may be left of them at its end."""
    if placement == "local":
        async with open_simulated_node(config) as node:
            yield Places(node, node, None)
        return
    async with open_cluster(2, config=config, settings=ClusterConfig(**settings)) as cluster:
        yield Places(cluster[1], cluster[2], cluster)
