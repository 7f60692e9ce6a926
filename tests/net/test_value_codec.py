"""Values as bytes, for whoever keeps them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.values_table import REFUSED, VALUES, same
from trionet import BadMessage, Node, NodeConfig, Service, ValueCodec, value
from trionet.testing import open_simulated_node

TABLE = {name: each for name, each in VALUES.items() if "reference" not in name and "handle-keys" not in name}


@value(name="tests.Small")
@attrs.frozen
class Small:
    """A declared class with a rule."""

    number: int = attrs.field(validator=attrs.validators.lt(10))


async def test_every_value_comes_back_on_another_node(node: Node) -> None:
    codec = ValueCodec(node)
    async with open_simulated_node(seed=1) as other:
        for name, each in TABLE.items():
            assert same(each, ValueCodec(other).decode(codec.encode(each))), name


async def test_references_belong_to_the_node_that_reads(node: Node) -> None:
    codec = ValueCodec(node)
    service = await node.start(Service, name=".local")
    handle = node.handle_of(service)
    data = codec.encode([node.ref("world"), node.ref(".local"), service])
    named, local, plain = codec.decode(data)
    assert [named, local, plain] == [node.ref("world"), node.ref(handle), service]
    with pytest.raises(BadMessage, match=r"nobody owns the name '\.nobody'"):
        codec.encode(node.ref(".nobody"))


@pytest.mark.parametrize("item", [each for each, _ in REFUSED.values()], ids=REFUSED)
async def test_what_is_no_value(node: Node, item: Any) -> None:
    with pytest.raises(BadMessage, match=r"value"):
        ValueCodec(node).encode(item)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x01\x01", b"\xd9\xff\xff\x01"])
async def test_bytes_that_are_no_value(node: Node, data: bytes) -> None:
    with pytest.raises(BadMessage):
        ValueCodec(node).decode(data)


async def test_validators_run_when_a_value_is_read(node: Node) -> None:
    codec = ValueCodec(node)
    data = codec.encode(Small(7))
    assert Small(7) == codec.decode(data)
    with pytest.raises(BadMessage, match="Small was refused by its validator"):
        codec.decode(data[:-1] + b"\x0b")


async def test_the_limits_of_the_node_hold() -> None:
    async with open_simulated_node(NodeConfig(message_size=100)) as node:
        with pytest.raises(BadMessage, match="larger than a message may be"):
            ValueCodec(node).encode("x" * 101)
