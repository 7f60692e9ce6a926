"""How a hub gets what is published on one other node.

Duty: hold the stream from one other hub open, and tell that hub what this node subscribes to.
May import: trionet, the board and the protocol of hubs.

Theory of operation.  One task reads the stream, another one tells of changes, in one call after the other:
what changes while a call is under way goes into the next.  When the stream ends it is opened again, with all
that is wanted, as soon as there is a link.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import trio

from trionet import BadMessage, CallError, Handle, Node
from trionet.services.multicast_board import Board
from trionet.services.multicast_mailbox import Mailbox
from trionet.services.multicast_protocol import HubApi, Wish
from trionet.services.multicast_state import Origin

#: Seconds before a stream is opened again; they double up to the most.
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0

_log = logging.getLogger("trionet.multicast")


class Follower:
    """One other hub, from which all comes that this node subscribes to there.

    Args:
        node: this node.
        board: of this node.
        handle: of the other hub.
        is_member: tells whether the other hub is known to the cluster.

    Attributes:
        scope: ends it.
        is_attached: whether the stream is open.
    """

    def __init__(self, node: Node, board: Board, handle: Handle, is_member: Callable[[], bool]) -> None:
        self.scope: trio.CancelScope = trio.CancelScope()
        self.is_attached: bool = False
        self._node = node
        self._board = board
        self._handle = handle
        self._is_member = is_member
        self._peer = node.ref(handle, HubApi)
        self._origin: Origin = board.origin(handle.incarnation)
        self._changed: dict[int, None] = {}
        self._to_ask: dict[int, tuple[int, int]] = {}
        self._asked: dict[int, None] = {}
        self._is_slow = False
        self._is_telling = False
        self._changes = 0
        self._told = 0
        self._work = trio.Event()
        self._progress = trio.Event()

    # --- what this node wants -------------------------------------------------------------------------------

    def changed(self, number: int) -> None:
        """The other hub has to be told of a topic."""
        self._changed[number] = None
        self._changes += 1
        self._work.set()

    def ask(self, mailbox: Mailbox, number: int, last: int) -> None:
        """Ask for the last messages of a topic; the mailbox takes nothing from there before they came."""
        if self._is_out_of_reach():
            return
        mailbox.deaf[self._origin.incarnation] = None
        self._to_ask[mailbox.request] = (number, last)
        self._work.set()

    async def wait_told(self) -> None:
        """Wait until the other hub knows what this node subscribes to now, unless it is out of reach.

        Cancellation: nothing is lost.
        """
        changes = self._changes
        while not self._is_out_of_reach() and (self._told < changes or not self.is_attached):
            await self._progress.wait()

    def lag(self) -> None:
        """It was waited for long enough: it is out of reach until it is heard of again."""
        if self._is_telling or not self.is_attached:
            self._is_slow = True

    def _is_out_of_reach(self) -> bool:
        return self._is_slow or self.scope.cancel_called

    def _progressed(self) -> None:
        self._progress.set()
        self._progress = trio.Event()

    # --- its life -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the other hub until it is not known any more."""
        pause = FIRST_PAUSE
        self._board.listeners[self] = None
        self._origin.wake = wake = lambda: self._work.set()
        try:
            with self.scope:
                while True:
                    began = trio.current_time()
                    await self._follow()
                    self._detach()
                    if trio.current_time() - began > LONGEST_PAUSE:
                        pause = FIRST_PAUSE
                    if not self._is_member():
                        return
                    await trio.sleep(pause)
                    await self._node.cluster.wait_connected(self._handle.harbor)
                    pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            self.scope.cancel()
            del self._board.listeners[self]
            self._detach()
            if self._origin.wake is wake:
                self._origin.wake = None

    async def _follow(self) -> None:
        """Read the stream to its end."""
        wishes = {number: self._wish(number) for number in self._board.numbers()}
        self._changed.clear()
        changes = self._changes
        try:
            async with self._peer.messages(wishes) as stream, trio.open_nursery() as nursery:
                self._attach(changes)
                nursery.start_soon(self._tell, nursery.cancel_scope)
                try:
                    async for item in stream:
                        self._board.receive(self._origin, item, self._node.snapshot)
                except (CallError, ValueError) as error:
                    _log.log(_level(error), "messages from %s end: %s", self._handle, error)
                nursery.cancel_scope.cancel()
        except CallError as error:
            _log.log(_level(error), "no messages from %s: %s", self._handle, error)

    def _attach(self, changes: int) -> None:
        self._told = changes
        self._is_slow = False
        self.is_attached = True
        self._origin.confirmed.clear()
        self._progressed()

    def _detach(self) -> None:
        """There is no stream: nobody waits for it."""
        self.is_attached = False
        self._is_slow = True
        self._origin.closed_at = trio.current_time()
        for request in [*self._asked, *self._to_ask]:
            self._board.answered(self._origin.incarnation, request)
        self._asked.clear()
        self._to_ask.clear()
        self._progressed()

    def _wish(self, number: int) -> Wish:
        wish = self._board.wish(number)
        assert wish is not None
        return (*wish, self._origin.seen.get(number, 0))

    # --- telling --------------------------------------------------------------------------------------------

    async def _tell(self, reading: trio.CancelScope) -> None:
        """Tell the other hub of each change, until it cannot be told."""
        try:
            while True:
                self._work = trio.Event()
                self._is_telling = True
                while self._changed or self._to_ask or self._origin.confirmed:
                    await self._tell_once()
                self._is_telling = False
                await self._work.wait()
        except CallError as error:
            _log.log(_level(error), "%s cannot be told what is wanted: %s", self._handle, error)
            reading.cancel()

    async def _tell_once(self) -> None:
        changes = self._changes
        changed, self._changed = self._changed, {}
        confirmed, self._origin.confirmed = self._origin.confirmed, {}
        asked, self._to_ask = self._to_ask, {}
        wanted = {number: self._wish(number) for number in changed if self._board.wish(number) is not None}
        unwanted = [number for number in changed if number not in wanted]
        self._asked.update(dict.fromkeys(asked))
        await self._peer.tell(wanted, unwanted, confirmed, asked)
        self._told = changes
        self._is_slow = False
        self._progressed()


def _level(error: Exception) -> int:
    """How loudly to tell why a stream ended: that a node went is told elsewhere."""
    return logging.WARNING if isinstance(error, BadMessage | ValueError) else logging.DEBUG
