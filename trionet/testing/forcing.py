"""Helpers that force a path: a handler that blocks, an inbox that is full, a service that fails.

Duty: bring a service into a state that is rare or short in real life, and hold it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import trio

from trionet.errors import NoSuchService
from trionet.kernel.actor import Actor
from trionet.kernel.node import Node
from trionet.kernel.reference import target_of
from trionet.kernel.watch import Exit


class Hold:
    """A place in the code of a service where a test holds whoever comes by.

    Hand one to the service (arguments of :func:`~trionet.spec` are handed over as they are), let its handler
    ``await hold.here()``, and the test knows and decides when the handler goes on::

        hold = Hold()
        worker = await node.start(spec(Worker, hold))
        nursery.start_soon(worker.work)
        await hold.wait_held()  # now the handler runs, and stands
        hold.release()
    """

    def __init__(self) -> None:
        self._lot = trio.lowlevel.ParkingLot()
        self._arrival = trio.Event()
        self._released = False

    @property
    def held(self) -> int:
        """How many are held now."""
        return len(self._lot)

    async def here(self) -> None:
        """Wait for the release; the code under test calls it.

        Cancellation: one who is cancelled is no longer held.
        """
        if self._released:
            await trio.lowlevel.checkpoint()
            return
        self._arrival.set()
        self._arrival = trio.Event()
        await self._lot.park()

    async def wait_held(self, count: int = 1) -> None:
        """Wait until so many are held at the same time; the test calls it.

        Cancellation: changes nothing.

        Args:
            count: how many.
        """
        await trio.lowlevel.checkpoint()
        while self.held < count:
            await self._arrival.wait()

    def release_one(self) -> None:
        """Let the one go on who is held longest; nobody, if nobody is."""
        self._lot.unpark()

    def release(self) -> None:
        """Let all go on who are held, and hold nobody from now on."""
        self._released = True
        self._lot.unpark_all()


@contextmanager
def full_inbox(node: Node, target: Any) -> Iterator[None]:
    """Let the inbox of a service have no room for the block.

    ``send_nowait`` raises ``trio.WouldBlock``, ``send`` and calls wait for room; where the service chose
    ``overflow="reject"`` they raise :exc:`~trionet.ServiceBusy`.  What was in the inbox is handled all the
    same.  At the end of the block the inbox is as large as before, and whoever waited is let in.

    Args:
        node: the node of the service.
        target: a reference, handle or name.

    Raises:
        NoSuchService: if it is no living service of this node.
    """
    actor = _actor(node, target)
    inbox = actor.inbox
    limit, inbox.limit = inbox.limit, 0
    direct, actor.direct = actor.direct, False  # a call shall not go past the inbox
    try:
        yield
    finally:
        inbox.limit = limit
        actor.direct = direct and actor.accepting
        while inbox._line and inbox.size < limit:
            request, _ = inbox._line.popitem(last=False)
            inbox.put(request)
            request.admitted()
        actor.summon()


async def fail_service(node: Node, target: Any, error: Exception) -> Exit:
    """Let a service fail: raise an exception in a task of its own, and wait for the end of the service.

    Its restart policy and its starter learn of it as of any other failure.

    Cancellation: the service fails all the same.

    Args:
        node: the node of the service.
        target: a reference, handle or name.
        error: what to raise.

    Returns:
        How the service ended.

    Raises:
        NoSuchService: if it is no service of this node that runs.
    """
    actor = _actor(node, target)
    if actor.nursery is None:
        raise NoSuchService(f"{actor.describe()} is ending already", executed=False)
    async with node.watch(actor.handle) as end:
        actor.begin(_raise, error)
        return await end.wait()


def exits(node: Node) -> tuple[Exit, ...]:
    """How the services of a node ended that have ended so far, in the order of their ends.

    Args:
        node: the node; it remembers the last 10,000.
    """
    return tuple(node._exits.values())


async def _raise(error: Exception) -> NoReturn:
    raise error


def _actor(node: Node, target: Any) -> Actor:
    actor = node.locate(target_of(target))
    if not isinstance(actor, Actor):
        raise NoSuchService(f"{actor} is not on this node", executed=False)
    return actor
