"""A slave's connection to its master: joining, following the changes, and what it means to lose it.

Duty: the protocol and the copy of the tables; names, groups and links are told of what changes.
May import: the standard library, the handles of trionet and other modules of wire.

Theory of operation
-------------------
States: OFFLINE -connected-> GREETING -Hello-> JOINING -Snapshot-> ADMITTED; ``disconnected`` leads back
to OFFLINE from each of them, as often as it happens; a refusal or ``leave`` leads to ENDED for good.

Offline the copy stays as it is, and so does everything that runs.  What services want meanwhile is kept
(registrations) or done here at once (unregistering, groups) and told to the master by the next ``Join``
and by what follows the snapshot.
"""

from __future__ import annotations

import enum

from trionet.handle import Handle
from trionet.wire.effects import (
    Admitted,
    CloseMaster,
    Ended,
    Ending,
    MasterBack,
    MasterLost,
    Send,
    SlaveEffect,
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
    Leaving,
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


class Membership:
    """The slave's side of one master, over as many connections as it takes.

    Args:
        out: where effects are put.
        me: the row of this node: the harbor id it wants or 0, its incarnation, address and name.
        names: told of all changes; holds the copy of the tables.
        groups: told of all changes.
        peers: told of changes of nodes.
    """

    def __init__(
        self,
        out: list[SlaveEffect],
        me: NodeRow,
        names: NameDesk,
        groups: GroupDesk,
        peers: Peers,
    ) -> None:
        self.state: State = State.OFFLINE
        self.harbor: int = me.harbor
        self.epoch: int = 0
        self.names = names
        self.groups = groups
        self.peers = peers
        self._out = out
        self._asks = me
        self._master = 0
        self._number = 0
        self._resyncing = False
        self._was_lost = False

    @property
    def tables(self) -> Tables:
        """The copy of the master's tables."""
        return self.names.tables

    def connect(self) -> None:
        """The master is connected; it speaks first."""
        if self.state is State.OFFLINE:
            self.state = State.GREETING

    def receive(self, message: Message, now: float) -> None:
        """A message of the master has come."""
        if self.state in (State.OFFLINE, State.ENDED):
            return
        try:
            self._handle(message, now)
        except ProtocolError as error:
            self._out.append(CloseMaster(str(error)))
            self.go_offline()

    def _handle(self, message: Message, now: float) -> None:
        match message, self.state:
            case Hello(), State.GREETING:
                self._join(message)
            case Probe(token=token), State.JOINING | State.ADMITTED:
                self._send(ProbeAnswer(token))
            case HarborTaken(owner=owner), State.JOINING:
                text = f"harbor id {owner.harbor} belongs to {owner.name} at {owner.address}"
                self._end(Ending.TAKEN, text)
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
                self._change(message)
            case Registered():
                self.names.granted(message, now)
            case NameRefused():
                self.names.refused(message)
            case GroupRefused():
                self.groups.refused(message)
            case Renewed():
                self.names.lease.renewed(message)
            case _:
                raise ProtocolError(f"a master may not send {type(message).__name__} now")

    def _join(self, hello: Hello) -> None:
        self.state = State.JOINING
        me = self._me()
        known = Stamp(self.epoch, self._number)
        is_news = hello.master != self._master and known > hello.copy
        join = Join(
            harbor=self.harbor,
            incarnation=self._asks.incarnation,
            address=self._asks.address,
            name=self._asks.name,
            admission=NEVER if me is None else me.admission,
            master=self._master,
            known=known,
            names=self.names.held(),
            groups=self.groups.held(),
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
        nodes = [row for row in self.tables.node_rows() if not self._is_me(row)]
        return Copy(tuple(nodes), tuple(names), tuple([row for row in groups if row.members]))

    def _load(self, snapshot: Snapshot, now: float) -> None:
        tables = self._check_snapshot(snapshot)
        is_first = self.state is State.JOINING
        is_new = self._me() is None
        self.state = State.ADMITTED
        self.harbor = self.peers.harbor = snapshot.harbor
        self.epoch, self._number, self._master = snapshot.epoch, snapshot.number, snapshot.master
        self._resyncing = False
        if is_new:
            self._out.append(Admitted(self.harbor))
        elif self._was_lost:
            self._out.append(MasterBack())
        self._was_lost = False
        self.names.online = self.groups.online = True
        self.peers.load(tables.nodes, now)
        with self.groups.viewing(sorted({*self.tables.groups, *tables.groups})):
            self.names.load(tables)
            self.groups.tables = tables
        self.groups.reconcile()
        if is_first:
            self.names.go_online(now)

    def _check_snapshot(self, snapshot: Snapshot) -> Tables:
        if snapshot.epoch < self.epoch:
            raise ProtocolError(f"a master of epoch {snapshot.epoch}, older than {self.epoch}")
        if self.harbor not in (0, snapshot.harbor):
            raise ProtocolError(f"admitted as harbor {snapshot.harbor} instead of {self.harbor}")
        tables = Tables.of(snapshot.nodes, snapshot.names, snapshot.groups)
        if not tables.has(snapshot.harbor, self._asks.incarnation):
            raise ProtocolError("a snapshot without the node that it is for")
        return tables

    def _change(self, message: Changes) -> None:
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
            self._apply(change)

    def _apply(self, change: Change) -> None:
        _, groups = self.tables.touched(change)
        with self.groups.viewing(groups):
            self.names.apply(change)
        if isinstance(change, NodeJoined):
            self.peers.change(self.tables.nodes, change.node.harbor, Leaving.LOST)
        elif isinstance(change, NodeLeft):
            self.peers.change(self.tables.nodes, change.harbor, change.reason)

    def _check_about_me(self, change: Change) -> None:
        match change:
            case NodeJoined(node=node) if node.harbor == self.harbor and not self._is_me(node):
                raise ProtocolError("another node was admitted under the harbor id of this one")
            case NodeLeft(harbor=self.harbor, incarnation=self._asks.incarnation):
                raise ProtocolError("the master believes that this node has left")

    def go_offline(self) -> None:
        """The connection has ended; known already or not."""
        if self.state in (State.OFFLINE, State.ENDED):
            return
        if self.state is State.ADMITTED:
            self._was_lost = True
            self._out.append(MasterLost())
        self.state = State.OFFLINE
        self._resyncing = False
        self.groups.online = False
        self.names.go_offline()

    def leave(self) -> None:
        """The node stops: say goodbye if the master is there, and end."""
        if self.state is State.ADMITTED:
            self._send(Goodbye())
        if self.state is not State.ENDED:
            self._end(Ending.LEFT, "the node has left the cluster")

    def _end(self, kind: Ending, text: str) -> None:
        self.state = State.ENDED
        self.groups.online = False
        self.names.end()
        self._out.append(Ended(kind, text))

    def _me(self) -> NodeRow | None:
        row = self.tables.nodes.get(self.harbor)
        return row if row is not None and self._is_me(row) else None

    def _is_me(self, node: NodeRow) -> bool:
        return node.incarnation == self._asks.incarnation

    def _is_mine(self, handle: Handle) -> bool:
        return handle.incarnation == self._asks.incarnation

    def _send(self, message: FromSlave) -> None:
        self._out.append(Send(message))
