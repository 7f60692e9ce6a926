"""The chat of the examples: once as a user runs it, with real sockets, and its room without any."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import trio

from tests.examples.test_examples import loaded, printed_by
from trionet import Node

HOW_TO = Path(__file__).parents[2] / "docs/howto/websocket.md"


def test_it_prints_what_the_page_shows() -> None:
    """All of it: the clients take turns, so that nothing depends on who is faster."""
    shown = re.search(
        r"```console\n\$ trionet run examples/chat\.py\n(.*?)```", HOW_TO.read_text(), re.DOTALL
    )
    assert shown is not None
    assert printed_by("chat") == shown[1]


@pytest.fixture
def chat() -> Iterator[ModuleType]:
    """The module, which needs no socket as long as nobody starts a gate."""
    yield from loaded("chat")


async def test_who_reads_too_slowly_loses_the_room_and_nobody_else_does(node: Node, chat: ModuleType) -> None:
    room = await node.start(chat.Room)
    async with room.listen("slow") as slow, room.listen("fast") as fast:
        for number in range(1000):
            await room.say("ann", str(number))
            assert (await fast.receive()).text == str(number)
        assert await room.present() == ["fast"]
        read = [line.text async for line in slow]
        assert read == [str(number) for number in range(len(read))]
        assert 100 < len(read) < 1000
    await trio.testing.wait_all_tasks_blocked()
    assert await room.present() == []


async def test_who_comes_late_hears_the_last_lines(node: Node, chat: ModuleType) -> None:
    room = await node.start(chat.Room)
    for number in range(20):
        await room.say("ann", str(number))
    async with room.listen("ben", last=3) as lines:
        await room.say("ann", "now")
        assert [str(await lines.receive()) for _ in range(4)] == ["ann: 17", "ann: 18", "ann: 19", "ann: now"]
