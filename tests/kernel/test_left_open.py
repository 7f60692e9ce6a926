"""C6, C9: what a handler leaves open around its task is closed before anything else runs there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from tests.kernel.nodes import assert_nothing_lost, fresh_node
from trionet import Node, RemoteError, Service, command

pytestmark = pytest.mark.usefixtures("virtual_run")


class Sloppy(Service, concurrency=1):
    """Leaves cancel scopes open, each in its own way."""

    async def _timed(self, pause: float) -> AsyncIterator[int]:
        with trio.move_on_after(3):
            await self._pause(pause)
            while True:
                yield 1

    async def _pause(self, seconds: float) -> None:
        if seconds:
            await trio.sleep(seconds)

    @command
    async def scopes(self, pause: float) -> int:
        self.kept = [trio.CancelScope(shield=True), trio.CancelScope(deadline=trio.current_time() + 2)]
        for each in self.kept:
            each.__enter__()
        await self._pause(pause)
        return 1

    @command
    async def generator(self, pause: float) -> int:
        async for each in self._timed(pause):
            return each
        return 0

    @command
    async def failing(self, pause: float) -> int:
        self.kept = [trio.CancelScope()]
        self.kept[0].__enter__()
        await self._pause(pause)
        self.kept[0].cancel()
        raise LookupError("left open")

    @command
    async def long(self) -> str:
        await trio.sleep(10)
        return "undisturbed"

    async def teardown(self) -> None:
        await trio.sleep(5)


WAYS = ["scopes", "generator", "failing"]


async def leave_open(node: Node, sloppy: Sloppy, way: str, pause: float) -> None:
    if way == "failing":
        with pytest.raises(RemoteError):
            await node.call(sloppy, way, pause)
    else:
        assert await node.call(sloppy, way, pause) == 1


@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pause", [0, 1])
async def test_c9_a_scope_that_a_handler_left_open_is_closed(
    way: str, pause: float, caplog: pytest.LogCaptureFixture
) -> None:
    """The next handler in the same task is not within it, and the service ends in order."""
    async with fresh_node() as node:
        sloppy = await node.start(Sloppy)
        for _ in range(3):
            await leave_open(node, sloppy, way, pause)
            assert await sloppy.long() == "undisturbed"
        left = [each for each in caplog.records if "still open" in each.getMessage()]
        assert len(left) == 3
        assert f"{way} of :00000001 (Sloppy) ended with" in left[0].getMessage()
        began = trio.current_time()
        await node.stop(sloppy)
        assert trio.current_time() == began + 5
        assert_nothing_lost(node)
