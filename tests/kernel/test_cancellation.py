"""Cancellation travels (C6): a caller that is cancelled, in every state that its call can be in."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from tests.kernel.stage import Stage, actor_of, begin, interrupted, opened, start
from trionet import Service, command
from trionet.kernel.messaging import SLICE
from trionet.kernel.seams import READING


async def test_c6_cancelled_before_it_is_handed_over(autojump_clock: MockClock) -> None:
    """Every call is a cancellation point, whoever it goes to."""
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        for call in (box.note, box.note.send, node.ref(":9999").note):
            with trio.CancelScope() as scope:
                scope.cancel()
                await call("never")
            assert scope.cancelled_caught
        assert await stage.settle(node) == []
        assert node.dead_letters.count == 0


async def test_c6_calls_and_sends_are_schedule_points(autojump_clock: MockClock) -> None:
    """A call always lets others run; a loop of sends at the latest every millisecond."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage)
        with assert_checkpoints():
            await box.note("x")
        turns: list[int] = []

        async def other() -> None:
            turns.append(sent)

        sent = 0
        nursery.start_soon(other)
        while not turns:
            await box.note.send("x")
            sent += 1
        assert 1 < sent <= 2 * SLICE / READING  # each send reads the stopwatch; the other may come second


async def test_c6_cancelled_while_it_waits_for_room(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=1)
        holder = await begin(nursery, lambda: box.hold("a"))
        first = await begin(nursery, lambda: box.note("first"))
        second = await begin(nursery, lambda: box.note("second"))
        third = await begin(nursery, lambda: box.note("third"))
        assert actor_of(node, box).inbox.waiting == 2
        second.scope.cancel()
        await wait_all_tasks_blocked()
        assert second.end == "cancelled"
        assert actor_of(node, box).inbox.waiting == 1
        stage.open("a")
        assert await stage.settle(node) == ["a begins", "a ends", "first", "third"]
        assert [holder.end, first.end, third.end] == ["value a", "value first", "value third"]


async def test_c6_cancelled_while_queued_never_starts(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1)
        await begin(nursery, lambda: box.hold("a"))
        queued = await begin(nursery, lambda: box.note("never"))
        last = await begin(nursery, lambda: box.note("last"))
        queued.scope.cancel()
        await wait_all_tasks_blocked()
        assert queued.end == "cancelled"
        stage.open("a")
        assert await stage.settle(node) == ["a begins", "a ends", "last"]
        assert last.end == "value last"


async def test_c6_a_shielded_command_that_is_cancelled_while_queued_never_starts(
    autojump_clock: MockClock,
) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1)
        await begin(nursery, lambda: box.hold("a"))
        queued = await begin(nursery, lambda: box.persist("never"))
        queued.scope.cancel()
        await wait_all_tasks_blocked()
        assert queued.end == "cancelled"
        stage.open("a")
        assert await stage.settle(node) == ["a begins", "a ends"]


async def test_c6_cancelled_while_running(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage)
        caller = await begin(nursery, lambda: box.hold("a"))
        caller.scope.cancel()
        assert await stage.settle(node) == ["a begins", "a cancelled"]
        assert caller.end == "cancelled"
        assert caller.scope.cancelled_caught
        assert node.service_statistics(box).running == 0


async def test_c6_a_shielded_command_runs_on_and_is_not_waited_for(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1)
        caller = await begin(nursery, lambda: box.persist("a"))
        assert not node.service_statistics(box).handlers[0].abandoned
        caller.scope.cancel()
        await wait_all_tasks_blocked()
        assert caller.end == "cancelled"
        assert node.service_statistics(box).handlers[0].abandoned
        stage.open("a")
        assert await stage.settle(node) == ["a begins", "a ends"]
        assert await box.note("next") == "next"


async def test_c9_a_shielded_command_that_fails_when_nobody_waits_is_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage)
        caller = await begin(nursery, lambda: box.persist_and_fail("a"))
        caller.scope.cancel()
        await wait_all_tasks_blocked()
        assert caller.end == "cancelled"
        stage.open("a")
        await stage.settle(node)
        assert "persist_and_fail of :00000001 (Puppet) raised when nobody waited" in caplog.text
        assert "ValueError: a" in caplog.text


async def test_c6_cancelled_when_the_answer_is_there_already(autojump_clock: MockClock) -> None:
    """The handler has returned, the caller has not run yet: it gets the value."""
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        scope = trio.CancelScope()

        class Answer(Service):
            @command
            async def answer_and_cancel(self) -> int:
                async def cancel() -> None:
                    scope.cancel()

                self.nursery.start_soon(cancel)
                await trio.lowlevel.checkpoint()
                return 42

        answer = await node.start(Answer)
        with scope:
            got = await answer.answer_and_cancel()
            assert got == 42
        assert await box.note("next") == "next"


# --- sends --------------------------------------------------------------------------------------------


async def test_c6_a_send_that_waits_for_room_is_withdrawn(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=1)
        await begin(nursery, lambda: box.hold("a"))
        await box.note.send("first")
        sender = await begin(nursery, lambda: box.note.send("never"))
        sender.scope.cancel()
        await wait_all_tasks_blocked()
        assert sender.end == "cancelled"
        stage.open("a")
        assert await stage.settle(node) == ["a begins", "a ends", "first"]
        assert node.dead_letters.count == 0


async def test_c6_a_send_whose_message_has_got_room_is_not_withdrawn(autojump_clock: MockClock) -> None:
    """Let in and cancelled in the same moment: what is in the inbox is handled."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await start(node, stage, concurrency=1, inbox=1)
        await begin(nursery, lambda: box.hold("a"))
        await box.note.send("first")
        sender = await begin(nursery, lambda: box.note.send("second"))
        inbox = actor_of(node, box).inbox
        inbox.take()  # as the leader would: the sender is let in
        sender.scope.cancel()
        await wait_all_tasks_blocked()
        assert sender.end == "value None"
        stage.open("a")
        assert await stage.settle(node) == ["a begins", "a ends", "second"]


async def test_c6_cancelling_a_sender_does_not_cancel_the_handler(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        with trio.CancelScope() as scope:
            await box.hold.send("a")
            await wait_all_tasks_blocked()
            scope.cancel()
        stage.open("a")
        assert await stage.settle(node) == ["a begins", "a ends"]


async def test_c6_cancelled_right_after_it_was_handed_over(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        await stage.settle(node)
        with trio.CancelScope() as scope:
            await interrupted(node, box.hold("never"), scope.cancel)
        assert scope.cancelled_caught
        assert await stage.settle(node) == []
