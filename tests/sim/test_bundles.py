"""Small messages in bundles, between whole nodes: in order, each with an end of its own, none forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from tests.sim.places import REST
from trionet import CallError, Service, command, spec
from trionet.testing import SimulatedCluster, open_cluster
from trionet.wire.link_small_send import SmallSender

WORDS = [f"word {number}" for number in range(150)]


class Box(Service):
    """Notes what it gets; breaks, waits or ends when it is told."""

    def __init__(self, log: list[str]) -> None:
        self.seen = log

    @command
    def note(self, word: object, mark: str = "") -> object:
        self.seen.append(f"{word!s:.8}{mark}")
        if word == "break":
            raise ValueError("as it was told")
        return word

    @command
    async def wait(self, word: str) -> str:
        self.seen.append(word)
        await trio.sleep(1)
        return word

    @command
    async def leave(self) -> None:
        await self.stop()


class Talker(Service):
    """Sends and calls many times in one go, so that all of it is written together."""

    def __init__(self, box: Box) -> None:
        self.box = box

    @command
    async def mix(self) -> None:
        """All kinds of what can follow each other for one receiver."""
        note = self.box.note
        for word in (1, "2", [3], 4, {"5": 5}, 6):
            await note.send(word)
        await note.send(7, mark="!")
        await note.send("8" * 300)
        await self.box.wait.send("9")
        note.send_nowait(10)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note, 11)
            nursery.start_soon(note.send, 12)
        await note.send("x" * 100_000)
        await note.send(13)

    @command
    async def tell(self, words: list[str]) -> None:
        for word in words:
            await self.box.note.send(word)

    @command
    async def leave_in_between(self, words: list[str]) -> None:
        for number, word in enumerate(words):
            await self.box.note.send(word)
            if number == len(words) // 2:
                await self.box.leave.send()

    @command
    async def ask(self, words: list[str]) -> list[object]:
        """Call as often at the same time; gives results, and errors as the names of their classes."""
        results: dict[str, object] = {}

        async def one(word: str) -> None:
            try:
                results[word] = await self.box.note(word)
            except CallError as error:
                results[word] = type(error).__name__

        async with trio.open_nursery() as nursery:
            for word in words:
                nursery.start_soon(one, word)
        return [results[word] for word in words]


@attrs.frozen
class Scene:
    """A box on node 2, a talker to it on node 1, what the box notes, and how many messages were small."""

    cluster: SimulatedCluster
    box: Box
    talker: Talker
    log: list[str]
    small: list[str]


@asynccontextmanager
async def open_scene(patch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """Open two nodes, and count what goes into bundles."""
    small: list[str] = []
    originals: dict[str, Any] = {"send_small": SmallSender.send_small, "call_small": SmallSender.call_small}
    for name in originals:

        def note(
            link: SmallSender, *args: object, _do: object = getattr(SmallSender, name), **kwargs: object
        ) -> object:
            assert callable(_do)
            done = _do(link, *args, **kwargs)
            if done:
                small.append(str(args[2]))
            return done

        patch.setattr(SmallSender, name, note)
    async with open_cluster(2) as cluster:
        log: list[str] = []
        box = cluster[1].ref(await cluster[2].start(spec(Box, log)), Box)
        talker = await cluster[1].start(spec(Talker, box))
        yield Scene(cluster, box, talker, log, small)


async def test_c2_in_order_whatever_goes_into_a_bundle(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_scene(monkeypatch) as scene:
        await scene.talker.mix()
        await trio.sleep(REST)
        first = ["1", "2", "[3]", "4", "{'5': 5}", "6", "7!", "8" * 8, "9", "10"]
        assert scene.log[:10] == first
        assert set(scene.log[10:12]) == {"11", "12"}
        assert scene.log[12:] == ["x" * 8, "13"]
        assert len(scene.small) >= 5


async def test_c5_each_arrives_once_though_the_window_is_full(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"{number}" for number in range(1_000)]
    async with open_scene(monkeypatch) as scene:
        await scene.talker.tell(words)
        assert await scene.box.note("end") == "end"
        assert scene.log == [*words, "end"]
        assert len(scene.small) > 900
        await trio.sleep(30)
        assert scene.cluster[1].dead_letters.count == scene.cluster[2].dead_letters.count == 0


async def test_c4_many_calls_at_once_each_have_their_result(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_scene(monkeypatch) as scene:
        words = [*WORDS[:50], "break", *WORDS[50:]]
        results = await scene.talker.ask(words)
        assert results == [*WORDS[:50], "RemoteError", *WORDS[50:]]
        assert len(scene.small) > 140


async def test_c8_one_message_that_breaks_is_no_matter_of_its_bundle(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_scene(monkeypatch) as scene:
        await scene.talker.tell(["1", "2", "break", "3"])
        await trio.sleep(REST)
        assert scene.log == ["1", "2", "break", "3"]
        assert "as it was told" in caplog.text


async def test_c5_what_a_service_that_ended_did_not_get_are_dead_letters(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_scene(monkeypatch) as scene:
        await scene.talker.leave_in_between(WORDS)
        await trio.sleep(REST)
        assert scene.log == WORDS[: len(scene.log)]
        assert 0 < len(scene.log) < len(WORDS)
        assert scene.cluster[1].dead_letters.count == len(WORDS) - len(scene.log)


async def test_c5_a_bundle_for_nobody_is_as_many_dead_letters(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_scene(monkeypatch) as scene:
        await scene.cluster[2].kill(scene.box)
        await scene.talker.tell(WORDS)
        assert set(await scene.talker.ask(WORDS)) == {"NoSuchService"}
        await trio.sleep(REST)
        assert scene.cluster[1].dead_letters.count == len(WORDS)


@pytest.mark.parametrize("written", [False, True])
async def test_c5_what_was_under_way_when_the_link_ended(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """Each small message is a dead letter or has arrived, and each call has an end."""
    async with open_scene(monkeypatch) as scene, trio.open_nursery() as nursery:
        cluster = scene.cluster
        await scene.talker.ask(WORDS[:3])
        cluster.isolate(2)
        if written:
            nursery.start_soon(scene.talker.tell, WORDS)
            await trio.sleep(REST)
        results: list[object] = []

        async def ask() -> None:
            results.extend(await scene.talker.ask(WORDS[:40]))

        nursery.start_soon(ask)
        await trio.sleep(REST)
        await cluster.crash(2)
        await trio.sleep(60)
        assert results == ["NodeDown"] * 40
        assert cluster[1].dead_letters.count == (len(WORDS) if written else 0)
        assert len(scene.log) == 3


async def test_c6_a_call_in_a_bundle_is_cancelled(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its bundle is written, and after."""
    async with open_scene(monkeypatch) as scene:
        for moment in (0.0, 0.5):
            began = trio.current_time()
            with trio.move_on_after(moment + REST) as scope:
                async with trio.open_nursery() as nursery:
                    for word in WORDS[:20]:
                        nursery.start_soon(scene.box.wait, word)
                    if not moment:
                        await trio.lowlevel.checkpoint()
                        scope.cancel()
            assert scope.cancelled_caught
            assert trio.current_time() - began < moment + 2 * REST
            for number in (1, 2):
                node = scene.cluster[number]
                assert [report.calls + report.serving for report in node.cluster.links()] == [0]
