"""Circles of services that wait on each other (C7): the wait that closes one raises, no other does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from math import inf
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import Puppet, Stage, actor_of, opened, start
from trionet import Deadlock, RemoteError, StartFailed, command, spec, stream


class Chained(Puppet, concurrency=1):
    """Calls on along a list of services, or calls while others run."""

    @command
    async def along(self, *names: str) -> str:
        """Call the first of the names, with the others."""
        if not names:
            return "end"
        try:
            result: str = await self.call(names[0], "along", *names[1:])
        except Deadlock as error:
            return f"{len(error.chain)} {error.executed}: {error.chain[-1]}"
        return result

    @command
    async def hold_then(self, key: str, target: str, name: str, *args: Any) -> Any:
        """Wait at a gate, then call."""
        await self._wait(key)
        return await self.call(target, name, *args)

    @command
    async def hold_then_send(self, key: str, target: str, *args: Any) -> None:
        """Wait at a gate, then send and wait for room."""
        await self._wait(key)
        await self.send(target, *args)
        self.stage.log.append(f"sent to {target}")

    @command
    async def by_helper(self, target: str, name: str, *args: Any) -> None:
        """Call in a helper task, and wait for that task."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.call, target, name, *args)


class Wide(Chained, concurrency=2):
    pass


class Narrow(Chained, inbox=1):
    """One slot, room for one message."""


async def put_up(node: Any, stage: Stage, **classes: type[Chained]) -> None:
    """Start services of some names."""
    for name, cls in classes.items():
        await node.start(spec(cls, stage), name=f".{name}")


async def test_c7_a_service_that_calls_itself(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        await put_up(node, stage, a=Chained)
        end = await node.call(".a", "along", ".a")
        assert end == "2 False: along of :00000001 .a (Chained)"
        assert trio.current_time() < 1


async def test_c7_a_circle_of_two(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        await put_up(node, stage, a=Chained, b=Chained)
        assert await node.call(".a", "along", ".b", ".a") == "3 False: along of :00000001 .a (Chained)"


async def test_c7_a_circle_of_three(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        await put_up(node, stage, a=Chained, b=Chained, c=Chained)
        end = await node.call(".a", "along", ".b", ".c", ".a")
        assert end == "4 False: along of :00000001 .a (Chained)"


async def test_c7_the_chain_names_every_service_of_the_circle(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        await put_up(node, stage, a=Chained, b=Chained)
        with pytest.raises(RemoteError, match="Deadlock: services wait on each other: ") as caught:
            await node.call(".a", "relay", ".b", "relay", ".a", "note", "x")
        first = str(caught.value).splitlines()[0]
        assert first.endswith("note of :00000001 .a (Chained) -> relay of :00000002 .b (Chained) -> "
                              "note of :00000001 .a (Chained)")  # fmt: skip


async def test_c7_a_circle_that_does_not_begin_at_the_caller(autojump_clock: MockClock) -> None:
    """Who waits for a circle is no part of it, but the wait that closes it raises."""
    stage = Stage()
    async with opened() as node:
        await put_up(node, stage, a=Chained, b=Chained, c=Chained)
        end = await node.call(".a", "along", ".b", ".c", ".b")
        assert end == "3 False: along of :00000002 .b (Chained)"


async def test_c7_no_circle_while_a_slot_is_free(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        await put_up(node, stage, a=Wide, b=Chained)
        assert await node.call(".a", "along", ".b", ".a") == "end"
        end = await node.call(".a", "along", ".a", ".a")
        assert end == "2 False: along of :00000001 .a (Wide)"


async def test_c7_no_circle_while_one_of_the_handlers_can_go_on(autojump_clock: MockClock) -> None:
    """The last slot is held by a handler that waits for something else: it will be free one day."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        await put_up(node, stage, a=Wide, b=Chained)
        nursery.start_soon(node.call, ".a", "hold", "x")
        await wait_all_tasks_blocked()
        ends: list[str] = []

        async def call() -> None:
            ends.append(await node.call(".a", "along", ".b", ".a"))

        nursery.start_soon(call)
        await stage.settle(node)
        assert ends == []
        stage.open("x")
        await stage.settle(node)
        assert ends == ["end"]


async def test_c7_a_circle_through_all_slots_of_a_service(autojump_clock: MockClock) -> None:
    """Two slots of a wait, one through b and one through c; the second wait closes the circle."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        await put_up(node, stage, a=Wide, b=Chained, c=Chained)
        ends: list[str] = []

        async def call(*args: str) -> None:
            try:
                ends.append(await node.call(*args))
            except RemoteError as error:
                ends.append(error.type_name)

        nursery.start_soon(call, ".b", "hold_then", "b", ".a", "note", "from b")
        nursery.start_soon(call, ".c", "hold_then", "c", ".a", "note", "from c")
        await wait_all_tasks_blocked()
        nursery.start_soon(call, ".a", "relay", ".b", "note", "to b")
        nursery.start_soon(call, ".a", "relay", ".c", "note", "to c")
        await stage.settle(node)
        stage.open("b")
        await stage.settle(node)
        assert ends == []  # c is only busy
        stage.open("c")
        log = await stage.settle(node)
        assert ends.count("trionet.Deadlock") == 1
        assert {"from b", "to b", "to c"} <= set(log)


async def test_c7_the_wait_of_a_helper_task_does_not_count(autojump_clock: MockClock) -> None:
    """Another task of the handler may do anything; so the wait ends by its deadline."""
    stage = Stage()
    async with opened() as node:
        await put_up(node, stage, a=Chained, b=Chained)
        with pytest.raises(trio.TooSlowError):
            await node.call(".a", "by_helper", ".b", "relay", ".a", "note", "x")
        assert trio.current_time() >= 60


async def test_c7_waiting_for_room_closes_a_circle(autojump_clock: MockClock) -> None:
    """The handler of a waits for room at b, whose only handler calls a."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        await put_up(node, stage, a=Narrow, b=Narrow)
        ends: list[str] = []

        async def call(*args: str) -> None:
            with pytest.raises(RemoteError) as caught:
                await node.call(*args)
            ends.append(caught.value.type_name)

        nursery.start_soon(call, ".b", "hold_then", "b", ".a", "note", "x")
        await wait_all_tasks_blocked()
        node.send_nowait(".b", "note", "fills b")
        node.send_nowait(".a", "hold_then_send", "a", ".b", "note", "more")
        await wait_all_tasks_blocked()
        stage.open("a")
        await stage.settle(node)
        assert ends == []
        stage.open("b")
        log = await stage.settle(node)
        assert ends == ["trionet.Deadlock"]
        assert log == ["b ends", "fills b", "more", "sent to .b"] or log == [
            "b ends",
            "fills b",
            "sent to .b",
            "more",
        ]


@pytest.mark.parametrize("receiver", ["send", "call"])
async def test_c7_a_send_that_closes_a_circle_raises(
    autojump_clock: MockClock, receiver: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The message that found no room is withdrawn; the circle is open again."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        await put_up(node, stage, a=Narrow, b=Narrow)
        if receiver == "call":
            nursery.start_soon(node.call, ".a", "hold_then", "a", ".b", "note", "from a")
        else:
            node.send_nowait(".a", "hold_then_send", "a", ".b", "note", "from a")
        await wait_all_tasks_blocked()
        node.send_nowait(".b", "hold_then_send", "b", ".a", "note", "never")
        await wait_all_tasks_blocked()
        node.send_nowait(".a", "note", "fills a")
        node.send_nowait(".b", "note", "fills b")
        stage.open("a")
        await wait_all_tasks_blocked()
        stage.open("b")
        log = await stage.settle(node)
        assert "Deadlock" in caplog.text
        caplog.clear()
        assert "never" not in log
        assert {"fills a", "fills b", "from a"} < set(log)
        assert actor_of(node, node.ref(".a")).inbox.waiting == 0


async def test_c7_a_sender_that_has_just_got_room_closes_no_circle(autojump_clock: MockClock) -> None:
    """Between being let in and running again the sender still looks like one that waits.

    At that moment b takes its next message, whose handler calls a: it must wait, not raise.
    """
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        await put_up(node, stage, a=Chained, b=Narrow)
        ends: list[str] = []

        async def call() -> None:
            ends.append(await node.call(".b", "along", ".a"))

        nursery.start_soon(node.call, ".b", "hold", "b")
        await wait_all_tasks_blocked()
        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        nursery.start_soon(node.call, ".a", "pass_on", ".b", "note", "x")
        await stage.settle(node)
        node._slice_ends = inf  # the next handler shall call in its first step
        stage.open("b")
        assert sorted(await stage.settle(node)) == ["b ends", "passed on note", "x"]
        assert ends == ["end"]


async def test_c7_a_circle_that_was_broken_by_cancellation(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        await put_up(node, stage, a=Chained, b=Chained)
        with trio.move_on_after(1) as scope:
            await node.call(".a", "relay", ".b", "hold", "x")
        assert scope.cancelled_caught
        assert await node.call(".b", "along", ".a") == "end"


async def test_c7_a_call_whose_handler_is_over_is_no_wait(autojump_clock: MockClock) -> None:
    """The caller has its answer, but has not run yet, when the next handler calls back."""
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        await put_up(node, stage, a=Chained, b=Chained)
        ends: list[str] = []

        async def call() -> None:
            ends.append(await node.call(".b", "along", ".a"))

        nursery.start_soon(node.call, ".b", "hold", "b")
        await wait_all_tasks_blocked()
        nursery.start_soon(node.call, ".a", "relay", ".b", "note", "x")
        await wait_all_tasks_blocked()
        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        node._slice_ends = inf  # no checkpoint between
        stage.open("b")
        await stage.settle(node)
        assert ends == ["end"]


async def test_c7_a_service_that_is_ending_closes_no_circle(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node, trio.open_nursery() as nursery:
        await put_up(node, stage, b=Chained)
        box = await start(node, stage, name=".a", concurrency=1)
        nursery.start_soon(node.call, ".b", "hold_then", "b", ".a", "note", "x")
        await wait_all_tasks_blocked()

        async def call() -> None:
            await box.relay(".b", "note", "from a")

        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


class Eager(Chained):
    """Talks to itself before it has started."""

    how = "call"

    async def setup(self) -> None:
        own: Eager = self.ref()
        if self.how == "call":
            await own.note("x")
        elif self.how == "stream":
            async with own.numbers() as numbers:
                await anext(numbers)
        elif self.how == "send":
            await own.note.send("x")
        else:
            self.nursery.start_soon(own.note, "x")

    @stream
    async def numbers(self) -> AsyncIterator[int]:
        """Never begins, where it is opened in setup."""
        yield 1


@pytest.mark.parametrize("how", ["call", "stream"])
async def test_c7_a_service_that_waits_for_itself_in_setup(autojump_clock: MockClock, how: str) -> None:
    async with opened() as node:
        with pytest.raises(StartFailed, match=r"Deadlock: .*: setup of .* -> (note|numbers) of"):
            await node.start(spec(type("Now", (Eager,), {"how": how}), Stage()))
        assert trio.current_time() < 1


@pytest.mark.parametrize("how", ["send", "helper"])
async def test_c7_what_a_service_tells_itself_in_setup_is_handled_after_it(
    autojump_clock: MockClock, how: str
) -> None:
    stage = Stage()
    async with opened() as node:
        await node.start(spec(type("Later", (Eager,), {"how": how}), stage))
        await wait_all_tasks_blocked()
        assert stage.log == ["x"]


class Impatient(Puppet, concurrency=1):
    """Leaves a call of its own to itself, and goes on."""

    @command
    async def leave(self, other: Lasting) -> None:
        with trio.move_on_after(1):
            await other.call_back(self.ref())
        await trio.sleep(2)


class Lasting(Puppet):
    """Goes on when its caller has gone."""

    @command(shielded=True)
    async def call_back(self, caller: Impatient) -> None:
        await trio.sleep(2)
        await caller.note("at last")


async def test_c7_who_has_left_a_shielded_call_waits_for_it_no_more(autojump_clock: MockClock) -> None:
    """So what that call waits for comes, and it is no circle."""
    stage = Stage()
    async with opened() as node:
        impatient = await node.start(spec(Impatient, stage))
        await impatient.leave(await node.start(spec(Lasting, stage)))
        await trio.sleep(1)
        assert stage.log == ["at last"]
