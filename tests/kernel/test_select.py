"""select: outcomes of many calls, each as soon as it is there."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from tests.kernel.stage import Stage, start
from trionet import DeadlineExceeded, Node, RemoteError, Selection, select

pytestmark = pytest.mark.usefixtures("virtual_run")


async def slow(seconds: float, result: Any) -> Any:
    await trio.sleep(seconds)
    return result


async def taken(selection: Selection[Any, Any]) -> list[tuple[Any, Any]]:
    """All outcomes, in the order in which they come."""
    return [(key, outcome.value) async for key, outcome in selection]


async def test_outcomes_come_in_the_order_of_their_end(node: Node) -> None:
    stage = Stage()
    puppet = await start(node, stage)
    calls = [slow(3, "a"), slow(1, "b"), puppet.fail("no"), slow(2, "c")]
    async with select(calls) as selection:
        assert selection.waiting == (0, 1, 2, 3)
        keys = []
        async for key, outcome in selection:
            keys.append((key, outcome.value))
            if key == 2:
                assert isinstance(outcome.error, RemoteError)
        assert keys == [(2, None), (1, "b"), (3, "c"), (0, "a")]
        assert not selection.waiting


async def test_a_table_of_calls_gives_its_keys(node: Node) -> None:
    async with select({"x": slow(2, 1), "y": slow(1, 2)}) as selection:
        assert await anext(selection) == ("y", await value_of(2))
        assert selection.waiting == ("x",)
        assert await taken(selection) == [("x", 1)]


async def value_of(value: Any) -> Any:
    """The outcome of a call that returns a value."""
    async with select([slow(0, value)]) as selection:
        return (await anext(selection))[1]


async def test_leaving_cancels_the_rest(node: Node) -> None:
    """The first result that will do is enough; those without a turn never begin."""
    stage = Stage()
    puppets = [await start(node, stage) for _ in range(3)]
    began = trio.current_time()
    async with select([slow(1, 1), *(each.hold("never") for each in puppets)], limit=3) as selection:
        async for _ in selection:
            break
    assert trio.current_time() - began == pytest.approx(1)
    assert sorted(stage.log) in (
        ["never begins"] * 2 + ["never cancelled"] * 2,
        ["never begins"] * 3 + ["never cancelled"] * 3,
    )
    gc.collect()


async def test_leaving_at_once_starts_nothing(node: Node) -> None:
    stage = Stage()
    puppet = await start(node, stage)
    async with select([puppet.hold("never")]):
        pass
    assert stage.log == []
    gc.collect()


async def test_a_deadline_gives_each_call_an_outcome(node: Node) -> None:
    began = trio.current_time()
    async with select({"fast": slow(1, 1), "slow": slow(9, 2)}, deadline=2) as selection:
        ended = {key: outcome async for key, outcome in selection}
    assert trio.current_time() - began == pytest.approx(2)
    assert ended["fast"].unwrap() == 1
    assert isinstance(ended["slow"].error, DeadlineExceeded)
    assert str(ended["slow"].error) == "call 'slow' of 2 did not end within 2 seconds"


async def fail_within(error: Exception, scope: trio.CancelScope | None = None, call: Any = None) -> None:
    """Raise in a block while a call is under way, and the scope around it is cancelled."""
    async with select([call or slow(9, 1)]):
        await trio.sleep(1)
        if scope is not None:
            scope.cancel()
        raise error


async def test_an_error_of_the_block_comes_out_as_it_is(node: Node) -> None:
    error = ValueError("of the block")
    with pytest.raises(ValueError, match="of the block") as caught:
        await fail_within(error)
    assert caught.value is error
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_a_group_of_the_block_comes_out_as_it_is(node: Node) -> None:
    error = ExceptionGroup("of the block", [ValueError("x")])
    with pytest.raises(ExceptionGroup) as caught:
        await fail_within(error)
    assert caught.value is error


async def test_cancellation_from_outside(node: Node) -> None:
    stage = Stage()
    puppet = await start(node, stage)
    with trio.move_on_after(1) as scope:
        async with select([puppet.hold("never")]) as selection:
            await taken(selection)
    assert scope.cancelled_caught
    assert stage.log == ["never begins", "never cancelled"]


async def test_an_error_while_the_outside_is_cancelled_is_not_lost(node: Node) -> None:
    with trio.CancelScope() as scope, pytest.raises(ValueError, match="of the block"):
        await fail_within(ValueError("of the block"), scope)


async def test_an_error_of_the_block_and_an_interrupt_of_a_call(node: Node) -> None:
    """What is no error of a call ends everything; nothing of it is lost."""

    async def interrupted() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup) as caught:
        await fail_within(ValueError("of the block"), call=interrupted())
    assert caught.group_contains(ValueError, depth=1)
    assert caught.group_contains(KeyboardInterrupt)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with select([interrupted()]):
            await trio.sleep(1)
    assert caught.group_contains(KeyboardInterrupt)


async def test_a_cancelled_wait_loses_nothing(node: Node) -> None:
    async with select([slow(2, "late")]) as selection:
        with trio.move_on_after(1):
            await anext(selection)
        assert await taken(selection) == [(0, "late")]


async def test_several_tasks_can_take(node: Node) -> None:
    """Each outcome goes to one of them; all learn of the end."""
    got: list[Any] = []

    async def take(selection: Selection[int, Any]) -> None:
        got.extend(await taken(selection))

    async with (
        select([slow(1, "a"), slow(2, "b"), slow(2, "c")]) as selection,
        trio.open_nursery() as nursery,
    ):
        for _ in range(4):
            nursery.start_soon(take, selection)
    assert sorted(got) == [(0, "a"), (1, "b"), (2, "c")]


@pytest.mark.parametrize("options", [{"deadline": -1}, {"limit": 0}])
async def test_bad_options_leave_no_coroutine(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        async with select([slow(1, 1)], **options):
            pass
    gc.collect()


async def test_within_a_context_manager(node: Node) -> None:
    """The block may be divided by a generator, as that of any nursery."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Selection[int, Any]]:
        async with select([slow(1, 1)]) as selection:
            yield selection

    async with opened() as selection:
        assert await taken(selection) == [(0, 1)]
