"""The slave task: a node's connection to the master (the machine is trionet.wire.slave).

Duty: connect, connect again, and carry the machine's messages; its other effects go to the harbor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import Final, NoReturn

import trio

from trionet.cluster_config import ClusterConfig
from trionet.kernel.seams import Random
from trionet.net.backoff import Backoff
from trionet.net.fence import Fence
from trionet.net.greeting import GreetingFailed, agreed, greet
from trionet.net.identity import Identity
from trionet.net.master import MAX_MESSAGE, decode, encode, settings_of
from trionet.net.pump import Pump
from trionet.net.transport import TlsRefused, Transport
from trionet.wire import effects
from trionet.wire.agreement import Verdict
from trionet.wire.effects import Ending
from trionet.wire.errors import ProtocolError
from trionet.wire.handshake import Dialer
from trionet.wire.hellos import NONCE_SIZE, Purpose
from trionet.wire.link_events import LinkEvent, PayloadReceived
from trionet.wire.slave import Slave, State

_log = logging.getLogger("trionet.slave")

#: Times in a row that the proof of a node that wants to join is refused, before it gives up: a master may be
#: stopping, or drop handshakes because there are too many, but not again and again at that very step.
MOST_REFUSALS: Final = 3


class SlaveTask:
    """A node's part in the directory.

    Args:
        machine: the slave's machine.
        transport: the way to the master.
        identity: what the node brings into handshakes.
        config: addresses and numbers.
        random: source of nonces and jitter.
        carry_out: does what the machine wants, apart from what concerns the connection to the master.

    Attributes:
        last_failure: why the last try to reach the master failed.
    """

    def __init__(
        self,
        machine: Slave,
        transport: Transport,
        identity: Identity,
        config: ClusterConfig,
        random: Random,
        carry_out: Callable[[effects.SlaveEffect], None],
    ) -> None:
        assert config.master_address is not None
        self.machine = machine
        self.last_failure: str | None = None
        self._address = config.master_address
        self._transport = transport
        self._identity = identity
        self._config = config
        self._random = random
        self._carry_out = carry_out
        self._backoff = Backoff(config.reconnect_least, config.reconnect_most, random)
        self._refusals = 0
        self._was_welcome = False
        self._pump: Pump | None = None
        self._timer = trio.CancelScope()
        self._timer_at = inf
        self.fence: Fence = Fence(self._tick, config.fence, config.heartbeat_timeout / 2)

    async def run(self) -> None:
        """Keep the connection to the master until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_time)
                nursery.start_soon(self._stay_connected)
        finally:
            self.fence.close()

    def apply(self, wanted: list[effects.SlaveEffect]) -> None:
        """Carry out what the machine wants."""
        for effect in wanted:
            match effect:
                case effects.Send(message=message):
                    if self._pump is not None and self._pump.link.is_open:
                        self._pump.link.send_payload(encode(message))
                        self._pump.kick()
                case effects.CloseMaster(reason=reason):
                    _log.warning("the master is left: %s", reason)
                    if self._pump is not None:
                        self._pump.end(reason)
                case effects.SetTimer(at=at):
                    self._timer_at = inf if at is None else at
                    self._timer.deadline = self._timer_at
                case _:
                    self._carry_out(effect)
        self.fence.set(self.machine.lease_ends)

    async def leave(self) -> None:
        """Say goodbye to the master, if it is there.

        Cancellation: the master notices by itself.
        """
        self.apply(self.machine.leave(trio.current_time()))
        if self._pump is not None:
            await self._pump.finish("the node stops")

    async def _stay_connected(self) -> None:
        while self.machine.state is not State.ENDED:
            try:
                with trio.CancelScope(deadline=trio.current_time() + self._config.handshake_timeout) as scope:
                    await self._connect(scope)
                if scope.cancelled_caught:
                    self._note("it did not finish the handshake in time")
                    self._refusals = 0
            except (OSError, GreetingFailed) as error:
                self._note(str(error))
                if self._is_hopeless(error):
                    text = f"no master for this node at {self._address}: {error}"
                    self._carry_out(effects.Ended(Ending.UNWELCOME, text))
                    return
            finally:
                self._pump = None
                self.apply(self.machine.disconnected(trio.current_time()))
            await trio.sleep(self._backoff.next_delay())

    def _is_hopeless(self, error: OSError | GreetingFailed) -> bool:
        """Tell whether a node that has never been welcome never will be."""
        verdict = error.verdict if isinstance(error, GreetingFailed) else Verdict.UNCLEAR
        self._refusals = self._refusals + 1 if verdict is Verdict.REFUSED else 0
        if self._was_welcome:
            return False
        return verdict is Verdict.FOREIGN or isinstance(error, TlsRefused) or self._refusals >= MOST_REFUSALS

    def _note(self, failure: str) -> None:
        if failure != self.last_failure:
            _log.warning("the master at %s cannot be reached: %s", self._address, failure)
        self.last_failure = failure

    async def _connect(self, scope: trio.CancelScope) -> None:
        """Connect once and serve the connection to its end; only the handshake is under the scope's time."""
        connection = await self._transport.connect(self._address)
        try:
            nonce = self._random.randbytes(NONCE_SIZE)
            handshake = Dialer(self._identity.on(connection), nonce, Purpose.MASTER)
            await greet(connection, handshake)
            agreement = await agreed(connection, handshake)
        except BaseException:
            await trio.aclose_forcefully(connection.stream)
            raise

        def opened() -> None:
            scope.deadline = inf
            self._backoff.reset()
            self.last_failure = None
            self._was_welcome = True
            self.apply(self.machine.connected(trio.current_time()))

        settings = settings_of(self._config)
        self._pump = Pump(
            connection, agreement, settings, self._handle, lambda: None, opened, must_take=MAX_MESSAGE
        )
        reason = await self._pump.run()
        _log.info("the connection to the master ended: %s", reason)

    def _handle(self, event: LinkEvent) -> None:
        if not isinstance(event, PayloadReceived):
            return
        try:
            message = decode(event.payload)
        except ProtocolError as error:
            assert self._pump is not None
            self._pump.end(f"the master sent nonsense: {error}")
            return
        self.apply(self.machine.received(message, trio.current_time()))

    async def _watch_time(self) -> NoReturn:
        while True:
            with trio.CancelScope(deadline=self._timer_at) as self._timer:
                await trio.sleep_forever()
            self._timer_at = inf
            self._tick()

    def _tick(self) -> None:
        self.apply(self.machine.tick(trio.current_time()))
