"""Bad input: a constructor, setup or teardown that goes wrong, a service that ends itself; nothing lost."""

from __future__ import annotations

import pytest
import trio

from tests.kernel.nodes import Echo, assert_nothing_lost, fresh_node
from trionet import DeadLetter, Exit, Node, Service, ServiceExited, StartFailed, command, spec
from trionet.kernel.reference import target_of

pytestmark = pytest.mark.usefixtures("virtual_run")


class Crooked(Service):
    """Goes wrong where it is told to: ``raises``, ``hangs``, ``stops`` or ``kills`` itself."""

    def __init__(self, where: str, how: str) -> None:
        self.where = where
        self.how = how
        if where == "constructor":
            raise LookupError("crooked")

    async def setup(self) -> None:
        await self.start(Echo, name=".child")
        await self._go_wrong("setup")

    async def teardown(self) -> None:
        await self._go_wrong("teardown")

    @command
    async def handle_it(self) -> str:
        await self._go_wrong("handler")
        return "returned all the same"

    @command
    async def wait(self) -> None:
        await trio.sleep_forever()

    async def _go_wrong(self, where: str) -> None:
        if where != self.where:
            return
        match self.how:
            case "raises":
                raise LookupError("crooked")
            case "hangs":
                await trio.sleep_forever()
            case "stops":
                await self.stop()
            case "kills":
                await self.node.kill(self.handle)


async def assert_all_well(node: Node) -> None:
    """The name is free, the child is gone, and another service starts in its place."""
    assert (node.services(), node.names()) == ((), {})
    echo = await node.start(Echo, name=".crooked")
    assert await echo.echo(1) == 1
    assert_nothing_lost(node)


@pytest.mark.parametrize(
    ("where", "how", "text", "seconds"),
    [
        ("constructor", "raises", "did not start: LookupError: crooked", 0),
        ("setup", "raises", "did not start: LookupError: crooked", 0),
        ("setup", "hangs", "did not start: TimeoutError: setup was still running after 7 seconds", 7),
        ("setup", "stops", "ended during its start", 0),
        ("setup", "kills", "ended during its start", 0),
    ],
)
async def test_c8_a_start_that_goes_wrong(where: str, how: str, text: str, seconds: float) -> None:
    """The starter is told why, once everything of it has ended."""
    async with fresh_node(start_deadline=7) as node:
        before = trio.current_time()
        with pytest.raises(StartFailed) as caught:
            await node.start(spec(Crooked, where, how), name=".crooked")
        assert str(caught.value) == f":00000001 .crooked (Crooked) {text}"
        assert trio.current_time() - before == seconds
        await assert_all_well(node)


async def test_c8_a_start_that_is_cancelled() -> None:
    """The starter gets its own cancellation, and what it started ends."""
    async with fresh_node() as node:
        with trio.move_on_after(3) as scope:
            await node.start(spec(Crooked, "setup", "hangs"), name=".crooked")
        assert scope.cancelled_caught
        await assert_all_well(node)


@pytest.mark.parametrize(
    ("how", "reason", "seconds", "cut_off"),
    [
        ("raises", "failed: LookupError: crooked", 0, ()),
        ("hangs", "stopped", 5, ("teardown of :00000001 (Crooked)",)),
        ("stops", "stopped", 0, ()),
        ("kills", "killed", 0, ()),
    ],
)
async def test_c8_a_teardown_that_goes_wrong(
    how: str, reason: str, seconds: float, cut_off: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """The service is dead all the same, its watcher is told how, the log has what was raised."""
    async with fresh_node(stop_grace=5) as node:
        crooked = await node.start(spec(Crooked, "teardown", how), name=".crooked")
        before = trio.current_time()
        async with node.watch(crooked) as watch:
            await node.stop(crooked)
            exit_: Exit = await watch.wait()
        assert str(exit_) == reason
        assert trio.current_time() - before == seconds
        assert node.cut_off == tuple(each.replace("(", ".crooked (") for each in cut_off)
        await assert_all_well(node)
    assert ("crooked" in caplog.text) is (how in ("raises", "hangs"))


async def test_c8_a_teardown_that_is_cancelled() -> None:
    """Whoever waits for the stop may leave; a kill ends the teardown at once."""
    async with fresh_node() as node:
        crooked = await node.start(spec(Crooked, "teardown", "hangs"), name=".crooked")
        with trio.move_on_after(1):
            await node.stop(crooked)
        assert node.service_statistics(target_of(crooked)).life == "stopping"
        await node.kill(crooked)
        await assert_all_well(node)


async def test_c8_a_service_that_stops_itself_from_a_handler() -> None:
    """That handler returns its value; the others have the grace time, and what is queued is told."""
    async with fresh_node(stop_grace=5) as node, trio.open_nursery() as nursery:
        crooked = await node.start(spec(Crooked, "handler", "stops"), name=".crooked")
        ends: list[tuple[float, bool | None]] = []

        async def wait() -> None:
            with pytest.raises(ServiceExited) as caught:
                await crooked.wait()
            ends.append((trio.current_time() - before, caught.value.executed))

        before = trio.current_time()
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert await crooked.handle_it() == "returned all the same"
        with pytest.raises(ServiceExited, match="is ending"):
            await crooked.handle_it()
        async with node.watch(crooked) as watch:
            assert str(await watch.wait()) == "stopped"
        assert ends == [(5, True)]
        await assert_all_well(node)


async def test_c8_a_service_that_kills_itself_from_a_handler() -> None:
    """There is nobody left to return a value."""
    async with fresh_node() as node:
        crooked = await node.start(spec(Crooked, "handler", "kills"), name=".crooked")
        with pytest.raises(ServiceExited) as caught:
            await crooked.handle_it()
        assert caught.value.executed is True
        async with node.watch(target_of(crooked)) as watch:
            assert str(await watch.wait()) == "killed"
        await assert_all_well(node)


async def test_c5_a_message_for_a_service_that_never_was_is_a_dead_letter() -> None:
    """Messages wait for setup; when it fails they are not lost silently."""
    async with fresh_node(start_deadline=7) as node, node.dead_letters.subscribe() as channel:
        async with trio.open_nursery() as nursery:

            async def start() -> None:
                with pytest.raises(StartFailed):
                    await node.start(spec(Crooked, "setup", "hangs"))

            nursery.start_soon(start)
            await trio.testing.wait_all_tasks_blocked()
            await node.send(":1", "handle_it")
            with pytest.raises(ServiceExited) as caught:
                await node.call(":1", "handle_it")
            assert caught.value.executed is False
        letter: DeadLetter = await channel.receive()
        assert letter.reason == ":00000001 (Crooked) ended before it handled the message"
