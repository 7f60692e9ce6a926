"""A handler whose time is over in the same moment in which its own call is told to be out of time (C4)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.sim.link_task import peer_of
from tests.sim.places import REST, open_places
from trionet import DeadlineExceeded, Service, command
from trionet.net.outbound import OutboundCall
from trionet.testing import open_cluster


class Far(Service):
    """Never answers."""

    @command
    async def never(self) -> None:
        await trio.sleep_forever()


class Between(Service):
    """Calls on behalf of its caller."""

    @command
    async def ask(self, far: Far) -> None:
        await far.never()


@pytest.mark.parametrize("answer_first", [True, False])
async def test_c4_the_caller_is_told_of_its_own_time(autojump_clock: MockClock, answer_first: bool) -> None:
    """Whichever of both is seen first, nobody takes it for an error of the handler."""
    async with open_cluster(3) as cluster:
        far = cluster[2].ref(await cluster[3].start(Far), Far)
        between = cluster[1].ref(await cluster[2].start(Between), Between)
        told: list[Exception] = []

        async def call() -> None:
            try:
                with trio.fail_after(100):
                    await between.ask(far)
            except trio.TooSlowError as error:
                told.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await trio.sleep(50)
            (inner,) = peer_of(cluster[2], 3).waiting()
            (handler,) = peer_of(cluster[2], 1)._serving.values()
            assert isinstance(inner, OutboundCall)
            steps = [lambda: inner.fail(DeadlineExceeded("out of time", True), []), handler.expire]
            for step in steps if answer_first else reversed(steps):
                step()
        assert len(told) == 1
        await trio.sleep(100)  # the one that never answers ends by its own deadline


@pytest.mark.parametrize(
    ("name", "state", "executed"),
    [("note", "queued", False), ("later", "deferred", True), ("persist", "running", True)],
)
async def test_c4_the_callee_s_node_is_first_to_see_that_time_is_over(
    autojump_clock: MockClock, name: str, state: str, executed: bool
) -> None:
    """It tells the caller, also where there is no handler whose end would."""
    async with open_places("remote") as places, trio.open_nursery() as nursery:
        box = await places.start(concurrency=1)
        if state == "queued":
            await box.hold.send("gate")
        ended = trio.Event()

        async def call() -> None:
            expected = f"{name} of .* was still {state} at its deadline"
            with pytest.raises(DeadlineExceeded, match=expected) as caught:
                await getattr(box, name).options(deadline=100)("gate")
            assert caught.value.executed is executed
            ended.set()

        nursery.start_soon(call)
        await trio.sleep(REST)
        (request,) = peer_of(places.there, 1)._serving.values()
        request.expire()
        await trio.sleep(REST)
        assert ended.is_set()
        places.stage.open("gate")
