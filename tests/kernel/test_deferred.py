"""Replies that a handler leaves for later (C4, C6, C7)."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import Stage, actor_of, opened, start
from trionet import (
    BadMessage,
    DeadlineExceeded,
    Node,
    NoReply,
    RemoteError,
    Reply,
    Service,
    ServiceExited,
    command,
    defer,
)


async def later(node: Node, stage: Stage, nursery: trio.Nursery, *, one_way: bool = False) -> Reply:
    """Have a reply deferred, by the only slot of a service; what becomes of the call is in the log."""
    box: Any = await start(node, stage, concurrency=1, name=".box")

    async def call() -> None:
        try:
            stage.log.append(f"got {await box.later('x')}")
        except Exception as error:
            stage.log.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
        except trio.Cancelled:
            stage.log.append("cancelled")
            raise

    if one_way:
        await box.later.send("x")
    else:
        nursery.start_soon(call)
    await wait_all_tasks_blocked()
    return stage.kept.pop("x")


def is_open(reply: Reply) -> bool:
    """Tell whether the caller still waits."""
    return reply.is_open


async def test_c7_a_deferred_reply_frees_the_slot_and_answers_once(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        reply = await later(node, stage, nursery)
        assert await node.call(".box", "note", "meanwhile") == "meanwhile"
        assert node.service_statistics(".box").deferred == 1
        assert is_open(reply)
        assert reply.ok(42)
        assert not is_open(reply)
        assert not reply.ok(43)
        assert not reply.fail(ValueError("too late"))
        assert await stage.settle(node) == ["meanwhile", "got 42"]
        assert node.service_statistics(".box").deferred == 0


async def test_c7_a_deferred_reply_may_be_a_failure(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        reply = await later(node, stage, nursery)
        assert reply.fail(ValueError("no"))
        assert not reply.fail(ValueError("no"))
        assert not reply.ok(1)
        assert await stage.settle(node) == ["RemoteError: ValueError: no"]


async def test_c1_a_deferred_reply_is_a_value(autojump_clock: MockClock) -> None:
    """What is refused leaves the call open, so that it can still be answered."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        reply = await later(node, stage, nursery)
        with pytest.raises(BadMessage, match=r"result\[0\]: object"):
            reply.ok([object()])
        assert is_open(reply)
        items = [1]
        assert reply.ok(items)
        items.append(2)
        assert await stage.settle(node) == ["got [1]"]


async def test_c4_a_dropped_reply_fails_the_call(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        reply = await later(node, stage, nursery)
        assert stage.log == []
        del reply
        [end] = await stage.settle(node)
        assert end.startswith("NoReply: later of :00000001 .box (Puppet) dropped")
        assert node.service_statistics(".box").deferred == 0


async def test_c4_a_reply_that_another_thread_drops_fails_the_call(autojump_clock: MockClock) -> None:
    """As Python's collector does with a circle, in whatever thread it happens to run."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        held = [await later(node, stage, nursery)]
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join()
        [end] = await stage.settle(node)
        assert end.startswith("NoReply: later of :00000001 .box (Puppet) dropped")
        assert node.service_statistics(".box").deferred == 0
    assert trio.current_time() == 0


async def test_c7_a_reply_whose_caller_has_gone(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        async with trio.open_nursery() as nursery:
            reply = await later(node, stage, nursery)
            nursery.cancel_scope.cancel()
        assert not is_open(reply)
        assert not reply.ok(1)
        assert await stage.settle(node) == ["cancelled"]


async def test_c6_a_deferred_call_runs_out_of_time(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened(call_deadline=5) as node, trio.open_nursery() as nursery:
        reply = await later(node, stage, nursery)
        await trio.sleep(6)
        assert not is_open(reply)
        [end] = await stage.settle(node)
        assert end.startswith("DeadlineExceeded: later of :00000001 .box (Puppet) was still deferred")


@pytest.mark.parametrize("kill", [False, True])
async def test_c4_a_deferred_call_fails_when_its_service_ends(autojump_clock: MockClock, kill: bool) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        reply = await later(node, stage, nursery)
        await (node.kill if kill else node.stop)(".box")
        assert not is_open(reply)
        assert not reply.ok(1)
        [end] = await stage.settle(node)
        assert end == "ServiceExited: :00000001 .box (Puppet) ended with a deferred reply open"


async def test_c7_a_deferred_send_has_nobody_to_answer(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        reply = await later(node, stage, nursery, one_way=True)
        assert not is_open(reply)
        assert not reply.ok(1)
        assert node.service_statistics(".box").deferred == 0


class Odd(Service):
    """Handlers that defer and then do something else."""

    def __init__(self) -> None:
        self.kept: Any = None

    @command
    async def twice(self) -> None:
        self.kept = defer()
        defer()

    @command
    async def then_fail(self) -> None:
        self.kept = defer()
        raise ValueError("after all")

    @command
    async def answer_and_return(self) -> int:
        defer().ok(1)
        await trio.sleep(1)
        return 2

    @command
    async def answer_and_be_cancelled(self) -> None:
        kept: BaseException | None = None
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as error:
                kept = error
                raise
        defer().ok("last words")
        assert kept is not None
        raise kept

    @command
    async def answer_later(self) -> None:
        async def work(reply: Reply) -> None:
            await trio.sleep(1)
            reply.ok("worked")

        self.nursery.start_soon(work, defer())

    @command
    async def in_a_helper(self) -> None:
        async def late() -> None:
            await trio.sleep(1)
            try:
                defer()
            except RuntimeError as error:
                self.kept = error

        self.nursery.start_soon(late)

    @command
    async def when_cut(self) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            self.kept = defer()

    @command
    def what_was_kept(self) -> str:
        return str(self.kept)

    @command
    def is_open(self) -> bool:
        return bool(self.kept.is_open)


async def test_c7_a_reply_is_deferred_once(autojump_clock: MockClock) -> None:
    async with opened() as node:
        odd = await node.start(Odd)
        with pytest.raises(RemoteError, match="the reply of twice was deferred already"):
            await odd.twice()


async def test_c7_a_handler_that_defers_and_then_fails_has_failed(autojump_clock: MockClock) -> None:
    async with opened() as node:
        odd = await node.start(Odd)
        with pytest.raises(RemoteError, match="after all"):
            await odd.then_fail()
        assert not await odd.is_open()
        assert node.service_statistics(odd).deferred == 0


async def test_c7_a_call_that_was_answered_is_over_though_the_handler_runs_on(
    autojump_clock: MockClock,
) -> None:
    async with opened() as node:
        odd = await node.start(Odd)
        began = trio.current_time()
        answer: object = await odd.answer_and_return()
        assert answer == 1
        assert trio.current_time() == began
        assert node.service_statistics(odd).running == 1


async def test_c4_an_answer_counts_though_the_handler_ends_otherwise(autojump_clock: MockClock) -> None:
    """The handler is over before the caller, who has its answer, runs again."""
    async with opened() as node:
        odd: Any = await node.start(Odd)
        assert await odd.answer_and_be_cancelled() == "last words"


async def test_c7_a_helper_task_answers(autojump_clock: MockClock) -> None:
    async with opened() as node:
        odd = await node.start(Odd)
        answer: object = await odd.answer_later()  # type: ignore[func-returns-value]
        assert answer == "worked"


async def test_c7_only_a_running_handler_can_defer(autojump_clock: MockClock) -> None:
    with pytest.raises(RuntimeError, match="defer"):
        defer()
    async with opened() as node:
        odd = await node.start(Odd)
        await odd.in_a_helper()
        await trio.sleep(2)
        assert "defer() is for handlers" in await odd.what_was_kept()


async def test_c6_a_handler_that_defers_when_its_caller_goes_ends_the_wait(autojump_clock: MockClock) -> None:
    async with opened() as node:
        odd = await node.start(Odd)
        with trio.move_on_after(1) as scope:
            await odd.when_cut()
        assert scope.cancelled_caught
        assert trio.current_time() < 2
        assert not await odd.is_open()


async def test_c6_a_handler_that_defers_when_its_time_is_over_ends_the_wait(
    autojump_clock: MockClock,
) -> None:
    async with opened() as node:
        odd = await node.start(Odd)
        with trio.fail_after(100), pytest.raises(DeadlineExceeded):
            await odd.when_cut.options(deadline=1)()
        assert trio.current_time() < 2
        assert not await odd.is_open()


async def test_c4_who_gets_no_reply_knows_that_the_handler_started(
    autojump_clock: MockClock,
) -> None:
    stage = Stage()
    async with opened() as node:
        box = await start(node, stage)
        async with trio.open_nursery() as nursery:

            async def expect(kind: type[NoReply | ServiceExited], key: str) -> None:
                with pytest.raises(kind) as caught:
                    await box.later(key)
                assert caught.value.executed is True

            nursery.start_soon(expect, NoReply, "a")
            nursery.start_soon(expect, ServiceExited, "b")
            await wait_all_tasks_blocked()
            del stage.kept["a"]
            actor_of(node, box).kill()
