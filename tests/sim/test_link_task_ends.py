"""What may happen to a plain function in the task of a link: errors, ends, credit (C4 to C10)."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.track import Runner, Serial, direct_only, take
from tests.sim.link_task import open_scene
from tests.sim.places import REST
from trionet import (
    BadArguments,
    BadMessage,
    DeadlineExceeded,
    InternalError,
    NodeDown,
    NoSuchCommand,
    NoSuchService,
    RemoteError,
    Service,
    ServiceExited,
    command,
)
from trionet.kernel.actor import Actor

Patch = pytest.MonkeyPatch
#: Seconds after which a link has given back what is left of credit.
SWEPT = 20


# --- errors ---------------------------------------------------------------------------------------------


async def test_c9_an_error_fails_its_call_only(
    autojump_clock: MockClock, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_scene(monkeypatch) as scene:
        box = await scene.runner_there()
        link = scene.receiver
        with pytest.raises(RemoteError, match="ValueError: no") as caught:
            await box.fail("ValueError")
        assert caught.value.executed is True
        assert "in fail\n" in caught.value.traceback_text
        with pytest.raises(BadArguments) as unfit:
            await scene.here.call(box, "note")
        assert unfit.value.executed is False
        with pytest.raises(NoSuchCommand):
            await scene.here.call(box, "nothing")
        await box.fail.send("TypeError")
        await trio.sleep(REST)
        assert "fail, sent to" in caplog.text
        assert await box.note("fine") == "fine"
        assert scene.receiver is link


async def test_c4_a_result_that_cannot_travel_fails_its_call(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    async with open_scene(monkeypatch) as scene:
        box = await scene.runner_there(lambda _: object())
        with pytest.raises(BadMessage, match=r"do of .* returned result: object") as caught:
            await box.do()
        assert caught.value.executed is True
        assert await box.note("fine") == "fine"


# --- a reply that is left for later ---------------------------------------------------------------------


async def test_c7_a_deferred_reply_is_given_later(autojump_clock: MockClock, monkeypatch: Patch) -> None:
    async with open_scene(monkeypatch) as scene, trio.open_nursery() as nursery:
        box = await scene.runner_there()
        caller = await scene.begin(nursery, lambda: box.later("a"))
        assert scene.there.service_statistics(scene.local(box)).deferred == 1
        assert await box.note("meanwhile") == "meanwhile"
        assert take(scene.track, "a").ok([1])
        await caller.over.wait()
        assert caller.end == "value [1]"


@pytest.mark.parametrize("how", ["cancel", "scope", "options"])
async def test_c6_the_caller_of_a_deferred_reply_goes(
    autojump_clock: MockClock, monkeypatch: Patch, how: str
) -> None:
    async with open_scene(monkeypatch) as scene, trio.open_nursery() as nursery:
        box = await scene.runner_there()
        if how == "cancel":
            caller = await scene.begin(nursery, lambda: box.later("a"))
            caller.scope.cancel()
            await caller.over.wait()
            assert caller.end == "cancelled"
        elif how == "scope":
            with trio.move_on_after(2) as scope:
                await box.later("a")
            assert scope.cancelled_caught
        else:
            with pytest.raises(DeadlineExceeded) as caught:
                await box.later.options(deadline=2)("a")
            assert caught.value.executed is not False
        await trio.sleep(REST)
        reply = take(scene.track, "a")
        assert not reply.is_open
        assert not reply.ok(1)
        assert scene.there.service_statistics(scene.local(box)).deferred == 0


async def test_c8_its_service_is_killed_with_a_deferred_reply_open(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    async with open_scene(monkeypatch) as scene, trio.open_nursery() as nursery:
        box = await scene.runner_there()
        caller = await scene.begin(nursery, lambda: box.later("a"))
        await scene.there.kill(scene.local(box))
        await caller.over.wait()
        assert caller.end.startswith("ServiceExited")
        assert not take(scene.track, "a").is_open


# --- ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [True, False])
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_c8_it_ends_its_own_service(
    autojump_clock: MockClock, monkeypatch: Patch, how: str, calls: bool
) -> None:
    """What it returns arrives; what comes with the same bytes does not."""

    def act(runner: Runner) -> str:
        if how == "kill":
            runner._actor.kill()
        else:
            runner._actor.request_stop(trio.current_time() + 5)
        return "last word"

    async with open_scene(monkeypatch) as scene:
        box = await scene.runner_there(act)
        async with scene.here.watch(box) as exit_:
            if calls:
                assert await box.do() == "last word"
            else:
                box.do.send_nowait()
            box.note.send_nowait("never")
            with pytest.raises((ServiceExited, NoSuchService)) as caught:
                await box.note("never")
            assert caught.value.executed is False
            assert (await exit_.wait()).reason == ("killed" if how == "kill" else "stopped")
        await trio.sleep(REST)
        assert "never" not in scene.track.log
        assert scene.here.dead_letters.count == 1


async def test_c4_it_ends_the_link_that_brought_it(autojump_clock: MockClock, monkeypatch: Patch) -> None:
    """Nobody gets its value; the node goes on, and so does the next link."""
    async with open_scene(monkeypatch) as scene, trio.open_nursery() as nursery:
        box = await scene.runner_there(lambda _: scene.receiver.end("as the test wants it"))
        old = scene.receiver
        caller = await scene.begin(nursery, box.do)
        await caller.over.wait()
        assert caller.end.startswith(NodeDown.__name__)
        await trio.sleep(30)
        assert await box.note("over a new link") == "over a new link"
        assert scene.receiver is not old


@direct_only
async def test_c14_it_runs_though_a_breach_comes_with_the_same_bytes(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    """The link is closed when it runs: what it sends and returns has nowhere to go."""

    class Talker(Runner):
        @command
        def talk(self, caller: Runner) -> str:
            self.track.log.append("talks")
            caller.note.send_nowait("lost")
            return "lost as well"

    async with open_scene(monkeypatch) as scene, trio.open_nursery() as nursery:
        box = await scene.runner_there(kind=Talker)
        listener = await scene.runner_here()
        old = scene.sender
        old._pump.write = lambda: None  # type: ignore[method-assign]  # all goes out at once
        nursery.start_soon(scene.begin, nursery, lambda: scene.here.call(box, "talk", listener))
        await trio.testing.wait_all_tasks_blocked()
        old.link.outbox.control(b"\x00\x00\x00\x01\xff")
        old.kick()
        await trio.sleep(30)
        assert scene.track.log == ["talks"]
        assert scene.taken_in_link() == ["talk"]
        assert await box.note("over a new link") == "over a new link"
        assert scene.sender is not old
        assert scene.there.dead_letters.count == 1


async def test_c4_its_caller_s_node_is_gone_when_the_deferred_reply_comes(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    async with open_scene(monkeypatch) as scene:
        assert scene.cluster is not None
        other = await scene.cluster.start(3)
        box = await scene.runner_there()
        async with trio.open_nursery() as nursery:
            await scene.begin(nursery, lambda: other.ref(box, Runner).later("a"))
            await scene.cluster.crash(3)
            nursery.cancel_scope.cancel()
        await trio.sleep(REST)
        reply = take(scene.track, "a")
        assert not reply.is_open
        assert not reply.ok(1)
        assert await box.note("fine") == "fine"


@direct_only
async def test_c9_a_bug_of_trionet_takes_the_node_down(autojump_clock: MockClock, monkeypatch: Patch) -> None:
    returned = Actor.returned

    def buggy(actor: Actor, request: Any, result: object) -> None:
        if request.command == "do":
            raise ZeroDivisionError
        returned(actor, request, result)

    monkeypatch.setattr(Actor, "returned", buggy)
    async with open_scene(monkeypatch) as scene, trio.open_nursery() as nursery:
        assert scene.cluster is not None
        box = await scene.runner_there()
        caller = await scene.begin(nursery, box.do)
        failure = await scene.cluster.wait_ended(2)
        assert isinstance(failure, InternalError)
        assert isinstance(failure.__cause__, ZeroDivisionError)
        await caller.over.wait()
        assert caller.end.startswith(("ServiceExited", "NodeDown"))


# --- credit ---------------------------------------------------------------------------------------------


class Flood(Service):
    """Sends and calls as fast as there is room."""

    @command
    async def flow(self, target: Runner, count: int) -> None:
        for number in range(count):
            match number % 5:
                case 0:
                    await target.note(number)
                case 1:
                    await target.step.send(f"{number}")
                case 2:
                    await self.send(target, "nothing")
                case _:
                    await target.note.send(number)


@pytest.mark.parametrize("window", [1, 3, 64])
async def test_c10_each_message_gives_its_room_back_once(
    autojump_clock: MockClock, monkeypatch: Patch, window: int
) -> None:
    """Wherever it was handled, or refused; a link that lost or won room would stand still or break."""
    async with open_scene(monkeypatch, window_messages=window) as scene:
        box = await scene.runner_there()
        flood = await scene.here.start(Flood)
        link = scene.receiver
        with trio.fail_after(60):
            await flood.flow(box, 300)
        await trio.sleep(SWEPT)
        assert scene.receiver is link
        assert scene.outstanding(box) == (0, 0)
        numbers = [int(word) for word in scene.track.log]
        assert numbers == [number for number in range(300) if number % 5 != 2]


async def test_c10_a_window_that_is_full_stands_in_the_way_of_direct_handlers_too(
    autojump_clock: MockClock, monkeypatch: Patch
) -> None:
    """What waits for room goes first; what could be handled at once does not pass it."""
    async with open_scene(monkeypatch, window_messages=2) as scene, trio.open_nursery() as nursery:
        box = await scene.runner_there(kind=Serial)
        await scene.begin(nursery, lambda: box.hold.send("a"))
        for number in range(6):
            way = box.note if number % 2 else box.note.send
            nursery.start_soon(way, str(number))
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(REST)
        with pytest.raises(trio.WouldBlock):
            box.note.send_nowait("over")
        scene.track.open("a")
        await trio.sleep(REST)
        assert scene.track.log == ["a begins", "a ends", *"012345"]
