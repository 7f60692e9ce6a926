"""What the tests of streams share: a fountain there, and all that it gives."""

from __future__ import annotations

from typing import Any

import trio

from tests.kernel.fountain import Fountain, fountain
from tests.sim.places import Places
from trionet import (
    StreamCall,
    spec,
)


async def start(places: Places, **options: Any) -> Fountain:
    """Start a fountain there; returns a reference for consumers who are here."""
    started = await places.there.start(spec(fountain(**options), places.stage))
    reference: Fountain = places.from_here(started)
    return reference


async def received(call: StreamCall[Any]) -> tuple[list[Any], Exception | None]:
    """Receive all that a stream gives; returns the items, and what came instead of its end."""
    items = []
    try:
        async with call as opened:
            while True:
                items.append(await opened.receive())
    except trio.EndOfChannel:
        return items, None
    except Exception as error:
        return items, error
