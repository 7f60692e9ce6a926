"""A client of the console for tests: over any stream, with or without the handshake."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from trionet import ConsoleConfig, ConsoleDoor, Node, spec
from trionet.kernel.seams import Random
from trionet.net.greeting import agreed, greet
from trionet.net.identity import Identity
from trionet.net.transport import Transport
from trionet.services import Console
from trionet.testing.network import SimulatedNetwork
from trionet.wire.framing import frame
from trionet.wire.handshake import Dialer
from trionet.wire.hellos import Purpose
from trionet.wire.lines import LineCoder
from trionet.wire.secrets import Secret

SECRET = Secret(bytes(range(32)))
ADDRESS = "server:2600"


class Client:
    """Asks line by line."""

    def __init__(self, stream: trio.abc.Stream, coder: LineCoder | None = None) -> None:
        self.stream = stream
        self.coder = coder or LineCoder(1 << 30)

    async def send(self, content: Any) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        await self.stream.send_all(self.coder.pack(data))

    async def send_part(self, data: bytes) -> None:
        """Send a piece of a line without its end."""
        sealer = self.coder._sealer
        assert sealer is not None
        await self.stream.send_all(sealer.seal(frame(data)))

    async def reply(self) -> dict[str, Any]:
        """The next line of a reply; one without anything in it at the end."""
        while (line := self.coder.next_line()) is None:
            data = await self.stream.receive_some()
            if not data:
                return {}
            self.coder.receive_data(bytes(data))
        assert isinstance(line, bytes)
        found: dict[str, Any] = json.loads(line)
        return found

    async def ask(self, line: str) -> Any:
        """The result of a line."""
        await self.send({"line": line})
        reply = await self.reply()
        assert reply["reply"] == "result", reply
        return reply["data"]

    async def problem(self, line: str) -> str:
        """Why a line has no result."""
        await self.send({"line": line})
        reply = await self.reply()
        assert reply["reply"] == "error", reply
        return f"{reply['kind']}: {reply['text']}"


class Network:
    """A simulated network on which one console listens."""

    def __init__(self, seed: int = 0) -> None:
        self.network = SimulatedNetwork(Random(seed))
        self.server: Transport = self.network.host("server")
        self.clients = 0

    def door(self, **settings: Any) -> ConsoleDoor:
        config = ConsoleConfig(**{"address": ADDRESS, **settings})
        return ConsoleDoor(config, transport=self.server, secrets=(SECRET,))

    async def connect(self, *secrets: Secret) -> Client:
        """Come in; with the right secret if no other is given."""
        self.clients += 1
        connection = await self.network.host(f"client{self.clients}").connect(ADDRESS)
        identity = Identity("trionet", 0, secrets or (SECRET,))
        handshake = Dialer(identity.on(connection), bytes([self.clients]) * 32, Purpose.CONSOLE)
        await greet(connection, handshake)
        return Client(connection.stream, LineCoder(1 << 30, await agreed(connection, handshake)))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Come in for the block."""
        client = await self.connect()
        async with client.stream:
            hello = await client.reply()
            assert hello["reply"] == "hello", hello
            yield client


@asynccontextmanager
async def console_of(node: Node, **settings: Any) -> AsyncIterator[Client]:
    """A client of the console of a node, which is started for it and killed at the end."""
    network = Network()
    await node.start(spec(Console, network.door(**settings)), name=".console")
    async with network.client() as client:
        yield client
    await node.kill(".console")
