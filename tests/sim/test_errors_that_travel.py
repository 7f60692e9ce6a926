"""Errors and ends whose words cannot travel as they are, and nodes whose limits differ (C4, C9, C15)."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trionet import (
    BadMessage,
    NodeConfig,
    RemoteError,
    Service,
    command,
    value,
)
from trionet.net.failures import MAX_TEXT
from trionet.testing import open_cluster

pytestmark = pytest.mark.usefixtures("virtual_time", "silence")

#: What a node takes that takes little, and more than that.
LITTLE = 100_000
MUCH = 1_000_000


@pytest.fixture
def silence(caplog: pytest.LogCaptureFixture) -> None:
    """Keep what has no UTF-8 out of the reports of tests, which some ways of running them cannot carry."""
    caplog.set_level("CRITICAL")


@value(name="tests.sim.Wordy")
class Wordy(Exception):
    """A declared exception of any size."""


class Talker(Service):
    """Says much, or what has no UTF-8."""

    def __init__(self) -> None:
        self.gate = trio.Event()

    @command
    def end(self, text: str, times: int) -> None:
        """Fail, with a text that no message could bring."""

        async def fail() -> None:
            raise ValueError(text.replace("?", "\ud800") * times)

        self.nursery.start_soon(fail)

    @command
    def give(self, size: int) -> str:
        return "x" * size

    @command
    def fail(self, text: str, times: int) -> None:
        raise RuntimeError(text.replace("?", "\ud800") * times)

    @command
    def fail_wordily(self, size: int) -> None:
        raise Wordy("x" * size)

    @command
    async def take(self, item: Any) -> int:
        await self.gate.wait()
        return len(item)

    @command
    def open(self) -> None:
        self.gate.set()


@pytest.mark.parametrize(
    ("text", "times", "told"), [("a?", 1, "ValueError: a?"), ("x", MUCH, "ValueError: xxx")]
)
@pytest.mark.parametrize("late", [False, True])
async def test_c15_how_a_service_ended_is_told_whatever_it_said(
    text: str, times: int, told: str, late: bool
) -> None:
    """A file name that has no UTF-8 in an error, or a text that is larger than any message."""
    async with open_cluster(2, config=NodeConfig(message_size=LITTLE)) as cluster:
        talker = cluster[2].ref(await cluster[1].start(Talker), Talker)
        handle = cluster[1].services()[-1]
        if late:
            await talker.end(text, times)
            await trio.sleep(1)
        async with cluster[2].watch(handle) as watch:
            if not late:
                await talker.end(text, times)
            end = await watch.wait()
        assert end.reason == "failed"
        assert end.error is not None
        assert end.error.startswith(told)
        assert len(end.error) <= MAX_TEXT


@pytest.mark.parametrize(("text", "times"), [("a?", 1), ("x", MUCH), ("\u20ac", MUCH // 10)])
async def test_c4_an_error_travels_whatever_it_says(text: str, times: int) -> None:
    """Of one that is too long both the beginning of its text and the end of its traceback arrive."""
    async with open_cluster(2, config=NodeConfig(message_size=1_000)) as cluster:
        talker = cluster[2].ref(await cluster[1].start(Talker), Talker)
        with pytest.raises(RemoteError) as caught:
            await talker.fail(text, times)
        assert caught.value.text.startswith(text)
        assert caught.value.executed is True


async def test_c4_an_answer_is_too_large_for_the_node_that_asked() -> None:
    """It takes less than the node that answers: each call fails, and nothing else."""
    async with open_cluster(2) as cluster:
        await cluster.stop(2)
        await cluster.start(2, config=NodeConfig(message_size=LITTLE))
        talker = cluster[2].ref(await cluster[1].start(Talker), Talker)
        for call in (talker.give(MUCH), talker.fail_wordily(MUCH)):
            with pytest.raises(BadMessage, match="bytes, the peer takes") as caught:
                await call
            assert caught.value.executed is True
        assert await talker.give(3) == "xxx"


async def test_c4_a_message_that_waits_is_too_large_for_its_node() -> None:
    """That is told at once, and not when there is room: the others that wait go on."""
    async with open_cluster(2) as cluster, trio.open_nursery() as nursery:
        await cluster.stop(2)
        await cluster.start(2, config=NodeConfig(message_size=LITTLE))
        await cluster[1].cluster.wait_connected(2)
        talker = cluster[1].ref(await cluster[2].start(Talker), Talker)
        ends: list[object] = []

        async def take(size: int) -> None:
            try:
                ends.append(await talker.take("x" * size))
            except BadMessage as error:
                ends.append(error.executed)

        for _ in range(60):  # more than a window has room for
            nursery.start_soon(take, LITTLE - 1_000)
        await trio.sleep(1)
        nursery.start_soon(take, MUCH)
        await trio.sleep(1)
        assert ends == [False]
        await cluster[2].call(cluster[2].services()[-1], "open")
        await trio.sleep(1)
        assert ends == [False] + [LITTLE - 1_000] * 60


async def test_a_command_that_waits_has_too_long_a_name() -> None:
    """That is told at once, too."""
    async with open_cluster(2) as cluster, trio.open_nursery() as nursery:
        talker = cluster[1].ref(await cluster[2].start(Talker), Talker)
        handle = cluster[2].services()[-1]
        for _ in range(60):
            nursery.start_soon(talker.take, "x" * LITTLE)
        await trio.sleep(1)
        for wait in (cluster[1].call(handle, "y" * 256), cluster[1].send(handle, "y" * 256)):
            with pytest.raises(ValueError, match="a name or local id out of range"):
                await wait
        await cluster[2].call(handle, "open")
