"""The world node: knows which rooms there are, and notices at once when one is gone."""

from __future__ import annotations

import trio
from world_api import NoRoom, RoomApi, WorldApi

from trionet import Node, command


class World(WorldApi):
    """The list of rooms."""

    def __init__(self) -> None:
        self._rooms: dict[str, RoomApi] = {}
        self._visitors: dict[str, int] = {}
        self._opened = trio.Event()

    @command
    def open_room(self, title: str, room: RoomApi) -> None:
        """Announce a room."""
        self._rooms[title] = room
        self._visitors[title] = 0
        self._opened.set()
        self._opened = trio.Event()
        print(f"{title} is open; rooms: {', '.join(sorted(self._rooms))}", flush=True)
        self.nursery.start_soon(self._await_end, title, room)

    async def _await_end(self, title: str, room: RoomApi) -> None:
        async with self.watch(room) as watch:
            exit_ = await watch.wait()
        if self._rooms.get(title) == room:
            del self._rooms[title]
        print(f"{title} is gone ({exit_}); rooms: {', '.join(sorted(self._rooms)) or 'none'}", flush=True)

    @command
    def find_room(self) -> RoomApi:
        """Find the room with the fewest visitors so far."""
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
            await room.close.send()
        await self.stop()


async def main(node: Node) -> None:
    world = await node.start(World, name="world")
    async with node.watch(world) as watch:
        await watch.wait()
