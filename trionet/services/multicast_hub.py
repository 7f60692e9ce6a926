"""The hub: the service of a node through which messages of topics come and go.

Duty: know the other hubs, follow each, and serve each.
May import: trionet, the board, followers and the protocol of hubs.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any

import trio

from trionet import (
    BadMessage,
    GroupChanged,
    Handle,
    NameTaken,
    Node,
    NoSuchService,
    ServiceExited,
    command,
    current_request,
    gather,
    stream,
)
from trionet.services.multicast_board import Board
from trionet.services.multicast_follower import Follower
from trionet.services.multicast_protocol import HUB, HUB_OF, HUBS, PATIENCE, HubApi, Wish
from trionet.services.multicast_route import MESSAGE_HEAD

_log = logging.getLogger("trionet.multicast")


class Hub(HubApi):
    """The hub of a node; it is started when the node first publishes, or subscribes to, anything."""

    async def setup(self) -> None:
        """Let other hubs find it, and begin to follow them.

        Of two hubs that start one after the other the later one knows of the earlier one: what the master
        knew when it answered has come before the answer.

        Cancellation: nothing is left.
        """
        self._board = self.node.extension(Board)
        self._followers: dict[Handle, Follower] = {}
        await self.nursery.start(self._run)
        with trio.move_on_after(PATIENCE), suppress(NameTaken):
            await self.node.register(HUB_OF.format(self.node.harbor), self.handle)

    async def name_lost(self, name: str, owner: Handle | None) -> None:
        """The name is for people only, and has done its duty when the hub has started.

        Cancellation: nothing is left.
        """

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Follow all other hubs."""
        try:
            self._board.hub = self.handle
            self.node.join_group(HUBS, self.handle)
            async with self.node.cluster.events() as events:
                for handle in self.node.cluster.members(HUBS):
                    self._follow(handle)
                task_status.started()
                async for event in events:
                    if isinstance(event, GroupChanged) and event.group == HUBS:
                        self._group_changed(event)
        finally:
            self._board.lost_hub(self.handle)

    def _group_changed(self, event: GroupChanged) -> None:
        for handle in event.joined:
            self._follow(handle)
        for handle in event.left:
            follower = self._followers.get(handle)
            if follower is not None:
                follower.scope.cancel()

    def _follow(self, handle: Handle) -> Follower | None:
        if handle == self.handle:
            return None
        follower = self._followers.get(handle)
        if follower is None or follower.scope.cancel_called:
            follower = Follower(self.node, self._board, handle, partial(self._is_member, handle))
            self._followers[handle] = follower
            self.nursery.start_soon(self._run_follower, handle, follower)
        return follower

    def _is_member(self, handle: Handle) -> bool:
        return handle in self.node.cluster.members(HUBS)

    async def _run_follower(self, handle: Handle, follower: Follower) -> None:
        try:
            await follower.run()
        finally:
            if self._followers.get(handle) is follower:
                del self._followers[handle]

    # --- for publishers and subscribers of this node --------------------------------------------------------

    @command(deadline=inf)
    async def meet(self) -> None:
        """Wait until this hub and the others know each other; those that do not answer are left out.

        Cancellation: nothing is lost.
        """
        members = [handle for handle in self.node.cluster.members(HUBS) if handle != self.handle]
        await gather([self.node.ref(handle, HubApi).follow() for handle in members], deadline=PATIENCE)
        await self._board.tell_others()
        self._board.has_met = True

    # --- for other hubs -------------------------------------------------------------------------------------

    @stream(endless=True)
    async def messages(self, wishes: dict[int, Wish]) -> AsyncIterator[tuple[Any, ...]]:
        """All that the node of the caller subscribes to."""
        route, token = self._board.routes.open(current_request().node, wishes)
        try:
            while route.stream is token:
                try:
                    item = route.take()
                except BadMessage as error:
                    _log.warning("a message is not sent to other nodes: %s", error)
                    continue
                if item is None:
                    await route.wait()
                    continue
                try:
                    yield item
                except BadMessage as error:
                    _log.warning("a message is not sent to other nodes: %s", error)
                    route.spoil(item[:MESSAGE_HEAD] if len(item) > MESSAGE_HEAD else ())
        finally:
            route.close(token, trio.current_time())

    @command
    def tell(
        self,
        wanted: dict[int, Wish],
        unwanted: list[int],
        confirmed: dict[int, int],
        asked: dict[int, tuple[int, int]],
    ) -> None:
        """Change what comes through the caller's stream."""
        routes = self._board.routes
        route = routes.get(current_request().node)
        if route is None:
            return
        routes.change(route, wanted, unwanted)
        for key, count in confirmed.items():
            outlet = route.outlets.get(key)
            if outlet is not None:
                outlet.confirm(count)
        for request, (key, most) in asked.items():
            route.put_past(request, routes.past(route, key, most))

    @command
    async def follow(self) -> None:
        """Open the stream of the caller, which is a new hub.

        Cancellation: it is opened all the same.
        """
        source = current_request().source
        follower = None if source is None else self._follow(source)
        if follower is not None:
            await follower.wait_told()

    def debug_info(self) -> object:
        """Topics and nodes that this one knows of."""
        return self._board.info()


async def open_board(node: Node) -> Board:
    """The board of a node, with a hub that knows the others, if there can be any.

    Cancellation: a hub that is starting is killed; whoever needs one next starts it.

    Raises:
        NodeStopping: if there is no hub and the node is stopping.
    """
    board = node.extension(Board)
    if node.harbor == 0 or (board.hub is not None and board.has_met):
        return board
    async with board.starting:
        while board.hub is None or not board.has_met:
            hub = board.hub or node.lookup(HUB)
            if hub is None:
                hub = node.handle_of(await node.start(Hub, name=HUB))
            try:
                await node.ref(hub, Hub).meet()
            except (ServiceExited, NoSuchService):  # it is ending: wait for it, and start the next one
                async with node.watch(hub) as end:
                    await end.wait()
    return board
