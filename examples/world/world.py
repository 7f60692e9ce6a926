"""The world node: knows which rooms there are, and notices at once when one is gone."""

from __future__ import annotations

from collections import Counter

import trio
from world_api import NoRoom, RoomApi, WorldApi

from trionet import Node, command


class World(WorldApi):
    """The list of rooms."""

    def __init__(self) -> None:
        self._rooms: dict[str, RoomApi] = {}
        self._visitors: Counter[str] = Counter()
        self._opened = trio.Event()

    @command
    def open_room(self, title: str, room: RoomApi) -> None:
        """Announce a room."""
        self._rooms[title] = room
        self._visitors[title] = 0
        self._opened.set()
        self._opened = trio.Event()
        self._show(f"{title} is open")
        self.nursery.start_soon(self._await_end, title, room)

    async def _await_end(self, title: str, room: RoomApi) -> None:
        async with self.watch(room) as watch:
            exit_ = await watch.wait()
        if self._rooms.get(title) == room:
            del self._rooms[title]
        self._show(f"{title} is gone ({exit_})")

    def _show(self, what: str) -> None:
        print(f"{what}; rooms: {', '.join(sorted(self._rooms)) or 'none'}", flush=True)

    @command
    def find_room(self) -> RoomApi:
        """Find the room that the fewest players were sent to."""
        if not self._rooms:
            raise NoRoom("all rooms are closed")
        title = min(self._rooms, key=lambda each: (self._visitors[each], each))
        self._visitors[title] += 1
        return self._rooms[title]

    @command
    async def rooms(self, at_least: int) -> dict[str, RoomApi]:
        """Wait until there are so many rooms; returns all of them by their titles."""
        while len(self._rooms) < at_least:
            await self._opened.wait()
        return dict(self._rooms)

    @command
    async def close(self) -> None:
        """End the world, its rooms first."""
        for room in list(self._rooms.values()):
            await room.close()
        await self.stop()


async def main(node: Node) -> None:
    world = await node.start(World, name="world")
    async with node.watch(world) as watch:
        await watch.wait()
    for harbor in node.cluster.linked():  # the node with the master leaves last
        await node.cluster.wait_disconnected(harbor)
