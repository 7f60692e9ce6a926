"""The links of a node: one to every other node, dialled or awaited as the directory says.

Duty: dial, dial again, accept, decide between two links to one node, drop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import Final, NoReturn

import attrs
import trio

from trionet.cluster_config import ClusterConfig
from trionet.kernel.seams import Random
from trionet.net.accept import Acceptor
from trionet.net.backoff import Backoff
from trionet.net.greeting import GreetingFailed, agreed, greet
from trionet.net.identity import Identity
from trionet.net.peer import Peer
from trionet.net.transport import Connection, Listener, Transport
from trionet.wire.agreement import Agreement, Verdict
from trionet.wire.handshake import Accepter, Dialer
from trionet.wire.hellos import NONCE_SIZE, Purpose
from trionet.wire.link import turn_away
from trionet.wire.slave import Slave
from trionet.wire.tables import NodeRow

_log = logging.getLogger("trionet.link")

#: Bytes of a link that are queued when it says goodbye may take this long, in seconds.
FINISH_TIME: Final = 2.0
#: Shares of the handshake time for which a link waits for news of its dialler, and then to be heard by it.
HELD: Final = 0.75
TOLD: Final = 0.2
#: First tries to dial that are under way at a time.
DIALS_AT_ONCE: Final = 4


@attrs.frozen(eq=False)
class Link:
    """A link in use.

    Args:
        peer: the other node.
        dialler: harbor id of the end that dialled.
        ended: set when it is over.
    """

    peer: Peer
    dialler: int
    ended: trio.Event = attrs.field(factory=trio.Event)


class _Attempt:
    """A try to open a link: settled when it is open, or has ended before."""

    def __init__(self) -> None:
        self.settled = trio.Event()
        self.failure: str | None = None

    def opened(self) -> None:
        self.settled.set()

    def ended(self, reason: str) -> None:
        if not self.settled.is_set():
            self.failure = reason
            self.settled.set()


class Links:
    """All links between harbors of one node.

    Args:
        machine: the slave's machine, which says who is to be linked.
        make_peer: makes the kernel's end of a link.
        linked: told of each link that opens (True) or ends (False), with harbor id and incarnation.
        unreachable: told of a node whose first try has failed.
    """

    def __init__(
        self,
        machine: Slave,
        transport: Transport,
        identity: Identity,
        config: ClusterConfig,
        random: Random,
        make_peer: Callable[[Connection, Agreement, Callable[[Peer], None]], Peer],
        linked: Callable[[Peer, bool], None],
        unreachable: Callable[[NodeRow], None],
    ) -> None:
        self.open: dict[int, Link] = {}
        self._machine = machine
        self._transport = transport
        self._identity = identity
        self._config = config
        self._random = random
        self._make_peer = make_peer
        self._linked = linked
        self._unreachable = unreachable
        self._dialling: dict[int, trio.CancelScope] = {}
        self._news = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._leaving = False
        self._turns = trio.CapacityLimiter(DIALS_AT_ONCE)

    async def run(self, listener: Listener, task_status: trio.TaskStatus[None]) -> None:
        """Accept links and dial until cancelled; then all of them end.

        Args:
            listener: where other nodes dial this one; closed at the end.
            task_status: told once links can be dialled.
        """
        acceptor = Acceptor(listener, self._accept, self._config.half_open, self._config.handshake_timeout)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(acceptor.run)
            task_status.started()

    def news(self) -> None:
        """The table of nodes has changed: look again at those who are held."""
        self._news.set()
        self._news = trio.Event()

    def peers(self) -> list[Peer]:
        """The nodes to which there is a link."""
        return [link.peer for link in self.open.values() if link.peer.is_open]

    def peer(self, harbor: int) -> Peer | None:
        """The node of that harbor id, if there is a link to it."""
        link = self.open.get(harbor)
        return None if link is None else link.peer

    # --- as the directory says -----------------------------------------------------------------------

    def dial(self, row: NodeRow) -> None:
        """Keep a link to a node by dialling it."""
        self._stop_dialling(row.harbor)
        if self._nursery is not None and not self._leaving:
            scope = self._dialling[row.harbor] = trio.CancelScope()
            self._nursery.start_soon(self._keep_dialling, row, scope)

    def expect(self, row: NodeRow) -> None:
        """Await a link from a node."""
        self._stop_dialling(row.harbor)

    def drop(self, harbor: int, incarnation: int, reason: str, *, in_order: bool) -> None:
        """Close the link to an incarnation, and no longer dial it.

        Args:
            harbor: the harbor id.
            incarnation: the incarnation.
            reason: why.
            in_order: whether that node leaves in order: then it has some time to close the link itself, after
                its last messages.
        """
        self._stop_dialling(harbor)
        link = self.open.get(harbor)
        if link is None or link.peer.incarnation != incarnation:
            return
        if in_order and self._nursery is not None:
            self._nursery.start_soon(self._let_end, link, reason)
        else:
            link.peer.end(reason)

    async def _let_end(self, link: Link, reason: str) -> None:
        with trio.move_on_after(FINISH_TIME):
            await link.ended.wait()
        link.peer.end(reason)

    def _stop_dialling(self, harbor: int) -> None:
        scope = self._dialling.pop(harbor, None)
        if scope is not None:
            scope.cancel()

    # --- dialling ------------------------------------------------------------------------------------

    async def _keep_dialling(self, row: NodeRow, scope: trio.CancelScope) -> None:
        backoff = Backoff(self._config.reconnect_least, self._config.reconnect_most, self._random)
        told: str | None = None
        with scope:
            while True:
                link = self.open.get(row.harbor)
                if link is not None and link.peer.incarnation == row.incarnation:
                    backoff.reset()
                    await link.ended.wait()
                else:
                    failure = await self._dial_in_turn(row) if told is None else await self._dial_once(row)
                    if failure is not None and failure != told:
                        told = failure
                        _log.warning(
                            "harbor %d at %s cannot be reached: %s", row.harbor, row.address, failure
                        )
                        self._unreachable(row)
                    if failure is None:
                        told = None
                        continue
                await trio.sleep(backoff.next_delay())

    async def _dial_in_turn(self, row: NodeRow) -> str | None:
        """Dial for the first time; only some at once, so that all handshakes end in time."""
        async with self._turns:
            return await self._dial_once(row)

    async def _dial_once(self, row: NodeRow) -> str | None:
        """Dial; returns why there is no link, or None once it is open."""
        assert self._nursery is not None
        timeout = self._config.handshake_timeout
        attempt = _Attempt()
        try:
            with trio.fail_after(timeout):
                connection = await self._transport.connect(row.address)
                try:
                    nonce = self._random.randbytes(NONCE_SIZE)
                    identity = self._identity.on(connection)
                    handshake = Dialer(identity, nonce, Purpose.PEER, row.harbor, row.incarnation)
                    await greet(connection, handshake)
                    agreement = await agreed(connection, handshake)
                except BaseException:
                    await trio.aclose_forcefully(connection.stream)
                    raise
                own = self._identity.harbor
                self._nursery.start_soon(
                    self._serve, connection, agreement, own, attempt.opened, attempt.ended
                )
                await attempt.settled.wait()
        except (OSError, GreetingFailed) as error:
            return str(error)
        except trio.TooSlowError:
            return f"the link was not open after {timeout:g} seconds"
        return attempt.failure

    # --- accepting -----------------------------------------------------------------------------------

    async def _accept(self, connection: Connection, greeted: Callable[[], None]) -> None:
        nonce = self._random.randbytes(NONCE_SIZE)
        handshake = Accepter(self._identity.on(connection), nonce, [Purpose.PEER])
        peer = await greet(connection, handshake)
        with trio.move_on_after(HELD * self._config.handshake_timeout):
            while (admitted := self._machine.may_accept(peer.harbor, peer.incarnation)) == "hold":
                text = "a link from %s as harbor %d waits: the table does not have that incarnation of it"
                _log.info(text, connection.remote, peer.harbor)
                await self._news.wait()
        if admitted == "hold":
            await self._turn_away(connection, await agreed(connection, handshake))
        if not admitted:
            text = f"harbor {peer.harbor} is no node of this cluster, in that incarnation"
            raise GreetingFailed(text, Verdict.FOREIGN)
        if self._leaving:
            raise GreetingFailed("this node is leaving")
        agreement = await agreed(connection, handshake)
        await self._serve(connection, agreement, peer.harbor, greeted, lambda _: None)

    def _whose_table(self) -> str:
        """The master whose table this node goes by, for logs of both ends: there may be two (C11)."""
        lost = "" if self._machine.is_admitted else ", which is lost"
        return f"the master at {self._config.master_address} (epoch {self._machine.epoch}){lost}"

    async def _turn_away(self, connection: Connection, agreement: Agreement) -> NoReturn:
        """Tell a node of which no news came whose table does not have it.

        Raises:
            GreetingFailed: always; for the log of this end.
        """
        why = f"it is not in the table of {self._whose_table()}"
        told = turn_away(agreement, f"{why}, which harbor {self._identity.harbor} follows")
        with trio.move_on_after(TOLD * self._config.handshake_timeout):
            try:
                await connection.stream.send_all(told)
                while await connection.stream.receive_some():
                    pass  # until it has read that, and closes
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                _log.debug("harbor %d went away: %s", agreement.peer.harbor, error)
        raise GreetingFailed(f"harbor {agreement.peer.harbor}, in that incarnation: {why}", Verdict.FOREIGN)

    # --- both ----------------------------------------------------------------------------------------

    async def _serve(
        self,
        connection: Connection,
        agreement: Agreement,
        dialler: int,
        tell_opened: Callable[[], None],
        tell_ended: Callable[[str], None],
    ) -> None:
        """Serve a link to its end; it must open within the handshake time."""
        link: Link | None = None
        reason = "it did not open in time"

        def opened(peer: Peer) -> None:
            nonlocal link, reason
            reason = "this node closed it"
            scope.deadline = inf
            link = self._take_in(Link(peer, dialler))
            tell_opened()

        peer = self._make_peer(connection, agreement, opened)
        try:
            with trio.CancelScope(deadline=trio.current_time() + self._config.handshake_timeout) as scope:
                reason = await peer.run()
        finally:
            if peer.link.was_turned_away:
                reason = f"{reason}; this node follows {self._whose_table()}"
            tell_ended(reason)
            if link is not None:
                self._gone(link, reason)

    def _gone(self, link: Link, reason: str) -> None:
        peer = link.peer
        link.ended.set()
        if self.open.get(peer.harbor) is link:
            del self.open[peer.harbor]
            _log.info("the link to harbor %d ended: %s", peer.harbor, reason)
            self._linked(peer, False)

    def _take_in(self, link: Link) -> Link | None:
        """Decide between a new link and one that is there already."""
        harbor = link.peer.harbor
        if self._machine.may_accept(harbor, link.peer.incarnation) is not True:
            link.peer.end("the other node has left the cluster, in that incarnation")
            return None
        old = self.open.get(harbor)
        if old is not None and old.peer.incarnation == link.peer.incarnation:
            lower = min(harbor, self._identity.harbor)
            if old.dialler != link.dialler and old.dialler == lower:
                link.peer.end("another link to this node is there already")
                return None
        if old is not None:
            del self.open[harbor]
            old.peer.end("another link took its place")
            self._linked(old.peer, False)
        self.open[harbor] = link
        _log.info("linked to harbor %d", harbor)
        self._linked(link.peer, True)
        return link

    # --- leaving -------------------------------------------------------------------------------------

    def announce_leaving(self) -> None:
        """Tell all that this node is about to leave, and take no new links."""
        self._leaving = True
        for harbor in list(self._dialling):
            if harbor not in self.open:
                self._stop_dialling(harbor)
        for link in self.open.values():
            link.peer.announce_goodbye("the node is stopping")

    async def finish(self) -> None:
        """Send what is queued on every link and end them."""
        for harbor in list(self._dialling):
            self._stop_dialling(harbor)
        with trio.move_on_after(FINISH_TIME):
            async with trio.open_nursery() as nursery:
                for link in list(self.open.values()):
                    nursery.start_soon(link.peer.finish, "the node has stopped")
