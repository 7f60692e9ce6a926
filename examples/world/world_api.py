"""What the nodes of the world know of each other: interfaces and values, no code."""

from __future__ import annotations

from abc import abstractmethod

import attrs

from trionet import Service, command, value


@value
@attrs.frozen
class Line:
    """Something that was said in a room."""

    room: str
    player: str
    text: str


@value
class NoRoom(Exception):
    """There is no room to enter just now."""


class PlayerApi(Service):
    """A player, as rooms see it."""

    @command
    @abstractmethod
    def hear(self, line: Line) -> None:
        """Take note of what was said."""


class RoomApi(Service):
    """A room, as players and the world see it."""

    @command
    @abstractmethod
    def enter(self, name: str, player: PlayerApi) -> None:
        """Come in, and hear what is said until the player leaves or ends."""

    @command
    @abstractmethod
    def leave(self, name: str) -> None:
        """Go out."""

    @command
    @abstractmethod
    async def say(self, name: str, text: str) -> int:
        """Say something; returns how many could hear it."""

    @command
    @abstractmethod
    def crash(self) -> None:
        """Kill the process of the room with SIGKILL."""

    @command
    @abstractmethod
    async def close(self) -> None:
        """End the room, and with it its node."""


class WorldApi(Service):
    """The world, as everybody sees it."""

    @command
    @abstractmethod
    def open_room(self, title: str, room: RoomApi) -> None:
        """Announce a room."""

    @command
    @abstractmethod
    def find_room(self) -> RoomApi:
        """Find the room that the fewest players were sent to."""

    @command
    @abstractmethod
    async def rooms(self, at_least: int) -> dict[str, RoomApi]:
        """Wait until there are so many rooms; returns all of them by their titles."""

    @command
    @abstractmethod
    async def close(self) -> None:
        """End the world, its rooms first."""
