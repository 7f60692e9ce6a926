"""Type tests of calls and sends: each with what is accepted and what is rejected."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from tests.typing.shop import Clock, Counter
from trionet import BoundCommand, Command, Node


async def check_calls(counter: Counter, clock: Clock) -> None:
    """What a call returns, of ``async def`` and of ``def`` alike."""
    assert_type(await counter.add(1), int)
    assert_type(await counter.add(amount=1), int)
    assert_type(await counter.describe(long=True), str)
    assert_type(await clock.zone(), str)
    assert_type(await clock.now(), float)
    await counter.reset()


async def check_wrong_arguments(counter: Counter) -> None:
    """Type, number and name of the arguments."""
    await counter.add("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await counter.add()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await counter.add(1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await counter.add(amont=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await counter.describe(True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def check_wrong_result(counter: Counter) -> None:
    """The result is what the command declares."""
    total: int = await counter.add(1)
    text: str = await counter.add(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(total, text)


async def check_unknown_command(counter: Counter) -> None:
    """A command that there is not."""
    await counter.reset()
    await counter.rest()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def check_lost_await(counter: Counter) -> None:
    """A call or a send without ``await`` does nothing."""
    await counter.add(1)
    counter.add(1)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    await counter.add.send(1)
    counter.add.send(1)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    total: int = counter.add(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(total)


async def check_sends(counter: Counter) -> None:
    """One-way messages have the arguments of the call, and no result."""
    assert_type(await counter.add.send(1), None)
    assert_type(counter.add.send_nowait(1), None)
    await counter.add.send("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    counter.add.send_nowait()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    counter.describe.send_nowait(long=1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def check_options(counter: Counter) -> None:
    """Options keep the type of the command."""
    assert_type(await counter.add.options(deadline=1)(1), int)
    assert_type(await counter.add.options(deadline=0.5).send(1), None)
    await counter.add.options(deadline=1)("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    counter.add.options(deadline="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    counter.add.options(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def check_calls_by_address(node: Node, clock: Clock) -> None:
    """The declaration gives the type; a name gives none."""
    assert_type(await node.call(".counter", Counter.add, 1), int)
    assert_type(await node.call(clock, Clock.now), float)
    assert_type(await node.send(".counter", Counter.add, 1), None)
    node.send_nowait(".counter", Counter.describe, long=True)
    await node.call(".counter", "add", 1, anything=2)
    await node.call(".counter", Counter.add, "1")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await node.send(".counter", Counter.add)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    node.call(".counter", Counter.add, 1)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


def check_declarations(counter: Counter, clock: Clock) -> None:
    """On the class it is the declaration, on a reference the bound command."""
    assert_type(Clock.now, Command[[], float])
    assert_type(counter.reset, BoundCommand[[], None])
    assert_type(Clock.zone, Command[[], str])
    assert_type(clock.zone.options(), BoundCommand[[], str])
    takes_one(counter.add)
    takes_one(counter.reset)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def takes_one(bound: Callable[[int], Coroutine[Any, Any, int]]) -> None:
    """Take what is called with a number and awaited."""
    print(bound)
