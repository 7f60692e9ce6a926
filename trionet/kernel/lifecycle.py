"""The life of services as seen from outside: started, stopped, restarted, failed (C8, C9, C13).

Duty: the part of a node that owns its services.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, cast

import trio

from trionet.config import NodeConfig
from trionet.errors import NameTaken, NodeStopping, NoSuchService, ServiceRestarting, StartFailed
from trionet.handle import MAX_LOCAL, Handle, check_name
from trionet.kernel.actor import Actor, Life
from trionet.kernel.context import current_actor
from trionet.kernel.exceptions import log_with_trace
from trionet.kernel.keeper import Keeper
from trionet.kernel.life import live
from trionet.kernel.naming import Naming
from trionet.kernel.network import Network
from trionet.kernel.reference import make_reference, target_of
from trionet.kernel.seams import Seams
from trionet.kernel.service import Service
from trionet.kernel.spec import Spec, as_spec
from trionet.kernel.supervise import Restart
from trionet.kernel.watch import Exit
from trionet.message import value

if TYPE_CHECKING:
    from trionet.kernel.node import Node

S = TypeVar("S", bound=Service)

#: Why a start failed travels as it is, so that it reaches whoever asked another node for the start.
value(name="trionet.NameTaken")(NameTaken)
value(name="trionet.NodeStopping")(NodeStopping)
value(name="trionet.StartFailed")(StartFailed)

#: Ends of services that are remembered, so that a late watcher still learns the reason.
REMEMBERED_EXITS: Final = 10_000
#: Idle services that are asked to stop before other tasks run.
STOPPED_AT_ONCE: Final = 100

_log = logging.getLogger("trionet.node")


class Lifecycle(Naming):
    """What a node needs to own services.

    Attributes:
        ended_messages: messages that services have handled which have ended since.
        ended_cpu_time: seconds that their handlers held the event loop.
    """

    def __init__(
        self, nursery: trio.Nursery, config: NodeConfig, seams: Seams, network: Network | None
    ) -> None:
        super().__init__(config, seams, network)
        self.nursery = nursery
        self._roots: dict[Handle, Actor | Keeper] = {}
        self._local_ids = count(1)
        self._kept_ids: set[int] = set()  # of the first of each that a keeper keeps
        self._exits: dict[Handle, Exit] = {}
        self._cut_off: list[str] = []
        self.ended_messages: int = 0
        self.ended_cpu_time: float = 0.0
        self._stopping = False
        self._shutdown = trio.Event()

    @property
    def cut_off(self) -> tuple[str, ...]:
        """What had to be cut off when services stopped, because the grace time was over."""
        return tuple(self._cut_off)

    # start and stop

    async def start(
        self,
        what: Spec[S] | Callable[[], S],
        *,
        name: str | None = None,
        restart: Restart | None = None,
        exclusive: bool = False,
    ) -> S:
        """Start an independent service: one that lives until it ends itself, is stopped, or the node stops.

        Waits until its ``setup`` has returned and its name, if any, is announced.

        Cancellation: the service is killed, and the wait goes on until it has ended.

        Args:
            what: ``spec(Class, ...)``, or a class whose constructor needs no arguments.
            name: ``.name`` for this node, ``name`` for the whole cluster.
            restart: whether it is started again after its end; by default it is not.
            exclusive: never two owners of the name, even where the cluster is split, nor two such services:
                the name is taken before ``setup``, given back when the service has ended, and a service that
                loses it is killed.

        Returns:
            A reference to it, typed as its class.

        Raises:
            StartFailed: if the constructor or ``setup`` raised, or took longer than the start deadline.
            NameTaken: if the name has another owner.
            NodeStopping: if the node is stopping.
            TypeError: if it is no service class, or needs arguments, or ``restart`` is no policy.
            ValueError: if the name is malformed, or is missing where it shall be exclusive.
        """
        return await self._start(None, as_spec(what), name, restart, exclusive=exclusive)

    async def start_child(
        self,
        parent: Actor,
        what: Spec[S] | Callable[[], S],
        *,
        name: str | None,
        restart: Restart | None,
    ) -> S:
        """Start a service that ends with another one; see :meth:`Service.start`.

        Raises:
            StartFailed: also if the parent is ending.
        """
        if parent.life not in (Life.STARTING, Life.RUNNING):
            raise StartFailed(f"{parent.describe()} is {parent.life.value} and starts no children")
        return await self._start(parent, as_spec(what), name, restart, exclusive=False)

    async def _start(
        self,
        parent: Actor | None,
        spec: Spec[S],
        name: str | None,
        restart: Restart | None,
        *,
        exclusive: bool,
    ) -> S:
        if self._stopping:
            raise NodeStopping(f"{self.config.name} is stopping; {spec} was not started")
        if restart is not None and not isinstance(restart, Restart):
            raise TypeError(f"restart: found {restart!r}, expected a policy as trionet.Restart({restart!r})")
        if exclusive and name is None:
            raise ValueError(f"{spec} was to be exclusive: that is about a name, and none is given")
        actor = Actor(self._as_node(), self._new_handle(), spec, parent)
        if name is not None:
            check_name(name)
        keeper = None if restart is None or restart.when == "never" else Keeper(actor, restart)
        if name is not None:
            self._reserve(name, actor)
            actor.names = (name,)
            actor.exclusive = exclusive
        owner = self._roots if parent is None else parent.adopted()
        owner[actor.handle] = keeper or actor
        if keeper is not None:
            self._kept_ids.add(actor.handle.local)
        self.actors[actor.handle.local] = actor
        run = partial(live, actor) if keeper is None else keeper.run
        self.context.copy().run(partial(self.nursery.start_soon, run, name=str(spec)))
        await _Start(actor).wait()
        reference: S = make_reference(self, actor.handle, spec.cls)
        return reference

    def successor(self, former: Actor) -> Actor:
        """Make the next incarnation of a service that its keeper starts again."""
        actor = Actor(self._as_node(), self._new_handle(), former.spec, former.parent)
        actor.names = former.names
        actor.exclusive = former.exclusive
        actor.keeper = former.keeper
        self.actors[actor.handle.local] = actor
        return actor

    def _as_node(self) -> Node:
        return cast("Node", self)  # the only class made of these parts

    def _new_handle(self) -> Handle:
        while True:
            local = (next(self._local_ids) - 1) % MAX_LOCAL + 1
            if local not in self.actors and local not in self._kept_ids:
                return Handle.make(self.network.harbor, local, self.incarnation)

    async def stop(self, target: Any) -> None:
        """Stop a service in order and wait for its end: grace time, then ``teardown`` (C8).

        A service that is dead already is no error.  One that asks for itself is not waited for.

        Cancellation: the service stops all the same.

        Args:
            target: a reference, handle or name.

        Raises:
            NoSuchService: if nobody owns the name.
            NodeDown: if the service is on a node without a link.
        """
        await self._end(target, kill=False)

    async def kill(self, target: Any) -> None:
        """End a service at once, without grace time and ``teardown``, and wait for its end.

        Cancellation, Args, Raises: as :meth:`stop`.
        """
        await self._end(target, kill=True)

    async def _end(self, target: Any, *, kill: bool) -> None:
        address = target_of(target)
        living: Actor | Keeper
        try:
            where = self.locate(address)
        except ServiceRestarting:
            living = self._restarting(cast("str", address))
        except NoSuchService:
            if isinstance(address, str) and not address.startswith(":"):
                raise
            await trio.lowlevel.checkpoint()
            return
        else:
            if not isinstance(where, Actor):
                await self.network.stop(where, kill=kill)
                return
            living = where.keeper or where
        if kill:
            living.kill()
        else:
            living.request_stop(trio.current_time() + self.config.stop_grace)
        own = current_actor.get()
        if own is not None and living is (own.keeper or own):
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await living.wait_ended()

    def _restarting(self, name: str) -> Keeper:
        """Who is about to start the owner of a name again."""
        reserved = self.local_names.reservation(name)
        assert reserved is not None
        return cast("Keeper", reserved.holder)

    # the end of services

    def forget(self, actor: Actor) -> None:
        """A service is dead: give its handle back, remember how it ended."""
        self.actors.pop(actor.handle.local, None)
        self.ended_messages += actor.messages
        self.ended_cpu_time += actor.cpu_time
        if actor.exit is not None:
            self._exits[actor.handle] = actor.exit
            if len(self._exits) > REMEMBERED_EXITS:
                del self._exits[next(iter(self._exits))]
        if actor.keeper is None:
            self._disown(actor.parent, actor.handle)

    def remembered_exit(self, handle: Handle) -> Exit:
        """How a dead service of this node ended, as far as it is remembered."""
        return self._exits.get(handle) or Exit(handle, "gone")

    def forget_keeper(self, keeper: Keeper) -> None:
        """A service has ended for good."""
        self._kept_ids.discard(keeper.handle.local)
        self._disown(keeper.actor.parent, keeper.handle)

    def _disown(self, parent: Actor | None, handle: Handle) -> None:
        owner = self._roots if parent is None else parent.adopted()
        owner.pop(handle, None)

    def escalate(self, actor: Actor, error: BaseException) -> None:
        """A service failed for good: its starter deals with it, or the log does."""
        parent = actor.parent
        if parent is None or not parent.accepting or parent.nursery is None:
            log_with_trace(_log, logging.ERROR, "%s failed", actor.describe(), error=error)
            return
        assert parent.instance is not None
        _log.warning("%s failed; its starter %s is told", actor.describe(), parent.describe())
        parent.begin(parent.instance.child_failed, actor.handle, error)

    def name_lost(self, name: str, handle: Handle, owner: Handle | None) -> Actor | None:
        """A service of this node no longer owns a global name (C11).

        Returns:
            The service, if it must not go on without the name and has yet to end.
        """
        actor = self.actors.get(handle.local)
        if actor is None:
            return None
        self._free(name, actor)
        actor.names = tuple(each for each in actor.names if each != name)
        if actor.exclusive and not actor.spec.cls.has_name_lost():
            _log.warning("%s lost its exclusive name %r and is killed", actor.describe(), name)
            (actor.keeper or actor).kill()
            return actor
        if actor.nursery is not None and actor.instance is not None:
            actor.begin(actor.instance.name_lost, name, owner)
        return None

    def note_cut_off(self, what: str) -> None:
        """Remember what the end of a grace time cut off."""
        _log.warning("cut off at the end of the grace time: %s", what)
        self._cut_off.append(what)

    # the end of the node

    def abort(self) -> None:
        """End everything on the node at once: no grace time, no ``teardown``."""
        self._stopping = True
        self._shutdown.set()
        for living in reversed(tuple(self._roots.values())):
            living.kill()

    async def close(self) -> None:
        """Stop all services, the latest started first, under one deadline (C13).

        A service that is idle and has no ``teardown`` is not waited for before the next is asked.

        Cancellation: the services stop all the same, but are not waited for.
        """
        self._stopping = True
        self._shutdown.set()
        deadline = trio.current_time() + self.config.stop_grace
        asked = list(reversed(self._roots.values()))
        for number, living in enumerate(asked):
            living.request_stop(deadline)
            actor = living if isinstance(living, Actor) else living.actor
            if actor.has_things_to_do():
                await living.wait_ended()
            elif number % STOPPED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        while self._roots:
            await next(reversed(self._roots.values())).wait_ended()
        self.dead_letters.log_muted()


class _Start:
    """The wait of a starter until its service runs."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._error: BaseException | None = None
        self._raise_cancel: Callable[[], NoReturn] | None = None
        self._task = trio.lowlevel.current_task()
        actor.on_started(self._tell)

    def _tell(self, error: BaseException | None) -> None:
        self._error = error
        trio.lowlevel.reschedule(self._task)

    def _abort(self, raise_cancel: Callable[[], NoReturn]) -> trio.lowlevel.Abort:
        self._raise_cancel = raise_cancel
        (self._actor.keeper or self._actor).kill()
        return trio.lowlevel.Abort.FAILED

    async def wait(self) -> None:
        await trio.lowlevel.wait_task_rescheduled(self._abort)
        if self._raise_cancel is not None:
            self._raise_cancel()
        if self._error is not None:
            raise self._error
