"""Bad input: values outside C1, cyclic, too deep, too large; each refused at the sender, nothing lost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernel.nodes import Echo, assert_nothing_lost, fresh_node, instance_of
from tests.values_table import REFUSED, Broke, Player, Point
from trionet import BadMessage, NodeConfig, RemoteError, Service, command, defer, open_node, spec, value
from trionet.message import PART_WEIGHT, Limits, are_plain, is_plain, snapshot, weighed_snapshot

pytestmark = pytest.mark.usefixtures("virtual_run")


@value
@attrs.define
class Late:
    """Its field is set some time, or never."""

    when: int = attrs.field(init=False)


@value
@attrs.frozen(eq=False)
class Sulky:
    """Its hash fails the second time, and nobody may look at it."""

    hashed: list[int]

    def __hash__(self) -> int:
        self.hashed.append(1)
        if len(self.hashed) > 1:
            raise LookupError("not again")
        return 1

    def __repr__(self) -> str:
        raise LookupError("do not look")


class Nowhere(dt.tzinfo):
    """A time zone that fails."""

    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        raise LookupError("off the map")

    def dst(self, moment: dt.datetime | None) -> None: ...

    def tzname(self, moment: dt.datetime | None) -> None: ...


class Silent(Exception):
    """An exception without a text."""

    def __str__(self) -> str:
        raise LookupError("no comment")


class Mute(Nowhere):
    """A time zone that fails without a text."""

    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        raise Silent


class Source(Service):
    """Returns, raises and defers what it is told to."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    @command
    async def give(self, index: int) -> Any:
        return self.items[index]

    @command
    def give_plain(self, index: int) -> Any:
        return self.items[index]

    @command
    async def fail_with(self, index: int) -> None:
        raise Broke("ann", self.items[index])

    @command
    async def give_later(self, index: int) -> str:
        reply = defer()
        try:
            reply.ok(self.items[index])
        except BadMessage as error:
            reply.ok(str(error))
        return "ignored"


def nested(depth: int) -> list[Any]:
    """A list in a list, and so on."""
    item: list[Any] = []
    for _ in range(depth - 1):
        item = [item]
    return item


def cyclic_list() -> Any:
    item: list[Any] = [1]
    item.append(item)
    return item


def cyclic_dict() -> Any:
    item: dict[str, Any] = {"a": 1}
    item["self"] = [item]
    return item


def cyclic_record() -> Any:
    item = Player("ann")
    item.items.append(item)
    return item


def cyclic_error() -> Any:
    item = Broke("ann", 1)
    item.__dict__["cause"] = (item,)
    return item


CYCLES = {
    "list": (cyclic_list, "[1]"),
    "dict": (cyclic_dict, "['self'][0]"),
    "record": (cyclic_record, ".items[0]"),
    "error": (cyclic_error, ".cause[0]"),
}

IMAGINARY: Any = 1j

#: What fails in the user's own code, each with the path to it and the reason.
RAISING: dict[str, tuple[Callable[[], Any], str]] = {
    "unset-field": (lambda: [Late()], "args[0][0]: AttributeError: "),
    "hash": (lambda: {Sulky([]): 1}, "args[0]: LookupError: not again"),
    "hash-in-a-set": (lambda: {Sulky([])}, "args[0]: LookupError: not again"),
    "zone": (
        lambda: {"t": dt.datetime(2024, 1, 1, tzinfo=Nowhere())},
        "args[0]['t']: LookupError: off the map",
    ),
    "silent-zone": (lambda: dt.datetime(2024, 1, 1, tzinfo=Mute()), "args[0]: Silent: <no text"),
}


# --- outside C1 -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("item", "reason"), REFUSED.values(), ids=REFUSED)
async def test_c1_what_is_no_value_fails_at_the_sender(item: Any, reason: str) -> None:
    """Calls, sends, by position or by name: refused before anything is handed over."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        for attempt in (echo.echo, echo.echo.send):
            with pytest.raises(BadMessage, match=reason) as caught:
                await attempt(item)
            assert str(caught.value).startswith("args[0]")
            assert caught.value.executed is False
        with pytest.raises(BadMessage, match=r"^kwargs\['more'\].*" + reason):
            await echo.echo(1, more=item)
        with pytest.raises(BadMessage, match=reason):
            echo.echo.send_nowait(item)
        assert await echo.echo("still there") == "still there"
        assert instance_of(node, echo).seen == [("still there", {})]
        assert_nothing_lost(node)


@pytest.mark.parametrize(("item", "reason"), REFUSED.values(), ids=REFUSED)
async def test_c1_a_result_that_is_no_value_fails_the_call(item: Any, reason: str) -> None:
    """The handler has run by then, and the text tells which one."""
    async with fresh_node() as node:
        source = await node.start(spec(Source, item))
        for attempt in (source.give, source.give_plain):
            with pytest.raises(BadMessage, match=reason) as caught:
                await attempt(0)
            assert "Source) returned result" in str(caught.value)
            assert caught.value.executed is True
        assert reason in await source.give_later(0)
        assert_nothing_lost(node)


@pytest.mark.parametrize(("item", "reason"), REFUSED.values(), ids=REFUSED)
async def test_c1_a_declared_error_that_cannot_travel_is_told_as_text(item: Any, reason: str) -> None:
    """The caller learns both: what was raised, and why it does not travel as itself."""
    async with fresh_node() as node:
        source = await node.start(spec(Source, item))
        with pytest.raises(RemoteError, match="its class is declared, but it cannot travel") as caught:
            await source.fail_with(0)
        assert caught.value.type_name == "tests.values_table.Broke"
        assert reason in caught.value.traceback_text
        assert_nothing_lost(node)


@pytest.mark.parametrize(
    ("item", "path"),
    [
        (Player("ann", [1, 2, 3, Echo]), "args[0].items[3]: type"),
        ({"a": [({1: {Echo}},)]}, "args[0]['a'][0][0][1]{<class 'tests.kernel.nodes.Echo'>}: type"),
        ({Echo: 1}, "args[0] key <class 'tests.kernel.nodes.Echo'>: type"),
        (Broke("ann", 1), "args[0].owner: type"),
        ({frozenset({("a", Point(1, IMAGINARY))})}, "args[0]{frozenset({('a', Point(x=1, y=1j))})}"),
    ],
    ids=["record", "containers", "key", "error", "set"],
)
def test_c1_the_text_tells_where(item: Any, path: str) -> None:
    """The path leads to what is no value."""
    if isinstance(item, Broke):
        item.args, item.__dict__["owner"], item.__dict__["missing"] = (), Echo, 1
    with pytest.raises(BadMessage) as caught:
        snapshot((item,), "args")
    assert str(caught.value).startswith(path)
    assert "which is no value (values are listed in the docs; see trionet.value)" in str(caught.value)


# --- cyclic, too deep, too large --------------------------------------------------------------------


@pytest.mark.parametrize(("make", "path"), CYCLES.values(), ids=CYCLES)
async def test_c1_a_cycle_fails(make: Callable[[], Any], path: str) -> None:
    """The text tells where the circle closes."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        with pytest.raises(BadMessage) as caught:
            await echo.echo(make())
        assert str(caught.value) == f"args[0]{path}: a container that holds itself; a message is a tree"
        source = await node.start(spec(Source, make()))
        with pytest.raises(BadMessage, match="holds itself"):
            await source.give(0)
        assert_nothing_lost(node)


async def test_c1_depth_has_a_limit() -> None:
    """The arguments are one container themselves, a result is not in one."""
    async with fresh_node(message_depth=5) as node:
        echo = await node.start(Echo)
        assert await echo.echo(nested(4)) == nested(4)
        with pytest.raises(BadMessage, match=r"^args.*: nested deeper than a message may be") as caught:
            await echo.echo(nested(5))
        assert caught.value.executed is False
        source = await node.start(spec(Source, nested(5), nested(6)))
        assert await source.give(0) == nested(5)
        with pytest.raises(BadMessage, match="nested deeper") as caught:
            await source.give(1)
        assert caught.value.executed is True
        assert_nothing_lost(node)


async def test_c1_depth_counts_containers_on_the_way_only() -> None:
    """Many containers side by side are not deep."""
    async with fresh_node(message_depth=4) as node:
        echo = await node.start(Echo)
        item = [[()], {1: 2}, {3}, frozenset({4}), Player("a"), Broke("b", 1)] * 3
        assert len(await echo.echo(item)) == 18


async def test_c1_a_depth_beyond_the_stack_is_refused_too() -> None:
    """Where the setting allows more than the interpreter can walk, it is still a bad message."""
    async with fresh_node(message_depth=1_000_000) as node:
        echo = await node.start(Echo)
        with pytest.raises(BadMessage, match="RecursionError") as caught:
            await echo.echo(nested(100_000))
        assert caught.value.executed is False
        assert await echo.count() == 0
        assert_nothing_lost(node)


async def test_c1_size_has_a_limit() -> None:
    """What is too large in whole or in part, as an argument or as a result."""
    long = "x" * 6000
    async with fresh_node(message_size=10_000) as node:
        echo = await node.start(Echo)
        for item in (long * 2, b"x" * 10_001, [long, long], [None] * 2000, {"ä" * 2500: "ö" * 2500}):
            with pytest.raises(BadMessage, match=r"^args.*: larger than a message may be") as caught:
                await echo.echo(item)
            assert caught.value.executed is False
        source = await node.start(spec(Source, long * 2))
        with pytest.raises(BadMessage, match="returned result: larger than a message may be") as caught:
            await source.give(0)
        assert caught.value.executed is True
        assert await echo.echo(long) == long
        assert_nothing_lost(node)


def test_c1_the_text_tells_which_part_is_too_large() -> None:
    """Where one part is, it is named; else the whole."""
    limits = Limits(size=100)
    with pytest.raises(BadMessage, match=r"^args\[1\]\['b'\]: larger"):
        snapshot((1, {"a": "x", "b": "x" * 101}), "args", limits)
    with pytest.raises(BadMessage, match=r"^args\[1\]: larger"):
        snapshot((1, ["x" * 50, "y" * 50]), "args", limits)


PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.binary(max_size=30)
)


@given(st.lists(PLAIN, max_size=10).map(tuple), st.integers(PART_WEIGHT, 500))
def test_c1_what_is_not_walked_through_is_within_the_size(arguments: tuple[Any, ...], size: int) -> None:
    limits = Limits(size=size)
    if are_plain(arguments, {}, limits):
        copied, checks, _ = weighed_snapshot(arguments, "args", limits, lambda reference: reference)
        assert copied is arguments
        assert not checks
    for each in arguments:
        if is_plain(each, limits) and type(each) in (str, bytes):
            assert snapshot(each, "args", limits) == (each, [])


class Pair(Service):
    """Takes two arguments."""

    @command
    def lengths(self, one: str, other: str) -> int:
        return len(one) + len(other)


async def test_c1_small_arguments_that_are_too_much_together_are_refused() -> None:
    async with open_node(NodeConfig(message_size=1000)) as node:
        pair = await node.start(Pair)
        assert await pair.lengths("x" * 450, "y" * 450) == 900
        for call in (pair.lengths, pair.lengths.send):
            with pytest.raises(BadMessage, match="larger"):
                await call("x" * 500, "y" * 500)


def test_c1_a_huge_integer_as_a_key_is_refused_with_a_text() -> None:
    """Python itself does not print it."""
    with pytest.raises(BadMessage, match=r"^args\[0\] key <int>: int of 20001 bits"):
        snapshot(({1 << 20000: 1},), "args")


# --- the user's code raises while it is copied -------------------------------------------------------


@pytest.mark.parametrize(("make", "text"), RAISING.values(), ids=RAISING)
async def test_c9_users_code_that_raises_while_it_is_copied(make: Callable[[], Any], text: str) -> None:
    """As an argument, as a result: it fails that call and nothing else."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        with pytest.raises(BadMessage) as caught:
            await echo.echo(make())
        assert str(caught.value).startswith(text)
        assert isinstance(caught.value.__cause__, AttributeError | LookupError | Silent)
        source = await node.start(spec(Source, make()))
        with pytest.raises(BadMessage) as caught:
            await source.give(0)
        assert text.removeprefix("args[0]") in str(caught.value)
        assert await echo.echo("still there") == "still there"
        assert_nothing_lost(node)


async def test_c1_keys_that_become_equal_are_refused() -> None:
    """A name and the handle that it stands for are one key when they arrive."""
    async with fresh_node() as node:
        echo = await node.start(Echo, name=".echo")
        twice = {node.ref(".echo"): 1, echo: 2}
        with pytest.raises(BadMessage, match=r"^args\[0\]: dict with keys that become equal"):
            await echo.echo(twice)
        with pytest.raises(BadMessage, match=r"^args\[0\]: set with members that become equal"):
            await echo.echo(set(twice))
        with pytest.raises(BadMessage, match=r"^args\[0\]: set with members that become equal"):
            await echo.echo(frozenset(twice))
        assert_nothing_lost(node)


async def test_c1_a_reference_to_nobody_is_refused_with_its_path() -> None:
    """A local name is resolved by the sender; in a result the sender is the service."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        nobody = node.ref(".nobody")
        with pytest.raises(
            BadMessage, match=r"^args\[0\]\['who'\]: NoSuchService: nobody owns the name '\.nobody'"
        ):
            await echo.echo({"who": nobody})
        with pytest.raises(BadMessage, match="nobody owns"):
            await echo.echo.send(nobody)
        source = await node.start(spec(Source, [nobody]))
        with pytest.raises(BadMessage, match=r"returned result\[0\]: .*nobody owns") as caught:
            await source.give(0)
        assert caught.value.executed is True
        with pytest.raises(RemoteError, match="cannot travel"):
            await source.fail_with(0)
        assert_nothing_lost(node)
