"""Circles of services (C7) that go through several calls at once."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.stage import Puppet, Stage, opened
from trionet import DeadlineExceeded, Deadlock, Node, Outcome, command, gather, select, spec

#: A call of a test: the name of the service, the command and its arguments.
Todo = list[Any]


def told(outcome: Outcome[Any]) -> str:
    """How a call ended, in a word or two."""
    if isinstance(outcome.error, Deadlock):
        return f"Deadlock of {len(outcome.error.chain)}"
    return repr(outcome.error or outcome.value)


class Joiner(Puppet, concurrency=1):
    """Makes several calls at once."""

    @command
    async def all_of(self, *todo: Todo) -> list[str]:
        """Gather them."""
        return [told(each) for each in await gather([self.call(*each) for each in todo])]

    @command
    async def one_by_one(self, *todo: Todo) -> list[str]:
        """Gather them, one at a time."""
        return [told(each) for each in await gather([self.call(*each) for each in todo], limit=1)]

    @command
    async def first_of(self, *todo: Todo) -> str:
        """Take the first outcome and leave the others."""
        async with select([self.call(*each) for each in todo]) as selection:
            async for _, outcome in selection:
                return told(outcome)
        raise AssertionError

    @command
    async def each_of(self, *todo: Todo) -> list[str]:
        """Take all outcomes, in the order in which they come."""
        async with select([self.call(*each) for each in todo]) as selection:
            return [told(outcome) async for _, outcome in selection]

    @command
    async def first_after(self, *todo: Todo) -> str:
        """Take the first outcome, but only after a while."""
        async with select([self.call(*each) for each in todo]) as selection:
            await trio.sleep(1)
            return told((await anext(selection))[1])

    @command
    async def nested(self, *todo: Todo) -> list[str]:
        """Gather within a branch of another gather."""

        async def inner() -> list[str]:
            return [told(each) for each in await gather([self.call(*each) for each in todo])]

        (outcome,) = await gather([inner()])
        return outcome.unwrap()

    @command
    async def by_helper(self, *todo: Todo) -> None:
        """Call in a helper task of a branch; nobody knows who waits for that one."""

        async def helped() -> None:
            async with trio.open_nursery() as nursery:
                for each in todo:
                    nursery.start_soon(self.call, *each)

        await gather([helped()])


class Wide(Joiner, concurrency=2):
    pass


async def put_up(node: Node, stage: Stage, **classes: type[Joiner]) -> None:
    """Start services of some names."""
    for name, cls in classes.items():
        await node.start(spec(cls, stage), name=f".{name}")


@pytest.mark.parametrize("how", ["all_of", "one_by_one", "each_of", "nested"])
async def test_c7_a_circle_through_one_of_several_calls(autojump_clock: MockClock, how: str) -> None:
    """That call raises at once, the other goes its way."""
    stage = Stage()
    stage.open("free")
    async with opened(call_deadline=1e9) as node:
        await put_up(node, stage, a=Joiner, b=Joiner)
        ends = await node.call(".a", how, [".b", "hold", "free"], [".a", "note", "x"])
        assert sorted(ends) == ["'free'", "Deadlock of 2"]
        assert stage.log.count("x") == 0
        assert trio.current_time() < 1


async def test_c7_two_of_several_calls_wait_for_the_same_and_it_can_go_on(autojump_clock: MockClock) -> None:
    """That is found once, and counts for both."""
    stage = Stage()
    async with opened(call_deadline=1e9) as node, trio.open_nursery() as nursery:
        await put_up(node, stage, a=Joiner, b=Joiner, c=Joiner, d=Joiner)
        ends: list[Any] = []

        async def call(*todo: Any) -> None:
            ends.append(await node.call(*todo))

        nursery.start_soon(call, ".c", "relay", ".d", "hold", "gate")
        await wait_all_tasks_blocked()
        nursery.start_soon(call, ".b", "all_of", [".c", "note", "x"], [".c", "note", "y"])
        await wait_all_tasks_blocked()
        nursery.start_soon(call, ".a", "relay", ".b", "note", "z")
        await wait_all_tasks_blocked()
        assert ends == []
        stage.open("gate")
        await wait_all_tasks_blocked()
        assert ends == ["gate", ["'x'", "'y'"], "z"]


@pytest.mark.parametrize("how", ["all_of", "one_by_one", "nested"])
async def test_c7_a_circle_is_closed_by_another_service(autojump_clock: MockClock, how: str) -> None:
    """A callee calls back, and has no turn before the handler ends, which also waits for something long."""
    stage = Stage()
    async with opened(call_deadline=1e9) as node, trio.open_nursery() as nursery:
        await put_up(node, stage, a=Joiner, b=Joiner, c=Joiner)
        ends: list[Any] = []

        async def call() -> None:
            ends.append(
                await node.call(".a", how, [".b", "all_of", [".a", "note", "x"]], [".c", "hold", "k"])
            )

        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        assert ends == []
        stage.open("k")
        await wait_all_tasks_blocked()
        assert ends == [["['Deadlock of 3']", "'k'"]]
        await stage.settle(node)


async def test_c7_the_first_of_several_may_come_from_elsewhere(autojump_clock: MockClock) -> None:
    """One call waits for its own handler, but another can end: that is no circle."""
    stage = Stage()
    async with opened(call_deadline=1e9) as node, trio.open_nursery() as nursery:
        await put_up(node, stage, a=Joiner, b=Joiner)
        ends: list[Any] = []

        async def call() -> None:
            ends.append(await node.call(".a", "first_of", [".a", "note", "x"], [".b", "hold", "k"]))

        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        assert ends == []
        stage.open("k")
        await wait_all_tasks_blocked()
        assert ends == ["'k'"]
        await stage.settle(node)
        assert "x" not in stage.log


@pytest.mark.parametrize("how", ["first_of", "first_after"])
async def test_c7_none_of_several_can_come(autojump_clock: MockClock, how: str) -> None:
    """The last to wait closes the circle, be it a call or the handler; with that outcome it goes on."""
    stage = Stage()
    async with opened(call_deadline=1e9) as node:
        await put_up(node, stage, a=Joiner)
        assert await node.call(".a", how, [".a", "note", "x"], [".a", "note", "y"]) == "Deadlock of 2"
        assert await node.call(".a", "note", "z") == "z"
        assert await stage.settle(node) == ["z"]


async def test_c7_each_that_cannot_come_has_its_outcome(autojump_clock: MockClock) -> None:
    """Also where it has begun, and waits for a turn itself."""
    stage = Stage()
    async with opened(call_deadline=1e9) as node:
        await put_up(node, stage, a=Joiner, b=Joiner)
        ends = await node.call(".a", "each_of", [".a", "note", "x"], [".a", "note", "y"], [".b", "note", "z"])
        assert sorted(ends) == ["'z'", "Deadlock of 2", "Deadlock of 2"]
        begun = [".b", "relay", ".a", "note", "x"]
        assert await node.call(".a", "first_after", begun) == "Deadlock of 3"
        assert await stage.settle(node) == ["z", "relay note"]
        assert trio.current_time() < 3


async def test_c7_a_free_slot_is_no_circle(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened(call_deadline=1e9) as node:
        await put_up(node, stage, a=Wide)
        ends = await node.call(".a", "all_of", [".a", "note", "x"], [".a", "note", "y"])
        assert ends == ["'x'", "'y'"]


async def test_c7_two_slots_that_wait_together(autojump_clock: MockClock) -> None:
    """Both slots of a hang on b, whose handler hangs on a: whichever is last to wait is told."""
    stage = Stage()
    async with opened(call_deadline=1e9) as node, trio.open_nursery() as nursery:
        await put_up(node, stage, a=Wide, b=Joiner)
        ends: list[Any] = []

        async def call(*args: Any) -> None:
            ends.append(await node.call(*args))

        nursery.start_soon(call, ".a", "all_of", [".b", "all_of", [".a", "note", "x"]], [".b", "note", "y"])
        nursery.start_soon(call, ".a", "all_of", [".b", "note", "z"])
        await wait_all_tasks_blocked()
        assert len(ends) == 2
        await stage.settle(node)


async def test_c7_a_helper_of_a_branch_does_not_count(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened(call_deadline=5) as node:
        await put_up(node, stage, a=Joiner)
        with pytest.raises(DeadlineExceeded):
            await node.call(".a", "by_helper", [".a", "note", "x"])
        assert trio.current_time() == pytest.approx(5)


async def test_c7_who_gathers_outside_of_handlers_is_in_no_circle(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with opened() as node:
        await put_up(node, stage, a=Joiner)
        outcomes = await gather(node.call(".a", "note", "x"), node.call(".a", "note", "y"))
        assert {each.unwrap() for each in outcomes} == {"x", "y"}
