"""Long waits across nodes, told with their chain (C7).

Duty: look from time to time which handlers wait for another node, find out for what, and log it.

Theory of operation.  On one node a wait that closes a circle of services is refused before it begins; across
nodes nobody sees the whole circle at that moment.  So every node looks at the calls that its handlers make to
other nodes.  Of one that it sees again at the next look, it asks the other node what the call waits for.
That one follows the waits of its own handlers and asks on where they lead to yet another node.  With the
question travels the list of all calls between nodes that it has come through: a call that is in it already
closes a circle.  Nothing is ended: a wait may be long and right, and its end is up to its deadline.

A consumer of a stream that has nothing for it waits as a caller does, but only a circle is told of.  A
producer that has no room waits for its consumer, about whom it asks the other node likewise.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeGuard

import trio

from trionet.errors import CallError
from trionet.kernel.request import QUEUED, RUNNING, Request
from trionet.kernel.together import Together
from trionet.net.desk import CHAIN, CONSUMER, Chain, Hops
from trionet.net.outbound import IN_LINE
from trionet.net.streams import Awaited, InboundStream, OutboundStream

if TYPE_CHECKING:
    from trionet.kernel.node import Node
    from trionet.net.link_end import LinkEnd
    from trionet.net.peer import Peer

_log = logging.getLogger("trionet.waits")

#: Seconds between two looks: a wait that is seen at both is long.
LONG_WAIT: Final = 10.0
#: Seconds that finding out a chain may take.
CHAIN_TIME: Final = 5.0
#: Waits that are told of at one look.
MOST_TOLD: Final = 10
#: Calls between nodes that a chain is followed through.
MOST_HOPS: Final = 32
#: Lines of a chain that another node may tell, and characters of each.
MOST_LINES: Final = 4 * MOST_HOPS
MOST_LINE: Final = 200


class LongWaits:
    """The waits of one node's handlers for other nodes.

    Args:
        node: the node.
        peers: returns the nodes to which there is a link.
        ask: asks another node.
    """

    def __init__(
        self,
        node: Node,
        peers: Callable[[], Iterable[Peer]],
        ask: Callable[[LinkEnd, str, tuple[Any, ...]], Awaitable[Any]],
    ) -> None:
        self._node = node
        self._peers = peers
        self._ask = ask
        self._looks: dict[tuple[Awaited, int], int] = {}

    async def run(self) -> NoReturn:
        """Look again and again, until cancelled."""
        while True:
            await trio.sleep(LONG_WAIT)
            async with trio.open_nursery() as nursery:
                for call, seconds in self._look():
                    nursery.start_soon(self._tell, call, seconds)

    def _look(self) -> list[tuple[Awaited, float]]:
        """The waits to tell of now, and how long each is at least: told once, and then at each doubling."""
        waiting = [call for peer in self._peers() for call in peer.waiting() if call.message.parent]
        waits = [(call, call.progress) for call in waiting]
        self._looks = {wait: self._looks.get(wait, -1) + 1 for wait in waits}
        due = [(call, looks) for (call, _), looks in self._looks.items() if looks.bit_count() == 1]
        return [(call, looks * LONG_WAIT) for call, looks in due[:MOST_TOLD]]

    async def _tell(self, call: Awaited, seconds: float) -> None:
        parent = call.message.parent
        assert parent is not None
        lines, is_circle = await self._follow(call, [])
        chain = " -> ".join([_describe(parent), *lines])
        if is_circle:
            _log.warning("services wait on each other, for %g seconds by now: %s", seconds, chain)
        elif not isinstance(call, OutboundStream):
            _log.info("a call has waited for %g seconds: %s", seconds, chain)

    async def chain_of(self, request: Request, hops: Hops) -> Chain:
        """What a call of another node waits for, or a consumer to whom it gives items."""
        lines: list[str] = []
        current: Request = request
        while True:
            lines.append(_describe(current))
            handler = self._blocker(current)
            if handler is None:
                lines[-1] += f" ({current.state.value})"
                return lines, False
            if handler is not current:
                lines.append(_describe(handler))
            here = _first_wait(handler.waits_for)
            if here is not None:
                current = here
                continue
            call = self._call_of(handler)
            if call is not None:
                more, is_circle = await self._follow(call, hops)
            elif _has_no_room(handler):
                more, is_circle = await self._follow_consumer(handler, hops)
            else:
                lines[-1] += f" ({handler.state.value})"
                return lines, False
            return lines + more, is_circle

    async def _follow(self, call: Awaited, hops: Hops) -> Chain:
        """What a call to another node waits for, as that node tells."""
        here = [f"{call.message.command} of {call.message.target}"]
        if call.stage is IN_LINE:
            return [f"{here[0]} ({call.stage.value})"], False
        hop = [self._node.incarnation, call.peer.incarnation, call.session]
        return await self._ask_on(call.peer, CHAIN, call.session, hops, hop, here)

    async def _follow_consumer(self, stream: InboundStream, hops: Hops) -> Chain:
        """What the consumer of a stream waits for, as its node tells."""
        hop = [stream.peer.incarnation, self._node.incarnation, -stream.session]
        peer = stream.peer
        return await self._ask_on(peer, CONSUMER, stream.session, hops, hop, [])

    async def _ask_on(
        self, peer: LinkEnd, question: str, session: int, hops: Hops, hop: list[int], here: list[str]
    ) -> Chain:
        if hop in hops:
            return [], True
        if len(hops) >= MOST_HOPS:
            return here, False
        with trio.move_on_after(CHAIN_TIME):
            try:
                answer = await self._ask(peer, question, (session, [*hops, hop]))
            except CallError:
                return here, False
            match answer:
                case [list() as lines, bool() as is_circle] if all(type(line) is str for line in lines):
                    return [line[:MOST_LINE] for line in lines[:MOST_LINES]] or here, is_circle
        return here, False

    def _blocker(self, request: Request) -> Request | None:
        """The handler that must end before a request goes on, if all those that could free a slot wait."""
        handlers = [request] if request.state is RUNNING else list(request.target.handlers)
        if request.state is QUEUED and len(handlers) < request.target.concurrency:
            return None
        if request.state not in (RUNNING, QUEUED):
            return None
        return handlers[0] if all(map(self._waits, handlers)) else None

    def _waits(self, handler: Request) -> bool:
        return handler.waits_for is not None or self._call_of(handler) is not None or _has_no_room(handler)

    def _call_of(self, handler: Request) -> Awaited | None:
        """The call to another node that a handler's own task waits for."""
        for peer in self._peers():
            for call in peer.waiting():
                if call.message.parent is handler:
                    return call
        return None


def _has_no_room(handler: Request) -> TypeGuard[InboundStream]:
    """Tell whether a handler waits for its consumer on another node."""
    return isinstance(handler, InboundStream) and handler.producer is not None


def _first_wait(wait: Request | Together | None) -> Request | None:
    """One of the requests of this node that somebody waits for, if there is any."""
    while isinstance(wait, Together):
        wait = next(iter(wait.waits() or ()), None)
    return wait


def _describe(request: Request) -> str:
    return f"{request.command} of {request.target.describe()}"
