"""What is tested in the simulation, over real TCP and in real time: the same code, the same outcomes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from tests.kernel.lives import Log, Quiet, Worker
from tests.kernel.stage import Puppet, Stage, puppet
from tests.paths import message_path, pytest_generate_tests
from trionet import ClusterConfig, NameTaken, NodeDown, RemoteError, Restart, ServiceExited, spec
from trionet.testing import Hold, SimulatedCluster, fail_service, open_cluster

__all__ = ["message_path", "pytest_generate_tests"]

LIMIT = 20


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    while not condition():  # noqa: ASYNC110 - it becomes so on another node
        await trio.sleep(0.005)


async def box_of(cluster: SimulatedCluster, stage: Stage, **options: object) -> Puppet:
    """A puppet on node 2, for callers on node 1."""
    reference: Puppet = cluster[1].ref(await cluster[2].start(spec(puppet(**options), stage)), puppet())
    return reference


async def test_c6_cancellation_travels() -> None:
    stage = Stage()
    with trio.fail_after(LIMIT):
        async with open_cluster(2, real=True) as cluster:
            box = await box_of(cluster, stage, concurrency=1)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(box.hold, "a")
                    await until(lambda: stage.log == ["a begins"])
                    nursery.start_soon(box.note, "never")
                    await trio.sleep(0.05)
                    scope.cancel()
            assert scope.cancelled_caught
            await until(lambda: stage.log == ["a begins", "a cancelled"])
            assert await box.note("next") == "next"
            assert "never" not in stage.log


async def test_c6_deadlines_travel() -> None:
    stage = Stage()
    with trio.fail_after(LIMIT):
        async with open_cluster(2, real=True) as cluster:
            box = await box_of(cluster, stage)
            began = trio.current_time()
            with trio.move_on_after(0.3) as scope:
                await box.hold("a")
            assert scope.cancelled_caught
            assert trio.current_time() - began < 1.5
            await until(lambda: stage.log == ["a begins", "a cancelled"])


async def test_c2_order_and_c10_windows() -> None:
    stage = Stage()
    settings = ClusterConfig(window_messages=7, window_bytes=300_000)
    with trio.fail_after(LIMIT):
        async with open_cluster(2, real=True, settings=settings) as cluster:
            box = await box_of(cluster, stage, inbox=2)
            for number in range(200):
                text = str(number) + " " * (100_000 if number % 20 == 0 else 0)
                if number % 5:
                    await box.note.send(text)
                else:
                    await box.note(text)
            await box.note("last")
            assert [word.strip() for word in stage.log] == [*map(str, range(200)), "last"]


async def test_c4_errors_and_c8_ends() -> None:
    stage = Stage()
    log: Log = []
    with trio.fail_after(LIMIT):
        async with open_cluster(2, real=True) as cluster, trio.open_nursery() as nursery:
            box = await box_of(cluster, stage)
            with pytest.raises(RemoteError, match="ValueError: no"):
                await box.fail("no")

            async def call() -> None:
                with pytest.raises(ServiceExited) as caught:
                    await box.hold("a")
                log.append(f"executed {caught.value.executed}")

            nursery.start_soon(call)
            await until(lambda: stage.log == ["a begins"])
            async with cluster[1].watch(box) as end:
                await cluster[1].kill(box)
                assert (await end.wait()).reason == "killed"
            await until(lambda: log == ["executed True"])


async def test_c11_names_and_restarts() -> None:
    log: Log = []
    with trio.fail_after(LIMIT):
        async with open_cluster(3, real=True) as cluster:
            hold = Hold()
            hold.release()
            restart = Restart(delay=0.05)
            await cluster[2].start(spec(Worker, log, hold), name="worker", restart=restart)
            old = await cluster[3].wait_for_name("worker")
            with pytest.raises(NameTaken):
                await cluster[3].start(Quiet, name="worker")
            await fail_service(cluster[2], "worker", KeyError("x"))
            await until(lambda: cluster[3].lookup("worker") != old)
            assert await cluster[3].call("worker", "work", "x") == "x"


async def test_nodes_and_master_crash_and_come_back() -> None:
    settings = ClusterConfig(reconnect_least=0.02, reconnect_most=0.1)
    with trio.fail_after(LIMIT):
        async with open_cluster(3, real=True, settings=settings) as cluster:
            quiet = await cluster[2].start(Quiet, name="quiet")
            await cluster[3].wait_for_name("quiet")
            await cluster.restart(1)
            await cluster.settle()
            assert await cluster[1].call("quiet", "answer") == 42
            node = await cluster.restart(2)
            await cluster.settle()
            with pytest.raises(NodeDown):
                await cluster[3].call(quiet, "answer")
            await node.start(Quiet, name="quiet")
            await cluster[1].wait_for_name("quiet")
            assert await cluster[1].call("quiet", "answer") == 42


async def test_the_network_cannot_fail_on_demand() -> None:
    with trio.fail_after(LIMIT):
        async with open_cluster(1, real=True) as cluster:
            with pytest.raises(RuntimeError, match="only nodes can fail, not the network"):
                cluster.isolate(1)
