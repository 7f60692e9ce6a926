"""Bad input: unknown commands, wrong arguments, dead, old and foreign handles, names; nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from tests.kernel.nodes import Echo, assert_nothing_lost, fresh_node, instance_of
from trionet import (
    BadArguments,
    CallError,
    Handle,
    NameTaken,
    Node,
    NodeDown,
    NoSuchCommand,
    NoSuchService,
    TrionetError,
)
from trionet.kernel.reference import target_of

pytestmark = pytest.mark.usefixtures("virtual_run")

#: The address and the message, made on a node with one living service, :00000001, and one that is dead.
WRONG: dict[str, tuple[Callable[[Node], Any], str, tuple[Any, ...], type[CallError], str]] = {
    "unknown-command": (
        lambda node: ":1",
        "ecco",
        (),
        NoSuchCommand,
        ":00000001 .echo (Echo) has no command 'ecco'; it has: count, echo, hand_out",
    ),
    "empty-command": (lambda node: ".echo", "", (), NoSuchCommand, "has no command ''"),
    "private-command": (lambda node: ".echo", "__init__", (), NoSuchCommand, "has no command '__init__'"),
    "odd-command": (lambda node: ".echo", "\ud800\n", (), NoSuchCommand, r"has no command '\ud800\n'"),
    "wrong-arguments": (
        lambda node: ".echo",
        "hand_out",
        (1, 2),
        BadArguments,
        "takes 2 positional arguments but 3 were given; the command is hand_out(index: int)",
    ),
    "dead": (
        lambda node: Handle(2, node.incarnation),
        "echo",
        (),
        NoSuchService,
        "no service at :00000002: it has ended, or never was",
    ),
    "never-was": (lambda node: ":00ffffff", "echo", (), NoSuchService, "no service at :00ffffff"),
    "zero": (lambda node: ":0", "echo", (), NoSuchService, "no service at :00000000"),
    "old": (
        lambda node: Handle(1, node.incarnation ^ 1),
        "echo",
        (),
        NodeDown,
        ":00000001 is of an earlier incarnation of this node, or of another node without a cluster",
    ),
    "elsewhere": (
        lambda node: Handle(0x09000001, 5),
        "echo",
        (),
        NodeDown,
        ":09000001 is on another node, and this one has no network (harbor id 0)",
    ),
    "harbor-that-never-was": (
        lambda node: ":ff000001",
        "echo",
        (),
        NodeDown,
        "harbor 255 is on another node, and this one has no network (harbor id 0)",
    ),
    "local-name": (lambda node: ".ehco", "echo", (), NoSuchService, "'.ehco'; did you mean '.echo'?"),
    "global-name": (lambda node: "wrold", "echo", (), NoSuchService, "'wrold'; did you mean 'world'?"),
    "name-of-nobody": (lambda node: "x", "echo", (), NoSuchService, "nobody owns the name 'x'"),
    "malformed-name": (lambda node: "a b", "echo", (), NoSuchService, "nobody owns the name 'a b'"),
}


async def world(node: Node) -> Echo:
    """One living service with two names, and one that is dead."""
    echo = await node.start(Echo, name=".echo")
    await node.register("world", echo)
    await node.kill(await node.start(Echo))
    return echo


@pytest.mark.parametrize("wrong", WRONG)
async def test_c4_a_call_to_a_wrong_address_says_what_is_wrong(wrong: str) -> None:
    """It ends at once, was not executed, and the living service never hears of it."""
    make, name, args, kind, text = WRONG[wrong]
    async with fresh_node() as node:
        echo = await world(node)
        before = trio.current_time()
        with pytest.raises(kind) as caught:
            await node.call(make(node), name, *args)
        assert text in str(caught.value)
        assert caught.value.executed is False
        assert trio.current_time() == before
        assert await echo.echo("still there") == "still there"
        assert instance_of(node, echo).seen == [("still there", {})]
        assert_nothing_lost(node)


@pytest.mark.parametrize("wrong", WRONG)
async def test_c5_a_send_to_a_wrong_address_is_not_lost_silently(
    wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What reaches no service is a dead letter, what a service refuses is logged."""
    make, name, args, kind, text = WRONG[wrong]
    async with fresh_node() as node:
        echo = await world(node)
        await node.send(make(node), name, *args)
        node.send_nowait(make(node), name, *args)
        assert await echo.echo("still there") == "still there"
        reached = kind in (NoSuchCommand, BadArguments)
        assert node.dead_letters.count == (0 if reached else 2)
    assert caplog.text.count(text) >= 2


@pytest.mark.parametrize("wrong", [":", ":x", ":123456789", ":1 "])
async def test_c4_the_text_of_a_handle_must_be_one(wrong: str) -> None:
    """This is no end of a call but a mistake in the text."""
    async with fresh_node() as node:
        with pytest.raises(ValueError, match="is no handle: expected a colon and one to eight hex digits"):
            await node.call(wrong, "echo")
        with pytest.raises(ValueError, match="is no handle"):
            await node.send(wrong, "echo")
        with pytest.raises(ValueError, match="is no handle"):
            node.send_nowait(wrong, "echo")
        assert_nothing_lost(node)


async def test_c4_an_address_must_be_one() -> None:
    """What is neither reference, handle nor text is refused where it is given, before any await."""
    async with fresh_node() as node:
        echo = await world(node)
        wrong: list[Any] = [5, None, b".echo", Echo, instance_of(node, echo), [".echo"]]
        for each in wrong:
            for use in (node.call, node.send, node.send_nowait):
                with pytest.raises(TypeError, match="is no address: expected a reference, a handle, a name"):
                    use(each, "echo", 1)
            with pytest.raises(TypeError, match="is no address"):
                await node.stop(each)
            with pytest.raises(TypeError, match="is no address"):
                node.watch(each)
        assert_nothing_lost(node)


async def test_c4_a_command_must_be_one() -> None:
    """Its name or its declaration; a bound one is called itself."""
    async with fresh_node() as node:
        echo = await world(node)
        wrong: list[Any] = [5, None, b"echo", echo.echo, Echo.__init__]
        for each in wrong:
            with pytest.raises(TypeError, match=r"is no command: expected its name, or its declaration"):
                await node.call(echo, each)
            with pytest.raises(TypeError, match="is no command"):
                await node.send(echo, each)
            with pytest.raises(TypeError, match="is no command"):
                node.send_nowait(echo, each)
        assert_nothing_lost(node)


@pytest.mark.parametrize("name", [".echo", "world"], ids=["local", "global"])
async def test_c11_a_taken_name_starts_nothing(name: str) -> None:
    """The owner keeps it, and the text tells who that is."""
    async with fresh_node() as node:
        echo = await world(node)
        with pytest.raises(NameTaken, match=f"the name '{name}' is owned by :00000001") as caught:
            await node.start(Echo, name=name)
        assert caught.value.owner == target_of(echo)
        assert isinstance(caught.value, TrionetError)
        assert len(node.services()) == 1
        assert await node.call(name, "echo", 1) == 1
        assert_nothing_lost(node)


@pytest.mark.parametrize("name", ["", ".", "a b", "a@b", "a:b", "\x00", "x" * 256, ".é" * 200, "..", ":1"])
async def test_c11_a_malformed_name_starts_nothing(name: str) -> None:
    """It says what a name looks like."""
    async with fresh_node() as node:
        await world(node)
        with pytest.raises(ValueError, match=r"is no name: expected '\.name'|is longer than 255 bytes"):
            await node.start(Echo, name=name)
        assert len(node.services()) == 1
        assert_nothing_lost(node)
