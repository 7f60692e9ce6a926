"""Handlers interleave up to a limit (C7): slots, and who takes the next message."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import Stage, actor_of, interrupted, opened, start
from trionet import RemoteError, Service, ServiceExited, command
from trionet.kernel.actor import Actor


async def test_c7_one_handler_at_a_time(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1)
        for key in "abc":
            nursery.start_soon(box.hold, key)
            await wait_all_tasks_blocked()
        assert await stage.settle(node) == ["a begins"]
        assert actor_of(node, box).inbox.size == 2
        stage.open("b", "c")
        assert await stage.settle(node) == []
        stage.open("a")
        assert await stage.settle(node) == ["a ends", "b begins", "b ends", "c begins", "c ends"]


@pytest.mark.parametrize("limit", [2, 3, 7])
async def test_c7_as_many_handlers_as_the_limit(autojump_clock: MockClock, limit: int) -> None:
    stage = Stage()
    keys = [str(number) for number in range(10)]
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=limit)
        for key in keys:
            nursery.start_soon(box.hold, key)
            await wait_all_tasks_blocked()
        assert await stage.settle(node) == [f"{key} begins" for key in keys[:limit]]
        assert node.service_statistics(box).running == limit
        assert node.service_statistics(box).inbox == 10 - limit
        stage.open(keys[1])  # not the oldest: any slot will do
        assert await stage.settle(node) == [f"{keys[1]} ends", f"{keys[limit]} begins"]
        stage.open(*keys)
        await stage.settle(node)
        assert node.service_statistics(box).running == 0
        assert node.service_statistics(box).messages == 10


async def test_c7_the_limit_of_the_node_applies_by_default(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened(concurrency=2) as node, trio.open_nursery() as nursery:
        box = await start(node, stage)
        for key in "abc":
            nursery.start_soon(box.hold, key)
            await wait_all_tasks_blocked()
        assert await stage.settle(node) == ["a begins", "b begins"]
        stage.open("a", "b", "c")


async def test_c7_handlers_interleave_only_at_checkpoints(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage)
        nursery.start_soon(box.hold, "slow")
        await wait_all_tasks_blocked()
        await box.note("quick")
        assert await stage.settle(node) == ["slow begins", "quick"]
        stage.open("slow")


async def test_c7_a_task_that_lost_the_lead_takes_it_back_when_nobody_has_it(
    autojump_clock: MockClock,
) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=2)
        actor = actor_of(node, box)
        nursery.start_soon(box.hold, "a")
        nursery.start_soon(box.hold, "b")
        await stage.settle(node)
        assert actor.resting == []  # both slots are taken
        await box.note.send("x")
        stage.open("a")
        assert await stage.settle(node) == ["a ends", "x"]
        assert len(actor.resting) == 1
        stage.open("b")
        await stage.settle(node)
        assert len(actor.resting) == 2
        for _ in range(3):
            assert await box.note("next") == "next"


async def test_c7_a_task_that_rests_is_used_before_a_new_one(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        actor = actor_of(node, box)
        for turn in range(5):
            async with trio.open_nursery() as nursery:
                for number in range(4):
                    nursery.start_soon(box.hold, f"{turn}.{number}")
                await stage.settle(node)
                stage.open(*(f"{turn}.{number}" for number in range(4)))
            await stage.settle(node)
            assert actor.nursery is not None
            # four in all; the service's own task is one of them
            assert len(actor.nursery.child_tasks) == 3
            assert len(actor.resting) == 4


async def test_c7_messages_that_came_while_all_slots_were_taken_are_handled(
    autojump_clock: MockClock,
) -> None:
    """The lead is lost at the limit; whichever handler ends first takes it back."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=3)
        for key in "abc":
            nursery.start_soon(box.hold, key)
        await stage.settle(node)
        for word in ("x", "y"):
            await box.note.send(word)
        assert await stage.settle(node) == []
        stage.open("b")
        assert await stage.settle(node) == ["b ends", "x", "y"]
        stage.open("a", "c")


async def test_c7_a_handler_that_ends_by_cancellation_frees_its_slot(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage, concurrency=1)
        with trio.move_on_after(1) as scope:
            await box.hold("a")
        assert scope.cancelled_caught
        assert await box.note("next") == "next"
        assert await stage.settle(node) == ["a begins", "a cancelled", "next"]


async def test_c7_a_handler_that_fails_frees_its_slot(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage, concurrency=1)
        for _ in range(3):
            with pytest.raises(Exception, match="ValueError: no"):
                await box.fail("no")
        assert await box.note("next") == "next"


async def test_c7_a_slot_freed_while_messages_were_withdrawn(autojump_clock: MockClock) -> None:
    """All that waits for the slot is withdrawn before it is free: the next message finds the service."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1)
        nursery.start_soon(box.hold, "a")
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            async with trio.open_nursery() as callers:
                for _ in range(5):
                    callers.start_soon(box.note, "never")
        stage.open("a")
        assert await stage.settle(node) == ["a begins", "a ends"]
        assert actor_of(node, box).inbox.size == 0
        assert await box.note("next") == "next"


async def test_c7_a_send_on_its_way_to_the_leader_when_the_service_is_killed(
    autojump_clock: MockClock,
) -> None:
    """The leader has been handed the message, but has not run yet: it is a dead letter."""
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        await stage.settle(node)
        box.note.send_nowait("never")
        assert is_on_its_way(actor_of(node, box))
        await node.kill(box)
        assert await stage.settle(node) == []
        assert node.dead_letters.count == 1


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_c7_a_call_on_its_way_to_the_leader_when_the_service_ends(
    autojump_clock: MockClock, end: str
) -> None:
    stage = Stage()
    async with opened(direct_calls=False) as node:
        box = await start(node, stage)
        await stage.settle(node)
        actor = actor_of(node, box)

        def cut() -> None:
            assert is_on_its_way(actor)
            if end == "kill":
                actor.kill()
            else:
                actor.request_stop(trio.current_time() + 1)

        with pytest.raises(ServiceExited) as caught:
            await interrupted(node, box.note("never"), cut)
        assert caught.value.executed is False
        assert await stage.settle(node) == []


async def test_c7_a_call_withdrawn_on_its_way_to_the_leader(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened(direct_calls=False) as node:
        box = await start(node, stage)
        await stage.settle(node)
        actor = actor_of(node, box)
        with trio.CancelScope() as scope:
            await interrupted(node, box.note("never"), lambda: (is_on_its_way(actor), scope.cancel()))
        assert scope.cancelled_caught
        assert await stage.settle(node) == []
        assert actor.messages == 0
        assert await box.note("next") == "next"


def is_on_its_way(actor: Actor) -> bool:
    """Tell whether a message waits for a leader that was summoned, and has not run yet."""
    return actor.leading and actor.inbox.size == 1


async def test_c7_the_lead_goes_to_a_task_that_rests_and_finds_the_message_withdrawn(
    autojump_clock: MockClock,
) -> None:
    stage = Stage()
    async with opened(direct_calls=False) as node:
        box = await start(node, stage)
        actor = actor_of(node, box)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.hold, "a")
            nursery.start_soon(box.hold, "b")
            await stage.settle(node)
            stage.open("a", "b")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.hold, "c")
            await stage.settle(node)
            assert len(actor.resting) == 1
            with trio.CancelScope() as scope:
                await interrupted(node, box.note("never"), scope.cancel)
            assert await stage.settle(node) == []
            assert await box.note("next") == "next"
            stage.open("c")


async def test_c7_a_foreign_awaitable_fails_its_handler_only(autojump_clock: MockClock) -> None:
    """What Trio refuses is raised where the handler waits, so that it can clean up."""
    cleaned: list[str] = []

    class Foreign:
        def __await__(self) -> Generator[str]:
            yield "no trap of Trio"

    class Confused(Service):
        @command
        async def wait(self) -> None:
            try:
                await Foreign()
            finally:
                await trio.lowlevel.checkpoint()
                cleaned.append("clean")

        @command
        def note(self) -> str:
            return "fine"

    async with opened() as node:
        confused = await node.start(Confused)
        with pytest.raises(RemoteError, match="yield message") as caught:
            await confused.wait()
        assert "await Foreign()" in caught.value.traceback_text
        assert cleaned == ["clean"]
        assert await confused.note() == "fine"
