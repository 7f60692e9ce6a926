"""A node that stood still: its services do not act as owners of what is no longer theirs (C11)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trionet import ClusterConfig, Service, command, spec
from trionet.net.fence import Fence
from trionet.testing import open_cluster

SETTINGS = ClusterConfig(heartbeat=0.25, heartbeat_timeout=1.0, handshake_timeout=1.0)


class Writer(Service):
    """Writes down each step that it makes."""

    def __init__(self, steps: list[float]) -> None:
        self.steps = steps

    async def setup(self) -> None:
        self.nursery.start_soon(self.work)

    @command
    async def work(self) -> None:
        while True:
            await trio.sleep(0.1)
            self.steps.append(trio.current_time())

    async def teardown(self) -> None:
        self.steps.append(trio.current_time())


@pytest.mark.parametrize("seed", range(10))
async def test_c11_whoever_stood_still_makes_no_step(autojump_clock: MockClock, seed: int) -> None:
    """The time of everybody has come at once; that of the lease counts first."""
    async with open_cluster(2, seed=seed, settings=SETTINGS) as cluster, trio.open_nursery() as nursery:
        await trio.sleep(2.5)
        steps: list[float] = []
        writer = await cluster[2].start(spec(Writer, steps), name="writer", exclusive=True)

        async def call() -> None:
            with pytest.raises(Exception, match="ended while it handled"):
                await writer.work()

        nursery.start_soon(call)
        await trio.sleep(5)
        assert len(steps) > 90
        before = trio.current_time()
        autojump_clock.jump(30)
        await trio.sleep(1)
        assert steps[-1] <= before
        assert cluster[2].lookup("writer") is None
        assert cluster[2].services() == ()


async def test_the_fence_stands_only_while_a_name_is_held(autojump_clock: MockClock) -> None:
    """It costs every turn of the event loop a little."""
    up: list[bool] = []
    fences: list[Fence] = []

    class Watched(Fence):
        def __init__(self, fire: Callable[[], None], *settings: Any) -> None:
            super().__init__(fire, *settings)
            fences.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trionet.net.slave.Fence", Watched)
        async with open_cluster(1, settings=SETTINGS) as cluster:
            (fence,) = fences
            up.append(fence._at < inf)
            await cluster[1].start(spec(Writer, []), name="writer", exclusive=True)
            up.append(fence._at < inf)
            await cluster[1].stop("writer")
            up.append(fence._at < inf)
            await cluster[1].start(spec(Writer, []), name="writer", exclusive=True)
        up.append(fence._at < inf)
    assert up == [False, True, False, False]


async def test_a_fence_that_is_closed_stays_down(autojump_clock: MockClock) -> None:
    fired: list[float] = []
    fence = Fence(lambda: fired.append(trio.current_time()))
    fence.set(1.0)
    await trio.sleep(0.5)
    assert fired == []
    fence.close()
    fence.set(0.0)
    await trio.sleep(1)
    assert fired == []
