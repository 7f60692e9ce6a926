"""The launcher: starts, lists, measures and ends the services of its node, for other nodes and the console.

Duty: the service that stands on every node of ``trionet run``; who uses it has :class:`RemoteNode`.
May import: trionet.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from math import inf
from typing import Any, Final

import attrs
import trio

from trionet import (
    Handle,
    NodeStatistics,
    NoSuchCommand,
    Restart,
    Service,
    ServiceStatistics,
    Spec,
    TrionetError,
    command,
    find_class,
    spec,
    value,
)

#: The launcher of this node.
LAUNCHER: Final = ".launcher"
#: The group of all launchers of the cluster.
LAUNCHERS: Final = "trionet.launcher"
#: Services that are listed at once; more would make too large a message.
MOST_LISTED: Final = 1_000
#: A command that no service can have: its refusal has gone the way of every message.
_NO_COMMAND: Final = ".ping"


@value(name="trionet.LaunchRefused")
class LaunchRefused(TrionetError):
    """The node does not allow that class to be started from elsewhere, or its arguments do not fit."""


class Launcher(Service):
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

    # looking

    @command
    def services(self, after: int = 0, most: int = MOST_LISTED) -> tuple[ServiceStatistics, ...]:
        """Measure services of the node, those with the smallest local ids; without their running handlers.

        Args:
            after: only those with a larger local id.
            most: how many, at most 1,000.
        """
        later = (handle for handle in self.node.services() if handle.local > after)
        listed = heapq.nsmallest(min(most, MOST_LISTED), later)
        return tuple(attrs.evolve(self.node.service_statistics(each), handlers=()) for each in listed)

    @command
    def stat(self, target: Any) -> ServiceStatistics:
        """Measure one service of the node."""
        return self.node.service_statistics(target)

    @command
    def node_stat(self) -> NodeStatistics:
        """Measure the node."""
        return self.node.statistics()

    @command
    def names(self) -> dict[str, Handle]:
        """All names that the node knows, local ones first."""
        return self.node.names()

    @command
    def info(self, target: Any) -> Any:
        """What a service of the node tells of itself; see :meth:`trionet.Service.debug_info`."""
        return self.node.service_info(target)

    @command
    async def ping(self, target: Any) -> float:
        """Send a message the way of all messages to a service: through its inbox, to a free slot.

        Cancellation: nothing is left.

        Returns:
            The seconds that it took.
        """
        began = trio.current_time()
        with suppress(NoSuchCommand):
            await self.call(target, _NO_COMMAND)
        return trio.current_time() - began
