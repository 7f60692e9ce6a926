"""Death is complete (C8) and watching (C15), within a node and across two."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.kernel.lives import Log, Quiet, Worker, actor_of
from tests.kernel.test_watch import Dying, Mourner
from tests.sim.places import REST, Placement, everywhere, open_places
from trionet import Handle, NodeConfig, NodeDown, NoSuchService, Service, command, spec
from trionet.kernel.watch import Exit
from trionet.testing import Hold, fail_service


@everywhere
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_c8_a_service_is_ended_from_afar(
    autojump_clock: MockClock, placement: Placement, how: str
) -> None:
    """``stop`` lets running handlers finish, and teardown run; ``kill`` does neither."""
    log: Log = []
    hold = Hold()
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        worker = places.from_here(await places.there.start(spec(Worker, log, hold), name="worker"))
        caller = await places.begin(nursery, lambda: worker.work("x"))
        done = await places.begin(nursery, lambda: getattr(places.here, how)(worker))
        if how == "stop":
            assert done.end == "none"
            assert places.there.lookup("worker") is None
            hold.release()
        await trio.sleep(REST)
        assert done.end == "value None"
        expected = {
            "stop": ["worker x ends", "worker helper ends", "worker torn down"],
            "kill": ["worker x cancelled", "worker helper ends"],
        }[how]
        assert log[0] == "worker x begins"
        assert sorted(log[1:]) == sorted(expected)
        assert caller.end.startswith("value x" if how == "stop" else "ServiceExited")
        await getattr(places.here, how)(worker)  # dead already: no error


@everywhere
async def test_c8_what_the_grace_time_does_not_see_end_is_cut_off(
    autojump_clock: MockClock, placement: Placement
) -> None:
    log: Log = []
    async with (
        open_places(placement, NodeConfig(stop_grace=5)) as places,
        trio.open_nursery() as nursery,
    ):
        worker = places.from_here(await places.there.start(spec(Worker, log)))
        other = await places.here.start(spec(Worker, log, None, "other"))
        caller = await places.begin(nursery, lambda: worker.ask(other, "x"))
        began = trio.current_time()
        await places.here.stop(worker)
        assert trio.current_time() - began == pytest.approx(5, abs=0.02)
        await trio.sleep(REST)
        # the call that the service made was cancelled, on the other node too
        assert "other x cancelled" in log
        assert caller.end.startswith("ServiceExited")
        assert places.there.cut_off == (f"ask of {worker._target} (Worker)",)


@everywhere
async def test_c8_a_cancelled_stop_stops_all_the_same(
    autojump_clock: MockClock, placement: Placement
) -> None:
    log: Log = []
    hold = Hold()
    async with open_places(placement) as places, trio.open_nursery() as nursery:
        worker = places.from_here(await places.there.start(spec(Worker, log, hold)))
        await places.begin(nursery, lambda: worker.work("x"))
        stop = await places.begin(nursery, lambda: places.here.stop(worker))
        stop.scope.cancel()
        await trio.sleep(REST)
        assert stop.end == "cancelled"
        hold.release()
        await trio.sleep(REST)
        assert log[-1] == "worker torn down"


@everywhere
async def test_c8_a_stop_of_what_never_was_or_is_of_another_incarnation(
    autojump_clock: MockClock, placement: Placement
) -> None:
    """Never takes the other node down."""
    async with open_places(placement) as places:
        node = places.there
        await places.here.stop(Handle.make(node.harbor, 777, node.incarnation))
        with pytest.raises(NodeDown):
            await places.here.stop(Handle.make(node.harbor, 1, node.incarnation ^ 1))
        with pytest.raises(NoSuchService):
            await places.here.stop("nobody")


# --- watching -----------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("how", ["stopped", "killed", "failed"])
async def test_c15_told_once_with_the_reason(
    autojump_clock: MockClock, placement: Placement, how: str
) -> None:
    async with open_places(placement) as places:
        quiet = places.from_here(await places.there.start(Quiet))
        handle = places.there.services()[0]
        async with places.here.watch(quiet) as end, places.here.watch(handle) as second:
            await trio.sleep(REST)
            assert end.exit is None
            if how == "failed":
                await fail_service(places.there, quiet, KeyError("broken"))
            else:
                await {"stopped": places.there.stop, "killed": places.there.kill}[how](quiet)
            expected = Exit(handle, how, "KeyError: 'broken'" if how == "failed" else None)  # type: ignore[arg-type]
            assert await end.wait() == await second.wait() == await end.wait() == expected
        async with places.here.watch(quiet) as late:
            assert await late.wait() == expected


@everywhere
async def test_c15_what_never_was_is_gone(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        async with places.here.watch(Handle.make(places.there.harbor, 77, places.there.incarnation)) as end:
            assert (await end.wait()).reason == "gone"
        async with places.here.watch(Handle.make(places.there.harbor, 1, 5)) as end:
            assert (await end.wait()).reason == "node down"
        async with places.here.watch(Handle.make(99, 1, 5)) as end:
            assert (await end.wait()).reason == "node down"


@everywhere
@pytest.mark.parametrize("way", ["stop", "kill", "fail"])
@pytest.mark.parametrize("inbox", [1, 10_000])
async def test_c15_told_after_every_message_of_the_dead_one(
    autojump_clock: MockClock, placement: Placement, way: str, inbox: int
) -> None:
    """The last words are in the inbox of the watcher, or handled, when it is told."""
    log: Log = []
    hold = Hold()
    async with (
        open_places(placement, NodeConfig(inbox=inbox), window_messages=10) as places,
        trio.open_nursery() as nursery,
    ):
        mourner = await places.here.start(spec(Mourner, log, hold))
        dying = places.from_here(await places.there.start(Dying))
        nursery.start_soon(mourner.watch_it, dying)
        await trio.sleep(REST)
        if inbox == 1:
            hold.release()
        await dying.say_farewell.send(mourner, way)
        await trio.sleep(REST)
        reason = {"stop": "stopped", "kill": "killed", "fail": "failed"}[way]
        told = next(each for each in log if each.startswith(reason))
        heard = log.index(told)
        assert told == f"{reason}, {3 - heard} in the inbox"
        hold.release()
        await trio.sleep(REST)
        assert [each for each in log if each.startswith("word")] == ["word 0", "word 1", "word 2"]


@everywhere
async def test_c15_told_after_a_large_message_of_the_dead_one(
    autojump_clock: MockClock, placement: Placement
) -> None:
    async with open_places(placement) as places:
        listener = await places.here.start(Listener)
        speaker = await places.there.start(Speaker)
        assert await listener.hear_out(speaker, 5_000_000) == 5_000_000


class Speaker(Service):
    """Says one long word, and ends."""

    @command
    async def speak(self, target: Any, size: int) -> None:
        await self.send(target, "hear", "x" * size)
        await self.stop()


class Listener(Service):
    """Hears it, and watches."""

    def __init__(self) -> None:
        self.size = 0

    @command
    def hear(self, word: str) -> None:
        self.size += len(word)

    @command
    async def hear_out(self, speaker: Speaker, size: int) -> int:
        async with self.watch(speaker) as end:
            await speaker.speak.send(self.ref(), size)
            await end.wait()
            await self.ref().hear("")
            return self.size


@everywhere
async def test_c15_leaving_leaves_nothing_behind(autojump_clock: MockClock, placement: Placement) -> None:
    async with open_places(placement) as places:
        quiet = places.from_here(await places.there.start(Quiet))
        for _ in range(3):
            async with places.here.watch(quiet):
                await trio.sleep(REST)
        await trio.sleep(REST)
        actor = actor_of(places.there, quiet)
        assert len(actor.watchers or ()) == 0
        async with places.here.watch(quiet):
            pass
        await trio.sleep(REST)
        assert len(actor.watchers or ()) == 0
        await places.there.stop(quiet)


async def test_c15_node_down_is_a_reason(autojump_clock: MockClock) -> None:
    """At its crash at once; when it is cut off, after the heartbeat timeout."""
    async with open_places("remote") as places:
        assert places.cluster is not None
        quiet = places.from_here(await places.there.start(Quiet))
        async with places.here.watch(quiet) as end:
            began = trio.current_time()
            await places.cluster.crash(2)
            assert (await end.wait()).reason == "node down"
            assert trio.current_time() - began < REST
        node = await places.cluster.start(2)
        await places.cluster.settle()
        quiet = places.here.ref(await node.start(Quiet), Quiet)
        async with places.here.watch(quiet) as end:
            began = trio.current_time()
            places.cluster.isolate(2)
            assert (await end.wait()).reason == "node down"
            assert trio.current_time() - began <= 25 + REST
        places.cluster.heal()
        await places.cluster.settle()
