"""The end of a node: in order, under one deadline, and what its body did is not hidden (C13)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.kernel.lives import Log, Quiet, Worker, note, taken
from trionet import Node, NodeConfig, NodeStopping, Service, open_node, spec
from trionet.kernel.seams import simulated
from trionet.testing import Hold, exits, fail_service, find_leaks

pytestmark = pytest.mark.usefixtures("virtual_time")


@pytest.fixture
def node_config() -> NodeConfig:
    return NodeConfig(stop_grace=10)


class Ending(Service):
    """Takes its time to end."""

    def __init__(self, log: Log, key: str, seconds: float = 0) -> None:
        self.written = log
        self.key = key
        self.seconds = seconds

    async def teardown(self) -> None:
        self.written.append(f"{self.key} ending")
        await trio.sleep(self.seconds)
        self.written.append(f"{self.key} torn down")


async def test_c13_leaving_the_block_stops_the_services_latest_first() -> None:
    log: Log = []
    async with open_node(seams=simulated(0)) as node:
        for key in ("one", "two", "three"):
            await node.start(spec(Ending, log, key))
        log.append("end of the block")
    assert [
        "end of the block",
        "three ending",
        "three torn down",
        "two ending",
        "two torn down",
        "one ending",
        "one torn down",
    ] == log
    assert find_leaks(node) == ()


async def test_c13_who_has_something_to_do_may_need_its_elders() -> None:
    """A service that tears down may call one that was started before it."""
    log: Log = []

    class Client(Service):
        def __init__(self, server: Quiet) -> None:
            self.server = server

        async def teardown(self) -> None:
            await note(log, "call", self.server.answer())

    async with open_node(seams=simulated(0)) as node:
        server = await node.start(Quiet)
        for _ in range(2):
            await node.start(Quiet)
        await node.start(spec(Client, server))
        await node.start(Quiet)
    assert ["call: 42"] == log


async def test_c13_all_services_have_one_deadline(node: Node) -> None:
    log: Log = []
    for number in range(5):
        await node.start(spec(Ending, log, str(number), 4))
    began = trio.current_time()
    await node.close()
    assert trio.current_time() - began == pytest.approx(10)
    torn_down = [each for each in log if each.endswith("torn down")]
    assert ["4 torn down", "3 torn down"] == torn_down
    assert 3 == len(node.cut_off)
    assert all(each.startswith("teardown of") for each in node.cut_off)


async def test_c13_running_handlers_end_in_the_grace_time(node: Node) -> None:
    log: Log = []
    hold = Hold()
    worker = await node.start(spec(Worker, log, hold))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note, log, "call", worker.work("it"))
        await hold.wait_held()
        nursery.start_soon(node.close)
        await wait_all_tasks_blocked()
        taken(log)
        hold.release()
    assert "call: 'it'" in log
    assert () == node.cut_off


async def test_c13_what_was_cut_off_is_listed(node: Node) -> None:
    log: Log = []
    worker = await node.start(spec(Worker, log), name=".worker")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note, log, "call", worker.work("it"))
        await wait_all_tasks_blocked()
        await node.close()
    assert "call: ServiceExited, executed True" in log
    (what,) = node.cut_off
    assert what.startswith("work of :00000001 .worker (Worker)")


async def test_c13_thousands_of_idle_services_take_no_turn_each(node: Node) -> None:
    """Idle services without a teardown are asked all at once."""
    rounds = 0

    class Rounds(trio.abc.Instrument):
        def before_io_wait(self, timeout: float) -> None:
            nonlocal rounds
            rounds += 1

    for _ in range(500):
        await node.start(Quiet)
    instrument = Rounds()
    trio.lowlevel.add_instrument(instrument)
    await node.close()
    trio.lowlevel.remove_instrument(instrument)
    assert () == node.services()
    assert rounds < 50


async def test_c13_abort_ends_everything_at_once(node: Node) -> None:
    log: Log = []
    worker = await node.start(spec(Worker, log))
    await node.start(spec(Ending, log, "ending"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(note, log, "call", worker.work("it"))
        await wait_all_tasks_blocked()
        taken(log)
        node.abort()
    assert {"worker it cancelled", "worker helper ends", "call: ServiceExited, executed True"} == set(log)
    await node.close()
    assert ["killed"] * 2 == [each.reason for each in exits(node)]
    with pytest.raises(NodeStopping):
        await node.start(Quiet)


async def test_c13_abort_cuts_a_close_short(node: Node) -> None:
    """The second signal."""
    log: Log = []
    await node.start(spec(Ending, log, "one", 8))
    await node.start(spec(Ending, log, "two", 8))
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.close)
        await trio.sleep(3)
        node.abort()
    assert trio.current_time() - began == pytest.approx(3)
    assert ["two ending"] == log
    assert ["killed", "killed"] == [each.reason for each in exits(node)]


async def test_c13_shutdown_ends_serve_forever() -> None:
    log: Log = []
    async with trio.open_nursery() as nursery, open_node(seams=simulated(0)) as node:
        await node.start(spec(Ending, log, "ending"))

        async def later() -> None:
            await trio.sleep(5)
            node.shutdown()
            node.shutdown()

        nursery.start_soon(later)
        await node.serve_forever()
        assert [] == log
    assert ["ending ending", "ending torn down"] == log


@pytest.mark.parametrize("way", ["close", "abort"])
async def test_c13_who_serves_forever_learns_of_any_end(node: Node, way: str) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.serve_forever)
        await wait_all_tasks_blocked()
        if way == "close":
            await node.close()
        else:
            node.abort()


async def test_c13_a_body_that_is_cancelled_kills_the_services() -> None:
    log: Log = []
    began = trio.current_time()
    with trio.move_on_after(1) as scope:
        async with open_node(seams=simulated(0)) as node:
            await node.start(spec(Ending, log, "ending", 5))
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() - began == pytest.approx(1)
    assert [] == log
    assert ["killed"] == [each.reason for each in exits(node)]
    assert find_leaks(node) == ()


async def test_c13_a_close_that_is_cancelled_kills_what_is_left() -> None:
    log: Log = []
    with trio.move_on_after(7) as scope:
        async with open_node(NodeConfig(stop_grace=100), seams=simulated(0)) as node:
            await node.start(spec(Ending, log, "one", 5))
            await node.start(spec(Ending, log, "two", 5))
    assert scope.cancelled_caught
    assert ["two ending", "two torn down", "one ending"] == log
    assert ["stopped", "killed"] == [each.reason for each in exits(node)]
    assert find_leaks(node) == ()


async def test_c13_an_exception_of_the_body_comes_out_as_it_is() -> None:
    log: Log = []
    cause = ValueError("cause")

    async def run() -> None:
        async with open_node(seams=simulated(0)) as node:
            await node.start(spec(Ending, log, "ending", 5))
            raise KeyError("body") from cause

    with pytest.raises(KeyError) as caught:
        await run()
    assert cause is caught.value.__cause__
    assert ["ending ending", "ending torn down"] == log  # in order, all the same
    assert None is caught.value.__context__ or cause is caught.value.__context__


async def test_c13_a_group_of_the_body_comes_out_as_it_is() -> None:
    group = ExceptionGroup("several", [KeyError("one"), ValueError("two")])

    async def run() -> None:
        async with open_node(seams=simulated(0)):
            raise group

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert group is caught.value


async def test_c13_a_body_that_is_cancelled_and_fails_as_well_kills_the_services() -> None:
    log: Log = []

    async def fail_at_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("at the end")

    async def run() -> None:
        async with open_node(seams=simulated(0)) as node:
            await node.start(spec(Ending, log, "ending", 5))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail_at_the_end)
                await trio.sleep_forever()

    with pytest.RaisesGroup(pytest.RaisesExc(KeyError, match="at the end"), flatten_subgroups=True):
        with trio.move_on_after(1):
            await run()
    assert [] == log


async def test_c13_a_second_close_is_no_error(node: Node) -> None:
    log: Log = []
    await node.start(spec(Ending, log, "ending"))
    await node.close()
    await node.close()
    assert ["ending ending", "ending torn down"] == log


async def test_c13_two_closes_at_once_wait_for_the_same_end(node: Node) -> None:
    log: Log = []
    await node.start(spec(Ending, log, "ending", 3))

    async def close(key: str) -> None:
        await node.close()
        log.append(f"{key} closed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close, "one")
        nursery.start_soon(close, "two")
    assert ["ending ending", "ending torn down"] == log[:2]
    assert {"one closed", "two closed"} == set(log[2:])


async def test_c13_names_go_before_anything_else(node: Node) -> None:
    hold = Hold()

    class Slow(Quiet):
        async def teardown(self) -> None:
            await hold.here()

    await node.start(Slow, name=".slow")
    await node.start(Slow, name="slow")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.close)
        await hold.wait_held()
        assert node.lookup("slow") is None
        hold.release()
    assert {} == node.names()


async def test_c13_a_failure_while_the_node_stops_is_no_end_of_it(node: Node) -> None:
    """The others are stopped in order all the same."""
    log: Log = []
    hold = Hold()

    class Slow(Quiet):
        async def teardown(self) -> None:
            await hold.here()

    await node.start(spec(Ending, log, "ending"))
    quiet = await node.start(Quiet)
    await node.start(Slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.close)
        await hold.wait_held()
        await fail_service(node, quiet, KeyError())
        hold.release()
    assert ["ending ending", "ending torn down"] == log
    assert ["failed", "stopped", "stopped"] == [each.reason for each in exits(node)]


async def test_c13_a_service_may_shut_the_node_down() -> None:
    class Shutter(Service):
        async def setup(self) -> None:
            self.nursery.start_soon(self._wait)

        async def _wait(self) -> None:
            await trio.sleep(2)
            self.node.shutdown()

    began = trio.current_time()
    async with open_node(seams=simulated(0)) as node:
        await node.start(Shutter)
        await node.serve_forever()
    assert trio.current_time() - began == pytest.approx(2)
