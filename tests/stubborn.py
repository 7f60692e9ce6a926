"""A service whose handlers end in their own ways when they are cancelled."""

from __future__ import annotations

import trio

from trionet import Service, command


class Stubborn(Service):
    """Its handlers wait until they are cancelled, and then do not just end.

    Attributes:
        cleaning: seconds that its cleaning up takes.
    """

    cleaning = 5.0

    @command
    async def swallow(self) -> str:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "after all"

    @command
    async def convert(self) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            raise KeyError("instead") from None

    @command
    async def clean_up(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(self.cleaning)

    @command
    async def group(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(trio.sleep_forever)

    @command
    async def own_scope(self) -> str:
        with trio.move_on_after(1):
            await trio.sleep_forever()
        return "moved on"
