"""The slave's end of master <-> slave, as a pure state machine.

Duty: the connection to the master and the copy of its tables; names, groups and links are parts of it
with modules of their own.
May import: the standard library, the handles of trionet and other modules of wire.

Theory of operation
-------------------
States: OFFLINE -connected-> GREETING -Hello-> JOINING -Snapshot-> ADMITTED; ``disconnected`` leads back
to OFFLINE from each of them, as often as it happens; a refusal or ``leave`` leads to ENDED for good.

Offline the copy stays as it is, and so does everything that runs.  What services want meanwhile is kept
(registrations) or done here at once (unregistering, groups) and told to the master by the next ``Join``
and by what follows the snapshot.

Time passes before anything else happens: every input first withdraws exclusive names whose lease is
over, so a node that stood still cannot act on what came while it did.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Literal

from trionet.handle import Handle
from trionet.wire.effects import (
    Admitted,
    CloseMaster,
    Ended,
    Ending,
    MasterBack,
    MasterLost,
    Send,
    SetTimer,
    SlaveEffect,
    Token,
)
from trionet.wire.errors import ProtocolError
from trionet.wire.groups import GroupDesk
from trionet.wire.master_messages import (
    Changes,
    Copy,
    FromSlave,
    Goodbye,
    GroupRefused,
    HarborTaken,
    Hello,
    Join,
    Message,
    NameRefused,
    Probe,
    ProbeAnswer,
    Refused,
    Registered,
    Renewed,
    Resync,
    Snapshot,
    Superseded,
)
from trionet.wire.names import NameDesk
from trionet.wire.peers import Peers
from trionet.wire.tables import (
    NEVER,
    Change,
    GroupRow,
    NameRow,
    NodeJoined,
    NodeLeft,
    NodeRow,
    Stamp,
    Tables,
)


class State(enum.Enum):
    """Where a slave is in its life."""

    OFFLINE = "offline"
    GREETING = "greeting"
    JOINING = "joining"
    ADMITTED = "admitted"
    ENDED = "ended"


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
        self.state = State.OFFLINE
        self.harbor = harbor
        self.incarnation = incarnation
        self.epoch = 0
        self._address = address
        self._name = name
        self._master = 0
        self._number = 0
        self._resyncing = False
        self._was_lost = False
        self._out: list[SlaveEffect] = []
        self._timer: float | None = None
        self._names = NameDesk(self._out, incarnation, heartbeat_timeout)
        self._groups = GroupDesk(self._out, incarnation)
        self._peers = Peers(self._out, incarnation, patience)

    # --- what is known ------------------------------------------------------------------------------

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
        if self.state is State.OFFLINE:
            self.state = State.GREETING
        return self._effects(now)

    def received(self, message: Message, now: float) -> list[SlaveEffect]:
        """A message of the master has come."""
        return self._effects(now, lambda: self._receive(message, now))

    def disconnected(self, now: float) -> list[SlaveEffect]:
        """The connection to the master has ended, or could not be made."""
        return self._effects(now, self._go_offline)

    def tick(self, now: float) -> list[SlaveEffect]:
        """A time that was set has come; harmless at any other time, and due first after a stall."""
        return self._effects(now)

    def leave(self, now: float) -> list[SlaveEffect]:
        """The node stops: say goodbye if the master is there, and end."""
        return self._effects(now, self._leave)

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
            ValueError: if the name is none, the handle is of another node or the token is in use.
        """
        self._check_open()
        return self._effects(now, lambda: self._names.register(token, name, handle, exclusive, replace, now))

    def unregister(self, name: str, handle: Handle, now: float) -> list[SlaveEffect]:
        """Give up a name at once; nothing happens if that service does not own it."""
        return self._effects(now, lambda: self._names.unregister(name, handle))

    def wait_for_name(self, token: Token, name: str, now: float) -> list[SlaveEffect]:
        """Wait until a name has an owner; ``Done`` with the token tells, at once if it has one.

        Raises:
            ValueError: if the name is none or the token is in use.
        """
        self._check_open()
        self._names.check_wait(token, name)
        return self._effects(now, lambda: self._names.wait(token, name))

    def cancel(self, token: Token, now: float) -> list[SlaveEffect]:
        """End a registration or a wait: its token is not heard of again, and nothing stays registered.

        Cancelling a registration with ``replace`` gives up the name if it has moved already.
        """
        return self._effects(now, lambda: self._names.cancel(token))

    def join_group(self, group: str, handle: Handle, now: float) -> list[SlaveEffect]:
        """Make a service of this node member of a group, at once here, soon everywhere.

        Raises:
            ValueError: if the group is no global name or the handle is of another node.
        """
        self._groups.check(group, handle)
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

    def _receive(self, message: Message, now: float) -> None:
        if self.state in (State.OFFLINE, State.ENDED):
            return
        try:
            self._handle(message, now)
        except ProtocolError as error:
            self._out.append(CloseMaster(str(error)))
            self._go_offline()

    def _handle(self, message: Message, now: float) -> None:
        match message, self.state:
            case Hello(), State.GREETING:
                self._join(message)
            case Probe(token=token), State.JOINING | State.ADMITTED:
                self._send(ProbeAnswer(token))
            case HarborTaken(owner=owner), State.JOINING:
                self._end(
                    Ending.TAKEN, f"harbor id {owner.harbor} belongs to {owner.name} at {owner.address}"
                )
            case Refused(reason=reason), State.JOINING:
                self._end(Ending.REFUSED, reason)
            case Superseded(harbor=harbor), State.JOINING | State.ADMITTED:
                self._end(Ending.SUPERSEDED, f"another node has taken harbor id {harbor}")
            case Snapshot(), State.JOINING | State.ADMITTED:
                self._load(message, now)
            case _, State.ADMITTED:
                self._follow(message, now)
            case _:
                raise ProtocolError(f"a master may not send {type(message).__name__} now")

    def _follow(self, message: Message, now: float) -> None:
        match message:
            case Changes():
                self._change(message, now)
            case Registered():
                self._names.granted(message, now)
            case NameRefused():
                self._names.refused(message)
            case GroupRefused():
                self._groups.refused(message)
            case Renewed():
                self._names.lease.renewed(message)
            case _:
                raise ProtocolError(f"a master may not send {type(message).__name__} now")

    def _join(self, hello: Hello) -> None:
        self.state = State.JOINING
        me = self._me()
        known = Stamp(self.epoch, self._number)
        is_news = hello.master != self._master and known > hello.copy
        join = Join(
            harbor=self.harbor,
            incarnation=self.incarnation,
            address=self._address,
            name=self._name,
            admission=NEVER if me is None else me.admission,
            master=self._master,
            known=known,
            names=self._names.held(),
            groups=self._groups.held(),
            copy=self._copy() if is_news else None,
        )
        self._send(join)

    def _copy(self) -> Copy:
        """What is known of all nodes but this one."""
        names = [row for row in self.tables.name_rows() if not self._is_mine(row.handle)]
        groups = [
            GroupRow(row.group, tuple([each for each in row.members if not self._is_mine(each)]))
            for row in self.tables.group_rows()
        ]
        nodes = [row for row in self.tables.node_rows() if row.incarnation != self.incarnation]
        return Copy(tuple(nodes), tuple(names), tuple([row for row in groups if row.members]))

    def _load(self, snapshot: Snapshot, now: float) -> None:
        tables = self._check_snapshot(snapshot)
        is_first = self.state is State.JOINING
        is_new = self._me() is None
        self.state = State.ADMITTED
        self.harbor = self._peers.harbor = snapshot.harbor
        self.epoch, self._number, self._master = snapshot.epoch, snapshot.number, snapshot.master
        self._resyncing = False
        if is_new:
            self._out.append(Admitted(self.harbor))
        elif self._was_lost:
            self._out.append(MasterBack())
        self._was_lost = False
        self._names.online = self._groups.online = True
        self._peers.update(tables.nodes, {}, now)
        with self._groups.viewing(sorted({*self.tables.groups, *tables.groups})):
            self._names.load(tables)
            self._groups.tables = tables
        self._groups.reconcile()
        if is_first:
            self._names.go_online(now)

    def _check_snapshot(self, snapshot: Snapshot) -> Tables:
        if snapshot.epoch < self.epoch:
            raise ProtocolError(f"a master of epoch {snapshot.epoch}, older than {self.epoch}")
        if self.harbor not in (0, snapshot.harbor):
            raise ProtocolError(f"admitted as harbor {snapshot.harbor} instead of {self.harbor}")
        tables = Tables.of(snapshot.nodes, snapshot.names, snapshot.groups)
        if not tables.has(snapshot.harbor, self.incarnation):
            raise ProtocolError("a snapshot without the node that it is for")
        return tables

    def _change(self, message: Changes, now: float) -> None:
        if self._resyncing:
            return
        if message.number != self._number + 1 or message.epoch < self.epoch:
            self._resyncing = True
            self._send(Resync())
            return
        for change in message.changes:
            self._check_about_me(change)
        self.epoch, self._number = message.epoch, message.number
        for change in message.changes:
            self._apply(change, now)

    def _apply(self, change: Change, now: float) -> None:
        _, groups = self.tables.touched(change)
        with self._groups.viewing(groups):
            self._names.apply(change)
        if isinstance(change, NodeJoined):
            self._peers.update(self.tables.nodes, {}, now)
        elif isinstance(change, NodeLeft):
            self._peers.update(self.tables.nodes, {change.harbor: change.reason}, now)

    def _check_about_me(self, change: Change) -> None:
        match change:
            case NodeJoined(node=node) if node.harbor == self.harbor and node.incarnation != self.incarnation:
                raise ProtocolError("another node was admitted under the harbor id of this one")
            case NodeLeft(harbor=self.harbor, incarnation=self.incarnation):
                raise ProtocolError("the master believes that this node has left")

    def _go_offline(self) -> None:
        if self.state in (State.OFFLINE, State.ENDED):
            return
        if self.state is State.ADMITTED:
            self._was_lost = True
            self._out.append(MasterLost())
        self.state = State.OFFLINE
        self._resyncing = False
        self._groups.online = False
        self._names.go_offline()

    def _leave(self) -> None:
        if self.state is State.ADMITTED:
            self._send(Goodbye())
        if self.state is not State.ENDED:
            self._end(Ending.LEFT, "the node has left the cluster")

    def _end(self, kind: Ending, text: str) -> None:
        self.state = State.ENDED
        self._groups.online = False
        self._names.end()
        self._out.append(Ended(kind, text))

    def _check_open(self) -> None:
        if self.state is State.ENDED:
            raise ValueError("the slave has ended")

    def _me(self) -> NodeRow | None:
        row = self.tables.nodes.get(self.harbor)
        return row if row is not None and row.incarnation == self.incarnation else None

    def _is_mine(self, handle: Handle) -> bool:
        return handle.incarnation == self.incarnation

    def _send(self, message: FromSlave) -> None:
        self._out.append(Send(message))

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
