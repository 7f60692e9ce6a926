"""Type tests of other nodes: what is started there, and what is told of them."""

from __future__ import annotations

from typing import Any, assert_type

from tests.typing.shop import Clock, Counter, CounterApi
from trionet import Handle, Node, NodeStatistics, Restart, ServiceStatistics, spec
from trionet.services import RemoteNode, query, unique


async def check_starts(node: Node) -> None:
    """A start there has the type of one here."""
    two = RemoteNode(node, 2)
    assert_type(await two.start(spec(Counter, 1), name="c", restart=Restart()), Counter)
    assert_type(await two.start(Clock, exclusive=True), Clock)
    assert_type(await two.launch("shop:Counter", (1,), {"name": "c"}, interface=CounterApi), CounterApi)
    assert_type(await two.launch("shop:Counter", (1,)), Any)
    await two.start(Counter)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await two.launch(Counter)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


async def check_looking(node: Node, counter: Counter) -> None:
    """What is told."""
    two = RemoteNode(node, 2)
    assert_type(await two.services(), tuple[ServiceStatistics, ...])
    assert_type(await two.stat(counter), ServiceStatistics)
    assert_type(await two.node_stat(), NodeStatistics)
    assert_type(await two.names(), dict[str, Handle])
    assert_type(await two.ping(".c"), float)
    assert_type(await two.stop(counter), None)
    assert_type(node.handle_of(counter), Handle)


async def check_unique(node: Node) -> None:
    """What there is one of is typed as its class, or as the interface that was asked for."""
    assert_type(await unique(node, spec(Counter, 1), ".counter", standby=True), Counter)
    assert_type(await unique(node, Clock, "clock", restart=Restart()), Clock)
    assert_type(await query(node, "counter", CounterApi), CounterApi)
    assert_type(await query(node, "counter"), Any)
    assert_type(node.stamp("counter"), tuple[int, int] | None)
    await unique(node, Counter, "counter")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
