"""The one hook through which the kernel sees other nodes, and what stands there when there are none.

Duty: the protocol :class:`Network`, and :class:`SingleNode`, which implements it for harbor id 0: no
sockets at all, global names known on this node, every remote handle down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import attrs

from trionet.errors import NodeDown
from trionet.handle import Handle
from trionet.kernel.names import NameTable
from trionet.kernel.watch import Exit

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor
    from trionet.kernel.node import Node
    from trionet.kernel.request import Request


@attrs.frozen
class Outgoing:
    """A message for a service on another node; its values are snapshots already.

    Args:
        source: the sending service, or None for code outside any service.
        target: the receiving service.
        command: the name of the command.
        args: the positional arguments.
        kwargs: the arguments by name.
        deadline: on the clock of ``trio.current_time()``; infinity for none.
        enforced: whether the deadline must be watched here, because no cancel scope of the caller does.
        trace: the id that all messages of one chain share.
        parent: the request whose handler makes the call in its own task, if any.
    """

    source: Actor | None
    target: Handle
    command: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    deadline: float
    enforced: bool
    trace: int
    parent: Request | None


class Network(Protocol):
    """Other nodes, as the kernel sees them."""

    harbor: int

    def incarnation(self, harbor: int) -> int:
        """The present incarnation of another node.

        Raises:
            NodeDown: if there is no link to it.
        """

    async def call(self, message: Outgoing) -> Any:
        """Call a service on another node and wait for the end of the call."""

    async def send(self, message: Outgoing) -> None:
        """Send to a service on another node; waits for room in the window."""

    def send_nowait(self, message: Outgoing) -> None:
        """Send to a service on another node.

        Raises:
            trio.WouldBlock: if there is no room in the window.
        """

    def watch(self, handle: Handle, tell: Callable[[Exit], None]) -> Callable[[], None]:
        """Tell once of the end of a service on another node; returns what ends the watch."""

    async def stop(self, handle: Handle, *, kill: bool) -> None:
        """Stop or kill a service on another node and wait for its end."""

    def lookup(self, name: str) -> Handle | None:
        """The owner of a global name, from the local copy of the table."""

    def global_names(self) -> dict[str, Handle]:
        """All global names, sorted, from the local copy of the table."""

    async def register(self, name: str, actor: Actor, *, exclusive: bool, replacing: Handle | None) -> None:
        """Register a global name for a service of this node; returns when the master accepted.

        Args:
            name: the name.
            actor: its new owner.
            exclusive: whether two parts of a split cluster must never both have an owner.
            replacing: the former self of a restarted service, for which the name was kept.

        Raises:
            NameTaken: if another service owns it.
        """

    def withdraw(self, name: str, handle: Handle, *, keep: bool) -> None:
        """Give back a global name of a service of this node, or keep it for the restart of that service."""

    def is_restarting(self, name: str) -> bool:
        """Tell whether the name is kept for a service of this node that is about to be started again."""

    async def wait_for_name(self, name: str) -> Handle:
        """Wait until a global name has an owner."""

    def join_group(self, group: str, handle: Handle) -> None:
        """Make a service of this node member of a group."""

    def leave_group(self, group: str, handle: Handle) -> None:
        """End a membership."""

    def leave_groups(self, handle: Handle) -> None:
        """A service has ended: it is no member of anything any more."""

    def running(self, node: Node) -> AbstractAsyncContextManager[None]:
        """Take part in the cluster for the block."""

    def leaving(self) -> None:
        """The node begins to stop: give up its names and announce the goodbye."""


class SingleNode:
    """No network: harbor id 0."""

    harbor = 0

    def __init__(self) -> None:
        self._names: NameTable[Actor] = NameTable()
        self._groups: dict[str, dict[Handle, None]] = {}

    def incarnation(self, harbor: int) -> int:
        """There is no other node."""
        self._down(f"harbor {harbor}")

    async def call(self, message: Outgoing) -> Any:
        """There is no other node."""
        self._down(str(message.target))

    async def send(self, message: Outgoing) -> None:
        """There is no other node."""
        self._down(str(message.target))

    def send_nowait(self, message: Outgoing) -> None:
        """There is no other node."""
        self._down(str(message.target))

    def watch(self, handle: Handle, tell: Callable[[Exit], None]) -> Callable[[], None]:
        """What lives on another node is down."""
        tell(Exit(handle, "node down"))
        return lambda: None

    async def stop(self, handle: Handle, *, kill: bool) -> None:
        """There is no other node."""
        self._down(str(handle))

    def lookup(self, name: str) -> Handle | None:
        """The owner of a global name."""
        return self._names.handle(name)

    def global_names(self) -> dict[str, Handle]:
        """All global names, sorted."""
        return self._names.names()

    async def register(self, name: str, actor: Actor, *, exclusive: bool, replacing: Handle | None) -> None:
        """Register a global name."""
        if replacing is None or not self._names.is_restarting(name):
            self._names.reserve(name)
        self._names.announce(name, actor.handle, actor)

    def withdraw(self, name: str, handle: Handle, *, keep: bool) -> None:
        """Give back a global name, or keep it."""
        if keep:
            self._names.keep_for_restart(name)
        elif self._names.handle(name) == handle or self._names.is_restarting(name):
            self._names.withdraw(name)

    def is_restarting(self, name: str) -> bool:
        """Tell whether the name is kept for a service that is about to be started again."""
        return self._names.is_restarting(name)

    async def wait_for_name(self, name: str) -> Handle:
        """Wait until a global name has an owner."""
        return await self._names.wait(name)

    def join_group(self, group: str, handle: Handle) -> None:
        """Make a service member of a group."""
        self._groups.setdefault(group, {})[handle] = None

    def leave_group(self, group: str, handle: Handle) -> None:
        """End a membership."""
        members = self._groups.get(group, {})
        members.pop(handle, None)
        if not members:
            self._groups.pop(group, None)

    def leave_groups(self, handle: Handle) -> None:
        """A service has ended: it is no member of anything any more."""
        for group in [group for group, members in self._groups.items() if handle in members]:
            self.leave_group(group, handle)

    @asynccontextmanager
    async def running(self, node: Node) -> AsyncIterator[None]:
        """There is nothing to take part in."""
        yield

    def leaving(self) -> None:
        """Global names go with their services."""

    def _down(self, what: str) -> NoReturn:
        raise NodeDown(
            f"{what} is on another node, and this one has no network (harbor id 0)", executed=False
        )
