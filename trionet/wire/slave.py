"""The slave: all that a node knows of its cluster and asks of it, as a pure state machine.

Duty: the machine that the network side drives.  Its parts: the connection to the master
(:mod:`~trionet.wire.membership`), names, groups, and the links to other nodes.
May import: the standard library, the handles of trionet and other modules of wire.

Time passes before anything else happens: every input first withdraws exclusive names whose lease is
over, so a node that stood still cannot act on what came while it did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from trionet.handle import Handle
from trionet.wire.effects import SetTimer, SlaveEffect, Token
from trionet.wire.groups import GroupDesk
from trionet.wire.master_messages import Message
from trionet.wire.membership import Membership
from trionet.wire.membership import State as State
from trionet.wire.names import NameDesk
from trionet.wire.peers import Peers
from trionet.wire.tables import (
    ADDRESS,
    NEVER,
    NODE_NAME,
    NameRow,
    NodeRow,
    Tables,
    check_global_name,
    lives_on,
)


class Slave:
    """The machine of a slave.

    Every input returns the effects that it has, in the order in which they are to be carried out.

    Args:
        incarnation: the incarnation of this node.
        address: where other nodes dial it.
        name: its name, for people.
        harbor: the harbor id it wants, or 0 to be given one.
        heartbeat_timeout: seconds after which a silent link is dead, the same on all nodes.
        patience: seconds for which nodes that should dial are awaited before the node is ready; the
            handshake time.

    Raises:
        ProtocolError: if address or name are too long, or hold control characters.
    """

    def __init__(
        self,
        *,
        incarnation: int,
        address: str,
        name: str = "",
        harbor: int = 0,
        heartbeat_timeout: float = 20.0,
        patience: float = 5.0,
    ) -> None:
        self.incarnation = incarnation
        self._out: list[SlaveEffect] = []
        self._timer: float | None = None
        self._names = NameDesk(self._out, incarnation, heartbeat_timeout)
        self._groups = GroupDesk(self._out, incarnation)
        self._peers = Peers(self._out, incarnation, patience)
        ADDRESS.pack(address)
        NODE_NAME.pack(name)
        me = NodeRow(harbor, incarnation, address, name, NEVER)
        self._membership = Membership(self._out, me, self._names, self._groups, self._peers)

    # --- what is known ------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._membership.state

    @property
    def harbor(self) -> int:
        """The harbor id of this node, or 0 while it has none."""
        return self._membership.harbor

    @property
    def epoch(self) -> int:
        """The highest epoch that was seen of a master."""
        return self._membership.epoch

    @property
    def tables(self) -> Tables:
        """The copy of the master's tables; not to be changed."""
        return self._names.tables

    @property
    def deadline(self) -> float | None:
        """The time at which :meth:`tick` has something to do, or None."""
        times = [self._names.deadline, self._peers.deadline]
        return min([each for each in times if each is not None], default=None)

    @property
    def lease_ends(self) -> float:
        """The time at which the exclusive names of this node are withdrawn, if the master stays silent."""
        return self._names.lease_ends

    @property
    def is_admitted(self) -> bool:
        """Whether the master is there and the copy is up to date."""
        return self.state is State.ADMITTED

    @property
    def is_ready(self) -> bool:
        """Whether every node of the first table is linked, has left, or was tried in vain."""
        return self._peers.is_ready

    @property
    def unreachable_nodes(self) -> tuple[int, ...]:
        """The harbor ids of nodes that were tried in vain and are not linked since."""
        return tuple(sorted(self._peers.unreachable))

    def node(self, harbor: int) -> NodeRow | None:
        """Return the row of a node, or None."""
        return self.tables.nodes.get(harbor)

    def nodes(self) -> tuple[NodeRow, ...]:
        """All nodes in the order of their harbor ids, this one included."""
        return self.tables.node_rows()

    def lookup(self, name: str) -> Handle | None:
        """Return the owner of a global name, or None."""
        return self._names.lookup(name)

    def row(self, name: str) -> NameRow | None:
        """Return the row of a global name, or None."""
        return self._names.row(name)

    def names(self) -> tuple[NameRow, ...]:
        """All names in their order."""
        return self._names.rows()

    def held_names(self) -> tuple[NameRow, ...]:
        """The names that services of this node own."""
        return self._names.held()

    def members(self, group: str) -> tuple[Handle, ...]:
        """The members of a group in the order of their handles."""
        return self._groups.members(group)

    def groups(self) -> tuple[str, ...]:
        """The groups that have members, in their order."""
        return self._groups.names()

    def tokens(self) -> frozenset[Token]:
        """The registrations and waits that have not ended."""
        return self._names.tokens()

    def may_accept(self, harbor: int, incarnation: int) -> bool | Literal["hold"]:
        """Tell whether a link from that incarnation may be accepted.

        Returns:
            True or False; ``"hold"`` if news of it may be on the way: ask again after each effect
            ``NodeUp`` or ``NodeGone``, until the handshake time is over.
        """
        return self._peers.may_accept(harbor, incarnation)

    # --- the connection to the master ---------------------------------------------------------------

    def connected(self, now: float) -> list[SlaveEffect]:
        """The master is connected and authenticated; nothing is sent before it speaks."""
        return self._effects(now, self._membership.connect)

    def received(self, message: Message, now: float) -> list[SlaveEffect]:
        """A message of the master has come."""
        return self._effects(now, lambda: self._membership.receive(message, now))

    def disconnected(self, now: float) -> list[SlaveEffect]:
        """The connection to the master has ended, or could not be made."""
        return self._effects(now, self._membership.go_offline)

    def tick(self, now: float) -> list[SlaveEffect]:
        """A time that was set has come; harmless at any other time, and due first after a stall."""
        return self._effects(now)

    def leave(self, now: float) -> list[SlaveEffect]:
        """The node stops: say goodbye if the master is there, and end."""
        return self._effects(now, self._membership.leave)

    # --- what services want -------------------------------------------------------------------------

    def register(
        self,
        token: Token,
        name: str,
        handle: Handle,
        now: float,
        *,
        exclusive: bool = False,
        replace: Handle | None = None,
    ) -> list[SlaveEffect]:
        """Ask for a global name; ``Done`` or ``Failed`` with the token is the answer.

        Args:
            token: chosen by the caller, not in use.
            name: the name.
            handle: the service of this node that shall own it.
            now: the present time.
            exclusive: whether there may never be two owners.
            replace: the service of this node that owns it until the new one does.

        Raises:
            ValueError: if the name is no global one, the token is in use, the service is of another
                node, this node has no harbor id yet, or the slave has ended.
        """
        self._check_open()
        self._check_own(handle)
        self._names.check(token, name)
        return self._effects(now, lambda: self._names.register(token, name, handle, exclusive, replace, now))

    def unregister(self, name: str, handle: Handle, now: float) -> list[SlaveEffect]:
        """Give up a name at once; nothing happens if that service does not own it."""
        return self._effects(now, lambda: self._names.unregister(name, handle))

    def wait_for_name(self, token: Token, name: str, now: float) -> list[SlaveEffect]:
        """Wait until a name has an owner; ``Done`` with the token tells, at once if it has one.

        Raises:
            ValueError: if the name is no global one, the token is in use, or the slave has ended.
        """
        self._check_open()
        self._names.check(token, name)
        return self._effects(now, lambda: self._names.wait(token, name))

    def cancel(self, token: Token, now: float) -> list[SlaveEffect]:
        """End a registration or a wait: its token is not heard of again, and nothing stays registered.

        Cancelling a registration with ``replace`` gives up the name if it has moved already.
        """
        return self._effects(now, lambda: self._names.cancel(token))

    def join_group(self, group: str, handle: Handle, now: float) -> list[SlaveEffect]:
        """Make a service of this node member of a group, at once here, soon everywhere.

        Raises:
            ValueError: if the group is no global name, or the service is of another node, or this node
                has no harbor id yet.
        """
        self._check_own(handle)
        check_global_name(group)
        return self._effects(now, lambda: self._groups.join(group, handle))

    def leave_group(self, group: str, handle: Handle, now: float) -> list[SlaveEffect]:
        """End a membership; nothing happens if there is none."""
        return self._effects(now, lambda: self._groups.leave(group, handle))

    def withdraw(self, handle: Handle, now: float) -> list[SlaveEffect]:
        """A service has ended: its names, memberships and registrations go; its tokens stay silent."""

        def both() -> None:
            self._names.withdraw(handle)
            self._groups.withdraw(handle)

        return self._effects(now, both)

    # --- what the network tells ---------------------------------------------------------------------

    def linked(self, harbor: int, incarnation: int, now: float) -> list[SlaveEffect]:
        """There is a link to that incarnation."""
        return self._effects(now, lambda: self._peers.set_linked(harbor, incarnation))

    def unlinked(self, harbor: int, incarnation: int, now: float) -> list[SlaveEffect]:
        """The link to that incarnation has ended; the order to dial or await it still stands."""
        return self._effects(now, lambda: self._peers.set_unlinked(harbor, incarnation))

    def unreachable(self, harbor: int, incarnation: int, now: float) -> list[SlaveEffect]:
        """A try to reach that incarnation has failed."""
        return self._effects(now, lambda: self._peers.set_unreachable(harbor, incarnation))

    # --- inside -------------------------------------------------------------------------------------

    def _check_own(self, handle: Handle) -> None:
        if not lives_on(handle, self.harbor, self.incarnation):
            raise ValueError(f"{handle!r} does not live on this node")

    def _check_open(self) -> None:
        if self.state is State.ENDED:
            raise ValueError("the slave has ended")

    def _effects(self, now: float, *steps: Callable[[], None]) -> list[SlaveEffect]:
        self._advance(now)
        for step in steps:
            step()
        self._advance(now)
        if self.deadline != self._timer:
            self._timer = self.deadline
            self._out.append(SetTimer(self._timer))
        out = list(self._out)
        self._out.clear()
        return out

    def _advance(self, now: float) -> None:
        self._peers.advance(now)
        self._names.advance(now)
