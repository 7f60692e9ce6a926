"""How long a sender waits, and for what: deadlines, room in an inbox, circles of waits (C4, C7, C10).

Duty: the deadline of a call, and the wait of a task for a message of its own.
"""

from __future__ import annotations

from math import inf

import trio

from trionet.config import NodeConfig
from trionet.errors import Deadlock
from trionet.handle import Handle
from trionet.kernel.actor import Actor
from trionet.kernel.command import CallOptions
from trionet.kernel.deadlock import find_circle
from trionet.kernel.declaration import Declaration
from trionet.kernel.request import Request
from trionet.kernel.together import Branch
from trionet.kernel.trio_inside import effective_deadline, park


def choose_deadline(
    config: NodeConfig,
    command: str | Declaration,
    where: Actor | Handle,
    options: CallOptions,
    parent: Request | None,
    is_its_own: bool = False,
) -> tuple[float, bool]:
    """When a call's time is over, and whether that must be watched here.

    Where the time of the handler that makes it is over, that is cancelled, and its calls with it; except
    within a shield.

    Args:
        config: that of the node.
        command: what is called.
        where: the service, or on another node its handle.
        options: those of the call.
        parent: the message whose handler makes it, or something that the handler has started.
        is_its_own: whether it is certain that the handler waits for it.
    """
    enforced = False
    if parent is None or parent.worker is None:
        callers, _ = effective_deadline()
    else:
        callers, shielded = effective_deadline(parent.worker.scope)
        bound = parent.time_left_bound()
        if bound < callers and (is_its_own or parent.encloses_current_task()):
            callers, enforced = bound, shielded
    if options.deadline is not None:
        own = trio.current_time() + options.deadline
    elif callers == inf:
        own = trio.current_time() + _default_deadline(config, command, where)
    else:
        return callers, enforced
    return (own, True) if own < callers else (callers, enforced)


def _default_deadline(config: NodeConfig, command: str | Declaration, where: Actor | Handle) -> float:
    if isinstance(command, str):
        name = command
    elif command.deadline is not None:
        return command.deadline
    else:
        name = command.name
    if isinstance(where, Handle):
        return config.call_deadline
    own = where.commands.get(name)
    return where.call_deadline if own is None or own.deadline is None else own.deadline


async def wait_for_room(request: Request) -> None:
    """Wait until a message that stands in the line is in the inbox, or its service has ended."""

    def abort(_: object) -> trio.lowlevel.Abort:
        request.parked = None
        request.target.inbox.withdraw(request)
        return trio.lowlevel.Abort.SUCCEEDED

    request.parked = trio.lowlevel.current_task()
    await park(abort)


class Waiting:
    """While somebody waits for a request; entering refuses to close a circle."""

    __slots__ = ("request", "waiter")

    def __init__(self, waiter: Request | Branch, request: Request) -> None:
        self.waiter: Request | Branch = waiter
        self.request: Request = request

    def __enter__(self) -> None:
        waiter, request = self.waiter, self.request
        waiter.waits_for = request
        target = request.target
        if len(target.handlers) >= target.concurrency:
            chain = find_circle(request)
            if chain is not None:
                waiter.waits_for = None
                target.inbox.withdraw(request)
                raise Deadlock(chain)

    def __exit__(self, *_: object) -> None:
        self.waiter.waits_for = None
