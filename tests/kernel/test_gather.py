"""gather: many calls at once, one deadline, each with its outcome."""

from __future__ import annotations

import gc
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
import trio

from tests.kernel.stage import Puppet, Stage, start
from trionet import (
    DeadlineExceeded,
    Node,
    NoSuchService,
    Outcome,
    RemoteError,
    Service,
    command,
    current_request,
    gather,
    spec,
)

pytestmark = pytest.mark.usefixtures("virtual_run")


async def slow(seconds: float, result: Any) -> Any:
    await trio.sleep(seconds)
    if isinstance(result, Exception):
        raise result
    return result


class Asker(Service):
    """Calls others from its handler."""

    @command
    async def ask_all(self, targets: list[Puppet], key: str, limit: int | None = None) -> list[str]:
        outcomes = await gather((each.hold(key) for each in targets), limit=limit)
        return [outcome.unwrap() for outcome in outcomes]

    @command
    async def sources(self, others: list[Witness]) -> bool:
        traces = await gather(each.source() for each in others)
        return {each.unwrap() for each in traces} == {(self.handle, current_request().trace)}

    @command
    async def time_left(self, others: list[Witness], seconds: float) -> list[float]:
        outcomes = await gather((each.left() for each in others), deadline=seconds)
        return [each.unwrap() for each in outcomes]


class Witness(Service):
    """Tells of the message that it handles."""

    @command
    def source(self) -> Any:
        request = current_request()
        return request.source, request.trace

    @command
    def left(self) -> float:
        return current_request().deadline - trio.current_time()


async def test_outcomes_are_in_the_order_of_the_calls(node: Node) -> None:
    stage = Stage()
    puppet = await start(node, stage)
    stage.open("b")
    began = trio.current_time()
    outcomes = await gather(
        [slow(3, 1), puppet.hold("b"), slow(1, 2), puppet.fail("no"), node.call(".nobody", "x")]
    )
    assert trio.current_time() - began == pytest.approx(3)
    assert [outcome.value for outcome in outcomes] == [1, "b", 2, None, None]
    assert [outcome.is_ok for outcome in outcomes] == [True, True, True, False, False]
    assert isinstance(outcomes[3].error, RemoteError)
    with pytest.raises(NoSuchService, match="nobody"):
        outcomes[4].unwrap()
    assert outcomes[0].unwrap() == 1


async def test_nothing_to_call(node: Node) -> None:
    assert await gather([]) == ()


async def test_a_deadline_is_for_all_together(node: Node) -> None:
    """What has not ended is cancelled, with what it called; what had no turn never began."""
    stage = Stage()
    puppet = await start(node, stage)
    began = trio.current_time()
    calls = [slow(1, "one"), puppet.hold("never"), slow(1.5, "late"), slow(0, "no turn")]
    outcomes = await gather(calls, deadline=2, limit=2)
    assert trio.current_time() - began == pytest.approx(2)
    assert outcomes[0] == Outcome("one")
    for outcome, executed in zip(outcomes[1:], (None, None, False), strict=True):
        assert isinstance(outcome.error, DeadlineExceeded)
        assert outcome.error.executed is executed
    assert str(outcomes[2].error) == "call 2 of 4 did not end within 2 seconds"
    assert str(outcomes[3].error) == "call 3 of 4 had no turn within 2 seconds"
    assert stage.log == ["never begins", "never cancelled"]


async def test_the_deadline_goes_along(node: Node) -> None:
    """The handlers know of it, and of an earlier one of the caller."""
    asker = await node.start(Asker)
    witnesses = [await node.start(Witness) for _ in range(2)]
    assert await asker.time_left(witnesses, 5) == pytest.approx([5, 5])
    with trio.fail_after(3):
        assert await asker.time_left(witnesses, 5) == pytest.approx([3, 3])


async def test_the_calls_come_from_the_service_that_gathers(node: Node) -> None:
    asker = await node.start(Asker)
    assert await asker.sources([await node.start(Witness) for _ in range(3)])


async def test_a_limit_bounds_how_many_run_and_keeps_the_order() -> None:
    running: list[int] = []
    most = 0
    begun = []

    async def one(number: int) -> int:
        nonlocal most
        begun.append(number)
        running.append(number)
        most = max(most, len(running))
        await trio.sleep(1)
        running.remove(number)
        return number

    outcomes = await gather((one(number) for number in range(10)), limit=3)
    assert most == 3
    assert [outcome.unwrap() for outcome in outcomes] == list(range(10))
    begun.clear()
    await gather((one(number) for number in range(5)), limit=1)
    assert begun == [0, 1, 2, 3, 4]


async def test_cancellation_cancels_all_calls_and_drops_those_without_a_turn(node: Node) -> None:
    stage = Stage()
    puppets = [await start(node, stage) for _ in range(3)]
    with trio.move_on_after(1) as scope:
        await gather((each.hold("never") for each in puppets), limit=2)
    assert scope.cancelled_caught
    assert sorted(stage.log) == ["never begins"] * 2 + ["never cancelled"] * 2
    gc.collect()  # a coroutine that was never closed would warn, and a warning is an error


async def test_the_end_of_the_caller_ends_its_calls(node: Node) -> None:
    stage = Stage()
    puppets = [await start(node, stage) for _ in range(2)]
    asker = await node.start(Asker)
    with trio.move_on_after(1):
        await asker.ask_all(puppets, "never")
    assert sorted(stage.log) == ["never begins"] * 2 + ["never cancelled"] * 2


async def test_a_handler_s_cancellation_before_the_first_step_starts_nothing() -> None:
    begun = []

    async def one() -> None:
        begun.append(1)

    with trio.CancelScope() as scope:
        scope.cancel()
        await gather(one(), one())
    assert scope.cancelled_caught
    assert begun == []


async def test_a_group_of_errors_is_one_outcome() -> None:
    """Also where a part of it is the cancellation by the deadline."""

    async def fails_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("clean-up failed")

    async def group() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails_when_cancelled)
            await trio.sleep_forever()

    first, second = await gather(group(), slow(0.5, 2), deadline=1)
    assert isinstance(first.error, ExceptionGroup)
    assert [str(each) for each in first.error.exceptions] == ["clean-up failed"]
    assert second.unwrap() == 2


async def test_what_is_no_error_of_a_call_is_no_outcome() -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup) as caught:
        await gather(interrupted(), slow(9, 1))
    assert caught.group_contains(KeyboardInterrupt)


@pytest.mark.parametrize(
    ("options", "error"),
    [({"deadline": -1}, ValueError), ({"deadline": float("nan")}, ValueError), ({"limit": 0}, ValueError)],
)
async def test_bad_options_leave_no_coroutine(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        await gather(slow(1, 1), slow(1, 2), **options)
    gc.collect()


async def test_what_is_no_coroutine_is_refused() -> None:
    with pytest.raises(TypeError, match="call 1 is no coroutine, but 7"):
        await gather(slow(1, 1), 7)  # type: ignore[call-overload]
    gc.collect()


async def test_an_iterable_that_fails_leaves_no_coroutine() -> None:
    def calls() -> Iterator[Coroutine[Any, Any, Any]]:
        yield slow(1, 1)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        await gather(calls())
    with pytest.raises(TypeError, match="not iterable"):
        await gather(slow(1, 1))  # type: ignore[call-overload]
    gc.collect()


async def test_no_time_at_all_begins_nothing() -> None:
    outcomes = await gather([slow(0, 1)], deadline=0)
    assert isinstance(outcomes[0].error, DeadlineExceeded)
    assert outcomes[0].error.executed is False


def test_an_outcome_shows_what_it_is() -> None:
    assert repr(Outcome(3)) == "<Outcome 3>"
    assert repr(Outcome[int](None, ValueError("x"))) == "<Outcome raised ValueError('x')>"


async def test_a_service_gathers_under_its_own_end(node: Node) -> None:
    """Stopping the service that gathers cancels what it called (C8)."""
    stage = Stage()
    puppets = [await start(node, stage) for _ in range(2)]
    asker = await node.start(spec(Asker), name=".asker")
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(Exception, match="ended while it handled"):
                await asker.ask_all(puppets, "never")

        nursery.start_soon(ask)
        await trio.sleep(1)
        await node.kill(asker)
    assert sorted(stage.log) == ["never begins"] * 2 + ["never cancelled"] * 2
