"""Real TCP in the place of the simulated network: the same tests, over sockets of this machine.

Duty: the transport of each node of a cluster in one process, whose addresses are those of the simulation.

An address such as ``node2:2526`` stands for a port of 127.0.0.1 that was free when the node listened there.
"""

from __future__ import annotations

from contextlib import suppress
from weakref import WeakSet

import attrs
import trio

from trionet.net.transport import Connection, Listener, Sockets


class LoopbackListener:
    """Where real connections arrive, under the name of the simulated address."""

    def __init__(self, host: LoopbackHost, address: str, inner: Listener) -> None:
        self.address = address
        self._host = host
        self._inner = inner

    async def accept(self) -> Connection:
        """Wait for the next connection."""
        return self._host.adopt(await self._inner.accept())

    async def aclose(self) -> None:
        """Accept no more."""
        self._host.forget(self.address)
        await self._inner.aclose()


class LoopbackHost:
    """The transport of one node.

    Args:
        network: what connects it with the others.
        name: its host name.
    """

    def __init__(self, network: LoopbackNetwork, name: str) -> None:
        self.name = name
        self._network = network
        self._streams: WeakSet[trio.SocketStream] = WeakSet()

    async def connect(self, address: str) -> Connection:
        """Connect to an address.

        Raises:
            OSError: if nobody listens there.
        """
        real = self._network.ports.get(address)
        if real is None:
            await trio.lowlevel.checkpoint()
            raise ConnectionRefusedError(f"nobody listens at {address}")
        return self.adopt(await self._network.sockets.connect(real))

    async def listen(self, address: str) -> LoopbackListener:
        """Listen at an address of this host.

        Raises:
            OSError: if it is taken.
        """
        if address in self._network.ports:
            raise OSError(f"{address} is taken")
        inner = await self._network.sockets.listen("127.0.0.1:0")
        self._network.ports[address] = inner.address
        return LoopbackListener(self, address, inner)

    def adopt(self, connection: Connection) -> Connection:
        """A connection of this host, which dies with it; its bytes are treated as those of a real network."""
        if isinstance(connection.stream, trio.SocketStream):
            self._streams.add(connection.stream)
        return attrs.evolve(connection, is_safe=False)

    def forget(self, address: str) -> None:
        """Nobody listens at an address any more."""
        self._network.ports.pop(address, None)

    def crash(self) -> None:
        """The process is gone: its listeners vanish, its sockets are closed."""
        for address in [each for each in self._network.ports if each.partition(":")[0] == self.name]:
            self.forget(address)
        for stream in list(self._streams):
            with suppress(OSError):
                stream.socket.close()
        self._streams.clear()


class LoopbackNetwork:
    """Real sockets between the nodes of one process."""

    def __init__(self) -> None:
        self.sockets: Sockets = Sockets()
        self.ports: dict[str, str] = {}
        self._hosts: dict[str, LoopbackHost] = {}

    def host(self, name: str) -> LoopbackHost:
        """The host of that name, made at the first mention."""
        return self._hosts.setdefault(name, LoopbackHost(self, name))
