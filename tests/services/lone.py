"""A service of which there must never be two, and what the test sees of all its instances."""

from __future__ import annotations

from itertools import pairwise

import attrs
import trio

from trionet import Service, command


@attrs.define(eq=False)
class Life:
    """One instance: from its constructor to the end of its last task."""

    node: str
    began: float
    ended: float | None = None
    stamp: tuple[int, int] | None = None


@attrs.define
class Lives:
    """All instances of a test.

    Args:
        setup_time: seconds that a setup takes.
        teardown_time: seconds that a teardown takes.
        failures: how many of the next starts fail.
        lives: the instances so far.
    """

    setup_time: float = 0.0
    teardown_time: float = 0.0
    failures: int = 0
    lives: list[Life] = attrs.field(factory=list)

    def living(self) -> list[Life]:
        """Those that have not ended."""
        return [each for each in self.lives if each.ended is None]

    def crashed(self, node: str) -> None:
        """A node was ended as by SIGKILL; its instances can tell nothing."""
        for each in self.living():
            if each.node == node:
                each.ended = trio.current_time()

    def check(self) -> None:
        """Fail if there were ever two at a time."""
        for one, other in pairwise(self.lives):
            assert one.ended is not None, f"{one} lives beside {other}"
            assert one.ended <= other.began, f"{one} overlaps with {other}"

    def longest_gap(self) -> float:
        """The longest time without an instance."""
        gaps = [
            other.began - (one.ended or 0.0) for one, other in zip(self.lives, self.lives[1:], strict=False)
        ]
        return max(gaps, default=0.0)


class Lone(Service):
    """Tells of itself."""

    def __init__(self, lives: Lives, label: str = "") -> None:
        self._lives = lives
        self._label = label
        self._life = Life("?", trio.current_time())
        lives.lives.append(self._life)

    async def setup(self) -> None:
        self._life.node = self.node.name
        self.nursery.start_soon(self._live)
        await trio.sleep(self._lives.setup_time)
        if self._lives.failures:
            self._lives.failures -= 1
            raise ValueError("not today")

    async def _live(self) -> None:
        """Last as long as the instance, but for its teardown."""
        try:
            await trio.sleep_forever()
        finally:
            self._life.ended = trio.current_time()

    async def teardown(self) -> None:
        self._life.ended = None
        try:
            await trio.sleep(self._lives.teardown_time)
        finally:
            self._life.ended = trio.current_time()

    @command
    def who(self) -> str:
        return f"{self.node.name}{self._label}"

    @command
    async def hold(self, seconds: float) -> None:
        await trio.sleep(seconds)
