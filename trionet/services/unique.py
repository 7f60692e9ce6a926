"""Unique services: one instance per node or per cluster, started by whoever needs it first.

Duty: :func:`unique`, :func:`query`, and the service that keeps a unique one alive.
May import: trionet.

Theory of operation.  That there is never a second one is the promise of an exclusive name: it is taken before
``setup``, and given back when the service has ended.  What is here decides who starts, and when again.  The
callers of one node share one attempt: one of them makes it, in its own task, the others wait for its end; if
the one is cancelled, another takes its place.  Of the attempts of several nodes all but one end with
``NameTaken``, and look again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import Any, Final, TypeVar, overload
from weakref import WeakKeyDictionary

import attrs
import trio

from trionet import (
    CallError,
    ClusterEvent,
    Handle,
    NameTaken,
    Node,
    NodeDown,
    NodeStopping,
    NoSuchService,
    Restart,
    Service,
    ServiceBusy,
    ServiceRestarting,
    Spec,
    StartFailed,
    spec,
)
from trionet.services.ping import ping

S = TypeVar("S", bound=Service)

#: Seconds after which one looks again, where no news may come.
LOOK_AGAIN: Final = 0.5
#: Seconds before the first start after one that failed; they double, up to the longest.
FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 10.0
#: The delay doubles so many times at most.
_MOST_DOUBLINGS: Final = 30


async def unique(
    node: Node,
    what: Spec[S] | Callable[[], S],
    name: str,
    *,
    restart: Restart | None = None,
    standby: bool = False,
) -> S:
    """Have a service of which there is one: one per node for a ``.name``, one per cluster for a ``name``.

    If it lives it is found, on whatever node; else it is started, on this node.  Waits until it runs: for a
    start that is under way, for the pause after one that failed, for the end of one that is stopping, and
    where the node of the former one was lost, until it is certain that that one has ended.  This may take
    long; the deadline is that of the caller's cancel scope.

    Cancellation: what this caller was starting is killed, and another one who waits starts it.

    Args:
        node: this node.
        what: ``spec(Class, ...)``, or a class whose constructor needs no arguments; it counts only where it
            is this caller who starts.
        name: the name of the service.
        restart: whether it is started again in its place after its end; by default it is not.
        standby: whether this node also starts it whenever there is none, until the node stops; it does so at
            the first request, and the options of that one count.

    Returns:
        A reference that is bound to the name, and so follows to the next instance.

    Raises:
        StartFailed: if the start failed for which this caller has waited; the next caller tries again, after
            a pause that doubles with each failure in a row.
        NodeStopping: if the node is stopping.
        TypeError: if it is no service class, or needs arguments.
        ValueError: if the name is malformed.
    """
    chosen: Spec[S] = what if isinstance(what, Spec) else spec(what)
    if standby:
        with suppress(NameTaken):
            await node.start(spec(Standby, chosen, name, restart), name=f".standby.{name}")
    await _ensure(node, chosen, name, restart)
    return node.ref(name, chosen.cls)


@overload
async def query(node: Node, name: str, interface: Callable[..., S]) -> S: ...
@overload
async def query(node: Node, name: str) -> Any: ...
async def query(node: Node, name: str, interface: Any = None) -> Any:
    """Wait until an instance of a unique service runs, which others start.

    Cancellation: leaves nothing behind.

    Args:
        node: this node.
        name: the name of the service.
        interface: its class, or an interface class, as for :meth:`trionet.Node.ref`.

    Returns:
        A reference that is bound to the name.

    Raises:
        ValueError: if the name is malformed.
    """
    async with _changes(node) as changes:
        while (owner := living(node, name)) is None or not await _runs(node, owner):
            await changes.next()
    return node.ref(name) if interface is None else node.ref(name, interface)


def living(node: Node, name: str) -> Handle | None:
    """The owner of a name, if its node is there; the name of one that was lost is kept for a while.

    Raises:
        ValueError: if the name is malformed.
    """
    owner = node.lookup(name)
    if owner is None:
        return None
    with suppress(NodeDown):
        if node.handle_of(str(owner)) == owner:  # the text of a handle means the present incarnation
            return owner
    return None


class Standby(Service):
    """Keeps a unique service alive from one node; started by ``unique(..., standby=True)``.

    Args:
        what: what to start.
        name: its name.
        restart: its restart policy.
    """

    def __init__(self, what: Spec[Any], name: str, restart: Restart | None) -> None:
        self._what = what
        self._name = name
        self._restart = restart

    async def setup(self) -> None:
        """Begin.

        Cancellation: nothing is left.
        """
        self.nursery.start_soon(self._keep)

    async def _keep(self) -> None:
        while True:
            try:
                await _ensure(self.node, self._what, self._name, self._restart)
            except StartFailed as error:
                self.log.warning("%s did not start, and is tried again: %s", self._name, error)
                continue
            except NodeStopping:
                return
            await self._until_it_ends()

    async def _until_it_ends(self) -> None:
        with suppress(NoSuchService, ServiceRestarting, NodeDown):
            async with self.watch(self._name) as watch, _changes(self.node) as changes:
                self.log.info("%s: %s", self._name, await watch.wait())
                if living(self.node, self._name) == watch.handle:  # there is only no link, or no news yet
                    await changes.next()


# --- starting -------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class _Attempt:
    """One attempt to start a unique service, for all callers of a node.

    Args:
        over: set when it has ended.
        error: what it failed with.
    """

    over: trio.Event = attrs.field(factory=trio.Event)
    error: StartFailed | None = None


@attrs.define(eq=False)
class _History:
    """What has become of the attempts of a node to start a unique service since the last that did not fail.

    Args:
        present: the present attempt, if there is one.
        failures: how many have failed in a row.
        not_before: when the next one may begin.
    """

    present: _Attempt | None = None
    failures: int = 0
    not_before: float = 0.0

    def failed(self) -> None:
        """The present attempt has failed."""
        delay = FIRST_DELAY * 2.0 ** min(self.failures, _MOST_DOUBLINGS)
        self.failures += 1
        self.not_before = trio.current_time() + min(delay, LONGEST_DELAY)


_HISTORIES: Final[WeakKeyDictionary[Node, dict[str, _History]]] = WeakKeyDictionary()


async def _ensure(node: Node, what: Spec[Any], name: str, restart: Restart | None) -> None:
    """Return when there is an instance that runs."""
    histories = _HISTORIES.setdefault(node, {})
    while True:
        history = histories.setdefault(name, _History())
        present = history.present
        if present is not None:
            await present.over.wait()
            if present.error is not None:
                raise StartFailed(str(present.error)) from present.error
        elif (owner := living(node, name)) is None:
            await _attempt(node, what, name, restart, history)
            histories.pop(name, None)
        elif await _runs(node, owner):
            return
        else:
            async with _changes(node) as changes:
                await changes.next()


async def _attempt(
    node: Node, what: Spec[Any], name: str, restart: Restart | None, history: _History
) -> None:
    """Start an instance, or wait until another node has one."""
    present = history.present = _Attempt()
    try:
        async with _changes(node) as changes:
            while living(node, name) is None:
                if trio.current_time() < history.not_before:
                    await changes.next(history.not_before)
                    continue
                try:
                    await node.start(what, name=name, restart=restart, exclusive=True)
                except NameTaken:
                    await changes.next()
    except StartFailed as error:
        present.error = error
        history.failed()
        raise
    finally:
        history.present = None
        present.over.set()


async def _runs(node: Node, owner: Handle) -> bool:
    """Tell whether an instance answers; what this node knows of other nodes may be out of date."""
    await trio.lowlevel.checkpoint()
    if owner.harbor == node.harbor:
        return True
    try:
        await ping(node, owner)
    except CallError as error:
        return isinstance(error, ServiceBusy)
    return True


# --- news -----------------------------------------------------------------------------------------------


class _Changes:
    """What happens in the cluster, as a reason to look again."""

    def __init__(self, events: trio.MemoryReceiveChannel[ClusterEvent]) -> None:
        self._events = events

    async def next(self, until: float = inf) -> None:
        """Wait for the next change, but not long: not all that matters is told.

        Args:
            until: a time, on the clock of ``trio.current_time()``, at which to look again in any case.
        """
        with trio.move_on_at(min(until, trio.current_time() + LOOK_AGAIN)):
            await self._events.receive()
        with suppress(trio.WouldBlock):
            while True:
                self._events.receive_nowait()


@asynccontextmanager
async def _changes(node: Node) -> AsyncIterator[_Changes]:
    """Follow the changes from now on."""
    async with node.cluster.events() as events:
        yield _Changes(events)
