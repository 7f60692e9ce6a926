"""Streams: prices go to whoever watches them, and the past can be had as well.

Each watcher has a short queue of its own in the market.  Its stream takes from it as fast as the watcher
takes from the stream; one that is too slow misses prices, and neither the market nor the others wait for it.

Run it with ``trionet run examples/ticker.py``.
"""

from collections.abc import AsyncIterator

import attrs
import trio

from trionet import Node, Service, command, stream, value


@value
@attrs.frozen
class Price:
    symbol: str
    number: int
    amount: float


class Market(Service):
    def __init__(self) -> None:
        self.past: list[Price] = []
        self.watchers: dict[trio.MemorySendChannel[Price], str] = {}

    @command
    def trade(self, symbol: str, amount: float) -> None:
        price = Price(symbol, len(self.past) + 1, amount)
        self.past.append(price)
        for queue, watched in self.watchers.items():
            if watched == symbol:
                try:
                    queue.send_nowait(price)
                except trio.WouldBlock:
                    print(f"  a watcher misses number {price.number}")

    @stream(endless=True)
    async def prices(self, symbol: str) -> AsyncIterator[Price]:
        """Give each price from now on; it ends when the watcher leaves, or the market stops."""
        queue, mine = trio.open_memory_channel[Price](2)
        self.watchers[queue] = symbol  # before the first wait: who has opened the stream misses nothing
        try:
            async for price in mine:
                yield price
        finally:
            del self.watchers[queue]

    @stream
    async def history(self, symbol: str) -> AsyncIterator[Price]:
        """Give the prices until now; it ends by itself."""
        for price in list(self.past):
            if price.symbol == symbol:
                yield price


async def watch(
    name: str, market: Market, pause: float, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    async with market.prices.options(buffer=1)("TRIO") as prices:
        task_status.started()
        async for price in prices:
            print(f"{name} sees number {price.number}: {price.amount:.2f}")
            await trio.sleep(pause)


async def main(node: Node) -> None:
    market = await node.start(Market)
    async with trio.open_nursery() as watchers:
        await watchers.start(watch, "Ann", market, 0)
        await market.trade("TRIO", 100.0)
        await trio.sleep(0.1)
        await watchers.start(watch, "slow Bob", market, 0.25)
        for number in range(1, 8):
            await market.trade("TRIO", 100 + number / 4)
            await trio.sleep(0.04)
        await market.trade("OTHER", 1.0)
        await trio.sleep(0.5)
        watchers.cancel_scope.cancel()  # both leave; their generators end
    async with market.history("TRIO") as history:
        amounts = [price.amount async for price in history]
    print("at last:", amounts[0], "...", amounts[-1])
