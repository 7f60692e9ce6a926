"""Values for many receivers, and what a library keeps for a node."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from attrs import field, validators

from trionet import BadMessage, Node, NodeConfig, Service, value
from trionet.testing import open_simulated_node


@value
@attrs.frozen
class Point:
    """Never changes."""

    x: int = field(validator=validators.ge(0))


@value
@attrs.define
class Box:
    """May change."""

    points: list[Point] = field(validator=validators.min_len(1), on_setattr=[])


@pytest.mark.parametrize(
    "item", [None, 1, "text", 1 << 100, b"x" * 2000, (1, ("a",)), frozenset({1}), Point(1)]
)
async def test_what_never_changes_is_shared(node: Node, item: Any) -> None:
    made = node.snapshot(item)
    assert made.open() is made.open() is item


@pytest.mark.parametrize("item", [[1], {"a": [1]}, {1}, (1, [2]), Box([Point(1)])])
async def test_all_else_is_copied_for_each(node: Node, item: Any) -> None:
    made = node.snapshot(item)
    first, second = made.open(), made.open()
    assert first == second == item
    assert first is not second is not item


async def test_a_later_change_is_not_seen(node: Node) -> None:
    item = [[1]]
    made = node.snapshot(item)
    item[0].append(2)
    assert made.open() == [[1]]
    made.open()[0].append(3)
    assert made.open() == [[1]]


async def test_local_names_become_handles(node: Node) -> None:
    """And what then never changes is shared from the second time on."""
    service = await node.start(Service, name=".here")
    made = node.snapshot((node.ref(".here"),))
    assert made.open() == (service,)
    assert made.open() is made.open()


async def test_no_value(node: Node) -> None:
    with pytest.raises(BadMessage, match=r"news\[0\]: object"):
        node.snapshot([object()], "news")


async def test_each_receiver_validates(node: Node) -> None:
    box = Box([Point(1)])
    box.points = []
    made = node.snapshot(box)
    for _ in range(2):
        with pytest.raises(BadMessage, match="Box was refused by its validator"):
            made.open()


async def test_weight_and_limits(node: Node) -> None:
    assert node.snapshot(7).weight == 8
    assert node.snapshot([1, 2]).weight == 56 + 16
    async with open_simulated_node(NodeConfig(message_size=1000)) as small:
        with pytest.raises(BadMessage, match="larger than a message may be"):
            small.snapshot(["x" * 1000])


async def test_text(node: Node) -> None:
    assert repr(node.snapshot([1])) == "<Snapshot of [1]>"


class Counter:
    """What a library keeps."""

    def __init__(self) -> None:
        self.count = 0


async def test_a_node_has_one_of_each_extension(node: Node) -> None:
    node.extension(Counter).count += 1
    node.extension(Counter).count += 1
    assert node.extension(Counter).count == 2
    async with open_simulated_node() as other:
        assert other.extension(Counter).count == 0
