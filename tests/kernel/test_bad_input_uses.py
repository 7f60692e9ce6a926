"""Wrong uses of what is public, that are no messages: each is refused with what was expected."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import attrs
import pytest

from tests.kernel.nodes import fresh_node
from trionet import (
    BadMessage,
    CallError,
    Deadlock,
    Handle,
    NameTaken,
    NodeDown,
    NoSuchClass,
    RemoteError,
    Restart,
    Service,
    TrionetError,
    command,
    open_node,
    value,
)

pytestmark = pytest.mark.usefixtures("virtual_run")

HANDLE = Handle.make(1, 2, 3)
ERRORS: list[TrionetError] = [
    TrionetError("what it says"),
    NameTaken("lobby", HANDLE),
    NoSuchClass("game:Room", "there is no module"),
    NodeDown("no link", executed=None),
    Deadlock(["a of A", "b of B"]),
    RemoteError("builtins.ValueError", "no", "Traceback ..."),
]


class Echo(Service):
    """Says what it hears, and sends itself where it must not."""

    @command
    def echo(self, what: Any) -> Any:
        return what

    @command
    async def send_itself(self) -> None:
        await self.ref().echo(self)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_can_be_copied_and_pickled(
    error: TrionetError, again: Callable[[TrionetError], TrionetError]
) -> None:
    """As those who run tests or jobs in other processes do with what they raise."""
    error.add_note("noted")
    other = again(error)
    assert (type(other), str(other), other.args) == (type(error), str(error), error.args)
    assert vars(other) == vars(error)
    if isinstance(error, CallError):
        assert isinstance(other, CallError)
        assert other.executed is error.executed


async def test_a_reference_is_its_own_copy_and_cannot_be_pickled() -> None:
    """A state that holds references can be copied; what belongs to a node stays with it."""
    async with fresh_node() as node:
        await node.start(Echo, name=".echo")
        for reference in (node.ref(".echo", Echo), node.ref(".echo")):
            assert copy.copy(reference) is reference
            assert copy.deepcopy({"echo": [reference]}) == {"echo": [reference]}
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                with pytest.raises(TypeError, match=r"<reference \.echo.*> cannot be pickled"):
                    pickle.dumps(reference, protocol)


async def test_a_policy_that_is_none_and_a_promise_about_no_name_start_nothing() -> None:
    """They are told before the constructor runs."""
    async with fresh_node() as node:
        wrong: Any = "failure"
        with pytest.raises(TypeError, match=r"restart: found 'failure', expected .*\.Restart\('failure'\)"):
            await node.start(Echo, restart=wrong)
        with pytest.raises(ValueError, match=r":Echo was to be exclusive: that is about a name"):
            await node.start(Echo, exclusive=True)
        wrong = 5
        with pytest.raises(TypeError, match="5 is no name: expected text"):
            await node.start(Echo, name=wrong)
        assert node.services() == ()


def test_a_node_is_opened_in_trio() -> None:
    """Elsewhere, as in asyncio, the error says what is missing."""

    async def main() -> None:
        async with open_node():
            pass

    with pytest.raises(RuntimeError, match=r"a node is opened in Trio: within trio\.run\(main\), or"):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"when": "sometimes"}, 'when: found \'sometimes\', expected one of "never", "failure", "always"'),
        ({"most": -1}, "most: found -1, expected a whole number of restarts, 0 or more"),
        ({"within": 0}, "within: found 0, expected a number of seconds, more than 0"),
        ({"delay": "1"}, "delay: found '1', expected a number of seconds, 0 or more"),
    ],
)
def test_a_restart_policy_says_what_is_wrong_with_it(wrong: dict[str, Any], text: str) -> None:
    """In the words that a configuration has for it."""
    with pytest.raises(ValueError) as caught:
        Restart(**wrong)
    assert str(caught.value) == text


def test_what_can_be_declared_as_a_value_is_told() -> None:
    """Two ways in which it is missed: a dataclass, and the decorators the wrong way round."""

    @dataclass
    class Data:
        x: int

    class Bare:
        x: int

    for cls in (Data, Bare):
        with pytest.raises(TypeError, match=r"declare it with @attrs\.frozen, and put @value above that"):
            value(cls)
    value(attrs.frozen(Bare))


async def test_a_service_in_a_message_is_told_apart() -> None:
    """It is the commonest of what is no value, and its reference is one."""
    async with fresh_node() as node:
        echo = await node.start(Echo)
        with pytest.raises(RemoteError, match=r"args\[0\]: .*Echo, which is a service; .*self\.ref\(\)"):
            await echo.send_itself()
        with pytest.raises(BadMessage, match=r"which is 16777216 bytes \(node\.message_size\)"):
            await echo.echo("x" * (1 << 24 | 1))
