"""Answers every ping; can also pass it on to another node."""

from __future__ import annotations

from trionet import Node, Service, command


class Pong(Service):
    """What the other side of the game knows of this one."""

    @command
    def ping(self, payload: bytes) -> bytes:
        """Send it back."""
        return payload

    @command
    async def ping_via(self, other: Pong, payload: bytes) -> bytes:
        """Send it back by way of another node."""
        return await other.ping(payload)

    @command
    async def close(self) -> None:
        """End the service, and with it its node."""
        await self.stop()


async def main(node: Node) -> None:
    pong = await node.start(Pong, name=node.name)
    async with node.watch(pong) as watch:
        await watch.wait()
