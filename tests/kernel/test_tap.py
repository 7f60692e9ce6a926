"""The message log of one service: what is seen while somebody looks, and that nothing stays behind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from trionet import (
    MessageEvent,
    Node,
    NoSuchCommand,
    NoSuchService,
    Reply,
    Service,
    command,
    defer,
    stream,
)
from trionet.errors import RemoteError
from trionet.kernel.actor import Actor
from trionet.kernel.inbox import Inbox


class Shop(Service):
    """Commands of all kinds."""

    @command
    def price(self, what: str, *, number: int = 1) -> float:
        return 2.5 * number

    @command
    async def deliver(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return "there"

    @command
    def complain(self) -> None:
        raise ValueError("too late")

    @command
    def order(self) -> None:
        reply = defer()
        self.nursery.start_soon(self._answer, reply)

    async def _answer(self, reply: Reply) -> None:
        await trio.sleep(1)
        reply.ok(5)

    @stream
    async def goods(self, most: int) -> AsyncIterator[int]:
        for each in range(most):
            yield each


@pytest.fixture
async def shop(node: Node) -> Shop:
    return await node.start(Shop, name=".shop")


def seen(receive: trio.MemoryReceiveChannel[MessageEvent]) -> list[str]:
    """What has come, one text an event."""
    found = []
    while receive.statistics().current_buffer_used:
        event = receive.receive_nowait()
        found.append(f"{event.stage} {event.number} {event.kind} {event.command} {event.text}")
    return found


async def test_calls_and_sends_are_seen_with_what_came_of_them(node: Node, shop: Shop) -> None:
    async with node.tap(".shop") as events:
        assert await shop.price("tea", number=2) == 5.0
        await shop.price.send("milk")
        await shop.complain.send()
        with pytest.raises(RemoteError):
            await shop.complain()
        with pytest.raises(NoSuchCommand) as caught:
            await node.call(shop, "steal")
        assert seen(events) == [
            "begun 1 call price 'tea', number=2",
            "ended 1 call price returned 5.0",
            "begun 2 send price 'milk'",
            "ended 2 send price returned 2.5",
            "begun 3 send complain ",
            "ended 3 send complain raised ValueError: too late",
            "begun 4 call complain ",
            "ended 4 call complain raised ValueError: too late",
            "begun 5 call steal ",
            f"ended 5 call steal was refused: NoSuchCommand: {caught.value}",
        ]


async def test_what_takes_time_tells_how_long(node: Node, shop: Shop) -> None:
    async with node.tap(shop) as events:
        await shop.deliver(3)
        with trio.move_on_after(1):
            await shop.deliver(10)
        got = [events.receive_nowait() for _ in range(4)]
        assert [each.seconds for each in got] == pytest.approx([0, 3, 0, 1], abs=0.01)
        assert [each.text for each in got] == ["3", "returned 'there'", "10", "was cancelled"]
        assert len({each.trace for each in got}) == 2
        assert got[0].source is None


async def test_streams_and_late_replies(node: Node, shop: Shop) -> None:
    async with node.tap(shop) as events:
        async with shop.goods(2) as goods:
            assert [each async for each in goods] == [0, 1]
        assert await node.call(shop, "order") == 5
        assert seen(events) == [
            "begun 1 stream goods 2",
            "ended 1 stream goods returned None",
            "begun 2 call order ",
            "ended 2 call order left its reply for later",
        ]


async def test_nothing_stays_when_nobody_looks(node: Node, shop: Shop) -> None:
    """The service takes direct calls again, and is of the plain classes."""
    actor = node.actors[node.handle_of(shop).local]
    async with node.tap(shop), node.tap(shop):
        assert type(actor) is not Actor
        assert not actor.may_begin(actor.commands["price"])
    assert (type(actor), type(actor.inbox)) == (Actor, Inbox)
    assert actor.may_begin(actor.commands["price"])
    assert not node.taps
    assert await shop.price("tea") == 2.5


async def test_what_began_before_is_left_out(node: Node, shop: Shop) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shop.deliver, 2)
        await trio.sleep(1)
        async with node.tap(shop) as events:
            await trio.sleep(2)
            assert seen(events) == []


async def test_several_look_at_the_same(node: Node, shop: Shop) -> None:
    async with node.tap(shop) as first:
        await shop.price("a")
        async with node.tap(shop) as second:
            await shop.price("b")
            assert [each[:9] for each in seen(second)] == ["begun 2 c", "ended 2 c"]
        assert len(seen(first)) == 4


async def test_it_ends_with_the_service(node: Node, shop: Shop) -> None:
    async with node.tap(shop) as events:
        await shop.price("a")
        await node.stop(shop)
        assert [each.stage async for each in events] == ["begun", "ended"]
    with pytest.raises(NoSuchService):
        async with node.tap(shop):
            pass


async def test_it_is_over_at_once_with_a_service_that_has_ended_meanwhile(node: Node, shop: Shop) -> None:
    tap = node.tap(shop)
    await node.stop(shop)
    async with tap as events:
        with pytest.raises(trio.EndOfChannel):
            await events.receive()


async def test_a_reader_that_lags_misses_some_and_is_told(
    node: Node, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trionet.kernel.tapping.READER_BUFFER", 3)
    async with node.tap(shop) as events:
        for _ in range(3):
            await shop.price("a")
        assert len(seen(events)) == 3
        await shop.price("b")
        assert [
            (each.number, each.missed) for each in (events.receive_nowait(), events.receive_nowait())
        ] == [
            (4, 3),
            (4, 0),
        ]
        await events.aclose()
        assert await shop.price("c") == 2.5


async def test_long_arguments_are_cut(node: Node, shop: Shop) -> None:
    async with node.tap(shop) as events:
        await node.call(shop, "price", "x" * 100_000)
        with pytest.raises(NoSuchCommand):
            await node.call(shop, "none", *["x" * 1000] * 50)
        texts = [events.receive_nowait().text for _ in range(4)]
        assert len(texts[0]) == 200
        assert len(texts[2]) == 1000


async def test_circles_are_still_found(node: Node) -> None:
    """A tapped service is a service like any other."""

    class Turning(Service, concurrency=1):
        @command
        async def turn(self) -> None:
            await self.node.ref(".turning", Turning).turn()

    turning = await node.start(Turning, name=".turning")
    async with node.tap(turning):
        with pytest.raises(RemoteError, match="services wait on each other"):
            await turning.turn()
