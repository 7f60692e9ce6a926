"""A cluster of pure machines: one master, many slaves, queues between them and a clock that is a number.

Every message passes through its wire form.  A connection delivers in order and loses messages only when
it ends; each of its ends learns of that on its own, at the latest after the heartbeat timeout.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs

from trionet.handle import Handle
from trionet.wire import effects as fx
from trionet.wire.master import Master
from trionet.wire.master_messages import Message, from_wire, to_wire
from trionet.wire.slave import Slave, State

TIMEOUT = 20.0
PROBE = 5.0
HOLD = 2 * TIMEOUT


class _End:
    """The end of one direction of a connection."""


END = _End()


@attrs.define(eq=False)
class Conn:
    """A connection: what is on its way in both directions, and who still has it open."""

    key: int
    node: SimNode
    up: deque[Any] = attrs.Factory(deque)
    down: deque[Any] = attrs.Factory(deque)
    master_open: bool = True
    node_open: bool = True
    master_silent_since: float | None = None
    node_silent_since: float | None = None

    def close_master(self) -> None:
        self.master_open = False
        self.up.clear()
        self.down.append(END)

    def close_node(self) -> None:
        self.node_open = False
        self.down.clear()
        self.up.append(END)


@attrs.define(eq=False)
class SimNode:
    """A node: its slave, and what the slave told."""

    slave: Slave
    alive: bool = True
    frozen: bool = False
    cut: bool = False
    conn: Conn | None = None
    local: int = 0
    outcomes: dict[Any, fx.Done | fx.Failed] = attrs.Factory(dict)
    asked: dict[Any, str] = attrs.Factory(dict)
    cancelled: set[Any] = attrs.Factory(set)
    lost: list[fx.NameLost] = attrs.Factory(list)
    orders: dict[int, fx.Dial | fx.Expect] = attrs.Factory(dict)
    nodes: dict[int, int] = attrs.Factory(dict)
    names: dict[str, Handle] = attrs.Factory(dict)
    groups: dict[str, set[Handle]] = attrs.Factory(dict)
    ended: fx.Ended | None = None
    seen: list[fx.SlaveEffect] = attrs.Factory(list)

    def handle(self) -> Handle:
        """A service that did not exist before."""
        self.local += 1
        return Handle.make(self.slave.harbor, self.local, self.slave.incarnation)

    @property
    def running(self) -> bool:
        return self.alive and not self.frozen


class World:
    """The cluster and its clock."""

    def __init__(self, *, settle: float | None = None) -> None:
        self.now = 1000.0
        self.nodes: list[SimNode] = []
        self.conns: list[Conn] = []
        self.master: Master | None = None
        self.master_frozen = False
        self.settle = settle
        self.keys = 0
        self.incarnations = 0
        self.masters = 0
        self.start_master()

    # --- processes ----------------------------------------------------------------------------------

    def start_master(self) -> None:
        assert self.master is None
        self.masters += 1
        self.master_frozen = False
        self.master = Master(
            master=7_000 + self.masters,
            now=self.now,
            heartbeat_timeout=TIMEOUT,
            probe_timeout=PROBE,
            settle=self.settle,
        )

    def kill_master(self, *, noticed: bool = True) -> None:
        assert self.master is not None
        self.master = None
        for conn in self.conns:
            if conn.master_open:
                conn.close_master()
                if not noticed or conn.node.cut:
                    conn.down.clear()
                    self._silence_node(conn)
        self._prune()

    def start_node(self, harbor: int = 0) -> SimNode:
        self.incarnations += 1
        slave = Slave(
            incarnation=1 << 32 | self.incarnations * 37,
            address=f"127.0.0.1:{20_000 + self.incarnations}",
            name=f"node{self.incarnations}",
            harbor=harbor,
            heartbeat_timeout=TIMEOUT,
        )
        node = SimNode(slave)
        self.nodes.append(node)
        return node

    def crash(self, node: SimNode, *, noticed: bool = True) -> None:
        node.alive = False
        self.nodes.remove(node)
        if node.conn is not None:
            node.conn.close_node()
            node.conn = None
        for conn in self.conns:
            if conn.node is node and (not noticed or node.cut):
                conn.up.clear()
                self._silence_master(conn)
        self._prune()

    def freeze(self, node: SimNode) -> None:
        node.frozen = True
        if node.conn is not None:
            self._silence_master(node.conn)

    def thaw(self, node: SimNode) -> None:
        node.frozen = False
        if node.conn is not None and not node.cut and not self.master_frozen:
            node.conn.master_silent_since = None
        self.do(node, node.slave.tick(self.now))

    def freeze_master(self) -> None:
        self.master_frozen = True
        for conn in self.conns:
            if conn.node_open:
                self._silence_node(conn)

    def thaw_master(self) -> None:
        assert self.master is not None
        self.master_frozen = False
        for conn in self.conns:
            if not conn.node.cut and conn.master_open:
                conn.node_silent_since = None
        self.do_master(self.master.tick(self.now))

    # --- network ------------------------------------------------------------------------------------

    def connect(self, node: SimNode) -> bool:
        if (
            node.conn is not None
            or node.cut
            or not node.running
            or self.master is None
            or self.master_frozen
            or node.slave.state is not State.OFFLINE
        ):
            return False
        self.keys += 1
        node.conn = Conn(self.keys, node)
        self.conns.append(node.conn)
        self.do(node, node.slave.connected(self.now))
        self.do_master(self.master.connected(self.keys, self.now))
        return True

    def cut(self, node: SimNode) -> None:
        """Nothing passes between this node and the master; both learn of it by silence only."""
        node.cut = True
        for conn in self.conns:
            if conn.node is node:
                self._silence_master(conn)
                self._silence_node(conn)

    def heal(self, node: SimNode) -> None:
        node.cut = False
        for conn in self.conns:
            if conn.node is node:
                if conn.node_open and not node.frozen:
                    conn.master_silent_since = None
                if conn.master_open and not self.master_frozen:
                    conn.node_silent_since = None

    def reset(self, node: SimNode, *, by_master: bool) -> None:
        """One end of the connection is told that it has ended; the other learns of it later."""
        conn = node.conn
        if conn is None or not conn.master_open or not node.running or self.master is None:
            return
        if by_master:
            conn.close_master()
            self.do_master(self.master.disconnected(conn.key, self.now))
        else:
            self._node_disconnected(conn)

    def deliver_up(self, conn: Conn) -> bool:
        if not conn.up or conn.node.cut or self.master is None or self.master_frozen or not conn.master_open:
            return False
        item = conn.up.popleft()
        if isinstance(item, _End):
            conn.close_master()
            self.do_master(self.master.disconnected(conn.key, self.now))
        else:
            self.do_master(self.master.received(conn.key, _through(item), self.now))
        self._prune()
        return True

    def deliver_down(self, conn: Conn) -> bool:
        if not conn.down or conn.node.cut or not conn.node.running or not conn.node_open:
            return False
        item = conn.down.popleft()
        if isinstance(item, _End):
            self._node_disconnected(conn)
        else:
            self.do(conn.node, conn.node.slave.received(_through(item), self.now))
        self._prune()
        return True

    def deliver_all(self) -> None:
        busy = True
        while busy:
            busy = False
            for conn in list(self.conns):
                while self.deliver_up(conn) or self.deliver_down(conn):
                    busy = True

    def connect_all(self) -> None:
        for node in list(self.nodes):
            self.connect(node)
        self.deliver_all()

    def advance(self, seconds: float) -> None:
        """Let time pass; every timer runs when it is due, and no message moves."""
        end = self.now + seconds
        while True:
            due = [(at, act) for at, act in self._timers() if at <= end]
            if not due:
                break
            at, act = min(due, key=lambda each: each[0])
            self.now = max(self.now, at)
            act()
        self.now = end

    def run(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass with everything delivered and everybody connecting."""
        end = self.now + seconds
        while self.now < end:
            self.connect_all()
            self.advance(min(step, end - self.now))
        self.connect_all()

    def quiesce(self) -> None:
        """End all faults and let all that is under way come to its end."""
        if self.master is None:
            self.start_master()
        if self.master_frozen:
            self.thaw_master()
        for node in list(self.nodes):
            if node.cut:
                self.heal(node)
            if node.frozen:
                self.thaw(node)
        self.run(3 * HOLD, step=2.0)

    def _timers(self) -> list[tuple[float, Any]]:
        master = self.master
        found: list[tuple[float | None, Any]] = [
            (node.slave.deadline, lambda n=node: self.do(n, n.slave.tick(self.now)))
            for node in self.nodes
            if node.running
        ]
        found += [
            (_later(conn.node_silent_since), lambda c=conn: self._node_disconnected(c))
            for conn in self.conns
            if conn.node_open and conn.node.running
        ]
        if master is not None and not self.master_frozen:
            found.append((master.deadline, lambda: self.do_master(master.tick(self.now))))
            found += [
                (_later(conn.master_silent_since), lambda c=conn: self._master_gives_up(c))
                for conn in self.conns
                if conn.master_open
            ]
        return [(at, act) for at, act in found if at is not None]

    def _master_gives_up(self, conn: Conn) -> None:
        assert self.master is not None
        conn.close_master()
        if conn.node.cut:
            conn.down.clear()
            self._silence_node(conn)
        self.do_master(self.master.disconnected(conn.key, self.now))
        self._prune()

    def _node_disconnected(self, conn: Conn) -> None:
        node = conn.node
        node.conn = None
        conn.close_node()
        if node.cut:
            self._silence_master(conn)
        self.do(node, node.slave.disconnected(self.now))
        self._prune()

    def _silence_master(self, conn: Conn) -> None:
        if conn.master_silent_since is None:
            conn.master_silent_since = self.now

    def _silence_node(self, conn: Conn) -> None:
        if conn.node_silent_since is None:
            conn.node_silent_since = self.now

    def _prune(self) -> None:
        self.conns = [each for each in self.conns if each.master_open or each.node_open]

    # --- effects ------------------------------------------------------------------------------------

    def do_master(self, effects: list[fx.MasterEffect]) -> None:
        for effect in effects:
            if isinstance(effect, fx.SendTo | fx.Close):
                conn = next((each for each in self.conns if each.key == effect.peer), None)
                if conn is None or not conn.master_open:
                    continue
                if isinstance(effect, fx.SendTo):
                    conn.down.append(to_wire(effect.message))
                else:
                    conn.close_master()
        self._prune()

    def do(self, node: SimNode, effects: list[fx.SlaveEffect]) -> None:
        for effect in effects:
            node.seen.append(effect)
            self._do_one(node, effect)

    def _do_one(self, node: SimNode, effect: fx.SlaveEffect) -> None:
        match effect:
            case fx.Send(message=message):
                assert node.conn is not None
                if node.conn.node_open:
                    node.conn.up.append(to_wire(message))
            case fx.CloseMaster():
                assert node.conn is not None
                self._node_disconnected(node.conn)
            case fx.Done(token=token) | fx.Failed(token=token):
                assert token in node.asked, "an answer to nobody"
                assert token not in node.outcomes, "a second answer"
                assert token not in node.cancelled, "an answer after cancellation"
                node.outcomes[token] = effect
            case fx.NameLost():
                node.lost.append(effect)
            case fx.Ended():
                node.ended = effect
                self.crash(node)
            case _:
                self._note(node, effect)

    def _note(self, node: SimNode, effect: fx.SlaveEffect) -> None:
        match effect:
            case fx.Dial(node=row) | fx.Expect(node=row):
                node.orders[row.harbor] = effect
            case fx.Drop(harbor=harbor, incarnation=incarnation):
                assert node.orders.pop(harbor).node.incarnation == incarnation
            case fx.NodeUp(harbor=harbor, incarnation=incarnation):
                assert harbor not in node.nodes
                node.nodes[harbor] = incarnation
            case fx.NodeGone(harbor=harbor, incarnation=incarnation):
                assert node.nodes.pop(harbor) == incarnation
            case fx.NameAdded(name=name, handle=handle):
                assert node.names.get(name) != handle
                node.names[name] = handle
            case fx.NameRemoved(name=name, handle=handle):
                assert node.names.pop(name) == handle
            case fx.GroupChanged(group=group, joined=joined, left=left):
                members = node.groups.setdefault(group, set())
                assert not members & set(joined)
                assert members >= set(left)
                members |= set(joined)
                members -= set(left)

    # --- what must hold -----------------------------------------------------------------------------

    def check_always(self) -> None:
        owners: dict[str, SimNode] = {}
        for node in self.nodes:
            slave = node.slave
            assert node.names == {row.name: row.handle for row in slave.names()}
            assert {g: m for g, m in node.groups.items() if m} == {
                g: set(slave.members(g)) for g in slave.groups()
            }
            open_tokens = slave.tokens()
            for token in node.asked:
                ways = (token in node.outcomes, token in open_tokens, token in node.cancelled)
                assert sum(ways) == 1, (token, ways)
            for row in slave.held_names() if node.running else ():
                assert not row.exclusive or row.name not in owners, f"two owners of {row.name}"
                if row.exclusive:
                    owners[row.name] = node

    def check_quiet(self) -> None:
        """What holds once nothing is under way."""
        self.check_always()
        assert self.master is not None
        table = self.master.tables
        assert {(n.harbor, n.incarnation) for n in table.node_rows()} == {
            (n.slave.harbor, n.slave.incarnation) for n in self.nodes
        }
        for node in self.nodes:
            slave = node.slave
            assert slave.is_admitted
            assert slave.tables == table
            assert list(slave.held_names()) == table.owned(slave.harbor, slave.incarnation)
            assert {row.name: row for row in slave.names()} == table.names
            assert {group: set(members) for group, members in table.groups.items()} == {
                group: set(slave.members(group)) for group in slave.groups()
            }
            for token in slave.tokens():
                assert node.asked[token].startswith("wait "), "a registration without an answer"
                assert slave.lookup(node.asked[token][5:]) is None, "a wait that was forgotten"
            others = {each.slave.harbor: each for each in self.nodes if each is not node}
            assert set(node.orders) == set(others)
            assert node.nodes == {harbor: each.slave.incarnation for harbor, each in others.items()}
            for harbor, other in others.items():
                assert type(node.orders[harbor]) is not type(other.orders[slave.harbor])
                assert slave.may_accept(harbor, other.slave.incarnation) is True
        for row in table.name_rows():
            assert table.has(row.handle.harbor, row.handle.incarnation)


def _later(since: float | None) -> float | None:
    return None if since is None else since + TIMEOUT


def _through(item: list[Any]) -> Message:
    return from_wire(item)
