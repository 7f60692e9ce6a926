"""What a message within a node is made of: each part measured by itself, and the whole (W1, W2).

The parts do not quite add up to the whole: some have more around them here than in their place.
"""

from __future__ import annotations

import timeit
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from rich.console import Console
from rich.table import Table

from trionet import Service, command, open_node
from trionet.kernel.actor import Actor
from trionet.kernel.context import handling
from trionet.kernel.direct import begin_here
from trionet.kernel.handlers import run_plain
from trionet.kernel.request import Request
from trionet.kernel.trio_inside import is_cancelled
from trionet.message import NO_CHECKS, are_plain

#: How often each is done in one measurement, and how many of these there are: the fastest counts.
TIMES: Final = 50_000
REPEATS: Final = 5

#: The parts of a send to a plain function, in their order: what, and the code that does it.
PARTS: Final = (
    ("find the command of the reference", "box.note"),
    ("look at the argument: is it a value, and small?", "are_plain(args, kwargs, node.limits)"),
    ("look at the time: must others run?", "node.stopwatch() >= node._slice_ends"),
    ("look whether the sender is cancelled", "is_cancelled()"),
    ("find the service", "node.actors.get(handle.value & 0xFFFFFF)"),
    ("find who sends", "handling.get()"),
    ("look whether it may begin at once", "actor.commands.get('note'); actor.may_begin(note)"),
    ("make the request", "Request(None, actor, 'note', args, kwargs, NO_CHECKS, 1)"),
    ("copy the context of the service", "actor.context.copy()"),
    ("the handler itself", "note.function(actor.instance, *args, **kwargs)"),
    ("run it (request, context, handler, its end)", "run_plain(make(), note)"),
    ("and charge its time", "begin_here(make(), note, node.stopwatch())"),
)


class Box(Service):
    """Takes a message."""

    @command
    def note(self, item: int) -> None:
        """Do nothing."""

    @command
    async def note_late(self, item: int) -> None:
        """Do nothing, in a handler that could wait."""


async def _awaited(call: Callable[[int], Awaitable[object]]) -> float:
    """Seconds that one of many takes."""
    fastest = float("inf")
    for _ in range(REPEATS):
        began = timeit.default_timer()
        for _ in range(TIMES):
            await call(1)
        fastest = min(fastest, timeit.default_timer() - began)
    return fastest / TIMES


async def _nothing(_: int) -> None:
    """What awaits nothing."""


async def measure() -> list[tuple[str, float]]:
    """Measure the parts, then the whole; in seconds."""
    async with open_node() as node:
        box = await node.start(Box)
        await box.note_late(1)
        handle = node.handle_of(box)
        actor: Any = node.locate(handle)
        assert isinstance(actor, Actor)
        note = actor.commands["note"]
        around: dict[str, Any] = {
            **{each.__name__: each for each in (are_plain, is_cancelled, Request, run_plain, begin_here)},
            "node": node,
            "box": box,
            "actor": actor,
            "note": note,
            "handle": handle,
            "args": (1,),
            "kwargs": {},
            "NO_CHECKS": NO_CHECKS,
            "handling": handling,
            "make": lambda: Request(None, actor, "note", (1,), {}, NO_CHECKS, 1),
        }
        found = []
        for what, code in PARTS:
            fastest = min(timeit.repeat(code, globals=around, number=TIMES, repeat=REPEATS))
            found.append((what, fastest / TIMES))
            await trio.lowlevel.checkpoint()
        found.append(("await a coroutine that does nothing", await _awaited(_nothing)))
        found.append(("a whole send to a plain function", await _awaited(box.note.send)))
        found.append(("a whole call of it", await _awaited(box.note)))
        found.append(("a whole send to a coroutine", await _awaited(box.note_late.send)))
        found.append(("a whole call of it", await _awaited(box.note_late)))
        return found


def show(console: Console) -> None:
    """Print what was measured."""
    with console.status("measuring"):
        found = trio.run(measure)
    table = Table(title="what a message within a node is made of")
    table.add_column("")
    table.add_column("us", justify="right")
    for what, seconds in found:
        table.add_row(what, f"{seconds * 1e6:.2f}")
    console.print(table)
