"""Another node, as one handles it from here: start services there, look at them and end them.

Duty: give the commands of a node's launcher that change something their types.
May import: trionet and the remote inspection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from trionet import Restart, Service, Spec, spec
from trionet.services.remote_inspection import RemoteInspection, looked_for_there

S = TypeVar("S", bound=Service)


class RemoteNode(RemoteInspection):
    """A node of the cluster, by its harbor id; it may be this one, also without a cluster (harbor id 0).

    All of it goes to the launcher of that node (see :class:`Launcher`); each call has the deadline of its
    caller, or the node's ``call_deadline``, but for starting and ending services, which may take as long as
    that node allows.

    Args:
        node: this node.
        harbor: the harbor id of the other.
    """

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
        launcher = await self.launcher()
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
        launcher = await self.launcher()
        with looked_for_there():
            await launcher.stop_service(target)

    async def kill(self, target: Any) -> None:
        """End a service of that node at once and wait for its end.

        Cancellation, Args, Raises: as :meth:`stop`.
        """
        launcher = await self.launcher()
        with looked_for_there():
            await launcher.kill_service(target)
