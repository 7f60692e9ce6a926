"""Order (C2), at most once (C3) and interleaving (C7), within a node and across two."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.stage import Stage
from tests.sim.places import Placement, everywhere, open_places
from trionet import Service, command, spec

COUNT = 60


class Sender(Service):
    """Hands over one message after another, in every way that there is."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    @command
    async def go(self, box: Service, wait: bool) -> None:
        ways = [box, self.node.ref(box), self.node.ref(self.name) if self.name else box]
        for number in range(COUNT):
            filler = "." * (200_000 if number % 9 == 0 else 0)
            way = ways[number % len(ways)]
            if number % 2 and wait:
                await self.call(way, "note", f"{number}{filler}")
            else:
                await self.send(way, "note", f"{number}{filler}")

    @command
    async def fan(self, box: Service) -> None:
        """Calls without waiting for the former: each counts when its wait for room begins."""
        async with trio.open_nursery() as nursery:
            for number in range(COUNT):
                nursery.start_soon(self.call, box, "note", f"{number}" + "." * (100_000 * (number % 5 == 0)))
                for _ in range(3):
                    await trio.lowlevel.checkpoint()


def words(log: list[str]) -> list[str]:
    return [word.rstrip(".") for word in log]


NUMBERS = [str(number) for number in range(COUNT)]


@everywhere
@pytest.mark.parametrize("inbox", [1, 10_000])
@pytest.mark.parametrize("wait", [False, True])
async def test_c2_sends_and_calls_by_handle_name_and_reference_whatever_the_size(
    autojump_clock: MockClock, placement: Placement, wait: bool, inbox: int
) -> None:
    async with open_places(placement, window_messages=5) as places:
        box = await places.start("box", inbox=inbox)
        await places.here.wait_for_name("box")
        sender = await places.here.start(spec(Sender, "box"))
        await sender.go(box, wait)
        assert words(await places.rest()) == NUMBERS


@everywhere
async def test_c2_calls_of_several_tasks_of_a_service(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        box = await places.start()
        sender = await places.here.start(Sender)
        await sender.fan(box)
        assert words(await places.rest()) == NUMBERS


@everywhere
async def test_c2_code_outside_services_is_one_source(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement, window_messages=2) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1, inbox=2)
        await places.begin(nursery, lambda: box.hold("gate"))
        for number in range(10):
            way = box.note if number % 2 else box.note.send
            await places.begin(nursery, lambda way=way, number=number: way(str(number)))  # type: ignore[misc]
        places.stage.open("gate")
        assert (await places.rest())[2:] == [str(number) for number in range(10)]


@everywhere
async def test_c2_a_cancelled_call_leaves_no_gap(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement, window_messages=4) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1, inbox=3)
        await places.begin(nursery, lambda: box.hold("gate"))
        callers = [
            await places.begin(nursery, lambda number=number: box.note(str(number)))  # type: ignore[misc]
            for number in range(8)
        ]
        for number in (0, 2, 5, 7):  # some in the inbox, some in line
            callers[number].scope.cancel()
        assert await places.rest() == ["gate begins"]
        places.stage.open("gate")
        assert (await places.rest())[1:] == ["1", "3", "4", "6"]


class Answerer(Service):
    """Sends to its caller before it answers."""

    @command
    async def answer(self, caller: Asker, size: int) -> str:
        await caller.note.send("x" * size)
        caller.note.send_nowait("sent at once")
        return "reply"


class Asker(Service):
    """Asks, and looks what was there when the reply came."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    @command
    def note(self, word: str) -> None:
        self.seen.append(len(word))

    @command
    async def ask(self, target: Answerer, size: int) -> tuple[str, int]:
        reply = await target.answer(self.ref(), size)
        return reply, self.node.service_statistics(self.handle).inbox + len(self.seen)


@everywhere
@pytest.mark.parametrize("size", [1, 1_000_000])
async def test_c2_a_reply_does_not_overtake_a_message_to_the_caller(
    autojump_clock: MockClock, placement: Placement, size: int
) -> None:
    async with open_places(placement) as places:
        answerer = await places.there.start(Answerer)
        asker = await places.here.start(Asker)
        assert await asker.ask(answerer, size) == ("reply", 2)


@everywhere
async def test_c2_other_pairs_are_not_held_up(autojump_clock: MockClock, placement: Placement) -> None:
    """One receiver is full; another gets its messages all the same."""
    async with open_places(placement, window_messages=2) as places, trio.open_nursery() as nursery:
        full = await places.start(concurrency=1, inbox=1)
        free = await places.start()
        await places.begin(nursery, lambda: full.hold("gate"))
        for number in range(5):
            await places.begin(nursery, lambda number=number: full.note.send(str(number)))  # type: ignore[misc]
        with trio.fail_after(1):
            assert await free.note("through") == "through"
        places.stage.open("gate")


async def test_c2_a_large_message_does_not_hold_up_other_pairs(autojump_clock: MockClock) -> None:
    """Over a slow network, ten megabytes for one service; a small message for another passes them."""
    async with open_places("remote") as places, trio.open_nursery() as nursery:
        assert places.cluster is not None
        large, small = await places.start(), await places.start()
        sender = await places.here.start(spec(Many, places.stage))
        places.cluster.latency = 0.05
        began = trio.current_time()
        nursery.start_soon(sender.send_large, large, 10_000_000)
        await trio.sleep(0.1)
        await sender.ask(small)
        assert trio.current_time() - began < 0.5
        assert places.stage.log == ["small"]
        await trio.sleep(30)
        assert [len(word) for word in places.stage.log] == [5, 10_000_000]


class Many(Service):
    """Sends to several."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @command
    async def send_large(self, target: Service, size: int) -> None:
        await self.send(target, "note", "x" * size)

    @command
    async def ask(self, target: Service) -> None:
        await self.call(target, "note", "small")


# --- interleaving -------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("limit", [1, 3])
async def test_c7_as_many_handlers_as_the_limit(
    autojump_clock: MockClock, placement: Placement, limit: int
) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=limit)
        keys = [f"k{number}" for number in range(5)]
        for key in keys:
            await places.begin(nursery, lambda key=key: box.hold(key))  # type: ignore[misc]
        assert await places.rest() == [f"{key} begins" for key in keys[:limit]]
        assert places.there.service_statistics(box).running == limit
        places.stage.open(keys[0])
        assert await places.rest() == [f"{keys[0]} ends", f"{keys[limit]} begins"]
        places.stage.open(*keys)


@everywhere
async def test_c7_a_deferred_reply_frees_the_slot_and_answers_once(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1)
        caller = await places.begin(nursery, lambda: box.later("x"))
        reply = places.stage.kept.pop("x")
        assert await box.note("meanwhile") == "meanwhile"
        assert reply.is_open
        assert reply.ok(42)
        assert not reply.ok(43)
        await places.rest()
        assert caller.end == "value 42"


@everywhere
async def test_c7_the_caller_of_a_deferred_reply_goes(
    autojump_clock: MockClock, placement: Placement
) -> None:
    """The wait ends at once; the reply knows that nobody waits."""
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1)
        caller = await places.begin(nursery, lambda: box.later("x"))
        caller.scope.cancel()
        await places.rest()
        assert caller.end == "cancelled"
        reply = places.stage.kept.pop("x")
        assert not reply.is_open
        assert not reply.ok(1)


@everywhere
async def test_c7_a_deferred_reply_that_is_dropped_or_fails(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1)
        dropped = await places.begin(nursery, lambda: box.later("x"))
        failed = await places.begin(nursery, lambda: box.later("y"))
        places.stage.kept.pop("x")
        places.stage.kept.pop("y").fail(ValueError("no"))
        await places.rest()
        assert dropped.end.startswith("NoReply: later of :")
        assert failed.end == "RemoteError: ValueError: no"
