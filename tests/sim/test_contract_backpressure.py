"""Backpressure (C10), within a node and across two: windows of messages and bytes."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.sim.places import REST, Placement, everywhere, open_places
from trionet import NodeConfig, Service, ServiceBusy, command


@everywhere
async def test_c10_send_waits_for_room(autojump_clock: MockClock, placement: Placement) -> None:
    """The inbox of a local service, the window of a remote one; neither waits for the handler."""
    async with open_places(placement, window_messages=3) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1, inbox=3)
        await box.hold.send("gate")
        await trio.sleep(REST)
        senders = [
            await places.begin(nursery, lambda number=number: box.note.send(str(number)))  # type: ignore[misc]
            for number in range(6)
        ]
        assert [sender.end for sender in senders] == ["value None"] * 3 + ["none"] * 3
        with pytest.raises(trio.WouldBlock):
            box.note.send_nowait("over")
        places.stage.open("gate")
        assert await places.rest() == ["gate begins", "gate ends", *"012345"]
        assert all(sender.end == "value None" for sender in senders)
        box.note.send_nowait("room")
        assert await places.rest() == ["room"]


@pytest.mark.parametrize(("size", "fit"), [(100_000, 10), (400_000, 2), (1_000_000, 1), (3_000_000, 1)])
async def test_c10_a_window_counts_bytes(autojump_clock: MockClock, size: int, fit: int) -> None:
    """A message larger than the whole window has it for itself."""
    async with open_places("remote", window_bytes=1_001_000) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1)
        await box.hold.send("gate")
        await trio.sleep(10)  # what is left of credit has been given back
        senders = [await places.begin(nursery, lambda: box.note.send("x" * size)) for _ in range(fit + 3)]
        assert [sender.end for sender in senders] == ["value None"] * fit + ["none"] * 3
        inbox = places.there.service_statistics(box).inbox
        places.stage.open("gate")
        await trio.sleep(10)
        assert inbox == fit
        assert [len(word) for word in places.stage.log[2:]] == [size] * (fit + 3)


async def test_c10_each_service_has_its_own_window(autojump_clock: MockClock) -> None:
    """A link's reader never waits for one slow service: the others get their messages."""
    async with open_places("remote", window_messages=4) as places, trio.open_nursery() as nursery:
        slow = await places.start(concurrency=1, inbox=1)
        fast = await places.start()
        await places.begin(nursery, lambda: slow.hold("gate"))
        for number in range(10):
            await places.begin(nursery, lambda number=number: slow.note.send(str(number)))  # type: ignore[misc]
        with trio.fail_after(1):
            for _ in range(50):
                assert await fast.note("x") == "x"
        assert places.there.service_statistics(slow).inbox == 4
        places.stage.open("gate")


async def test_c10_an_inbox_has_room_for_what_windows_promise(autojump_clock: MockClock) -> None:
    """Nothing that a remote sender was promised waits or is lost, whatever the limit of the inbox."""
    async with open_places("remote", window_messages=50) as places:
        box = await places.start(concurrency=1, inbox=2)
        await box.hold.send("gate")
        for number in range(49):
            box.note.send_nowait(str(number))
        await trio.sleep(REST)
        assert places.there.service_statistics(box).inbox == 49
        places.stage.open("gate")
        assert await places.rest() == ["gate begins", "gate ends", *map(str, range(49))]


@everywhere
async def test_c10_the_line_is_first_come_first_served(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement, window_messages=2) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1, inbox=1)
        await places.begin(nursery, lambda: box.hold("gate"))
        for number in range(20):
            call = box.note if number % 3 else box.note.send
            await places.begin(nursery, lambda call=call, number=number: call(str(number)))  # type: ignore[misc]
        places.stage.open("gate")
        assert (await places.rest())[2:] == list(map(str, range(20)))


@everywhere
async def test_c10_a_service_may_reject(autojump_clock: MockClock, placement: Placement) -> None:
    """A call is told; a send is told where the inbox is, from another node it becomes a dead letter."""
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1, inbox=2, overflow="reject")
        await places.begin(nursery, lambda: box.hold("gate"))
        for number in range(2):
            await box.note.send(str(number))
        await trio.sleep(REST)
        with pytest.raises(ServiceBusy) as caught:
            await box.note("call")
        assert caught.value.executed is False
        if placement == "local":
            with pytest.raises(ServiceBusy):
                await box.note.send("send")
        else:
            await box.note.send("send")
            await trio.sleep(REST)
            assert places.here.dead_letters.count == 1
        places.stage.open("gate")
        assert (await places.rest())[1:] == ["gate ends", "0", "1"]


class Talker(Service, inbox=1, concurrency=1):
    """Sends to itself more than it has room for."""

    def __init__(self) -> None:
        self.heard = 0

    @command
    async def talk(self, times: int) -> None:
        for _ in range(times):
            await self.hear.send()

    @command
    def hear(self) -> None:
        self.heard += 1

    @command
    def count(self) -> int:
        return self.heard


@everywhere
async def test_c10_a_send_to_oneself_never_waits(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        talker = places.from_here(await places.there.start(Talker))
        await talker.talk(20)
        assert await talker.count() == 20


@everywhere
async def test_c10_overload_is_told_once_per_doubling(
    autojump_clock: MockClock, placement: Placement, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_places(placement, NodeConfig(inbox=5000), window_messages=5000) as places:
        box = await places.start(concurrency=1)
        await box.hold.send("gate")
        for _ in range(4200):
            await box.note.send("x")
        await trio.sleep(REST)
        told = [each.getMessage() for each in caplog.records if "may be overloaded" in each.getMessage()]
        assert [text.split(": ")[-1] for text in told] == [
            "1024 messages wait",
            "2048 messages wait",
            "4096 messages wait",
        ]
        places.stage.open("gate")
        await places.rest()


async def test_c10_what_the_link_can_never_take_does_not_wait_for_room(autojump_clock: MockClock) -> None:
    """Its sender is told at once; in the line it would end the link when its turn comes."""
    async with open_places("remote", window_messages=1) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1, inbox=1)
        await box.hold.send("gate")
        await places.begin(nursery, lambda: box.note.send("a"))
        waiting = await places.begin(nursery, lambda: box.note.send("b"))
        assert waiting.end == "none"
        for message in places.here.call, places.here.send:
            with pytest.raises(ValueError, match="a name or local id out of range"):
                await message(box, "x" * 256)
        places.stage.open("gate")
        assert await places.rest() == ["gate begins", "gate ends", "a", "b"]


async def test_c10_what_waits_for_the_socket_is_bounded(autojump_clock: MockClock) -> None:
    """A network that takes nothing: senders wait, each by itself, and all of it arrives in order."""
    async with open_places("remote", pending_bytes=10_000) as places, trio.open_nursery() as nursery:
        assert places.cluster is not None
        boxes = [await places.start() for _ in range(20)]
        places.cluster.partition({1}, {2})
        senders = []
        for number in range(400):
            box = boxes[number % 20]
            text = str(number) + " " * 50_000
            senders.append(
                await places.begin(nursery, lambda box=box, text=text: box.note.send(text))  # type: ignore[misc]
            )
            if senders[-1].end == "none":
                break
        assert 2 < len(senders) < 60
        places.cluster.heal()
        await trio.sleep(REST)
        assert {sender.end for sender in senders} == {"value None"}
        assert sorted(int(word) for word in places.stage.log) == list(range(len(senders)))


@everywhere
async def test_c10_a_call_that_is_withdrawn_gives_its_room_back_at_once(
    autojump_clock: MockClock, placement: Placement
) -> None:
    """Those who wait for room need not wait until a blocked service passes what nobody wants any more."""
    async with open_places(placement, window_messages=4) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1, inbox=4)
        await box.hold.send("gate")
        await trio.sleep(REST)
        calls = [await places.begin(nursery, lambda: box.note("never")) for _ in range(4)]
        waiting = await places.begin(nursery, lambda: box.note.send("later"))
        assert waiting.end == "none"
        calls[1].scope.cancel()
        await trio.sleep(REST)
        assert [calls[1].end, waiting.end] == ["cancelled", "value None"]
        with pytest.raises(trio.WouldBlock):
            box.note.send_nowait("over")
        for call in calls:
            call.scope.cancel()
        await trio.sleep(REST)
        assert places.there.service_statistics(box).inbox == 1
        for word in "abc":
            box.note.send_nowait(word)
        places.stage.open("gate")
        assert await places.rest() == ["gate begins", "gate ends", "later", *"abc"]
