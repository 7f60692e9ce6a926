"""What the tests with real sockets share: a small cluster over TCP, its innocent bystanders, and an attacker.

Everything happens in one process and in real time, under a deadline.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.kernel.lives import Quiet
from trionet import ClusterConfig, Node
from trionet.net.greeting import agreed, greet
from trionet.net.harbor import Harbor
from trionet.net.peer import Peer
from trionet.net.transport import Connection
from trionet.testing import SimulatedCluster, open_cluster
from trionet.testing.loopback import LoopbackNetwork
from trionet.wire.agreement import Agreement, LinkIdentity
from trionet.wire.handshake import Dialer
from trionet.wire.hellos import NONCE_SIZE, Purpose
from trionet.wire.secrets import Secret

#: Seconds that a whole test may take.
LIMIT = 30
#: Handshakes are short, links patient: what dies here dies by what the attacker did.
SETTINGS = ClusterConfig(handshake_timeout=1.0, heartbeat=0.5, heartbeat_timeout=15.0, reconnect_most=0.5)


class Scene:
    """A cluster under attack.

    Attributes:
        cluster: nodes 1 (with the master) and 2 are innocent; node 3 is the attacker's, where it is used.
        log: what was logged.
    """

    def __init__(self, cluster: SimulatedCluster, log: pytest.LogCaptureFixture) -> None:
        self.cluster = cluster
        self.log = log
        self._streams: list[trio.SocketStream] = []
        self._links = [self.peer(1, 2), self.peer(2, 1)]

    def address(self, number: int, *, master: bool = False) -> tuple[str, int]:
        """Where a node really listens: for other nodes, or its master for slaves."""
        network = self.cluster._network
        assert isinstance(network, LoopbackNetwork)
        host, _, port = network.ports[f"node{number}:{2013 if master else 2526}"].rpartition(":")
        return host, int(port)

    def peer(self, number: int, other: int) -> Peer:
        """One node's side of its link to another."""
        peer = self.harbor(number)._links.peer(other)
        assert peer is not None
        return peer

    def harbor(self, number: int) -> Harbor:
        """The network of a node."""
        harbor = self.cluster[number].network
        assert isinstance(harbor, Harbor)
        return harbor

    def node(self, number: int) -> Node:
        """A node."""
        return self.cluster[number]

    @property
    def secret(self) -> Secret:
        """What the nodes share."""
        return self.cluster._secrets[0]

    async def connect(self, number: int, *, master: bool = False) -> trio.SocketStream:
        """Open a connection as anybody can; it is closed with the scene."""
        stream = await trio.open_tcp_stream(*self.address(number, master=master))
        self._streams.append(stream)
        return stream

    async def aclose(self) -> None:
        """Close all connections of the attacker."""
        for stream in self._streams:
            await trio.aclose_forcefully(stream)

    async def shake_hands(
        self,
        stream: trio.SocketStream,
        *,
        harbor: int,
        incarnation: int,
        secret: Secret | None = None,
        purpose: Purpose = Purpose.PEER,
    ) -> Agreement:
        """Do the handshake with node 1 as somebody does who has a secret."""
        identity = LinkIdentity(
            cluster="trionet",
            harbor=harbor,
            incarnation=incarnation,
            secrets=(secret or self.secret,),
            records=True,
        )
        connection = Connection(stream, False, b"", "the victim")
        victim = (1, self.node(1).incarnation) if purpose is Purpose.PEER else (0, 0)
        handshake = Dialer(identity, os.urandom(NONCE_SIZE), purpose, *victim)
        await greet(connection, handshake)
        return await agreed(connection, handshake)

    def inject(self, frames: bytes) -> None:
        """Let node 3 say what no honest node says to node 1, over its authenticated link."""
        peer = self.peer(3, 1)
        peer.link.outbox.control(frames)
        peer.kick()

    async def wait_logged(self, text: str, *, times: int = 1) -> None:
        """Wait until a text is in the log so many times."""
        while self.log.text.count(text) < times:  # noqa: ASYNC110 - a log has no event
            await trio.sleep(0.01)

    async def assert_undisturbed(self) -> None:
        """The innocent nodes still have the same link, and it works, both ways; so does joining."""
        assert [self.peer(1, 2), self.peer(2, 1)] == self._links
        assert await self.cluster[1].call("quiet2", "answer") == 42
        assert await self.cluster[2].call("quiet1", "answer") == 42


@asynccontextmanager
async def open_scene(
    log: pytest.LogCaptureFixture, nodes: int = 2, settings: ClusterConfig = SETTINGS, **more: Any
) -> AsyncIterator[Scene]:
    """Open a cluster over TCP for an attack; at the end its innocent nodes are undisturbed."""
    log.set_level("INFO")
    with trio.fail_after(LIMIT):
        async with open_cluster(nodes, real=True, settings=settings, **more) as cluster:
            for number in (1, 2):
                await cluster[number].start(Quiet, name=f"quiet{number}")
            await cluster[1].wait_for_name("quiet2")
            await cluster[2].wait_for_name("quiet1")
            scene = Scene(cluster, log)
            await scene.assert_undisturbed()
            try:
                yield scene
                await scene.assert_undisturbed()
            finally:
                await scene.aclose()


async def read_to_end(stream: trio.SocketStream) -> bytes:
    """Read until the victim hangs up."""
    got = b""
    try:
        while data := await stream.receive_some(65536):
            got += data
    except trio.BrokenResourceError:
        pass
    return got
