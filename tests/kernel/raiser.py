"""A service whose handlers raise what they are told to, at each point at which a handler can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import trio

from trionet import Service, command


class Raiser(Service):
    """Makes the exceptions of its table; each entry begins with what makes one."""

    raised: ClassVar[Mapping[str, tuple[Callable[[], BaseException], *tuple[Any, ...]]]]

    def made(self, kind: str) -> BaseException:
        """One exception of a kind."""
        return self.raised[kind][0]()

    @command
    async def at_once(self, kind: str) -> None:
        """In the first step."""
        raise self.made(kind)

    @command
    async def later(self, kind: str) -> None:
        """After a wait."""
        await trio.sleep(1)
        raise self.made(kind)

    @command
    def plainly(self, kind: str) -> None:
        """In a plain function."""
        raise self.made(kind)
