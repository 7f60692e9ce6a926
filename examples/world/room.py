"""A room node: one room, named like its node, in which players chat."""

from __future__ import annotations

import os
import signal

from world_api import Line, PlayerApi, RoomApi, WorldApi

from trionet import Node, command, spec


class Room(RoomApi):
    """Passes on what is said to everybody who is in."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._players: dict[str, PlayerApi] = {}

    def _show(self, what: str) -> None:
        print(f"{what}; here: {', '.join(sorted(self._players)) or 'nobody'}", flush=True)

    @command
    def enter(self, name: str, player: PlayerApi) -> None:
        """Come in, and hear what is said until the player leaves or ends."""
        self._players[name] = player
        self._show(f"-> {name} comes in")
        self.nursery.start_soon(self._await_end, name, player)

    async def _await_end(self, name: str, player: PlayerApi) -> None:
        async with self.watch(player) as watch:
            await watch.wait()
        self._players.pop(name, None)

    @command
    def leave(self, name: str) -> None:
        """Go out."""
        del self._players[name]
        self._show(f"<- {name} goes on")

    @command
    async def say(self, name: str, text: str) -> int:
        """Say something; returns how many could hear it."""
        print(f"{name}: {text}", flush=True)
        line = Line(self._title, name, text)
        for player in list(self._players.values()):
            await player.hear.send(line)
        return len(self._players)

    @command
    def crash(self) -> None:
        """Kill the process of the room with SIGKILL."""
        os.kill(os.getpid(), signal.SIGKILL)

    @command
    async def close(self) -> None:
        """End the room, and with it its node."""
        await self.stop()


async def main(node: Node) -> None:
    await node.wait_for_name("world")
    world = node.ref("world", WorldApi)
    room = await node.start(spec(Room, node.name))
    await world.open_room(node.name, room)
    async with node.watch(room) as watch:
        await watch.wait()
