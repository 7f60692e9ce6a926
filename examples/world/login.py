"""The login node: players who chat, lose their room, and find another; and the director of the show."""

from __future__ import annotations

import random

import trio
from world_api import Line, NoRoom, PlayerApi, RoomApi, WorldApi

from trionet import CallError, Node, NodeDown, command, spec

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn")
PHRASES = (
    "anybody here?",
    "look, a dragon!",
    "I sell three apples",
    "who comes with me to the tower?",
    "it is raining again",
    "trade you a sword for that hat",
)


class RoomGone(Exception):
    """The room has ended while somebody was in."""


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
                    lost_at = None
                await self._chat(room)
                await room.leave(self._name)
            except NoRoom:
                await trio.sleep(0.2)
            except (RoomGone, CallError) as error:
                if lost_at is None:
                    print(f"{self._name} has lost the room: {error}", flush=True)
                    lost_at = trio.current_time()

    async def _chat(self, room: RoomApi) -> None:
        """Say this and that, unless the room ends before."""
        async with self.watch(room) as watch:
            for _ in range(random.randint(3, 5)):
                with trio.move_on_after(random.uniform(0.8, 2.0)):
                    raise RoomGone(str(await watch.wait()))
                await room.say(self._name, random.choice(PHRASES))

    @command
    def hear(self, line: Line) -> None:
        """Take note of what was said."""
        self.heard += 1

    @command
    def results(self) -> tuple[int, list[float]]:
        """Lines heard, and seconds without a room for each room that was lost."""
        return self.heard, self.losses


async def kill_room(room: RoomApi) -> None:
    """Call what never returns, and show how that ends."""
    print("*** the director kills room2 ***", flush=True)
    began = trio.current_time()
    try:
        await room.crash()
    except NodeDown as error:
        took = 1000 * (trio.current_time() - began)
        print(f"*** that call ended after {took:.0f} ms: NodeDown, {error} ***", flush=True)


async def main(node: Node) -> None:
    act = float(node.config.app.get("seconds", 12)) / 3
    await node.wait_for_name("world")
    world = node.ref("world", WorldApi)
    rooms = await world.rooms(at_least=2)
    players = [await node.start(spec(Player, name, world)) for name in NAMES]

    await trio.sleep(act)
    await kill_room(rooms["room2"])
    await trio.sleep(act)
    await world.rooms(at_least=2)
    print("*** room2 is back ***", flush=True)
    await trio.sleep(act)

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
