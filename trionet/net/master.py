"""The master task: serves the slaves of the cluster (the machine is trionet.wire.master).

Duty: connections of slaves, and the effects of the machine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Final

import trio

from trionet.cluster_config import ClusterConfig
from trionet.errors import BadMessage
from trionet.kernel.seams import Random
from trionet.net.accept import Acceptor
from trionet.net.greeting import agreed, greet
from trionet.net.identity import Identity
from trionet.net.pump import Pump
from trionet.net.transport import Connection, Listener
from trionet.wire import effects
from trionet.wire.errors import ProtocolError
from trionet.wire.handshake import Accepter
from trionet.wire.hellos import NONCE_SIZE, Purpose
from trionet.wire.link_events import LinkEvent, PayloadReceived
from trionet.wire.link_frames import LinkSettings
from trionet.wire.master import Master
from trionet.wire.master_messages import Message, from_wire, to_wire
from trionet.wire.plain import dumps_plain, loads_plain

_log = logging.getLogger("trionet.master")

#: Bytes of one message between master and slave; tables are bounded so that a snapshot fits.
MAX_MESSAGE: Final = 16 * 1024 * 1024
#: Bytes that may wait for one slave before its link is given up.
MOST_PENDING: Final = 4 * MAX_MESSAGE
#: Containers that may be nested in one.
MAX_DEPTH: Final = 8


def encode(message: Message) -> bytes:
    """Write a message between master and slave."""
    return dumps_plain(to_wire(message), MAX_DEPTH)


def decode(payload: bytes) -> Message:
    """Read a message between master and slave.

    Raises:
        ProtocolError: if it is malformed.
    """
    try:
        return from_wire(loads_plain(payload, MAX_MESSAGE, MAX_DEPTH))
    except BadMessage as error:
        raise ProtocolError(f"a malformed message: {error}") from error


def settings_of(config: ClusterConfig) -> LinkSettings:
    """The limits of a link between master and slave."""
    return LinkSettings(
        message_size=MAX_MESSAGE,
        heartbeat=config.heartbeat,
        heartbeat_timeout=config.heartbeat_timeout,
        ack_delay=min(1.0, config.heartbeat),
    )


class MasterTask:
    """The master of a cluster; it knows nothing of the node that it runs on.

    Args:
        listener: where slaves connect.
        identity: what the node brings into handshakes.
        config: addresses and numbers.
        random: source of ids and nonces.
    """

    def __init__(self, listener: Listener, identity: Identity, config: ClusterConfig, random: Random) -> None:
        self._identity = identity
        self._config = config
        self._random = random
        self._acceptor = Acceptor(listener, self._serve, config.half_open, config.handshake_timeout)
        self._keys = count(1)
        self._links: dict[int, Pump] = {}
        self._timer = trio.CancelScope()
        self._timer_at = inf
        self.messages: int = 0
        self.machine: Master = Master(
            master=random.getrandbits(64),
            now=trio.current_time(),
            heartbeat_timeout=config.heartbeat_timeout,
            probe_timeout=config.handshake_timeout,
            join_timeout=config.handshake_timeout,
        )

    async def run(self) -> None:
        """Serve slaves until cancelled.

        Cancellation: closes the links of all slaves.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._acceptor.run)
            nursery.start_soon(self._watch_time)

    async def _serve(self, connection: Connection, greeted: Callable[[], None]) -> None:
        nonce = self._random.randbytes(NONCE_SIZE)
        handshake = Accepter(self._identity.on(connection), nonce, [Purpose.MASTER])
        await greet(connection, handshake)
        agreement = await agreed(connection, handshake)
        key = next(self._keys)

        def handle(event: LinkEvent) -> None:
            if isinstance(event, PayloadReceived):
                self._received(key, event.payload)

        def opened() -> None:
            greeted()
            self._carry_out(self.machine.connected(key, trio.current_time()))

        pump = Pump(
            connection,
            agreement,
            settings_of(self._config),
            handle,
            lambda: None,
            opened,
            must_take=MAX_MESSAGE,
        )
        self._links[key] = pump
        try:
            await pump.run()
        finally:
            self._links.pop(key, None)
            self._carry_out(self.machine.disconnected(key, trio.current_time()))

    def _received(self, key: int, payload: bytes) -> None:
        self.messages += 1
        try:
            message = decode(payload)
        except ProtocolError as error:
            _log.warning("a slave sent nonsense: %s", error)
            self._links[key].end(f"nonsense: {error}")
            return
        self._carry_out(self.machine.received(key, message, trio.current_time()))

    def _carry_out(self, wanted: list[effects.MasterEffect]) -> None:
        encoded: dict[int, bytes] = {}  # what goes to all slaves is one object, written once
        for effect in wanted:
            match effect:
                case effects.SendTo(peer=key, message=message):
                    payload = encoded.get(id(message)) or encode(message)
                    encoded[id(message)] = payload
                    self._send(key, payload)
                case effects.Close(peer=key, reason=reason):
                    pump = self._links.get(key)  # type: ignore[call-overload]
                    if pump is not None:
                        pump.end_when_sent(reason)
                case effects.Log(level=level, text=text):
                    _log.log(logging.WARNING if level == "warning" else logging.INFO, "%s", text)
                case effects.SetTimer(at=at):
                    self._timer_at = inf if at is None else at
                    self._timer.deadline = self._timer_at

    def _send(self, key: object, payload: bytes) -> None:
        pump = self._links.get(key)  # type: ignore[call-overload]
        if pump is not None and pump.link.is_open:
            self.messages += 1
            pump.link.send_payload(payload)
            pump.kick()
            if pump.link.pending_bytes > MOST_PENDING:
                pump.end("the slave does not read")

    async def _watch_time(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._timer_at) as self._timer:
                await trio.sleep_forever()
            self._timer_at = inf
            self._carry_out(self.machine.tick(trio.current_time()))
