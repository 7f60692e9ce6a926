"""First steps of coroutines that are made in the name of a task that rests: nobody can tell (C6, C7, C8, C9).

Each test runs with the handlers begun in place and by way of the inbox; what is seen is the same.
"""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from tests.kernel.stage import actor_of, begin, opened
from tests.kernel.track import Runner, Serial, Track, direct_only, run_on
from trionet import DeadlineExceeded, Node, RemoteError, ServiceExited, command, current_request
from trionet.kernel import command as command_module
from trionet.kernel import trio_inside

colour: ContextVar[str] = ContextVar("colour", default="none")


class Doer(Runner):
    """Runs what the test has brought along, as a coroutine."""

    @command
    async def run(self) -> Any:
        self.track.begins()
        return await self.act(self)


Work = Callable[[Any], Awaitable[Any]]


@asynccontextmanager
async def doing(work: Work, **settings: Any) -> AsyncIterator[tuple[Node, Doer, Track]]:
    """Open a node with a service that does this work."""
    track = Track()
    async with opened(**settings) as node:
        doer = await run_on(node, track, work, kind=Doer)
        assert isinstance(doer, Doer)
        track.here()
        yield node, doer, track


@direct_only
async def test_c7_where_nothing_can_be_lent_coroutines_go_by_way_of_the_inbox(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio_inside, "POSSIBLE", False)
    monkeypatch.setattr(command_module, "POSSIBLE", False)

    class Plain(Runner):
        @command
        async def late(self) -> str:
            self.track.begins()
            return "late"

    track = Track()
    async with opened() as node:
        plain: Any = await run_on(node, track, kind=Plain)
        track.here()
        assert [await plain.late(), await plain.note("soon")] == ["late", "soon"]
        assert track.here() == [False, True]
        with trio.CancelScope() as scope:
            scope.cancel()
            await plain.note("never")
        assert scope.cancelled_caught


@direct_only
async def test_c7_it_begins_before_the_caller_waits(autojump_clock: MockClock) -> None:
    async def work(doer: Doer) -> str:
        return "done"

    async with doing(work) as (_, doer, track):
        assert await doer.run() == "done"
        assert track.here() == [True]


# --- who it is -----------------------------------------------------------------------------------------


async def test_c6_its_task_is_one_of_its_service(autojump_clock: MockClock) -> None:
    tasks: list[trio.lowlevel.Task] = []

    async def work(doer: Doer) -> None:
        tasks.append(trio.lowlevel.current_task())
        await trio.lowlevel.checkpoint()
        tasks.append(trio.lowlevel.current_task())
        await trio.sleep(1)
        tasks.append(trio.lowlevel.current_task())

    async with doing(work) as (_, doer, _track):
        mine = trio.lowlevel.current_task()
        await doer.run()
        assert trio.lowlevel.current_task() is mine
        assert len(set(tasks)) == 1
        assert tasks[0] is not mine


async def test_c6_no_scope_of_its_caller_is_around_it(autojump_clock: MockClock) -> None:
    seen: list[float] = []

    async def work(doer: Doer) -> None:
        seen.append(trio.current_effective_deadline())
        seen.append(current_request().deadline)
        await trio.sleep(1)
        seen.append(trio.current_effective_deadline())

    async with doing(work) as (_, doer, _track):
        with trio.fail_after(7):
            ends = trio.current_time() + 7
            await doer.run()
            assert trio.current_effective_deadline() == ends
        assert seen == [float("inf"), ends, float("inf")]


async def test_c6_a_lock_of_the_caller_is_not_its_own(autojump_clock: MockClock) -> None:
    """Nor one of its own the caller's; and it waits for one like anybody else."""
    mine, its = trio.Lock(), trio.Lock()

    async def work(doer: Doer) -> str:
        with pytest.raises(trio.WouldBlock):
            mine.acquire_nowait()
        its.acquire_nowait()
        with trio.move_on_after(2) as scope:
            await mine.acquire()
        its.release()
        return "in vain" if scope.cancelled_caught else "got it"

    async with doing(work) as (_, doer, _track):
        async with mine:
            assert await doer.run() == "in vain"
        assert its.statistics().owner is None


async def test_c6_a_slot_of_a_limiter_is_its_own(autojump_clock: MockClock) -> None:
    limiter = trio.CapacityLimiter(1)

    async def work(doer: Doer) -> str:
        with trio.move_on_after(3) as scope:
            await limiter.acquire()
        return "in vain" if scope.cancelled_caught else "got it"

    async with doing(work) as (_, doer, _track), limiter:
        assert await doer.run() == "in vain"


async def test_c9_its_context_is_its_own(autojump_clock: MockClock) -> None:
    async def work(doer: Doer) -> list[str]:
        seen = [colour.get()]
        colour.set("its")
        await trio.sleep(1)
        return [*seen, colour.get()]

    async with doing(work) as (_, doer, _track):
        colour.set("mine")
        assert await doer.run() == ["none", "its"]
        assert await doer.run() == ["none", "its"]
        assert colour.get() == "mine"


# --- what it opens ---------------------------------------------------------------------------------------


async def test_c7_a_nursery_that_is_open_across_its_first_step(autojump_clock: MockClock) -> None:
    async def work(doer: Doer) -> list[str]:
        log: list[str] = []

        async def child(seconds: float) -> None:
            await trio.sleep(seconds)
            log.append(f"after {seconds}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, 1)
            nursery.start_soon(child, 2)
            log.append("begun")
        return log

    async with doing(work) as (_, doer, _track):
        assert await doer.run() == ["begun", "after 1", "after 2"]
        assert await doer.run() == ["begun", "after 1", "after 2"]


async def test_c6_a_scope_that_it_cancels_itself(autojump_clock: MockClock) -> None:
    """Before it waits within it, or after it has left it; what comes later waits as usual."""

    async def work(doer: Doer) -> list[str]:
        log: list[str] = []
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.sleep(1)
            log.append("not reached")
        with trio.CancelScope() as scope:  # noqa: ASYNC100
            scope.cancel()
        with trio.move_on_after(0):
            await trio.sleep_forever()
        with trio.CancelScope(shield=True) as scope:
            scope.cancel()
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
                log.append(f"shielded until {trio.current_time():g}")
        with trio.move_on_after(2):
            await trio.sleep_forever()
        log.append(f"until {trio.current_time():g}")
        return log

    async with doing(work) as (_, doer, _track):
        began = trio.current_time()
        assert await doer.run() == [f"shielded until {began + 1:g}", f"until {began + 3:g}"]


@direct_only
async def test_c6_a_scope_that_was_cancelled_and_left_before_it_waits(autojump_clock: MockClock) -> None:
    """It can still be cancelled where it waits then."""

    async def work(doer: Doer) -> None:
        with trio.CancelScope() as scope:  # noqa: ASYNC100
            scope.cancel()
        await doer._wait("a")

    async with doing(work) as (node, doer, track), trio.open_nursery() as nursery:
        caller = await begin(nursery, doer.run)
        assert track.here() == [True]
        caller.scope.cancel()
        await caller.over.wait()
        assert caller.end == "cancelled"
        assert await track.settle(node) == ["a begins", "a cancelled"]


async def test_c6_what_counts_as_a_checkpoint_does(autojump_clock: MockClock) -> None:
    async def work(doer: Doer) -> None:
        with assert_checkpoints():
            await trio.sleep(1)
        with assert_checkpoints():
            await trio.lowlevel.checkpoint()

    async with doing(work) as (_, doer, _track):
        await doer.run()


# --- what wakes it ---------------------------------------------------------------------------------------


async def test_c7_what_it_waits_for_may_come_at_once(autojump_clock: MockClock) -> None:
    """Before anybody else has had a turn."""
    events: list[trio.Event] = []

    async def work(doer: Doer) -> str:
        events.append(trio.Event())
        await events[-1].wait()
        return "woken"

    async with doing(work) as (_, doer, _track):
        await doer.run.send()
        while not events:
            await trio.lowlevel.checkpoint()
        events[0].set()
        with trio.move_on_after(5):
            await doer.run()
        assert len(events) == 2


async def test_c7_it_is_woken_with_an_error(autojump_clock: MockClock) -> None:
    send, receive = trio.open_memory_channel[int](0)

    async def work(doer: Doer) -> Any:
        try:
            return await receive.receive()
        except trio.EndOfChannel:
            return "closed"

    async with doing(work) as (_, doer, _track), trio.open_nursery() as nursery:
        caller = await begin(nursery, doer.run)
        await send.send(5)
        await caller.over.wait()
        assert caller.end == "value 5"
        caller = await begin(nursery, doer.run)
        send.close()
        await caller.over.wait()
        assert caller.end == "value closed"


async def test_c9_it_waits_for_what_is_not_of_trio(autojump_clock: MockClock) -> None:
    @types.coroutine
    def foreign() -> Generator[str]:
        yield "not of Trio"

    async def work(doer: Doer) -> None:
        await foreign()

    async with doing(work) as (node, doer, _track):
        with pytest.raises(RemoteError, match="received unrecognized yield message"):
            await doer.run()
        assert await doer.note("fine") == "fine"
        assert node.statistics().running == 0


# --- how it ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["at once", "after a wait"])
async def test_c9_it_raises(autojump_clock: MockClock, first: str) -> None:
    async def work(doer: Doer) -> None:
        if first == "after a wait":
            await trio.sleep(1)
        raise ValueError("no")

    async with doing(work) as (node, doer, _track):
        for _ in range(3):
            with pytest.raises(RemoteError, match="ValueError: no"):
                await doer.run()
        assert node.statistics().running == 0


async def test_c6_its_deadline_passes(autojump_clock: MockClock) -> None:
    async with doing(lambda doer: doer._wait("a")) as (node, doer, track):
        for _ in range(2):
            with pytest.raises(DeadlineExceeded) as caught:
                await doer.run.options(deadline=3)()
            assert caught.value.executed is True
            assert await track.settle(node) == ["a begins", "a cancelled"]
        track.open("a")
        await doer.run()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_c8_it_ends_its_service_in_its_first_step(autojump_clock: MockClock, how: str) -> None:
    """Then it waits: a stop gives it the grace time, a kill ends it there."""

    async def work(doer: Doer) -> str:
        if how == "kill":
            doer._actor.kill()
        else:
            doer._actor.request_stop(trio.current_time() + 5)
        await trio.sleep(1)
        return "in time"

    async with doing(work) as (node, doer, _track):
        if how == "stop":
            assert await doer.run() == "in time"
        else:
            with pytest.raises(ServiceExited):
                await doer.run()
        await wait_all_tasks_blocked()
        assert not node.services()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_c8_it_ends_its_service_and_returns(autojump_clock: MockClock, how: str) -> None:
    async def work(doer: Doer) -> str:
        if how == "kill":
            doer._actor.kill()
        else:
            doer._actor.request_stop(trio.current_time() + 5)
        return "returned"

    async with doing(work) as (node, doer, _track):
        assert await doer.run() == "returned"
        await wait_all_tasks_blocked()
        assert not node.services()


async def test_c8_a_service_that_is_killed_while_it_waits(autojump_clock: MockClock) -> None:
    async with (
        doing(lambda doer: doer._wait("a")) as (node, doer, track),
        trio.open_nursery() as nursery,
    ):
        caller = await begin(nursery, doer.run)
        await node.kill(doer)
        await caller.over.wait()
        assert caller.end.startswith("ServiceExited")
        assert await track.settle(node) == ["a begins", "a cancelled"]


async def test_c8_the_node_is_cancelled_in_its_first_step(autojump_clock: MockClock) -> None:
    log: list[str] = []

    async def work(doer: Doer) -> None:
        outer.cancel()
        try:
            await trio.sleep_forever()
        finally:
            log.append("over")

    with trio.CancelScope() as outer:
        async with doing(work) as (_, doer, _track):
            await doer.run()
    assert outer.cancelled_caught
    assert log == ["over"]


# --- sends -----------------------------------------------------------------------------------------------


@direct_only
async def test_c10_a_send_that_is_handled_before_its_sender_goes_on(autojump_clock: MockClock) -> None:
    """And one that waits does not hold it up."""
    async with doing(lambda doer: doer._wait("a")) as (node, doer, track):
        await doer.run.send()
        assert track.here() == [True]
        assert track.log == ["a begins"]
        await doer.note.send("x")
        assert track.log == ["a begins", "x"]
        doer.note.send_nowait("y")
        assert track.log == ["a begins", "x"]
        assert await track.settle(node) == ["a begins", "x", "y"]
        track.open("a")
        assert await track.settle(node) == ["a ends"]


@direct_only
async def test_c2_sends_that_find_all_slots_taken_keep_their_order(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened() as node:
        box = await run_on(node, track, kind=Serial)
        await box.hold.send("a")
        for word in "bcd":
            await box.note.send(word)
        assert track.here() == [True]
        track.open("a")
        assert await track.settle(node) == ["a begins", "a ends", *"bcd"]


async def test_c9_a_send_whose_handler_raises_is_logged(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(doer: Doer) -> None:
        raise ValueError("nobody waits")

    async with doing(work) as (node, doer, track):
        await doer.run.send()
        await track.settle(node)
        assert node.statistics().running == 0
    assert [record.message.partition(",")[0] for record in caplog.records] == ["run"]


@direct_only
async def test_c7_a_send_to_itself_is_not_handled_before_it_goes_on(autojump_clock: MockClock) -> None:
    async def work(doer: Doer) -> None:
        await doer.note.send("later")
        doer.track.log.append("first")

    async with doing(work) as (node, doer, track):
        await doer.run()
        assert await track.settle(node) == ["first", "later"]


async def test_c7_all_is_as_before(autojump_clock: MockClock) -> None:
    """As many tasks rest, and as many steps may be made within one another."""

    async def work(doer: Doer) -> None:
        await trio.lowlevel.checkpoint()

    async with doing(work) as (node, doer, _track):
        actor = actor_of(node, doer)
        before = actor.count_tasks()
        for _ in range(10):
            await doer.run()
        await wait_all_tasks_blocked()
        assert (actor.count_tasks(), len(actor.resting), node.nested) == (before, before + 1, 0)
