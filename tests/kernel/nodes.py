"""What the tests of the kernel share: a node without chance or threads, and helpers to look at values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs

from trionet import Node, NodeConfig, NodeStatistics, Service, command
from trionet.testing import open_simulated_node


def fresh_node(**settings: Any) -> AbstractAsyncContextManager[Node]:
    """Open a node with some settings; it draws nothing from outside, and nothing may be left at its end."""
    return open_simulated_node(NodeConfig(**settings))


def assert_nothing_lost(node: Node) -> None:
    """No message waits, no handler runs, no dead letter was made."""
    now: NodeStatistics = node.statistics()
    assert (now.inbox, now.running, now.dead_letters) == (0, 0, 0)


class Echo(Service):
    """Gives back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @command
    async def echo(self, /, item: Any = None, **more: Any) -> Any:
        self.seen.append((item, more))
        return item

    @command
    def count(self) -> int:
        return len(self.seen)

    @command
    def hand_out(self, index: int) -> Any:
        return self.seen[index][0]


def instance_of(node: Node, reference: Any) -> Any:
    """The service behind a reference, to look at its state as no other service can."""
    actor = node.locate(reference._target)
    return actor.instance  # type: ignore[union-attr]


def changeable(item: Any) -> Iterator[Any]:
    """All parts of a value that could change."""
    if isinstance(item, list | set):
        yield item
    if isinstance(item, dict):
        yield item
        for key, each in item.items():
            yield from changeable(key)
            yield from changeable(each)
    elif isinstance(item, list | tuple | set | frozenset):
        for each in item:
            yield from changeable(each)
    elif attrs.has(type(item)):
        if not attrs.inspect(type(item)).is_frozen:
            yield item
        for field in attrs.fields(type(item)):
            yield from changeable(getattr(item, field.name))
    elif isinstance(item, Exception):
        yield item
        yield from changeable(item.args)
        yield from changeable(vars(item))


def shared(one: Any, other: Any) -> list[Any]:
    """What could change and is in both values."""
    ids = {id(part) for part in changeable(one)}
    return [part for part in changeable(other) if id(part) in ids]
