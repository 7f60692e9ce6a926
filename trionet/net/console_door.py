"""Where the clients of the console come in: listens, lets in who may, serves a bounded number.

Duty: from an address to sessions.  What is answered is the matter of whoever opens the door.

A Unix socket has the permissions of its file: 0600.  Over TCP each end proves that it knows the secret of the
cluster, by the handshake of links, and what passes is in records where bytes could be changed on the way.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

from trionet._version import __version__
from trionet.cluster_config import ClusterConfig, unix_path
from trionet.console_config import AUTO, ConsoleConfig
from trionet.errors import ConfigError
from trionet.net.accept import Acceptor
from trionet.net.console_places import free_place, make_private, runtime_folder, sweep
from trionet.net.console_session import Answer, ConsoleSession
from trionet.net.greeting import agreed, greet
from trionet.net.identity import Identity, read_secrets
from trionet.net.transport import Connection, Listener, Sockets, Transport
from trionet.wire.agreement import Agreement
from trionet.wire.handshake import Accepter
from trionet.wire.hellos import NONCE_SIZE, Purpose
from trionet.wire.lines import LineCoder
from trionet.wire.secrets import Secret

if TYPE_CHECKING:
    from trionet.kernel.node import Node

_log = logging.getLogger("trionet.console")

#: Seconds that a client who is turned away may take to read why.
_TURNED_AWAY: Final = 1.0


class ConsoleDoor:
    """Lets the clients of a console in.

    Args:
        config: where it listens, and what a client may cost.
        cluster: the part of the node in a cluster, for its name and its secret; TCP needs that.
        transport: what carries connections; by default real sockets.
        secrets: the secrets of the cluster, where they do not come from the configuration's file.

    Raises:
        ConfigError: if it is to listen at a TCP address without a secret, or the secret cannot be read.
    """

    def __init__(
        self,
        config: ConsoleConfig,
        cluster: ClusterConfig | None = None,
        *,
        transport: Transport | None = None,
        secrets: tuple[Secret, ...] | None = None,
    ) -> None:
        problems = [f"console.{each}" for each in config.problems(cluster)]
        if problems and not secrets:
            raise ConfigError(problems)
        self.config = config
        self._cluster = ClusterConfig() if cluster is None else cluster
        self._transport = transport or Sockets()
        self._secrets = secrets or ()
        if config.is_tcp and not secrets:
            self._secrets = read_secrets(self._cluster)
        self._proves = True
        self._clients = 0

    async def run(self, node: Node, answer: Answer, *, task_status: trio.TaskStatus[str]) -> None:
        """Serve clients until cancelled; then the connections and the socket are gone.

        Cancellation: ends all sessions.

        Args:
            node: whose console it is.
            answer: answers a line of a client.
            task_status: told the address once clients can come.

        Raises:
            OSError: if the address is taken or not of this machine, or the folder is not this user's alone.
        """
        listener = await self._listen(node.name)
        config = self._cluster

        async def serve(connection: Connection, greeted: Callable[[], None]) -> None:
            await self._serve(node, answer, connection, greeted)

        acceptor = Acceptor(listener, serve, config.half_open, config.handshake_timeout)
        task_status.started(listener.address)
        await acceptor.run()

    async def _listen(self, name: str) -> Listener:
        address = self.config.address
        if address == AUTO:
            folder = runtime_folder()
            make_private(folder)
            sweep(folder)
            address = f"unix:{free_place(name, folder)}"
        path = unix_path(address)
        if path is not None and not Path(path).parent.exists():
            make_private(Path(path).parent)
        self._proves = path is None
        return await self._transport.listen(address)

    async def _serve(
        self, node: Node, answer: Answer, connection: Connection, greeted: Callable[[], None]
    ) -> None:
        agreement = await self._greet(node, connection)
        coder = LineCoder(self.config.line_size, agreement)
        if self._clients >= self.config.clients:
            await self._turn_away(connection, coder)
            return
        greeted()
        self._clients += 1
        try:
            session = ConsoleSession(
                connection.stream, coder, answer, self.config.line_size, self.config.write_timeout
            )
            _log.debug("a client of the console came from %s", connection.remote)
            reason = await session.run({"node": node.name, "harbor": node.harbor, "version": __version__})
            _log.debug("a client of the console at %s is gone: %s", connection.remote, reason)
        finally:
            self._clients -= 1

    async def _greet(self, node: Node, connection: Connection) -> Agreement | None:
        """Let a client prove itself, where the permissions of a file have not done so."""
        if not self._proves:
            return None
        identity = Identity(self._cluster.name, node.incarnation, self._secrets, node.harbor)
        nonce = node.seams.random.randbytes(NONCE_SIZE)
        handshake = Accepter(identity.on(connection), nonce, [Purpose.CONSOLE])
        await greet(connection, handshake)
        return await agreed(connection, handshake)

    async def _turn_away(self, connection: Connection, coder: LineCoder) -> None:
        text = f"{self._clients} clients are there already, as many as this console serves (console.clients)"
        _log.warning("a client of the console at %s was turned away: %s", connection.remote, text)
        content: dict[str, Any] = {"reply": "error", "kind": "TooManyClients", "text": text}
        with trio.move_on_after(_TURNED_AWAY):
            try:
                await connection.stream.send_all(coder.pack(json.dumps(content).encode()))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                _log.debug("it did not wait for that: %s", error)
