"""Type tests of what is started: specifications, classes without arguments, children, class options."""

from __future__ import annotations

from typing import assert_type

from tests.typing.shop import Clock, Counter, CounterApi
from trionet import Node, Reply, Restart, Service, Spec, command, defer, spec


def check_specifications() -> None:
    """The constructor's arguments are checked where they are given."""
    assert_type(spec(Counter, 1), Spec[Counter])
    assert_type(spec(Counter, 1, name="x"), Spec[Counter])
    assert_type(spec(Clock), Spec[Clock])
    spec(Counter, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    spec(Counter)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    spec(Counter, 1, nam="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    spec(Clock, 1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    spec(int)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def check_starts(node: Node) -> None:
    """What is started gives a reference of its class."""
    assert_type(await node.start(spec(Counter, 1), name=".counter"), Counter)
    assert_type(await node.start(Clock), Clock)
    assert_type(await node.start(Clock, restart=Restart("always"), exclusive=True), Clock)
    api: CounterApi = await node.start(spec(Counter, 1))
    print(api)


async def check_wrong_starts(node: Node) -> None:
    """A class that needs arguments, another class than is wanted, a lost ``await``, no service."""
    await node.start(Counter)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    clock: Clock = await node.start(spec(Counter, 1))  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    node.start(Clock)  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    await node.start(Clock, name=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await node.start(int)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    print(clock)


class Parent(Service):
    """Starts children."""

    async def setup(self) -> None:
        assert_type(await self.start(spec(Counter, 1)), Counter)
        assert_type(await self.start(Clock, name=".clock"), Clock)
        await self.start(Counter)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await self.start(spec(Counter, None))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Options(Service, concurrency=1, inbox=10, overflow="reject", deadline=2.5):
    """All options of a class."""


class WrongConcurrency(Service, concurrency="1"):  # type: ignore[arg-type]  # pyright: ignore[reportGeneralTypeIssues, reportArgumentType]
    """An option of the wrong type."""


class WrongOverflow(Service, overflow="drop"):  # type: ignore[arg-type]  # pyright: ignore[reportGeneralTypeIssues, reportArgumentType]
    """A word that is not to choose from."""


class Deferring(Service):
    """Leaves its reply for later."""

    @command
    async def later(self) -> str:
        reply = defer()
        assert_type(reply, Reply)
        assert_type(reply.ok("x"), bool)
        reply.fail("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        return "ignored"
