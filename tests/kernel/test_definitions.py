"""Mistakes in the definition of a service class, and calls that are forgotten: each is told."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from tests.kernel.nodes import fresh_node
from trionet import Node, NoSuchService, Service, command, stream

pytestmark = pytest.mark.usefixtures("virtual_run")

Method = Callable[[Any], Coroutine[Any, Any, None]]

AWAITED = ("setup", "teardown", "child_failed", "name_lost")


class Clerk(Service):
    """Forgets to await its own command, if it is told to."""

    @command
    async def answer(self, question: str) -> str:
        return question

    @command
    async def forget(self) -> None:
        self.answer("?")  # type: ignore[unused-coroutine]

    @command
    async def forget_to_send(self) -> None:
        self.answer.send("?")  # type: ignore[unused-coroutine]

    @stream
    async def answers(self) -> AsyncIterator[str]:
        yield "yes"

    @command
    async def forget_to_open(self) -> None:
        self.answers()

    def count(self) -> int:
        """No command."""
        return 0


# --- what is overridden -----------------------------------------------------------------------------


def plain(*_: object) -> None: ...


def generator(*_: object) -> Any:
    yield


async def async_generator(*_: object) -> Any:
    yield


async def coroutine(*_: object) -> None: ...


@pytest.mark.parametrize("name", AWAITED)
def test_what_is_awaited_must_be_a_coroutine_function(name: str) -> None:
    """Else the first start or the end of a service would tell, in the words of Python."""
    wrong = {plain: "a plain function", generator: "a generator", async_generator: "a generator"}
    for function, kind in wrong.items():
        with pytest.raises(TypeError, match=rf"Wrong\.{name} is {kind}, expected `async def {name}`"):
            type("Wrong", (Service,), {name: function})
    with pytest.raises(
        TypeError, match=rf"Wrong\.{name} is of type int, but hides the method Service\.{name}"
    ):
        type("Wrong", (Service,), {name: 3})


@pytest.mark.parametrize("name", AWAITED)
def test_a_mixin_is_looked_at_too(name: str) -> None:
    """It is the class of the service that is wrong, whoever wrote the method."""
    mixin = type("Mixin", (), {name: plain})
    with pytest.raises(TypeError, match=rf"Wrong\.{name} is a plain function"):
        type("Wrong", (mixin, Service), {})


def test_what_is_not_awaited_must_be_none() -> None:
    """The constructor and ``debug_info`` give their result at once."""
    with pytest.raises(TypeError, match=r"Wrong\.__init__ is `async def`.*belongs into `async def setup`"):
        type("Wrong", (Service,), {"__init__": coroutine})
    with pytest.raises(TypeError, match=r"Wrong\.debug_info is `async def`, expected a plain function"):
        type("Wrong", (Service,), {"debug_info": coroutine})


async def test_a_decorated_setup_is_a_coroutine_function_by_what_it_wraps() -> None:
    """A decorator of the user need not be ``async def`` itself."""

    def logged(method: Method) -> Method:
        @wraps(method)
        def wrapper(self: Any) -> Coroutine[Any, Any, None]:
            self.seen.append(method.__name__)
            return method(self)

        return wrapper

    class Careful(Service):
        def __init__(self) -> None:
            self.seen: list[str] = []

        @logged
        async def setup(self) -> None:
            self.seen.append("within")

        @command
        def what(self) -> list[str]:
            return self.seen

    async with fresh_node() as node:
        careful = await node.start(Careful)
        assert await careful.what() == ["setup", "within"]


# --- what is declared -------------------------------------------------------------------------------


def test_a_command_has_one_name() -> None:
    """It would be found under one name, and called by the other."""
    with pytest.raises(TypeError, match=r"Alias\.reply is a command whose function is named 'answer'"):

        class Alias(Clerk):
            reply = Clerk.answer

    with pytest.raises(TypeError, match="is a command whose function is named '<lambda>'"):

        class Nameless(Service):
            one = command(lambda self: 1)


def test_a_command_has_a_self() -> None:
    """Else each call would fail."""

    def command_of_nobody() -> None: ...

    async def stream_of_nobody() -> AsyncIterator[int]:
        yield 1

    def method(*args: object) -> None: ...

    with pytest.raises(
        TypeError, match="command_of_nobody has no `self`; @command is for methods of a service"
    ):
        command(command_of_nobody)  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match="stream_of_nobody has no `self`; @stream is for methods of a service"
    ):
        stream(stream_of_nobody)  # type: ignore[arg-type]
    assert command(method).name == "method"


def test_times_are_numbers() -> None:
    """A default deadline that is text or a truth value is told as such."""
    for wrong in ("1", True):
        text = rf"deadline of plain: found {wrong!r}, expected a number of seconds, more than 0"
        with pytest.raises(ValueError, match=text):
            command(deadline=wrong)(plain)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "found", "text"),
    [
        ("concurrency", "1", "concurrency: found '1', expected a whole number of handlers, 1 or more"),
        ("inbox", 0, "inbox: found 0, expected a whole number of messages, 1 or more"),
        ("overflow", "drop", 'overflow: found \'drop\', expected one of "wait", "reject"'),
        ("deadline", "1", "deadline: found '1', expected a number of seconds, more than 0"),
    ],
)
def test_a_class_option_that_is_wrong_is_named(name: str, found: object, text: str) -> None:
    """With what was found and what was expected."""
    with pytest.raises(ValueError, match=re.escape(f"class option of Wrong: {text}")):
        type("Wrong", (Service,), {}, **{name: found})


def test_a_class_option_that_nobody_knows_is_named() -> None:
    """With those that there are, and the nearest."""
    text = r"nobody knows: concurency .* concurrency, inbox, overflow, deadline; did you mean \"concurrency\""
    with pytest.raises(TypeError, match=text):
        type("Wrong", (Service,), {}, concurency=1)


def test_a_mixin_may_have_class_options_of_its_own() -> None:
    """Service takes its own and hands on the rest; what a mixin raises without one is its own affair."""

    class Coloured:
        color = ""

        def __init_subclass__(cls, *, color: str, **rest: Any) -> None:
            super().__init_subclass__(**rest)
            cls.color = color

    class Red(Service, Coloured, color="red", inbox=3):
        """Has options of both."""

    assert (Red.color, Red.__trionet_options__.inbox) == ("red", 3)
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'color'"):
        type("Colourless", (Service, Coloured), {})


# --- what is forgotten ------------------------------------------------------------------------------


async def test_a_call_that_is_not_awaited_is_warned_of_by_its_name() -> None:
    """By reference, by address, of oneself; calls and sends."""
    async with fresh_node() as node:
        clerk: Any = await node.start(Clerk, name=".clerk")
        untyped = node.ref(".clerk")
        forgotten: list[tuple[Callable[[], object], str]] = [
            (lambda: clerk.answer("x"), "Clerk.answer"),
            (lambda: clerk.answer.send("x"), "Clerk.answer.send"),
            (lambda: clerk.answer.options(deadline=1)("x"), "Clerk.answer"),
            (lambda: node.call(clerk, Clerk.answer, "x"), "Clerk.answer"),
            (lambda: node.call(clerk, "answer", "x"), "answer"),
            (lambda: node.send(clerk, "answer", "x"), "answer.send"),
            (lambda: untyped.answer("x"), "answer"),
            (lambda: node.start(Clerk), "Node.start"),
            (lambda: node.wait_for_name(".clerk"), "Node.wait_for_name"),
        ]
        for forget, name in forgotten:
            with pytest.warns(RuntimeWarning, match=rf"coroutine '{name}' was never awaited"):
                forget()
        with pytest.warns(RuntimeWarning, match=r"coroutine 'Clerk\.answer' was never awaited"):
            await clerk.forget()
        with pytest.warns(RuntimeWarning, match=r"coroutine 'Clerk\.answer\.send' was never awaited"):
            await clerk.forget_to_send()


async def test_a_stream_that_is_not_opened_is_warned_of_by_its_name() -> None:
    """As a call that is not awaited; one that was opened, or could not be, is not."""
    async with fresh_node() as node:
        clerk = await node.start(Clerk, name=".clerk")
        forgotten: list[tuple[Callable[[], object], str]] = [
            (lambda: clerk.answers(), r"Clerk\.answers"),
            (lambda: node.stream(clerk, Clerk.answers), r"Clerk\.answers"),
            (lambda: node.stream(clerk, "answers"), "answers"),
        ]
        for forget, name in forgotten:
            with pytest.warns(RuntimeWarning, match=rf"stream '{name}' was never opened: `async with"):
                forget()
        with pytest.warns(RuntimeWarning, match=r"stream 'Clerk\.answers' was never opened"):
            await clerk.forget_to_open()
        async with node.ref(".clerk").answers() as items:
            assert [item async for item in items] == ["yes"]
        assert await node.ref(".clerk").answer("x") == "x"
        with pytest.raises(NoSuchService):
            async with node.stream(".nobody", Clerk.answers):
                pass


async def test_methods_of_a_node_are_named_by_it() -> None:
    """Not by the part of it that they are in."""
    async with fresh_node() as node:
        started: Any = node
        with pytest.raises(TypeError, match=r"Node\.start\(\) takes 2 positional arguments but 3 were given"):
            started.start(Clerk, "an argument")
    assert Node.stop.__qualname__ == "Node.stop"


async def test_what_is_no_command_is_told_with_the_reason() -> None:
    """A method without ``@command``, a state, a typing error."""
    async with fresh_node() as node:
        clerk: Any = await node.start(Clerk)
        with pytest.raises(
            AttributeError, match=r"'count' is no command of Clerk .*: answer, .*without @command"
        ):
            _ = clerk.count
        with pytest.raises(AttributeError, match=r"not to the state of the service$"):
            _ = clerk.questions
        with pytest.raises(AttributeError, match='did you mean "answer"'):
            _ = clerk.anser
