"""Type tests of references: the service, its interface class, another service."""

from __future__ import annotations

from typing import Any, assert_type

from tests.typing.shop import Clock, Counter, CounterApi
from trionet import Exit, Handle, Node, Service, command


async def use(counter: CounterApi) -> int:
    """Take whatever implements the interface."""
    return await counter.add(1)


async def check_references(node: Node, handle: Handle) -> None:
    """A reference to a service is of its class."""
    assert_type(node.ref("counter", Counter), Counter)
    assert_type(node.ref("counter", CounterApi), CounterApi)
    assert_type(node.ref(handle, Clock), Clock)
    assert_type(node.ref("counter"), Any)
    node.ref("counter", int)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


async def check_wrong_service(counter: Counter, clock: Clock) -> None:
    """Where one service is wanted another will not do; what implements an interface will."""
    await use(counter)
    await use(clock)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def check_interface(api: CounterApi, counter: Counter) -> None:
    """Neither the state nor the other commands of a service are seen through its interface."""
    assert_type(await api.add(1), int)
    assert_type(await api.describe(), str)
    print(counter.total)
    print(api.total)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    await counter.reset()
    await api.reset()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


class Visitor(Service):
    """A service that holds references and gives them away."""

    def __init__(self, counter: CounterApi) -> None:
        self.counter = counter

    @command
    async def visit(self, counter: CounterApi) -> CounterApi:
        await self.call(counter, CounterApi.add, 1)
        await self.call(counter, CounterApi.add, "1")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
        await self.send(counter, CounterApi.add, 1)
        await self.send(counter, CounterApi.add)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
        return self.counter

    @command
    async def me(self) -> Visitor:
        return self.ref()

    @command
    async def visit_oneself(self) -> None:
        assert_type(await self.visit(self.counter), CounterApi)
        await self.visit("counter")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def check_references_in_messages(visitor: Visitor, counter: Counter, clock: Clock) -> None:
    """They are typed as arguments and as results."""
    assert_type(await visitor.visit(counter), CounterApi)
    assert_type(await visitor.me(), Visitor)
    await visitor.visit(clock)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def check_watch(node: Node, counter: Counter) -> None:
    """How a service ended is typed too."""
    async with node.watch(counter) as watch:
        assert_type(watch.exit, Exit | None)
        assert_type(await watch.wait(), Exit)
        watch.wait()  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
