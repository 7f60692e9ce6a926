"""What nodes ask each other: to end a service, what a call waits for, that a message reached nobody.

Duty: the commands of a node's own id, which is 0 on every link.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from trionet.errors import BadMessage, NodeDown, NoSuchService, ServiceBusy
from trionet.handle import MAX_LOCAL, Handle
from trionet.kernel.dead_letters import DeadLetter
from trionet.net.failures import MAX_TEXT

if TYPE_CHECKING:
    from trionet.kernel.request import Request
    from trionet.net.peer import Peer

#: The local id that stands for the node itself.
NODE_ID: Final = 0
#: A message that the other node sent has reached nobody.
UNDELIVERED: Final = "undelivered"
#: End a service, in order or at once.
STOP: Final = "stop"
KILL: Final = "kill"
#: What does a call of the other node wait for?
CHAIN: Final = "chain"
#: What does the consumer wait for to whom the other node gives items?
CONSUMER: Final = "consumer"

#: Answers to the other node that are being found out at a time; also such as nobody waits for any more.
MOST_ANSWERS: Final = 10_000

#: The calls of nodes that a question about a chain has come through: caller, callee, session.
Hops = list[list[int]]
#: What a call waits for, one entry a service, and whether that comes back to where it began.
Chain = tuple[list[str], bool]


class NodeDesk:
    """Answers the node at the other end of a link.

    Args:
        peer: that node.
        chain_of: tells what a call waits for.
    """

    def __init__(self, peer: Peer, chain_of: Callable[[Request, Hops], Awaitable[Chain]]) -> None:
        self._peer = peer
        self._chain_of = chain_of
        self._open: set[int] = set()
        self._under_way = 0

    def asked(self, session: int, command: str, args: tuple[Any, ...]) -> None:
        """The other node asks.

        Raises:
            NoSuchService: if there is no such command, or it takes other arguments.
            NodeDown: if a service is to be ended that is not of this node.
            ServiceBusy: if it asks too much at a time.
        """
        match command, args:
            case (("stop" | "kill"), (Handle() as handle,)):
                if handle.incarnation != self._peer.node.incarnation:
                    raise NodeDown(f"{handle} is not of this node", executed=False)
                self._begin(session, self._end_service, handle, command == KILL)
            case "chain", (int() as call, list() as hops) if _are_hops(hops):
                self._begin(session, self._tell_chain, call, hops)
            case "consumer", (int() as call, list() as hops) if _are_hops(hops):
                self._begin(session, self._tell_consumer, call, hops)
            case _:
                text = f"a node has no command {command!r} with such arguments"
                raise NoSuchService(text, executed=False)

    def cancelled(self, session: int) -> bool:
        """The other node no longer waits; tell whether it did."""
        if session not in self._open:
            return False
        self._open.discard(session)
        return True

    def close(self) -> None:
        """The link has ended."""
        self._open.clear()

    def undelivered(self, args: tuple[Any, ...]) -> None:
        """The other node could not deliver a message of this one.

        Raises:
            BadMessage: if the report is malformed.
        """
        match args:
            case (int() as source, Handle() as target, str() as command, str() as reason) if (
                0 <= source <= MAX_LOCAL
            ):
                sender = None if source == NODE_ID else self._peer.local_handle(source)
                about = DeadLetter(sender, target, command, (), {}, reason[:MAX_TEXT])
                self._peer.node.dead_letters.add(about)
            case _:
                raise BadMessage("a malformed report of an undelivered message", executed=False)

    def _begin(self, session: int, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        if self._under_way >= MOST_ANSWERS:
            raise ServiceBusy(f"{self._under_way} questions to this node have no answer yet", executed=False)
        self._open.add(session)
        self._under_way += 1
        self._peer.node.nursery.start_soon(self._answer, session, function, args)

    async def _answer(
        self, session: int, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> None:
        try:
            result = await function(*args)
        finally:
            self._under_way -= 1
        if session in self._open:
            self._open.discard(session)
            self._peer.answer(session, result)

    async def _end_service(self, handle: Handle, kill: bool) -> None:
        node = self._peer.node
        await (node.kill(handle) if kill else node.stop(handle))

    async def _tell_chain(self, session: int, hops: Hops) -> list[Any]:
        return await self._tell(self._peer.serving(session), hops)

    async def _tell_consumer(self, session: int, hops: Hops) -> list[Any]:
        stream = self._peer.consuming(session)
        return await self._tell(None if stream is None else stream.consumer, hops)

    async def _tell(self, request: Request | None, hops: Hops) -> list[Any]:
        if request is None:
            return [[], False]
        lines, is_circle = await self._chain_of(request, hops)
        return [lines, is_circle]


def _are_hops(hops: list[Any]) -> bool:
    return all(
        isinstance(hop, list) and len(hop) == 3 and all(type(each) is int for each in hop) for hop in hops
    )
