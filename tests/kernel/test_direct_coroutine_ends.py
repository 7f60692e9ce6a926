"""Coroutines that began before their caller waited, whose service, caller or node ends (C8)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.stage import actor_of, begin, opened
from tests.kernel.track import Runner, Track, direct_only, run_on
from trionet import Node, command, spec
from trionet.kernel.direct import DirectCall
from trionet.testing import fail_service


async def end(node: Node, box: Runner, how: str) -> None:
    """End a service, and wait until it has ended."""
    if how == "fail":
        await fail_service(node, box, ValueError("crash"))
    else:
        await (node.kill if how == "kill" else node.stop)(box)


# --- its service ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["kill", "fail"])
@pytest.mark.parametrize("name", ["hold", "hold_apart"])
async def test_c8_the_service_ends_while_it_waits(autojump_clock: MockClock, how: str, name: str) -> None:
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        caller = await begin(nursery, lambda: node.call(box, name, "a"))
        began = trio.current_time()
        await end(node, box, how)
        await caller.over.wait()
        assert trio.current_time() == began
        assert caller.end.startswith("ServiceExited")
        assert "ended while it handled" in caller.end
        assert await track.settle(node) == ["a begins", "a cancelled"]  # and no teardown


@pytest.mark.parametrize("how", ["kill", "fail"])
async def test_c8_its_caller_goes_on(autojump_clock: MockClock, how: str) -> None:
    """The handler ran in the caller's task; its end by cancellation is not the caller's."""
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box, outer = await run_on(node, track), await run_on(node, track)
        caller = await begin(nursery, lambda: outer.relay(box, "hold", "a"))
        await end(node, box, how)
        await caller.over.wait()
        assert caller.end.startswith("RemoteError: trionet.ServiceExited")
        assert await outer.note("fine") == "fine"


async def test_c8_it_may_end_within_the_grace_time(autojump_clock: MockClock) -> None:
    """Then comes teardown."""
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        caller = await begin(nursery, lambda: box.hold("a"))
        nursery.start_soon(node.stop, box)
        await trio.sleep(3)
        assert await track.settle(node) == ["a begins"]
        track.open("a")
        await caller.over.wait()
        assert caller.end == "value a"
        assert await track.settle(node) == ["a ends", "torn down"]


async def test_c8_it_is_cancelled_at_the_end_of_the_grace_time(autojump_clock: MockClock) -> None:
    track = Track()
    async with opened(stop_grace=4.0) as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        caller = await begin(nursery, lambda: box.hold("a"))
        began = trio.current_time()
        await node.stop(box)
        await caller.over.wait()
        assert trio.current_time() == began + 4
        assert caller.end.startswith("ServiceExited")
        assert await track.settle(node) == ["a begins", "a cancelled", "torn down"]


async def test_c8_nothing_comes_after_it_that_should_come_before(autojump_clock: MockClock) -> None:
    """The service waits for a handler that shields itself; only then is its end told."""
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        caller = await begin(nursery, lambda: box.hold_shielded("a"))

        async def kill() -> None:
            await node.kill(box)
            track.log.append("told")

        nursery.start_soon(kill)
        assert await track.settle(node) == ["a begins"]
        track.open("a")
        await caller.over.wait()
        assert caller.end == "value a"
        assert await track.settle(node) == ["a ends", "told"]


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_c8_it_ends_its_own_service_and_waits(autojump_clock: MockClock, how: str) -> None:
    """In its first step, before anybody else has run; what it asked for concerns itself."""

    class Ending(Runner):
        @command
        async def finish(self) -> str:
            if how == "kill":
                self._actor.kill()
            else:
                await self.stop()
            return await self._wait("a")

    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await node.start(spec(Ending, track))
        caller = await begin(nursery, box.finish)
        track.open("a")
        await caller.over.wait()
        if how == "kill":
            assert caller.end.startswith("ServiceExited")
            assert await track.settle(node) == ["a begins", "a cancelled"]
        else:
            assert caller.end == "value a"
            assert await track.settle(node) == ["a begins", "a ends", "torn down"]


async def test_c8_its_caller_is_killed(autojump_clock: MockClock) -> None:
    """Its own service goes on."""
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box, outer = await run_on(node, track), await run_on(node, track)
        caller = await begin(nursery, lambda: outer.relay(box, "hold", "a"))
        await node.kill(outer)
        await caller.over.wait()
        assert caller.end.startswith("ServiceExited")
        assert await track.settle(node) == ["a begins", "a cancelled"]
        assert node.service_statistics(box).running == 0
        assert await box.note("fine") == "fine"


async def test_c8_the_node_closes_around_it(autojump_clock: MockClock) -> None:
    track = Track()
    async with trio.open_nursery() as nursery:
        async with opened(stop_grace=2.0) as node:
            box = await run_on(node, track)
            caller = await begin(nursery, lambda: box.hold("a"))
            began = trio.current_time()
        await caller.over.wait()
        assert trio.current_time() == began + 2
        assert caller.end.startswith("ServiceExited")
        assert track.log == ["a begins", "a cancelled", "torn down"]


@direct_only
async def test_c8_nothing_is_left_of_one_that_waited(autojump_clock: MockClock) -> None:
    """No stand-in, no entry among the handlers."""
    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track)
        actor = actor_of(node, box)
        before = actor.count_tasks()
        caller = await begin(nursery, lambda: box.hold("a"))
        assert actor.count_tasks() == before
        (request,) = actor.handlers
        assert isinstance(request, DirectCall)
        track.open("a")
        await caller.over.wait()
        await track.settle(node)
        assert actor.count_tasks() == before
        assert not actor.handlers
        assert (request.worker, request.coroutine, request.context) == (None, None, None)
