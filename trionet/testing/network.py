"""A simulated network: whole clusters in one process, in virtual time, with faults on demand.

Duty: a transport whose streams have latency, can be cut between nodes, and die with their node.

Theory of operation.  Each direction of a stream is a pipe of pieces with the time at which each arrives.
A reader waits for the first piece to arrive.  Between nodes that are cut off from each other nothing
arrives, as with TCP while packets are lost: it is late, not gone; nor does the news that a stream was
closed or has broken.  When a node crashes, what it had sent still arrives, and then the other end sees the
stream break.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from itertools import count

import trio

from trionet.kernel.seams import Random
from trionet.net.transport import Connection

#: Bytes on their way in one direction of a stream before the sender waits.
PIPE_SIZE = 256 * 1024


class _Pipe:
    """One direction of a stream."""

    def __init__(self, network: SimulatedNetwork, source: str, target: str) -> None:
        self.network = network
        self.source = source
        self.target = target
        self.pieces: deque[tuple[float, bytes]] = deque()
        self.size: int = 0
        self.last_arrival: float = 0.0
        self.ended = False
        self.writer_gone = False
        self.reader_gone = False
        self.change: trio.Event = trio.Event()
        network.pipes[self] = None

    def changed(self) -> None:
        """Something happened that a waiting task looks at."""
        self.change.set()
        self.change = trio.Event()

    def end_closed(self) -> None:
        """One of its two ends is closed; after the second nobody waits any more."""
        if self.reader_gone and (self.ended or self.writer_gone):
            del self.network.pipes[self]
        self.changed()

    async def put(self, data: bytes) -> None:
        """Send; waits while too much is on its way."""
        await trio.lowlevel.checkpoint()
        while not self._takes_some():
            await self.change.wait()
        self._append(data)

    def put_now(self, data: bytes) -> int:
        """Send without waiting; returns how many bytes."""
        try:
            if not self._takes_some():
                return 0
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return 0
        self._append(data)
        return len(data)

    def _takes_some(self) -> bool:
        if self.ended or self.writer_gone:
            raise trio.ClosedResourceError
        if self.reader_gone and not self.network.is_cut(self.target, self.source):
            raise trio.BrokenResourceError("the other end is gone")
        return self.size < PIPE_SIZE

    def _append(self, data: bytes) -> None:
        arrival = max(self.last_arrival, trio.current_time() + self.network.draw_latency())
        self.last_arrival = arrival
        self.pieces.append((arrival, data))
        self.size += len(data)
        self.changed()

    async def get(self, most: int) -> bytes:
        """Receive what has arrived, at most so many bytes; empty at the end."""
        await trio.lowlevel.checkpoint()
        while True:
            change = self.change
            if self.reader_gone:
                raise trio.ClosedResourceError
            if self.network.is_cut(self.source, self.target):
                await change.wait()
            elif self.pieces:
                arrival, data = self.pieces[0]
                if arrival <= trio.current_time():
                    return self._take(data, most)
                with trio.move_on_at(arrival):
                    await change.wait()
            elif self.writer_gone:
                raise trio.BrokenResourceError("the other end is gone")
            elif self.ended:
                return b""
            else:
                await change.wait()

    def _take(self, data: bytes, most: int) -> bytes:
        arrival, _ = self.pieces.popleft()
        if len(data) > most:
            self.pieces.appendleft((arrival, data[most:]))
            data = data[:most]
        self.size -= len(data)
        self.changed()
        return data


class SimulatedStream(trio.abc.Stream):
    """One end of a simulated connection; it dies with its host."""

    def __init__(self, host: SimulatedHost, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._host = host
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        host.streams[self] = None

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send; waits while too much is on its way."""
        if self._closed:
            raise trio.ClosedResourceError
        await self._outgoing.put(bytes(data))

    def send_now(self, data: bytes) -> int:
        """Send without waiting; returns how many bytes."""
        return 0 if self._closed else self._outgoing.put_now(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once; :meth:`send_all` waits itself."""
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what has arrived, or the end of the stream."""
        if self._closed:
            raise trio.ClosedResourceError
        return await self._incoming.get(max_bytes or PIPE_SIZE)

    async def aclose(self) -> None:
        """Close both directions; what was sent still arrives."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close both directions at once."""
        if not self._closed:
            self._outgoing.ended = True
            self._close()

    def reset(self) -> None:
        """The process of this end is gone."""
        self._outgoing.writer_gone = True
        self._close()

    def _close(self) -> None:
        self._closed = True
        self._incoming.reader_gone = True
        del self._host.streams[self]
        self._outgoing.end_closed()
        self._incoming.end_closed()


class SimulatedListener:
    """Where simulated connections arrive."""

    def __init__(self, host: SimulatedHost, address: str) -> None:
        self.address = address
        self._host = host
        self._send, self._receive = trio.open_memory_channel[Connection](float("inf"))

    async def accept(self) -> Connection:
        """Wait for the next connection."""
        return await self._receive.receive()

    def arrive(self, connection: Connection) -> None:
        """A connection has been made."""
        self._send.send_nowait(connection)

    async def aclose(self) -> None:
        """Accept no more; whoever was not accepted is refused."""
        self._host.network.listeners.pop(self.address, None)
        with suppress(trio.WouldBlock):
            while True:
                await trio.aclose_forcefully(self._receive.receive_nowait().stream)
        await trio.lowlevel.checkpoint()


class SimulatedHost:
    """The transport of one node; addresses are ``host:port``.

    Args:
        network: what connects it with the others.
        name: its host name; faults are told by it.
    """

    def __init__(self, network: SimulatedNetwork, name: str) -> None:
        self.network = network
        self.name = name
        self.streams: dict[SimulatedStream, None] = {}
        self._ports = count(40_000)

    async def connect(self, address: str) -> Connection:
        """Connect to an address; waits while it cannot be reached.

        Raises:
            OSError: if nobody listens there.
        """
        target = address.partition(":")[0]
        await trio.sleep(self.network.draw_latency())
        while self.network.is_cut(self.name, target):
            await self.network.change.wait()
        listener = self.network.listeners.get(address)
        if listener is None:
            raise ConnectionRefusedError(f"nobody listens at {address}")
        there, back = _Pipe(self.network, self.name, target), _Pipe(self.network, target, self.name)
        near = SimulatedStream(self, back, there)
        far = SimulatedStream(self.network.hosts[target], there, back)
        listener.arrive(Connection(far, False, b"", self.name, far.send_now))
        return Connection(near, False, b"", address, near.send_now)

    async def listen(self, address: str) -> SimulatedListener:
        """Listen at an address of this host.

        Raises:
            OSError: if it is taken.
        """
        await trio.lowlevel.checkpoint()
        host, _, port = address.partition(":")
        if port == "0":
            address = f"{host}:{next(self._ports)}"
        if address in self.network.listeners:
            raise OSError(f"{address} is taken")
        listener = SimulatedListener(self, address)
        self.network.listeners[address] = listener
        return listener

    def crash(self) -> None:
        """The process is gone: its listeners vanish, its streams break."""
        for address in [each for each in self.network.listeners if each.partition(":")[0] == self.name]:
            del self.network.listeners[address]
        for stream in list(self.streams):
            stream.reset()


class SimulatedNetwork:
    """What connects the hosts of a simulation.

    Args:
        random: source of the jitter.
        latency: seconds that a piece of data takes.
        jitter: seconds that it may take more.
    """

    def __init__(self, random: Random, latency: float = 0.001, jitter: float = 0.0005) -> None:
        self.latency = latency
        self.jitter = jitter
        self.hosts: dict[str, SimulatedHost] = {}
        self.listeners: dict[str, SimulatedListener] = {}
        self.pipes: dict[_Pipe, None] = {}
        self.change: trio.Event = trio.Event()
        self._random = random
        self._part: dict[str, int] = {}
        self._frozen: set[str] = set()

    def host(self, name: str) -> SimulatedHost:
        """The host of that name, made at the first mention."""
        return self.hosts.setdefault(name, SimulatedHost(self, name))

    def draw_latency(self) -> float:
        """Seconds that the next piece takes."""
        return self.latency + self._random.uniform(0.0, self.jitter)

    def is_cut(self, source: str, target: str) -> bool:
        """Tell whether nothing gets from one host to the other now."""
        if source in self._frozen or target in self._frozen:
            return source != target
        return self._part.get(source, 0) != self._part.get(target, 0)

    def partition(self, *parts: set[str]) -> None:
        """Cut the network into parts; hosts that are in none form one more."""
        self._part = {host: number for number, part in enumerate(parts, 1) for host in part}
        self._changed()

    def isolate(self, host: str) -> None:
        """Let nothing through to or from one host."""
        self._frozen.add(host)
        self._changed()

    def heal(self) -> None:
        """Let everything through again; what was on its way arrives."""
        self._part = {}
        self._frozen.clear()
        self._changed()

    def _changed(self) -> None:
        self.change.set()
        self.change = trio.Event()
        for pipe in self.pipes:
            pipe.changed()
