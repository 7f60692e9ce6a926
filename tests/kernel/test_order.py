"""Order (C2): what one source hands over for another service starts to be handled in that order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import Puppet, Stage, actor_of, begin, opened, start
from trionet import Node, Service, command, spec

COUNT = 400


class Source(Puppet):
    """Sends numbered messages in one task."""

    @command
    async def send_many(self, target: Any, first: int, last: int) -> None:
        for number in range(first, last):
            await self.send(target, "note", str(number))


async def source(node: Node, stage: Stage, **how: Any) -> Source:
    return await node.start(spec(Source, stage), **how)


@pytest.mark.parametrize("options", [{}, {"inbox": 1}, {"inbox": 3}, {"concurrency": 1, "inbox": 2}])
async def test_c2_sends_of_one_service(autojump_clock: MockClock, options: dict[str, Any]) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage, **options)
        sender = await source(node, stage)
        await sender.send_many(box, 0, COUNT)
        assert await stage.settle(node) == [str(number) for number in range(COUNT)]


async def test_c2_sends_and_calls_by_handle_name_and_reference(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage, name=".box", inbox=100)

        class Mixed(Source):
            @command
            async def go(self, target: Puppet) -> None:
                handle = self.node.lookup(".box")
                assert handle is not None
                ways: list[Callable[[str], Awaitable[object]]] = [
                    target.note.send,
                    target.note,
                    target.note.options(deadline=1),
                    lambda word: self.send(handle, "note", word),
                    lambda word: self.send(".box", "note", word),
                    lambda word: self.send(str(handle), "note", word),
                    lambda word: self.call(".box", Puppet.note, word),
                    lambda word: self.call(handle, "note", word),
                ]
                for number in range(COUNT):
                    filler = "." * (5000 if number % 7 == 0 else 0)
                    await ways[number % len(ways)](f"{number}{filler}")
                    target.note.send_nowait(f"{number} at once")

        mixed = await node.start(spec(Mixed, stage))
        await mixed.go(box)
        words = [word.rstrip(".") for word in await stage.settle(node)]
        assert words == [text for number in range(COUNT) for text in (str(number), f"{number} at once")]


async def test_c2_code_outside_services_is_one_source(autojump_clock: MockClock) -> None:
    """Its tasks hand over in the order in which they come, also where they wait for room."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=2)
        await begin(nursery, lambda: box.hold("gate"))
        for number in range(10):
            way = box.note if number % 2 else box.note.send
            await begin(nursery, lambda way=way, number=number: way(str(number)))  # type: ignore[misc]
        assert actor_of(node, box).inbox.waiting == 8
        stage.open("gate")
        assert (await stage.settle(node))[2:] == [str(number) for number in range(10)]


async def test_c2_a_call_counts_when_its_wait_for_room_begins(autojump_clock: MockClock) -> None:
    """A handler's task waits for room; what another task of the service sends comes after it."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=1)
        sender = await source(node, stage)
        await begin(nursery, lambda: box.hold("gate"))
        await begin(nursery, lambda: sender.send_many(box, 0, 3))
        await begin(nursery, lambda: sender.relay(box, "note", "call"))
        await begin(nursery, lambda: sender.pass_on(box, "note", "last"))
        stage.open("gate")
        log = [word for word in await stage.settle(node) if word in ("0", "1", "call", "last", "2")]
        # the first three were in line when the call came: "0" in the inbox, "1" in line
        assert log == ["0", "1", "call", "last", "2"]


async def test_c2_a_cancelled_call_leaves_no_gap(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=3)
        await begin(nursery, lambda: box.hold("gate"))
        callers = [
            await begin(nursery, lambda number=number: box.note(str(number)))  # type: ignore[misc]
            for number in range(8)
        ]
        for number in (0, 2, 5, 7):  # two in the inbox, two in line
            callers[number].scope.cancel()
        await wait_all_tasks_blocked()
        stage.open("gate")
        assert (await stage.settle(node))[2:] == ["1", "3", "4", "6"]


async def test_c2_handlers_that_block_start_in_order(autojump_clock: MockClock) -> None:
    """The lead passes from task to task; the order stays."""
    stage = Stage()
    keys = [f"k{number}" for number in range(30)]
    async with opened() as node:
        box = await start(node, stage, concurrency=7)
        for number, key in enumerate(keys):
            if number % 3:
                await box.hold.send(key)
            else:
                await box.note.send(f"{key} begins")
        await wait_all_tasks_blocked()
        stage.open(*keys)
        begun = [word for word in await stage.settle(node) if word.endswith("begins")]
        assert begun == [f"{key} begins" for key in keys]


async def test_c2_messages_to_oneself_are_in_order(autojump_clock: MockClock) -> None:
    class Self(Service, inbox=1, concurrency=1):
        def __init__(self) -> None:
            self.seen: list[int] = []

        @command
        async def note(self, number: int) -> None:
            self.seen.append(number)

        @command
        async def go(self, last: int) -> None:
            for number in range(last):
                if number % 2:
                    await self.note.send(number)
                else:
                    self.ref().note.send_nowait(number)

        @command
        def all(self) -> list[int]:
            return self.seen

    async with opened() as node:
        me = await node.start(Self)
        await me.go(50)
        assert await me.all() == list(range(50))


async def test_c2_what_came_before_setup_was_over_is_first(autojump_clock: MockClock) -> None:
    seen: list[str] = []

    class Early(Service):
        async def setup(self) -> None:
            for number in range(3):
                await self.node.send(self.handle, "note", f"early {number}")
            await trio.sleep(1)

        @command
        def note(self, word: str) -> None:
            seen.append(word)

    async with opened() as node:
        early = await node.start(Early)
        await early.note("late")
    assert seen == ["early 0", "early 1", "early 2", "late"]


async def test_c2_a_reply_does_not_overtake_a_message_to_the_caller(autojump_clock: MockClock) -> None:
    """What a handler sent to its caller before it returned is in the caller's inbox by then."""

    class Answerer(Service):
        @command
        async def answer(self, caller: Asker, wait: bool) -> str:
            await caller.note.send("sent")
            if wait:
                await trio.sleep(1)
            caller.note.send_nowait("sent at once")
            return "reply"

    class Asker(Service):
        def __init__(self) -> None:
            self.seen: list[str] = []

        @command
        def note(self, word: str) -> None:
            self.seen.append(word)

        @command
        async def ask(self, target: Answerer, wait: bool) -> tuple[str, int]:
            reply = await target.answer(self.ref(), wait)
            return reply, self.node.service_statistics(self.handle).inbox + len(self.seen)

    async with opened() as node:
        answerer = await node.start(Answerer)
        for wait in (False, True):
            asker = await node.start(Asker)
            assert await asker.ask(answerer, wait) == ("reply", 2)


async def test_c2_other_pairs_are_not_held_up(autojump_clock: MockClock) -> None:
    """One receiver is full; another gets its messages all the same."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        full = await start(node, stage, concurrency=1, inbox=1)
        free = await start(node, stage)
        sender = await source(node, stage)
        await begin(nursery, lambda: full.hold("gate"))
        await begin(nursery, lambda: sender.send_many(full, 0, 10))
        assert await sender.relay(free, "note", "through") == "through"
        stage.open("gate")
