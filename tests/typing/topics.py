"""Type tests of topics."""

from __future__ import annotations

from typing import assert_type

from trionet import Node, Service, Snapshot
from trionet.services import Messages, Topic

NEWS = Topic[str]("news", keep=10)


class Reporter(Service):
    """Publishes by itself."""

    async def report(self) -> None:
        """Give the service itself."""
        await NEWS.publish(self, "today", wait=False)


async def check_topics(node: Node) -> None:
    """A topic has the type of its messages."""
    await NEWS.publish(node, "today")
    async with NEWS.subscribe(node, queue=10, overflow="wait", last=3) as messages:
        assert_type(messages, Messages[str])
        assert_type(await messages.receive(), str)
        assert_type(messages.missed, int)
        assert_type(messages.gap, int)
        async for each in messages:
            assert_type(each, str)


async def check_wrong_use(node: Node) -> None:
    """Only such messages, policies and names."""
    await NEWS.publish(node, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await NEWS.publish("news", "x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    NEWS.subscribe(node, overflow="drop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Topic[str](5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def check_snapshots(node: Node) -> None:
    """A snapshot has the type of its value; an extension that of its class."""
    assert_type(node.snapshot([1]), Snapshot[list[int]])
    assert_type(node.snapshot("x").open(), str)
    assert_type(node.extension(dict[str, int]), dict[str, int])
