"""The harbor: bridges remote handles over links, and gives the kernel its view of the cluster.

Duty: implement :class:`trionet.kernel.network.Network` with links, a slave and, where it is to be, a master.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

import trio

from trionet.cluster_config import ClusterConfig
from trionet.cluster_events import ClusterEvent, Leaving
from trionet.errors import (
    ClusterError,
    ConfigError,
    HarborTaken,
    MasterUnreachable,
    NodeDown,
    Superseded,
)
from trionet.handle import LOCAL_BITS, Handle
from trionet.kernel.event_streams import EventStreams
from trionet.kernel.feed import Feed
from trionet.kernel.network import Outgoing
from trionet.kernel.reference import received_reference
from trionet.kernel.statistics import LinkReport
from trionet.kernel.watch import Exit
from trionet.net.asks import Asks
from trionet.net.desk import KILL, NODE_ID, STOP
from trionet.net.identity import Identity, read_secrets
from trionet.net.link_end import LinkEnd
from trionet.net.links import Links
from trionet.net.master import MasterTask
from trionet.net.peer import Peer
from trionet.net.slave import SlaveTask
from trionet.net.streams import OutboundStream
from trionet.net.transport import Connection, Listener, Sockets, Tls, Transport
from trionet.net.waits import LongWaits
from trionet.wire import effects
from trionet.wire.agreement import Agreement
from trionet.wire.effects import Ending
from trionet.wire.secrets import Secret
from trionet.wire.slave import Slave
from trionet.wire.tables import NodeRow

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor
    from trionet.kernel.node import Node

_log = logging.getLogger("trionet.harbor")

_ENDINGS: Final = {
    Ending.TAKEN: HarborTaken,
    Ending.SUPERSEDED: Superseded,
    Ending.REFUSED: ClusterError,
    Ending.UNWELCOME: MasterUnreachable,
}


class Harbor:
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

    # --- messages --------------------------------------------------------------------------------------

    def _peer(self, handle: Handle) -> Peer:
        link = self._links.open.get(handle.value >> LOCAL_BITS)
        if link is None or not link.peer.is_open:
            raise NodeDown(f"no link to harbor {handle.harbor}", executed=False)
        if link.peer.incarnation != handle.incarnation:
            raise NodeDown(f"{handle} is of an earlier incarnation of harbor {handle.harbor}", executed=False)
        return link.peer

    def call(self, message: Outgoing) -> Coroutine[Any, Any, Any]:
        """Call a service on another node; see :class:`trionet.net.outbound.OutboundCall`.

        Returns:
            The wait for its outcome; cancellation, result and errors are those of
            :meth:`trionet.BoundCommand.__call__`.

        Raises:
            NodeDown: if there is no link to that node.
            BadMessage: if the arguments are too large.
            ServiceBusy: if the other node takes no more calls.
        """
        peer = self._peer(message.target)
        call = peer.call(message)
        if message.enforced:
            peer.node.deadlines.add(call)
        return call.outcome()

    def stream(self, message: Outgoing, feed: Feed) -> None:
        """Open a stream of a service on another node, and become the source of the feed.

        Raises:
            NodeDown: if there is no link to that node.
            BadMessage: if the arguments are too large.
            ServiceBusy: if the other node takes no more calls.
        """
        peer = self._peer(message.target)
        payload = peer.codec.encode_arguments(message.args, message.kwargs)
        stream = OutboundStream(peer, message, payload, feed)
        feed.source = stream
        peer.submit(stream)

    def send(
        self,
        source: Actor | None,
        target: Handle,
        command: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        trace: int,
    ) -> Coroutine[Any, Any, None] | None:
        """Send to a service on another node.

        Returns:
            None if the link has taken the message, else the wait for room in the window, to be awaited at
            once; its cancellation withdraws the message.

        Raises:
            NodeDown: if there is no link to that node.
            BadMessage: if the message is larger than the other node takes.
        """
        peer = self._peer(target)
        payload = peer.offer(source, target, command, args, kwargs, trace)
        if payload is None:
            return None
        message = Outgoing(source, target, command, args, kwargs, inf, False, trace, None)
        return peer.let_wait(message, payload)

    def send_nowait(
        self,
        source: Actor | None,
        target: Handle,
        command: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        trace: int,
    ) -> None:
        """Send to a service on another node.

        Raises:
            trio.WouldBlock: if there is no room in the window.
            NodeDown: if there is no link to that node.
        """
        peer = self._peer(target)
        if peer.offer(source, target, command, args, kwargs, trace) is not None:
            raise trio.WouldBlock

    def watch(self, handle: Handle, tell: Callable[[Exit], None]) -> Callable[[], None]:
        """Tell once of the end of a service on another node; returns what ends the watch."""
        try:
            peer = self._peer(handle)
        except NodeDown:
            tell(Exit(handle, "node down"))
            return lambda: None
        return peer.watch(handle, tell)

    async def stop(self, handle: Handle, *, kill: bool) -> None:
        """Stop or kill a service on another node and wait for its end.

        Cancellation: the service ends all the same.

        Raises:
            NodeDown: if there is no link to that node, or it ends.
        """
        await self._ask(self._peer(handle), KILL if kill else STOP, (handle,))

    async def _ask(self, peer: LinkEnd, command: str, args: tuple[Any, ...]) -> Any:
        """Ask another node itself."""
        target = Handle(peer.harbor << 24 | NODE_ID, peer.incarnation)
        deadline = trio.current_effective_deadline()
        return await self.call(Outgoing(None, target, command, args, {}, deadline, False, 0, None))

    # --- names -----------------------------------------------------------------------------------------

    def incarnation(self, harbor: int) -> int:
        """The present incarnation of another node.

        Raises:
            NodeDown: if it is not in the table of the cluster.
        """
        row = self.machine.node(harbor)
        if row is None:
            raise NodeDown(f"there is no harbor {harbor} in the cluster", executed=False)
        return row.incarnation

    def lookup(self, name: str) -> Handle | None:
        """The owner of a global name, from the local copy of the table."""
        return None if name in self._kept else self.machine.lookup(name)

    def stamp(self, name: str) -> tuple[int, int] | None:
        """When the owner of a global name was registered: the epoch of the master, and a counter."""
        row = self.machine.row(name)
        return None if row is None or name in self._kept else (row.stamp.epoch, row.stamp.counter)

    def global_names(self) -> dict[str, Handle]:
        """All global names, sorted, from the local copy of the table."""
        return {row.name: row.handle for row in self.machine.names()}

    async def register(self, name: str, actor: Actor, *, exclusive: bool, replacing: Handle | None) -> None:
        """Register a global name; returns when the master accepted.

        Cancellation: the registration is taken back.

        Raises:
            NameTaken: if another service owns it.
            ClusterError: if the master has no room for it.
        """
        former = self._kept.get(name) if replacing is not None else None
        token = self._asks.open(name)
        self._slave.apply(
            self.machine.register(
                token, name, actor.handle, trio.current_time(), exclusive=exclusive, replace=former
            )
        )
        await self._answer(token)
        self._kept.pop(name, None)

    async def _answer(self, token: int) -> Handle:
        try:
            return await self._asks.answer(token)
        except trio.Cancelled:
            self._slave.apply(self.machine.cancel(token, trio.current_time()))
            raise

    def withdraw(self, name: str, handle: Handle, *, keep: bool) -> None:
        """Give back a global name, or hide it until its service has ended or is started again."""
        if keep:
            self._kept.setdefault(name, handle)
            return
        if self._kept.get(name, handle) != handle:
            return  # kept for another service
        self._kept.pop(name, None)
        self._slave.apply(self.machine.unregister(name, handle, trio.current_time()))

    async def wait_for_name(self, name: str) -> Handle:
        """Wait until a global name has an owner.

        Cancellation: leaves nothing behind.
        """
        token = self._asks.open(name)
        self._slave.apply(self.machine.wait_for_name(token, name, trio.current_time()))
        return await self._answer(token)

    # --- groups ----------------------------------------------------------------------------------------

    def join_group(self, group: str, handle: Handle) -> None:
        """Make a service of this node member of a group."""
        self._slave.apply(self.machine.join_group(group, handle, trio.current_time()))
        self._memberships.setdefault(handle, set()).add(group)

    def leave_group(self, group: str, handle: Handle) -> None:
        """End a membership."""
        self._slave.apply(self.machine.leave_group(group, handle, trio.current_time()))
        self._memberships.get(handle, set()).discard(group)

    def leave_groups(self, handle: Handle) -> None:
        """A service has ended: it is no member of anything any more."""
        for group in self._memberships.pop(handle, ()):
            self._slave.apply(self.machine.leave_group(group, handle, trio.current_time()))

    def members(self, group: str) -> tuple[Handle, ...]:
        """The members of a group, sorted, from the local copy of the table."""
        return self.machine.members(group)

    def groups(self) -> tuple[str, ...]:
        """The groups that have members, sorted."""
        return self.machine.groups()

    # --- nodes -----------------------------------------------------------------------------------------

    def nodes(self) -> dict[int, str]:
        """The nodes of the cluster: harbor id and address, this one included."""
        return {row.harbor: row.address for row in self.machine.nodes()}

    def linked(self) -> tuple[int, ...]:
        """The harbor ids of the nodes to which there is a link, sorted."""
        return tuple(sorted(harbor for harbor, link in self._links.open.items() if link.peer.is_open))

    def links(self) -> tuple[LinkReport, ...]:
        """Measure the links to other nodes, sorted by harbor id."""
        addresses = self.nodes()
        peers = sorted(self._links.peers(), key=lambda peer: peer.harbor)
        return tuple(peer.report(addresses.get(peer.harbor, "")) for peer in peers)

    async def wait_connected(self, harbor: int) -> None:
        """Wait until there is a link to another node.

        Cancellation: leaves nothing behind.
        """
        while harbor != self.harbor and harbor not in self.linked():
            await self._events.next_link_change()

    async def wait_disconnected(self, harbor: int) -> None:
        """Wait until there is no link to another node.

        Cancellation: leaves nothing behind.
        """
        while harbor in self.linked():
            await self._events.next_link_change()

    async def wait_master_lost(self) -> None:
        """Wait until the connection to the master is lost; returns at once if it is.

        Cancellation: leaves nothing behind.
        """
        if not self.machine.is_admitted:
            await trio.lowlevel.checkpoint()
            return
        async with self._events.subscribe() as stream:
            async for event in stream:
                if isinstance(event, effects.MasterLost):
                    return

    def events(self) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[ClusterEvent]]:
        """Open a stream of the changes in the cluster: nodes, master, names, groups."""
        return self._events.subscribe()


def _read_tls(config: ClusterConfig) -> Tls | None:
    if config.tls_certificate is None or config.tls_key is None or config.tls_authority is None:
        return None
    try:
        return Tls.mutual(config.tls_certificate, config.tls_key, config.tls_authority)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError([f"cluster.tls_*: the files cannot be used: {error}"]) from error
