"""Coroutines that begin in the task of the link that brought their message (C2, C6, C7, C8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.stage import actor_of
from tests.kernel.track import Runner, Serial, direct_only
from tests.sim.link_task import Scene, open_scene
from tests.sim.places import REST
from trionet import DeadlineExceeded, ServiceExited, command

Patch = pytest.MonkeyPatch


@asynccontextmanager
async def open_warm(patch: Patch, kind: type[Runner] = Runner) -> AsyncIterator[tuple[Scene, Runner]]:
    """Open a scene with a runner there that has a task to lend."""
    async with open_scene(patch) as scene:
        box = await scene.runner_there(kind=kind)
        await box.warm_up()
        scene.taken_in_link()
        yield scene, box


@direct_only
async def test_c7_one_begins_in_the_link_when_there_is_a_task_to_lend(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    async with open_warm(monkeypatch) as (scene, box):
        assert await box.step("call") == "call"
        await box.step.send("send")
        await trio.sleep(REST)
        assert scene.taken_in_link() == ["step", "step"]
        assert scene.track.log == ["call", "send"]
        assert scene.there.statistics().running == 0


@direct_only
async def test_c7_one_that_waits_holds_up_nobody(autojump_clock: MockClock, monkeypatch: Patch) -> None:
    async with open_warm(monkeypatch) as (scene, box), trio.open_nursery() as nursery:
        held = await scene.begin(nursery, lambda: box.hold("a"))
        assert await box.note("other") == "other"
        scene.track.open("a")
        await held.over.wait()
        assert held.end == "value a"
        assert scene.track.log == ["a begins", "other", "a ends"]
        assert scene.taken_in_link() == ["hold", "note"]


async def test_c6_one_that_waits_is_cancelled_by_its_caller(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    async with open_warm(monkeypatch) as (scene, box), trio.open_nursery() as nursery:
        held = await scene.begin(nursery, lambda: box.hold("a"))
        held.scope.cancel()
        await held.over.wait()
        assert held.end == "cancelled"
        assert scene.track.log == ["a begins", "a cancelled"]
        assert await box.step("s") == "s"


async def test_c6_one_that_waits_runs_out_of_time(autojump_clock: MockClock, monkeypatch: Patch) -> None:
    async with open_warm(monkeypatch) as (scene, box):
        with pytest.raises(DeadlineExceeded):
            await box.hold.options(deadline=2)("a")
        assert scene.track.log == ["a begins", "a cancelled"]
        assert actor_of(scene.there, scene.local(box)).handlers == {}


async def test_c8_one_that_waits_when_its_service_is_killed(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    async with open_warm(monkeypatch) as (scene, box), trio.open_nursery() as nursery:
        held = await scene.begin(nursery, lambda: box.hold("a"))
        await scene.there.kill(scene.local(box))
        await held.over.wait()
        assert held.end.startswith(ServiceExited.__name__)
        assert scene.track.log == ["a begins", "a cancelled"]


async def test_c7_one_slot_is_taken_and_freed(autojump_clock: MockClock, monkeypatch: Patch) -> None:
    async with open_warm(monkeypatch, Serial) as (scene, box), trio.open_nursery() as nursery:
        held = await scene.begin(nursery, lambda: box.hold("a"))
        noted = await scene.begin(nursery, lambda: box.step("next"))
        assert scene.track.log == ["a begins"]
        scene.track.open("a")
        await held.over.wait()
        await noted.over.wait()
        assert scene.track.log == ["a begins", "a ends", "next"]


class Back(Runner):
    """Calls and sends over the link that its message came by, before it waits."""

    @command
    async def back(self, target: Any) -> list[str]:
        """Send, call, and send."""
        await self.send(target, "note", "first")
        answer = await self.call(target, "note", "second")
        self.node.ref(target, Runner).note.send_nowait("third")
        return [answer, "back"]


async def test_c2_one_that_uses_the_link_in_its_first_step(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    """The link is in the midst of what it has read."""
    async with open_scene(monkeypatch) as scene:
        there: Any = await scene.runner_there(kind=Back)
        await there.warm_up()
        here = await scene.runner_here()
        async with trio.open_nursery() as nursery:
            call = await scene.begin(nursery, lambda: there.back(here))
            await call.over.wait()
        assert call.end == "value ['second', 'back']"
        await trio.sleep(REST)
        assert scene.track.log == ["first", "second", "third"]


async def test_c2_many_that_use_the_link_at_once(autojump_clock: MockClock, monkeypatch: Patch) -> None:
    async with open_scene(monkeypatch) as scene:
        there: Any = await scene.runner_there(kind=Back)
        await there.warm_up()
        here = await scene.runner_here()
        answers: list[list[str]] = []

        async def call() -> None:
            answers.append(await there.back(here))

        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(call)
        assert answers == [["second", "back"]] * 30
        await trio.sleep(REST)
        assert sorted(scene.track.log) == sorted(["first", "second", "third"] * 30)
