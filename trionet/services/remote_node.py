"""Another node, as one handles it from here: start services there, list, measure and end them.

Duty: find the launcher of a node, and give its commands their types.
May import: trionet and the launcher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar, overload

import trio

from trionet import (
    Handle,
    NameTaken,
    Node,
    NodeDown,
    NodeStatistics,
    NoSuchService,
    RemoteError,
    Restart,
    Service,
    ServiceStatistics,
    Spec,
    spec,
)
from trionet.services.launcher import LAUNCHER, LAUNCHERS, MOST_LISTED, Launcher

S = TypeVar("S", bound=Service)

#: Seconds to wait for the launcher of a node that is there; it may just be starting.
PATIENCE: Final = 5.0


class RemoteNode:
    """A node of the cluster, by its harbor id; it may be this one, also without a cluster (harbor id 0).

    All of it goes to the launcher of that node (see :class:`Launcher`); each call has the deadline of its
    caller, or the node's ``call_deadline``, but for starting and ending services, which may take as long as
    that node allows.

    Args:
        node: this node.
        harbor: the harbor id of the other.
    """

    def __init__(self, node: Node, harbor: int) -> None:
        self.node = node
        self.harbor = harbor

    def __repr__(self) -> str:
        return f"<RemoteNode {self.harbor}>"

    # starting and ending

    async def start(
        self,
        what: Spec[S] | Callable[[], S],
        *,
        name: str | None = None,
        restart: Restart | None = None,
        exclusive: bool = False,
    ) -> S:
        """Start an independent service on that node.

        Waits until its ``setup`` has returned and its name, if any, is announced.

        Cancellation: what is starting is killed.  If the other node does not confirm that in time, the
        service may run all the same.

        Args:
            what: ``spec(Class, ...)``, or a class whose constructor needs no arguments.  The arguments are
                values, as those of a message.
            name: ``.name`` for that node, ``name`` for the whole cluster.
            restart: whether it is started again after its end; by default it is not.
            exclusive: for a global name: never two owners, even where the cluster is split.

        Returns:
            A reference to it, typed as its class.

        Raises:
            LaunchRefused: if ``node.launch`` of that node does not allow the class.
            NoSuchClass: if that node has no such class.
            StartFailed: if the constructor or ``setup`` raised there; a note has the traceback.
            NameTaken: if the name has another owner.
            NodeDown: if there is no link to that node, or it ends; ``executed`` tells if it may have started.
            NoSuchService: if that node has no launcher.
            BadMessage: if an argument is no value.
        """
        chosen: Spec[S] = what if isinstance(what, Spec) else spec(what)
        return await self.launch(
            str(chosen),
            chosen.args,
            chosen.kwargs,
            interface=chosen.cls,
            name=name,
            restart=restart,
            exclusive=exclusive,
        )

    @overload
    async def launch(
        self,
        class_name: str,
        args: tuple[Any, ...] = ...,
        kwargs: Mapping[str, Any] | None = ...,
        *,
        interface: Callable[..., S],
        name: str | None = ...,
        restart: Restart | None = ...,
        exclusive: bool = ...,
    ) -> S: ...
    @overload
    async def launch(
        self,
        class_name: str,
        args: tuple[Any, ...] = ...,
        kwargs: Mapping[str, Any] | None = ...,
        *,
        interface: None = ...,
        name: str | None = ...,
        restart: Restart | None = ...,
        exclusive: bool = ...,
    ) -> Any: ...
    async def launch(
        self,
        class_name: str,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        interface: Any = None,
        name: str | None = None,
        restart: Restart | None = None,
        exclusive: bool = False,
    ) -> Any:
        """Start a service on that node by the name of its class, which this node need not have.

        Cancellation: as :meth:`start`.

        Args:
            class_name: as ``package.module:Class``.
            args: the arguments of its constructor.
            kwargs: the arguments of its constructor by name.
            interface: an interface class, as for :meth:`trionet.Node.ref`.
            name: as for :meth:`start`, as are the others.

        Returns:
            A reference to it.

        Raises:
            TrionetError: as :meth:`start`.
        """
        launcher = await self._launcher()
        handle = await launcher.launch(
            class_name,
            args,
            None if kwargs is None else dict(kwargs),
            name=name,
            restart=restart,
            exclusive=exclusive,
        )
        return self.node.ref(handle) if interface is None else self.node.ref(handle, interface)

    async def stop(self, target: Any) -> None:
        """Stop a service of that node in order and wait for its end.

        Cancellation: the service stops all the same.

        Args:
            target: a handle, a reference, or a name; ``.name`` is one of that node.

        Raises:
            NoSuchService: if nobody owns the name.
            NodeDown: if there is no link to that node.
        """
        launcher = await self._launcher()
        with _looked_for_there():
            await launcher.stop_service(target)

    async def kill(self, target: Any) -> None:
        """End a service of that node at once and wait for its end.

        Cancellation, Args, Raises: as :meth:`stop`.
        """
        launcher = await self._launcher()
        with _looked_for_there():
            await launcher.kill_service(target)

    # looking

    async def services(self) -> tuple[ServiceStatistics, ...]:
        """Measure all services of that node; without their running handlers.

        Cancellation: nothing is left.
        """
        launcher = await self._launcher()
        found: list[ServiceStatistics] = []
        while True:
            more = await launcher.services(found[-1].handle.local if found else 0)
            found += more
            if len(more) < MOST_LISTED:
                return tuple(found)

    async def stat(self, target: Any) -> ServiceStatistics:
        """Measure one service of that node, with its running handlers.

        Cancellation: nothing is left.

        Args:
            target: as for :meth:`stop`.

        Raises:
            NoSuchService: if it is no living service of that node.
        """
        launcher = await self._launcher()
        with _looked_for_there():
            return await launcher.stat(target)

    async def node_stat(self) -> NodeStatistics:
        """Measure that node.

        Cancellation: nothing is left.
        """
        return await (await self._launcher()).node_stat()

    async def names(self) -> dict[str, Handle]:
        """All names that that node knows, its local ones first.

        Cancellation: nothing is left.
        """
        return await (await self._launcher()).names()

    async def info(self, target: Any) -> Any:
        """What a service of that node tells of itself; see :meth:`trionet.Service.debug_info`.

        Cancellation: nothing is left.

        Args, Raises: as :meth:`stat`.
        """
        launcher = await self._launcher()
        with _looked_for_there():
            return await launcher.info(target)

    async def ping(self, target: Any) -> float:
        """Measure the way of a message from that node's launcher to one of its services.

        Cancellation: nothing is left.

        Args, Raises: as :meth:`stat`.

        Returns:
            The seconds from sending it until the service has a free slot for it and has answered.
        """
        launcher = await self._launcher()
        with _looked_for_there():
            return await launcher.ping(target)

    # finding it

    async def _launcher(self) -> Launcher:
        if self.harbor == self.node.harbor:
            return await self._own_launcher()
        handle = self._member()
        if handle is None:
            with trio.move_on_after(PATIENCE):
                handle = await self._wait_for_member()
        if handle is None:
            text = f"harbor {self.harbor} has no launcher: its program opens the node without one"
            raise NoSuchService(text, executed=False)
        return self.node.ref(handle, Launcher)

    async def _own_launcher(self) -> Launcher:
        if self.node.lookup(LAUNCHER) is None:
            with suppress(NameTaken):
                await self.node.start(Launcher, name=LAUNCHER)
            await self.node.wait_for_name(LAUNCHER)
        return self.node.ref(LAUNCHER, Launcher)

    async def _wait_for_member(self) -> Handle:
        async with self.node.cluster.events() as events:
            while (handle := self._member()) is None:
                await events.receive()
        return handle

    def _member(self) -> Handle | None:
        cluster = self.node.cluster
        if self.harbor not in cluster.nodes():
            raise NodeDown(f"there is no harbor {self.harbor} in the cluster", executed=False)
        return next((each for each in cluster.members(LAUNCHERS) if each.harbor == self.harbor), None)


@contextmanager
def _looked_for_there() -> Iterator[None]:
    """Raise what says that a target is not there as if it had been looked for here."""
    try:
        yield
    except RemoteError as error:
        if error.type_name == f"{NoSuchService.__module__}.{NoSuchService.__qualname__}":
            raise NoSuchService(error.text, executed=False) from error
        raise
