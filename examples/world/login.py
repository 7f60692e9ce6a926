"""The login node: players who chat, lose their room, and find another; and the director of the show."""

from __future__ import annotations

import random

import trio
from world_api import Line, NoRoom, PlayerApi, RoomApi, WorldApi

from trionet import CallError, Node, command, spec

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn")
PHRASES = (
    "anybody here?",
    "look, a dragon!",
    "I sell three apples",
    "who comes with me to the tower?",
    "it is raining again",
    "trade you a sword for that hat",
)


class Player(PlayerApi):
    """Somebody who is always in some room, as far as there is one.

    Attributes:
        heard: lines that reached this player.
        losses: seconds without a room, for each room that was lost.
    """

    def __init__(self, name: str, world: WorldApi) -> None:
        self._name = name
        self._world = world
        self.heard = 0
        self.losses: list[float] = []

    async def setup(self) -> None:
        """Begin to play."""
        self.nursery.start_soon(self._play)

    async def _play(self) -> None:
        lost_at: float | None = None
        while True:
            try:
                room = await self._world.find_room()
                await room.enter(self._name, self.ref())
                if lost_at is not None:
                    self.losses.append(trio.current_time() - lost_at)
                await self._chat(room)
            except NoRoom:
                await trio.sleep(0.2)
            except CallError as error:
                print(f"{self._name} lost the room ({type(error).__name__})", flush=True)
                lost_at = trio.current_time()

    async def _chat(self, room: RoomApi) -> None:
        while True:
            await trio.sleep(random.uniform(0.5, 2.0))
            await room.say(self._name, random.choice(PHRASES))

    @command
    def hear(self, line: Line) -> None:
        """Take note of what was said."""
        self.heard += 1

    @command
    def results(self) -> tuple[int, list[float]]:
        """Lines heard, and seconds without a room for each room that was lost."""
        return self.heard, self.losses


async def main(node: Node) -> None:
    seconds = float(node.config.app.get("seconds", 12))
    await node.wait_for_name("world")
    world = node.ref("world", WorldApi)
    rooms = await world.rooms(at_least=2)
    players = [await node.start(spec(Player, name, world)) for name in NAMES]

    await trio.sleep(seconds / 3)
    print("*** the director kills room2 ***", flush=True)
    await rooms["room2"].crash.send()
    await trio.sleep(seconds / 3)
    await world.rooms(at_least=2)
    print("*** room2 is back ***", flush=True)
    await trio.sleep(seconds / 3)

    results = [await player.results() for player in players]
    longest = max((loss for _, losses in results for loss in losses), default=0.0)
    print(
        f"*** the show is over: {sum(heard for heard, _ in results)} lines heard, "
        f"{sum(len(losses) for _, losses in results)} players lost their room, "
        f"the longest was without one for {longest:.2f} s ***",
        flush=True,
    )
    for player in players:
        await node.stop(player)
    await world.close()
