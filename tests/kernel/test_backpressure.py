"""Inboxes are bounded (C10): who finds no room waits in line, is refused, or is the service itself."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from tests.kernel.stage import Stage, actor_of, begin, opened, start
from trionet import Node, RemoteError, Service, ServiceBusy, command
from trionet.kernel.inbox import FIRST_WARNING


async def test_c10_send_waits_for_room(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=2)
        await begin(nursery, lambda: box.hold("gate"))
        await box.note.send("1")
        await box.note.send("2")
        sender = await begin(nursery, lambda: box.note.send("3"))
        assert sender.end == "none"
        assert node.service_statistics(box).waiting_senders == 1
        stage.open("gate")
        await stage.settle(node)
        assert sender.end == "value None"
        assert node.service_statistics(box).waiting_senders == 0


async def test_c10_send_does_not_wait_for_the_handler(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        await box.hold.send("a")
        await box.hold.send("b")
        assert await stage.settle(node) == ["a begins", "b begins"]
        stage.open("a", "b")


async def test_c10_a_send_that_waits_checkpoints(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=1)
        await begin(nursery, lambda: box.hold("gate"))
        await box.note.send("1")
        nursery.start_soon(trio.testing.wait_all_tasks_blocked)

        async def open_later() -> None:
            await trio.sleep(1)
            stage.open("gate")

        nursery.start_soon(open_later)
        with assert_checkpoints():
            await box.note.send("2")
        assert trio.current_time() == 1


async def test_c10_send_nowait_would_block(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=2)
        await begin(nursery, lambda: box.hold("gate"))
        box.note.send_nowait("1")
        node.send_nowait(box, "note", "2")
        with pytest.raises(trio.WouldBlock):
            box.note.send_nowait("never")
        with pytest.raises(trio.WouldBlock):
            node.send_nowait(box, "note", "never")
        assert node.dead_letters.count == 0
        stage.open("gate")
        assert (await stage.settle(node))[2:] == ["1", "2"]
        box.note.send_nowait("3")
        assert await stage.settle(node) == ["3"]


async def test_c10_send_nowait_does_not_overtake_the_line(autojump_clock: MockClock) -> None:
    """Between two messages of who stands in line there is no room for others."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=1)
        await begin(nursery, lambda: box.hold("gate"))
        box.note.send_nowait("1")
        for word in "23":
            await begin(nursery, lambda word=word: box.note.send(word))  # type: ignore[misc]
        actor_of(node, box).inbox.take()
        with pytest.raises(trio.WouldBlock):
            box.note.send_nowait("never")
        stage.open("gate")
        assert (await stage.settle(node))[2:] == ["2", "3"]


async def test_c10_the_line_is_first_come_first_served(autojump_clock: MockClock) -> None:
    """Calls and sends of several sources, each with several messages: one line."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=1)
        sources = [await start(node, stage) for _ in range(3)]
        await begin(nursery, lambda: box.hold("gate"))
        await box.note.send("first")
        for turn in range(3):
            for number, source in enumerate(sources):
                word = f"{turn}.{number}"
                call = source.relay if (turn + number) % 2 else source.pass_on
                await begin(nursery, lambda call=call, word=word: call(box, "note", word))  # type: ignore[misc]
        stage.open("gate")
        words = [word for word in await stage.settle(node) if "." in word]
        assert words == [f"{turn}.{number}" for turn in range(3) for number in range(3)]


async def test_c10_a_greedy_sender_does_not_starve_others(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=1)

        async def greedy() -> None:
            while True:
                await box.note.send("greedy")

        nursery.start_soon(greedy)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        for number in range(10):
            await box.note.send(f"modest {number}")
        nursery.cancel_scope.cancel()
    words = stage.log
    places = [place for place, word in enumerate(words) if word.startswith("modest")]
    assert len(places) == 10
    assert max(after - before for before, after in pairwise(places)) <= 110


async def test_c10_a_service_may_reject(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=1, overflow="reject")
        await begin(nursery, lambda: box.hold("gate"))
        await box.note.send("1")
        for call in (box.note, box.note.send, box.note.options(deadline=1)):
            with pytest.raises(ServiceBusy, match="is full") as caught:
                await call("never")
            assert caught.value.executed is False
        with pytest.raises(trio.WouldBlock):
            box.note.send_nowait("never")
        assert node.service_statistics(box).waiting_senders == 0
        assert node.dead_letters.count == 0
        stage.open("gate")
        assert (await stage.settle(node))[2:] == ["1"]
        assert await box.note("2") == "2"


class Self(Service, inbox=1, concurrency=1):
    """Sends to itself and calls itself."""

    def __init__(self) -> None:
        self.seen = 0

    @command
    def note(self) -> None:
        self.seen += 1

    @command
    async def send_to_self(self, times: int) -> int:
        for _ in range(times):
            await self.send(self.handle, "note")
            self.ref().note.send_nowait()
        return self.node.service_statistics(self.handle).inbox

    @command
    async def call_self(self) -> None:
        await self.call(self.handle, "note")

    @command
    def how_many(self) -> int:
        return self.seen


async def test_c10_a_send_to_oneself_never_waits(autojump_clock: MockClock) -> None:
    async with opened() as node:
        me = await node.start(Self)
        assert await me.send_to_self(100) == 200
        assert await me.how_many() == 200


async def test_c10_others_wait_while_a_service_fills_its_own_inbox(autojump_clock: MockClock) -> None:
    stage = Stage()

    class Busy(Self):
        @command
        async def fill_and_hold(self) -> None:
            await self.send_to_self(10)
            await stage.gate("gate").wait()

    async with opened() as node, trio.open_nursery() as nursery:
        me = await node.start(Busy)
        await begin(nursery, me.fill_and_hold)
        other = await begin(nursery, me.how_many)
        assert node.service_statistics(me).waiting_senders == 1
        with pytest.raises(trio.WouldBlock):
            me.note.send_nowait()
        stage.open("gate")
        await wait_all_tasks_blocked()
        assert other.end == "value 20"


async def test_c7_a_call_to_oneself_at_the_limit_is_a_circle(autojump_clock: MockClock) -> None:
    async with opened() as node:
        me = await node.start(Self)
        with pytest.raises(RemoteError, match="Deadlock"):
            await me.call_self()


async def flood(node: Node, stage: Stage, count: int) -> None:
    """Fill an inbox, and let it be emptied."""
    box = node.ref(".box")
    await node.send(".box", "hold", "gate")
    await wait_all_tasks_blocked()
    for number in range(count):
        box.note.send_nowait(str(number))


async def test_c10_overload_is_told_once_per_doubling(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()
    caplog.set_level(logging.WARNING)
    async with opened() as node:
        await start(node, stage, name=".box", concurrency=1, inbox=100_000)
        await flood(node, stage, 5 * FIRST_WARNING)
        told = [record.getMessage() for record in caplog.records]
        who = ":00000001 .box (Puppet) may be overloaded"
        assert told == [f"{who}: {FIRST_WARNING * times} messages wait" for times in (1, 2, 4)]
        assert caplog.records[0].name == "tests.kernel.stage.Puppet"
        stage.open("gate")
        await wait_all_tasks_blocked()
        caplog.clear()
        assert await node.call(".box", "note", "empty again") == "empty again"
        assert caplog.text == ""


async def test_c10_the_room_of_the_node_applies_by_default(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened(inbox=2) as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1)
        await begin(nursery, lambda: box.hold("gate"))
        box.note.send_nowait("1")
        box.note.send_nowait("2")
        with pytest.raises(trio.WouldBlock):
            box.note.send_nowait("3")
        stage.open("gate")


async def test_c10_who_waits_for_room_when_the_service_ends(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=1)
        await begin(nursery, lambda: box.hold("gate"))
        await box.note.send("1")
        sender = await begin(nursery, lambda: box.note.send("2"))
        caller = await begin(nursery, lambda: box.note("3"))
        actor_of(node, box).request_stop(trio.current_time() + 5)
        await wait_all_tasks_blocked()
        assert sender.end == "value None"
        assert caller.end.startswith("ServiceExited")
        assert node.dead_letters.count == 2
        stage.open("gate")
