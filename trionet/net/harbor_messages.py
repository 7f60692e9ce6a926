"""Messages to services on other nodes, and watches of these: each goes to the peer of its link (C2, C5).

Duty: find the link that leads to a service.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from trionet.errors import BadMessage, CallError, NodeDown
from trionet.handle import LOCAL_BITS, Handle
from trionet.kernel.feed import Feed
from trionet.kernel.network import Outgoing
from trionet.kernel.watch import Exit
from trionet.net.desk import KILL, NODE_ID, STOP
from trionet.net.link_end import LinkEnd
from trionet.net.links import Links
from trionet.net.peer import Peer
from trionet.net.streams import OutboundStream

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor


class HarborMessages:
    """The part of a harbor that deals with services on other nodes."""

    _links: Links

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
        """Ask another node itself.

        Raises:
            CallError: one of its subclasses, whatever that node says.
        """
        target = Handle(peer.harbor << 24 | NODE_ID, peer.incarnation)
        deadline = trio.current_effective_deadline()
        try:
            return await self.call(Outgoing(None, target, command, args, {}, deadline, False, 0, None))
        except CallError:
            raise
        except Exception as error:  # a declared one, which only services raise
            text = f"{peer.describe()} answered {command!r} with an error that no node raises: {error!r:.200}"
            raise BadMessage(text) from None
