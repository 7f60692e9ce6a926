"""The harbor: a node's part in a cluster, from joining to leaving.

Duty: implement :class:`trionet.kernel.network.Network` with links, a slave and, where it is to be, a master:
lead them through their life, and carry out what the slave's machine wants.  What code on the node asks for is
in :mod:`trionet.net.harbor_messages`, :mod:`trionet.net.harbor_names` and :mod:`trionet.net.harbor_nodes`.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from trionet.cluster_config import ClusterConfig
from trionet.cluster_events import Leaving
from trionet.errors import (
    ClusterError,
    ConfigError,
    HarborTaken,
    MasterUnreachable,
    Superseded,
)
from trionet.handle import Handle
from trionet.kernel.event_streams import EventStreams
from trionet.kernel.reference import received_reference
from trionet.net.asks import Asks
from trionet.net.harbor_messages import HarborMessages
from trionet.net.harbor_names import HarborNames
from trionet.net.harbor_nodes import HarborNodes
from trionet.net.identity import Identity, read_secrets
from trionet.net.links import Links
from trionet.net.master import MasterTask
from trionet.net.peer import Peer
from trionet.net.slave import SlaveTask
from trionet.net.transport import Connection, Listener, Sockets, Tls, Transport
from trionet.net.waits import LongWaits
from trionet.wire import effects
from trionet.wire.agreement import Agreement
from trionet.wire.effects import Ending
from trionet.wire.secrets import Secret
from trionet.wire.slave import Slave
from trionet.wire.tables import NodeRow

if TYPE_CHECKING:
    from trionet.kernel.node import Node

_log = logging.getLogger("trionet.harbor")

_ENDINGS: Final = {
    Ending.TAKEN: HarborTaken,
    Ending.SUPERSEDED: Superseded,
    Ending.REFUSED: ClusterError,
    Ending.UNWELCOME: MasterUnreachable,
}


class Harbor(HarborMessages, HarborNames, HarborNodes):
    """A node's part in a cluster.

    Args:
        config: addresses and numbers.
        transport: what carries links; by default the real network.
        secrets: what nodes share, where it does not come from the configuration's file.

    Attributes:
        harbor: the harbor id; 0 until the master has given one.

    Raises:
        ConfigError: if the configuration contradicts itself, or a file that it names cannot be used.
    """

    def __init__(
        self,
        config: ClusterConfig,
        transport: Transport | None = None,
        secrets: tuple[Secret, ...] | None = None,
    ) -> None:
        problems = [f"cluster.{problem}" for problem in config.problems()]
        if problems and secrets is None:
            raise ConfigError(problems)
        self.config = config
        self.harbor: int = config.wanted_harbor
        self.master: MasterTask | None = None
        self._secrets = read_secrets(config) if secrets is None else secrets
        self._transport = transport or Sockets(_read_tls(config))
        self._events = EventStreams()
        self._asks = Asks()
        self._kept: dict[str, Handle] = {}
        self._memberships: dict[Handle, set[str]] = {}
        self._admitted = trio.Event()
        self._ready = trio.Event()
        self._failed = trio.Event()
        self._failure: Exception | None = None
        self._node: Node | None = None

    # --- its life ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self, node: Node) -> AsyncIterator[None]:
        """Join the cluster for the block; leaving the block leaves the cluster.

        Cancellation: the links are closed at once; other nodes notice.

        Raises:
            MasterUnreachable: if the node was not admitted within the join timeout, or it is certain that it
                will not be.
            HarborTaken: if the harbor id belongs to a living node.
            Superseded: (into the block) if another node has taken the harbor id.
            ClusterError: if the master refuses the node.
            OSError: if an address cannot be listened at.
        """
        self._node = node
        self._random = node.seams.random
        self._identity = Identity(
            self.config.name, node.incarnation, self._secrets, self.config.wanted_harbor
        )
        async with AsyncExitStack() as stack:
            if self.config.standalone is not None:
                at = await stack.enter_async_context(self._listening(self.config.standalone))
                self.master = MasterTask(at, self._identity, self.config, self._random)
            listener = await stack.enter_async_context(self._listening(self.config.address))
            self._start_parts(listener)
            nursery = await stack.enter_async_context(trio.open_nursery())
            if self.master is not None:
                nursery.start_soon(self.master.run)
            nursery.start_soon(self._watch_failure)
            nursery.start_soon(self._slave.run)
            nursery.start_soon(self._waits.run)
            await nursery.start(self._links.run, listener)
            await self._join()
            yield
            await self._leave()
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def _listening(self, address: str) -> AsyncIterator[Listener]:
        listener = await self._transport.listen(address)
        try:
            yield listener
        finally:
            with trio.CancelScope(shield=True):
                await listener.aclose()

    def _start_parts(self, listener: Listener) -> None:
        node = self.node
        self.machine: Slave = Slave(
            incarnation=node.incarnation,
            address=listener.address,
            name=node.name,
            harbor=self.config.wanted_harbor,
            heartbeat_timeout=self.config.heartbeat_timeout,
            patience=self.config.handshake_timeout,
        )
        parts = (self._transport, self._identity, self.config, self._random)
        self._slave = SlaveTask(self.machine, *parts, self._carry_out)
        self._links = Links(self.machine, *parts, self._make_peer, self._link_changed, self._unreachable)
        self._waits = LongWaits(node, self._links.peers, self._ask)

    async def _join(self) -> None:
        with trio.move_on_after(self.config.join_timeout) as scope:
            await self._admitted.wait()
            await self._ready.wait()
        if scope.cancelled_caught:
            why = self._slave.last_failure or "it did not admit the node"
            where = self.config.master_address
            raise MasterUnreachable(
                f"no master at {where} within {self.config.join_timeout:g} seconds: {why}"
            )

    async def _watch_failure(self) -> None:
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    def leaving(self) -> None:
        """The node begins to stop: give up its names and announce the goodbye (C13).

        Exclusive names go with their services, when these have ended.
        """
        for row in self.machine.held_names():
            if row.exclusive:
                continue
            self._slave.apply(self.machine.unregister(row.name, row.handle, trio.current_time()))
        self._links.announce_leaving()

    async def _leave(self) -> None:
        await self._slave.leave()
        await self._links.finish()

    @property
    def node(self) -> Node:
        """The node whose harbor this is."""
        assert self._node is not None
        return self._node

    # --- what the slave's machine wants ---------------------------------------------------------------

    def _carry_out(self, effect: effects.SlaveEffect) -> None:
        match effect:
            case effects.Dial(node=row):
                self._links.dial(row)
            case effects.Expect(node=row):
                self._links.expect(row)
            case effects.Drop(harbor=harbor, incarnation=incarnation, reason=reason):
                why = f"harbor {harbor} left the cluster ({reason.value})"
                self._links.drop(harbor, incarnation, why, in_order=reason is Leaving.GOODBYE)
            case effects.Admitted(harbor=harbor):
                self.harbor = self._identity.harbor = harbor
                self._admitted.set()
            case effects.Ready(unreachable=unreachable):
                if unreachable:
                    _log.warning("ready; not reached: harbor %s", ", ".join(map(str, unreachable)))
                self._ready.set()
            case effects.Done() | effects.Failed():
                self._asks.tell(effect)
            case effects.Ended(kind=kind, text=text):
                if kind is not Ending.LEFT:
                    self._failure = _ENDINGS[kind](text)
                    self._failed.set()
            case _:
                self._carry_out_news(effect)

    def _carry_out_news(self, effect: effects.SlaveEffect) -> None:
        match effect:
            case effects.NameLost(name=name, handle=handle):
                loser = self.node.name_lost(name, handle, self.machine.lookup(name))
                if loser is not None:
                    loser.watch(self._slave.fence.stay_for_an_owner())
            case effects.GroupLost(group=group, handle=handle):
                self._memberships.get(handle, set()).discard(group)
            case effects.NodeUp() | effects.NodeGone() | effects.MasterLost() | effects.MasterBack():
                self._links.news()
                self._events.publish(effect)
            case effects.NameAdded() | effects.NameRemoved() | effects.GroupChanged():
                self._events.publish(effect)

    def _link_changed(self, peer: Peer, linked: bool) -> None:
        tell = self.machine.linked if linked else self.machine.unlinked
        self._slave.apply(tell(peer.harbor, peer.incarnation, trio.current_time()))
        self._events.link_changed()

    def _unreachable(self, row: NodeRow) -> None:
        self._slave.apply(self.machine.unreachable(row.harbor, row.incarnation, trio.current_time()))

    def _make_peer(
        self, connection: Connection, agreement: Agreement, opened: Callable[[Peer], None]
    ) -> Peer:
        chain_of = self._waits.chain_of
        made = partial(received_reference, self.node)
        return Peer(self.node, self.config, connection, agreement, made, opened, chain_of)


def _read_tls(config: ClusterConfig) -> Tls | None:
    if config.tls_certificate is None or config.tls_key is None or config.tls_authority is None:
        return None
    try:
        return Tls.mutual(config.tls_certificate, config.tls_key, config.tls_authority)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError([f"cluster.tls_*: the files cannot be used: {error}"]) from error
