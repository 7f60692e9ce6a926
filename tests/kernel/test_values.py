"""C1, the local path: a message is a value, and so are results and errors."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from decimal import Decimal
from typing import Any, Self
from uuid import UUID

import attrs
import pytest

from tests.kernel.nodes import Echo, changeable, fresh_node, instance_of, shared
from tests.values_table import (
    HANDLE,
    VALUES,
    Age,
    Broke,
    Color,
    Empty,
    Key,
    Player,
    Point,
    Reference,
    Refused,
    same,
)
from trionet import BadMessage, RemoteError, Service, command, value
from trionet.message import Limits, ValueClass, snapshot, value_class

pytestmark = pytest.mark.usefixtures("virtual_run")

#: The table without its stand-in for references: what a node sends are its own.
TABLE = {name: item for name, item in VALUES.items() if "reference" not in name and "handle-keys" not in name}


@value
@attrs.define(on_setattr=attrs.setters.NO_OP)
class Loose:
    """A class whose validator can be got around."""

    size: int = attrs.field(validator=attrs.validators.ge(0))


@value
class Full(OSError):
    """An exception whose state is in slots of the interpreter."""


@value
class Garbled(UnicodeDecodeError):
    """An exception that is made of five arguments."""


@value
class Coded(Exception):
    """An exception with a constructor of its own."""

    def __new__(cls, code: int, reason: str) -> Self:
        made = super().__new__(cls, code, reason)
        made.code = code
        return made

    code: int


@value
class Several(ExceptionGroup[Exception]):
    """A group that is declared."""


class Keeper(Service):
    """Keeps what it gets and lets everybody see it."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    @command
    async def keep(self, item: Any) -> None:
        self.kept.append(item)

    @command
    async def change(self, item: list[int]) -> None:
        item.append(99)

    @command
    async def all(self) -> list[Any]:
        return self.kept

    @command
    async def fail_with(self, error: Exception) -> None:
        raise error

    @command
    async def fail_keeping(self) -> None:
        error = Broke("ann", 1)
        error.__dict__["kept"] = self.kept
        raise error

    @command
    async def shrink(self, item: Loose) -> Loose:
        item.size = -1
        return item


# --- the table --------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", TABLE.values(), ids=TABLE)
async def test_c1_a_value_comes_out_the_same(item: Any) -> None:
    """Type and equality survive the way there and back, alone and by name."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        result = await echo.echo(item)
        named = await echo.echo(item=[item], more=item)
        assert same(item, result)
        assert same([item], named)
        ((first, _), (second, more)) = instance_of(node, echo).seen
        assert same(item, first)
        assert same([item], second)
        assert same(item, more["more"])


@pytest.mark.parametrize("item", TABLE.values(), ids=TABLE)
async def test_c1_nothing_that_can_change_is_shared(item: Any) -> None:
    """Caller, service and the taker of the result each have a copy of their own."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        result = await echo.echo([item])
        there = instance_of(node, echo).seen[0][0]
        assert not shared([item], there)
        assert not shared(there, result)
        assert not shared([item], result)


@pytest.mark.parametrize("item", TABLE.values(), ids=TABLE)
async def test_c1_a_sent_value_arrives_the_same(item: Any) -> None:
    """Sends take the same way as calls."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        await echo.echo.send(item)
        echo.echo.send_nowait([item])
        assert await echo.count() == 2
        (first, _), (second, _) = instance_of(node, echo).seen
        assert same(item, first)
        assert same([item], second)
        assert not shared([item], second)


# --- who sees which change --------------------------------------------------------------------------


async def test_c1_a_change_by_the_sender_is_not_seen() -> None:
    """The message is what it was when it was handed over."""
    async with fresh_node() as node:
        keeper = await node.start(Keeper)
        item: list[Any] = [1, {"a": [2]}]
        await keeper.keep.send(item)
        item[1]["a"].append(3)
        item.clear()
        assert await keeper.all() == [[1, {"a": [2]}]]


async def test_c1_a_change_by_the_receiver_is_not_seen() -> None:
    """The caller's list stays what it was."""
    async with fresh_node() as node:
        keeper = await node.start(Keeper)
        item = [1]
        await keeper.change(item)
        assert item == [1]


async def test_c1_a_result_is_a_copy_of_the_state() -> None:
    """Neither the taker's changes reach the service, nor the service's later ones the taker."""
    async with fresh_node() as node:
        keeper = await node.start(Keeper)
        await keeper.keep(1)
        before = await keeper.all()
        before.append("mine")
        await keeper.keep(2)
        assert before == [1, "mine"]
        assert await keeper.all() == [1, 2]


async def test_c1_an_error_is_a_copy() -> None:
    """What a declared exception carries is no part of the service."""
    async with fresh_node() as node:
        keeper = await node.start(Keeper)
        with pytest.raises(Broke) as caught:
            await keeper.fail_keeping()
        vars(caught.value)["kept"].append("mine")
        assert await keeper.all() == []


async def test_c1_aliases_become_copies() -> None:
    """A message is a tree."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        inner = [1]
        result = await echo.echo([inner, inner])
        result[0].append(2)
        assert result == [[1, 2], [1]]


async def test_c1_what_never_changes_is_shared() -> None:
    """A deeply immutable value is handed on as it is, however large."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        item = (("a", 2**70), frozenset({Point(1, 2)}), Color.RED, b"x" * 5000)
        assert await echo.echo(item) is item


async def test_c1_a_tuple_around_a_list_is_not_shared() -> None:
    """Immutable on the outside is not enough."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        item = ("a", [1])
        result = await echo.echo(item)
        assert result == item
        assert result[1] is not item[1]


async def test_c1_a_moment_arrives_with_a_fixed_offset() -> None:
    """A named zone becomes the offset that it had at that moment."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        moment = dt.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
        result = await echo.echo(moment)
        assert result == moment
        assert result.tzinfo == dt.timezone(dt.timedelta(hours=2))


def test_c1_the_helper_sees_what_can_change() -> None:
    """The test above would fail if a list were handed on."""
    item: Any = (1, {"a": Player("ann", [2])})
    assert [type(part) for part in changeable(item)] == [dict, Player, list]
    assert shared(item, item)


async def test_c1_a_copy_of_a_frozen_instance_hashes_anew() -> None:
    """A hash that was kept is not that of the copy."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        moment: Any = dt.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
        item = {Key((moment,)): 1}
        result = await echo.echo(item)
        (copied,) = result
        assert copied is not next(iter(item))
        assert result == item
        assert result[Key((moment,))] == 1


# --- declared classes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        Broke("ann", 3),
        Refused("no", Point(1)),
        Full(28, "no room"),
        Coded(7, "x"),
        Several("two", [Broke("b", 1)]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_c1_a_declared_exception_travels_as_itself(error: Exception) -> None:
    """As an argument and as what is raised: class, arguments, attributes, text."""
    async with fresh_node() as node:
        keeper = await node.start(Keeper)
        with pytest.raises(type(error)) as caught:
            await keeper.fail_with(error)
        assert type(caught.value) is type(error)
        assert caught.value is not error
        assert str(caught.value) == str(error)
        assert repr(caught.value) == repr(error)
        assert "in the service that was called" in caught.value.__notes__[-1]


async def test_c1_state_of_builtin_exceptions_travels() -> None:
    """What an OSError has besides its arguments is there too."""
    async with fresh_node() as node:
        keeper = await node.start(Keeper)
        with pytest.raises(Full) as caught:
            await keeper.fail_with(Full(28, "no room", "disk"))
        assert (caught.value.errno, caught.value.strerror) == (28, "no room")


async def test_c1_an_exception_whose_arguments_do_not_fit_cannot_travel() -> None:
    """Its builtin part could not be made of them."""
    async with fresh_node() as node:
        keeper = await node.start(Keeper)
        odd = Garbled("utf-8", b"x", 0, 1, "why")
        assert odd.args
        odd.args = ("only one",)
        with pytest.raises(
            BadMessage, match=r"^args\[0\]: BadMessage: .*Garbled: .*takes exactly 5 arguments"
        ):
            await keeper.fail_with(odd)


async def test_c1_the_constructor_does_not_run_at_the_receiver() -> None:
    """Only validators do; a class may count or refuse in its constructor."""
    made = []

    @value(name="test.counted")
    @attrs.define
    class Counted:
        items: list[int]

        def __attrs_post_init__(self) -> None:
            made.append(self)

    async with fresh_node() as node:
        echo = await node.start(Echo)
        result = await echo.echo(Counted([1]))
        assert result == Counted([1])
    assert len(made) == 2


async def test_c1_validators_run_in_the_receiver() -> None:
    """What its class refuses fails that call before the handler starts, and nothing else."""
    async with fresh_node() as node:
        keeper = await node.start(Keeper)
        bad = Loose(1)
        bad.size = -1
        with pytest.raises(BadMessage, match=r"Loose was refused by its validator: .*size") as caught:
            await keeper.keep(bad)
        assert caught.value.executed is False
        assert await keeper.all() == []


async def test_c1_validators_run_on_results() -> None:
    """The caller refuses what its class does; by then the handler has run."""
    async with fresh_node() as node:
        keeper = await node.start(Keeper)
        with pytest.raises(BadMessage, match="Loose was refused by its validator") as caught:
            await keeper.shrink(Loose(1))
        assert caught.value.executed is True


async def test_c1_a_refused_send_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for it, so the log tells."""
    async with fresh_node() as node:
        keeper = await node.start(Keeper)
        bad = Loose(1)
        bad.size = -1
        await keeper.keep.send(bad)
        assert await keeper.all() == []
    assert "Loose was refused by its validator" in caplog.text


def test_c1_copies_with_validators_are_handed_to_the_receiver() -> None:
    """A frozen instance is shared and was checked when it was made; a copy is checked anew."""
    good, loose = Age(3), Loose(1)
    copied, checks = snapshot([good, loose], "args")
    assert copied[0] is good
    assert [type(each) for each in checks] == [Loose]
    assert checks[0] is copied[1]


# --- the declaration --------------------------------------------------------------------------------


def test_c1_only_enums_attrs_classes_and_exceptions_are_declared() -> None:
    """Everything else is an error where it is written."""
    with pytest.raises(TypeError, match="Plain is no enum, attrs class or exception class"):

        @value
        class Plain:
            pass

    with pytest.raises(TypeError, match="is no class"):
        value(lambda: None)  # type: ignore[call-overload]


@pytest.mark.one_path  # a name can be taken once
def test_c1_a_name_stands_for_one_class() -> None:
    """A second class cannot take it; the same class loaded anew can."""

    @value(name="test.taken")
    @attrs.define
    class First:
        pass

    with pytest.raises(ValueError, match=r"'test\.taken' stands for .*First"):

        @value(name="test.taken")
        @attrs.define
        class Second:
            pass

    First.__qualname__ = "Renewed"
    value(name="test.taken")(First)
    assert value_class("test.taken").cls is First  # type: ignore[union-attr]


def test_c1_what_is_known_of_a_class() -> None:
    """By class and by name; nothing is known of others."""
    known = value_class(Player)
    assert isinstance(known, ValueClass)
    assert known is value_class("player")
    assert [field.name for field in known.fields] == ["name", "items", "spot"]
    assert (known.kind, known.frozen, known.checked, known.unknown) == ("record", False, False, "refuse")
    assert value_class(int) is None
    assert value_class("nothing") is None


def test_c1_a_class_can_drop_unknown_fields() -> None:
    """The choice is kept with the class."""

    @value(name="test.lenient", unknown="drop")
    @attrs.frozen
    class Lenient:
        x: int = 0

    known = value_class(Lenient)
    assert known is not None
    assert known.unknown == "drop"


@pytest.mark.parametrize(
    ("item", "weight"),
    [
        ("abc", 3),
        ("äö", 4),
        (b"abc", 3),
        ([], 56),
        ([1, 2], 72),
        ((None, 1.5, True), 80),
        ({"ab": 1}, 74),
        ({1}, 64),
        (1 << 80, 66),
        (Decimal("1.50"), 59),
        (dt.date(2024, 1, 1), 56),
        (dt.timedelta(1), 56),
        (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), 56),
        (UUID(int=1), 56),
        (HANDLE, 56),
        (Reference(HANDLE), 112),
        (Reference("world", "World"), 66),
        (Color.RED, 112 + len("tests.values_table.Color") + len("ALSO_RED")),
        (Empty(), 112 + len("tests.values_table.Empty")),
        (Point(1), 112 + 32 + len("tests.values_table.Point") + len("xy")),
    ],
    ids=repr,
)
def test_c1_what_a_value_weighs(item: Any, weight: int) -> None:
    """The weight is the limit that it just passes."""
    snapshot(item, "args", Limits(size=weight))
    with pytest.raises(BadMessage, match="larger than a message may be"):
        snapshot(item, "args", Limits(size=weight - 1))


def test_c1_references_are_mapped_on_the_way() -> None:
    """What travels is what the sender's node makes of a reference; it may be the same."""
    one, other = Reference("world"), Reference("other")
    assert snapshot([one, (one,)], "args", resolve=lambda _: other)[0] == [other, (other,)]
    assert snapshot(one, "args")[0] is one


async def test_c1_an_undeclared_error_is_told_as_text() -> None:
    """Its class stays in the service."""

    class Odd(Exception):
        pass

    class Source(Service):
        @command
        async def fail(self) -> None:
            raise Odd("why")

    async with fresh_node() as node:
        source = await node.start(Source)
        with pytest.raises(RemoteError) as caught:
            await source.fail()
        assert caught.value.type_name.endswith("Odd")
        assert caught.value.text == "why"
