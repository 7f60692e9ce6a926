"""C9: what a handler raises or returns may be as odd as it likes, and so may the stack on which it calls."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import attrs
import pytest
import trio

from tests.kernel.nodes import assert_nothing_lost, fresh_node, instance_of
from tests.kernel.raiser import Raiser
from trionet import BadMessage, Node, RemoteError, Service, command, defer, spec, value

pytestmark = pytest.mark.usefixtures("virtual_run")


class Closed(ExceptionGroup[Exception]):
    """A group that cannot be split."""

    def derive(self, _: Any, /) -> Any:
        raise LookupError("no parts")


class Exiting(Exception):
    """An exception whose text ends the program."""

    def __str__(self) -> str:
        raise SystemExit(3)


@value
class Noted(Exception):
    """A declared exception that has a use of its own for notes."""

    def __init__(self) -> None:
        super().__init__("noted")
        self.__notes__: Any = 5


@value
class Fixed(Exception):
    """A declared exception that takes no notes."""

    def add_note(self, _: str, /) -> None:
        raise LookupError("no notes")


class Notes(Exception):
    """An exception whose notes cannot be read."""

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise LookupError("no notes")


def nested(depth: int) -> Exception:
    """Groups within groups."""
    error = Exception("inmost")
    for _ in range(depth):
        error = ExceptionGroup("around", [error])
    return error


def syntax_error() -> SyntaxError:
    """One whose place is no place."""
    error = SyntaxError("where?")
    error.lineno, error.text = 1, 5  # type: ignore[assignment]
    return error


RAISED: dict[str, tuple[Callable[[], Exception], type[Exception], str]] = {
    "closed": (lambda: Closed("one", [ValueError()]), RemoteError, "Closed: one"),
    "exiting": (Exiting, RemoteError, "Exiting: <no text"),
    "noted": (Noted, Noted, "noted"),
    "fixed": (Fixed, Fixed, ""),
    "notes": (Notes, RemoteError, "Notes"),
    "nested": (lambda: nested(5000), RemoteError, "ExceptionGroup: around"),
    "syntax": (syntax_error, RemoteError, "SyntaxError: where?"),
}


class Endless(list[Any]):
    """A list that cannot be looked through."""

    def __iter__(self) -> Iterator[Any]:
        raise SystemExit(4)


@value
@attrs.define(eq=False)
class Key:
    """A key whose hash runs code of the user's."""

    table: dict[Any, Any]
    armed: bool = False

    def __hash__(self) -> int:
        if self.armed:
            self.table[len(self.table)] = 0
        return 1


def growing() -> dict[Any, Any]:
    """A table that changes while it is copied."""
    table: dict[Any, Any] = {}
    key = Key(table)
    table[key] = 0
    key.armed = True
    return table


RETURNED: dict[str, Callable[[], Any]] = {
    "endless": lambda: Endless([1]),
    "within": lambda: [Endless([1])],
    "growing": growing,
    "huge": lambda: {"a": 1 << 20_000},
}


class Oddity(Raiser):
    """Raises and returns odd things."""

    raised = RAISED

    @command
    def deferred(self, kind: str) -> None:
        defer().fail(RAISED[kind][0]())

    @command
    async def give(self, kind: str) -> Any:
        return RETURNED[kind]()

    @command
    def give_plainly(self, kind: str) -> Any:
        return RETURNED[kind]()

    @command
    def nothing(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("name", ["at_once", "plainly", "later", "deferred"])
async def test_c9_an_odd_exception_fails_that_call(name: str, kind: str) -> None:
    _, expected, text = RAISED[kind]
    async with fresh_node() as node:
        oddity = await node.start(Oddity)
        with pytest.raises(expected) as caught:
            await node.call(oddity, name, kind)
        assert text in str(caught.value.args[0] if caught.value.args else "")
        await node.send(oddity, name, kind)
        await oddity.nothing()
        await trio.sleep(2)
        assert_nothing_lost(node)


class Breaker(Service):
    """Has a task that raises odd things."""

    @command
    def begin(self, kind: str) -> None:
        self.nursery.start_soon(self._break, kind)

    async def _break(self, kind: str) -> None:
        raise RAISED[kind][0]()


@pytest.mark.parametrize("kind", sorted({*RAISED} - {"closed", "nested"}))  # Trio itself has to split groups
async def test_c9_an_odd_exception_of_its_own_task_ends_the_service(kind: str) -> None:
    async with fresh_node() as node:
        breaker, oddity = await node.start(Breaker), await node.start(Oddity)
        async with node.watch(breaker) as watch:
            await breaker.begin(kind)
            assert (await watch.wait()).reason == "failed"
        await oddity.nothing()


@pytest.mark.parametrize("kind", RETURNED)
@pytest.mark.parametrize("name", ["give", "give_plainly"])
@pytest.mark.parametrize("tapped", [False, True])
async def test_c9_an_odd_result_fails_that_call(name: str, kind: str, tapped: bool) -> None:
    async with fresh_node() as node:
        oddity = await node.start(Oddity)

        async def ask() -> None:
            with pytest.raises(BadMessage, match=f"^{name} of .* returned result") as caught:
                await node.call(oddity, name, kind)
            assert caught.value.executed is True
            await oddity.nothing()

        if tapped:
            async with node.tap(oddity):
                await ask()
        await ask()


@pytest.mark.parametrize("make", RETURNED.values(), ids=RETURNED)
async def test_c1_an_odd_argument_fails_at_the_sender(make: Callable[[], Any]) -> None:
    async with fresh_node() as node:
        oddity = await node.start(Oddity)
        with pytest.raises(BadMessage, match=r"^args"):
            await node.call(oddity, "nothing", make())
        await oddity.nothing()


# --- validators ---------------------------------------------------------------------------------------


def _refuse(instance: Checked, _: Any, __: Any) -> None:
    if instance.refuses:
        raise _REFUSALS[instance.refuses]()


_REFUSALS: dict[str, Callable[[], BaseException]] = {"exit": SystemExit, "text": Exiting}


@value
@attrs.define
class Checked:
    """What a validator of the user's looks at, with the means to upset it."""

    items: list[int]
    refuses: str = attrs.field(default="", validator=_refuse, on_setattr=attrs.setters.NO_OP)


class Taker(Service):
    """Takes and gives what is validated."""

    @command
    async def take(self, item: Checked) -> None:
        raise AssertionError("not reached")

    @command
    def take_plainly(self, item: Checked) -> None:
        raise AssertionError("not reached")

    @command
    def give(self, refuses: str) -> Checked:
        item = Checked([])
        item.refuses = refuses
        return item

    @command
    def nothing(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("refuses", _REFUSALS)
async def test_c1_a_validator_that_raises_anything_fails_that_call(refuses: str) -> None:
    async with fresh_node() as node:
        taker = await node.start(Taker)
        item = Checked([])
        item.refuses = refuses
        for name in ("take", "take_plainly"):
            with pytest.raises(BadMessage, match="refused by its validator") as caught:
                await node.call(taker, name, item)
            assert caught.value.executed is False
        with pytest.raises(BadMessage, match="refused by its validator") as caught:
            await taker.give(refuses)
        assert caught.value.executed is True
        await taker.nothing()


# --- a full stack ---------------------------------------------------------------------------------------


class Shallow(Service):
    """Is called from deep down."""

    @command
    def plain(self) -> int:
        return 1

    @command
    async def coroutine(self) -> list[Any]:
        return [1, [2]]

    @command
    async def waiting(self) -> None:
        await trio.lowlevel.checkpoint()


class Deep(Service):
    """Goes down and down, and says something at each step."""

    def __init__(self, shallow: Shallow) -> None:
        self.shallow = shallow

    @command
    async def dive(self, how: str, name: str, start: int) -> None:
        await self._down(how, name, start)

    async def _down(self, how: str, name: str, silent: int) -> None:
        if silent <= 0:
            await getattr(self, f"_{how}")(name)
        await self._down(how, name, silent - 1)

    async def _call(self, name: str) -> None:
        with suppress(RemoteError):
            await self.node.call(self.shallow, name)

    async def _send(self, name: str) -> None:
        await self.node.send(self.shallow, name)

    async def _send_nowait(self, name: str) -> None:
        self.node.send_nowait(self.shallow, name)


@contextmanager
def recursion_limit(limit: int) -> Iterator[None]:
    former = sys.getrecursionlimit()
    sys.setrecursionlimit(limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(former)


async def _dive(node: Node, how: str, name: str, start: int) -> None:
    shallow = await node.start(Shallow)
    deep = await node.start(spec(Deep, shallow))
    with pytest.raises(RemoteError), recursion_limit(400):
        await deep.dive(how, name, start)
    await trio.sleep(1)
    assert await shallow.plain() == 1
    assert await shallow.coroutine() == [1, [2]]
    await shallow.waiting()
    assert_nothing_lost(node)
    actor = instance_of(node, shallow)._actor
    assert actor.count_tasks() + 1 == len(actor.resting)


@pytest.mark.parametrize("how", ["call", "send", "send_nowait"])
@pytest.mark.parametrize("name", ["plain", "coroutine", "waiting"])
@pytest.mark.parametrize("message_path", ["direct", "queued"], indirect=True)
async def test_a_recursion_without_end_hurts_only_its_own_service(how: str, name: str) -> None:
    """Wherever on the way of a message the stack of its sender is full."""
    async with fresh_node() as node:
        for start in range(0, 24, 3):
            await _dive(node, how, name, start)
