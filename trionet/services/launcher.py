"""The launcher: starts and ends the services of its node, and looks at them, for other nodes and the console.

Duty: the service that stands on every node of ``trionet run``; who uses it has :class:`RemoteNode`.
May import: trionet and the inspection.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from math import inf
from typing import Any, Final

from trionet import Handle, Restart, Spec, TrionetError, command, find_class, spec, value
from trionet.services.inspection import Inspection

#: The launcher of this node.
LAUNCHER: Final = ".launcher"
#: The group of all launchers of the cluster.
LAUNCHERS: Final = "trionet.launcher"


@value(name="trionet.LaunchRefused")
class LaunchRefused(TrionetError):
    """The node does not allow that class to be started from elsewhere, or its arguments do not fit."""


class Launcher(Inspection):
    """What other nodes and the console may do with the services of a node.

    ``trionet run`` and :func:`trionet.run` start it on every node of a cluster, as ``.launcher``.  A program
    that opens its node itself does so with ``await node.start(Launcher, name=".launcher")``.  What it may
    start is limited to the classes in ``node.launch`` of the configuration: by default none.
    """

    async def setup(self) -> None:
        """Let other nodes find it.

        Cancellation: nothing is left.
        """
        self.node.join_group(LAUNCHERS, self.handle)

    # starting and ending

    @command(deadline=inf)
    async def launch(
        self,
        class_name: str,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        restart: Restart | None = None,
        exclusive: bool = False,
    ) -> Handle:
        """Start an independent service by the name of its class.

        Cancellation: the service is killed.

        Args:
            class_name: as ``package.module:Class``.
            args: the arguments of its constructor.
            kwargs: the arguments of its constructor by name.
            name: as for :meth:`trionet.Node.start`, as are the others.

        Returns:
            Its handle.

        Raises:
            LaunchRefused: if the node does not allow it, or the arguments do not fit.
            NoSuchClass: if there is no such class, or it is none of a service.
            StartFailed: if the constructor or ``setup`` raised; a note has the traceback.
            NameTaken: if the name has another owner.
            NodeStopping: if the node is stopping.
        """
        made = await self.node.start(
            self._spec(class_name, args, kwargs or {}), name=name, restart=restart, exclusive=exclusive
        )
        return self.node.handle_of(made)

    def _spec(self, class_name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Spec[Any]:
        self._check_allowed(class_name)
        cls = find_class(class_name)
        self._check_allowed(f"{cls.__module__}:{cls.__qualname__}")  # it may only be imported there
        try:
            return spec(cls, *args, **kwargs)
        except TypeError as error:
            raise LaunchRefused(f"{class_name} cannot be started: {error}") from None

    def _check_allowed(self, class_name: str) -> None:
        allowed = self.node.config.launch
        if not any(fnmatchcase(class_name, pattern) for pattern in allowed):
            shown = ", ".join(allowed) or "nothing"
            text = f"node {self.node.name} allows {shown} to be started from elsewhere, not {class_name}"
            raise LaunchRefused(f"{text} (node.launch)")

    @command(deadline=inf)
    async def stop_service(self, target: Any) -> None:
        """Stop a service in order and wait for its end; as :meth:`trionet.Node.stop`.

        Cancellation: the service stops all the same.

        Args:
            target: a handle, a reference, or a name; ``.name`` is one of this node.
        """
        await self.node.stop(target)

    @command(deadline=inf)
    async def kill_service(self, target: Any) -> None:
        """End a service at once and wait for its end; as :meth:`trionet.Node.kill`.

        Cancellation, Args: as :meth:`stop_service`.
        """
        await self.node.kill(target)
