"""Plain functions that end something: their service, their caller, the node; and bugs of trionet (C8, C9)."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.stage import actor_of, begin, opened
from tests.kernel.track import Runner, Track, direct_only, run_on
from trionet import InternalError, NoSuchService, Service, ServiceExited, command, open_node, spec
from trionet.kernel.actor import Actor
from trionet.kernel.seams import simulated


def end(actor: Actor, how: str) -> None:
    """Begin the end of a service, without waiting for it."""
    if how == "kill":
        actor.kill()
    else:
        actor.request_stop(trio.current_time() + 5)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_c8_a_handler_that_ends_its_own_service_returns_its_value(
    autojump_clock: MockClock, how: str
) -> None:
    def act(runner: Runner) -> str:
        runner.note.send_nowait("never")  # is in the inbox when the end comes
        end(runner._actor, how)
        return "last word"

    track = Track()
    async with opened() as node:
        box = await run_on(node, track, act)
        async with node.watch(box) as exit_:
            assert await box.do() == "last word"
            with pytest.raises((ServiceExited, NoSuchService)) as caught:
                await box.note("never")
            assert caught.value.executed is False
            assert (await exit_.wait()).reason == ("killed" if how == "kill" else "stopped")
        assert await track.settle(node) == (["torn down"] if how == "stop" else [])
        assert node.dead_letters.count == 1


async def test_c8_a_handler_that_fails_its_own_service_returns_its_value(autojump_clock: MockClock) -> None:
    async def crash() -> None:
        raise ValueError("crash")

    track = Track()
    async with opened() as node:
        box = await run_on(node, track, lambda runner: runner.nursery.start_soon(crash))
        async with node.watch(box) as exit_:
            assert await box.do() is None
            assert (await exit_.wait()).error == "ValueError: crash"


class Caller(Service):
    """Calls, and tells what came of it."""

    def __init__(self, track: Track) -> None:
        self.track = track

    async def teardown(self) -> None:
        self.track.log.append("caller torn down")

    @command
    async def go(self, target: Runner) -> str:
        try:
            self.track.log.append(f"got {await target.do()}")
            await trio.sleep(1)
        except trio.Cancelled:
            self.track.log.append("cancelled")
            raise
        return "went on"


@pytest.mark.parametrize(
    ("how", "log", "ends"),
    [
        ("stop", ["got done", "caller torn down"], "value went on"),
        ("kill", ["got done", "cancelled"], "ServiceExited"),
    ],
)
async def test_c8_a_handler_that_ends_its_caller(
    autojump_clock: MockClock, how: str, log: list[str], ends: str
) -> None:
    def act(runner: Runner) -> str:
        end(actor_of(runner.node, runner.node.ref(".caller")), how)
        return "done"

    track = Track()
    async with opened() as node, trio.open_nursery() as nursery:
        box = await run_on(node, track, act)
        calling = await node.start(spec(Caller, track), name=".caller")
        call = await begin(nursery, lambda: calling.go(box))
        await call.over.wait()
        if (
            how == "kill"
        ):  # a call that was handled in place gave its value before the caller could be cancelled
            assert [word for word in await track.settle(node) if word != "got done"] == log[1:]
        else:
            assert await track.settle(node) == log
        assert call.end.startswith(ends)
        assert await box.note("fine") == "fine"


async def test_c13_a_handler_that_asks_the_node_to_stop(autojump_clock: MockClock) -> None:
    def act(runner: Runner) -> str:
        runner.node.shutdown()
        return "going"

    track = Track()
    async with opened() as node:
        box = await run_on(node, track, act)
        assert await box.do() == "going"
        await node.serve_forever()
        assert await box.note("still there") == "still there"
    assert track.log == ["still there", "torn down"]


# --- bugs and interrupts --------------------------------------------------------------------------------


class Careless(Service):
    """Swallows every error."""

    @command
    async def ask(self, target: Any, name: str) -> str:
        with suppress(Exception):
            await self.call(target, name, *(["x"] if name == "step" else []))
        await trio.sleep(1000)
        return "as if nothing had happened"


@pytest.mark.parametrize("name", ["do", "step"])
@pytest.mark.parametrize("outside", [True, False])
async def test_c9_a_bug_of_trionet_takes_the_node_down_whoever_calls(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, name: str, outside: bool
) -> None:
    """Also where the caller catches every error: no bug is hidden by it, and nobody waits for ever."""
    returned = Actor.returned

    def buggy(actor: Actor, request: Any, result: object) -> None:
        if request.command == name:
            raise ZeroDivisionError
        returned(actor, request, result)

    monkeypatch.setattr(Actor, "returned", buggy)

    async def run() -> None:
        async with open_node(seams=simulated(0)) as node:
            box = await run_on(node, Track())
            if outside:
                with pytest.raises(ServiceExited, match="broke: ZeroDivisionError") as caught:
                    await node.call(box, name, *(["x"] if name == "step" else []))
                assert caught.value.executed is True
            else:
                careless = await node.start(Careless)
                await careless.ask(box, name)
            await trio.sleep_forever()

    with pytest.raises(InternalError) as raised:
        await run()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert trio.current_time() < 1000


@direct_only
async def test_c9_a_bug_at_the_end_of_a_handler_that_waited(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def buggy(*_: object) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        async with open_node(seams=simulated(0)) as node, trio.open_nursery() as nursery:
            track = Track()
            box = await run_on(node, track)
            call = await begin(nursery, lambda: box.hold("a"))
            monkeypatch.setattr(Actor, "returned", buggy)
            track.open("a")
            calls.append(call)
            await trio.sleep_forever()

    calls: list[Any] = []
    with pytest.raises(InternalError, match=r"the dispatcher of .* broke"):
        await run()
    assert "broke: ZeroDivisionError" in calls[0].end


@pytest.mark.parametrize("outside", [True, False])
async def test_c9_an_interrupt_takes_the_node_down_whoever_calls(
    autojump_clock: MockClock, outside: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupt(_: Runner) -> None:
        raise KeyboardInterrupt

    caplog.set_level(logging.CRITICAL)

    async def run() -> None:
        async with open_node(seams=simulated(0)) as node:
            box = await run_on(node, Track(), interrupt)
            if outside:
                await box.do()
            else:
                careless = await node.start(Careless)
                await careless.ask(box, "do")

    with pytest.raises(KeyboardInterrupt):
        await run()
