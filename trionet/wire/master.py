"""The master's end of master <-> slave, as a pure state machine.

Duty: connections, admission, the contest for an occupied harbor id, and telling every change to all.
May import: the standard library, attrs, the handles of trionet and other modules of wire.

Theory of operation
-------------------
A connection is first *new* (it was sent ``Hello``), then *admitted* under a harbor id, perhaps after
it was a *contender* for an id that is occupied.  At most one connection is admitted under an id.

A contest: the id belongs to another incarnation.  If that one is connected it is probed; if it is
absent (known only from a copy) it gets the same time to come back.  An answer in time refuses the
contender; silence, or the end of the old connection, lets it in and the old one is superseded.

Changes are gathered while an input is handled and sent as one numbered message to all that are
admitted, before any answer that builds on them.
"""

from __future__ import annotations

from typing import Final

import attrs

from trionet.wire.admission import Contest, Peer, Recent, Ruling, check_join, judge
from trionet.wire.directory import Directory, Full, Later, Taken, Verdict
from trionet.wire.effects import Close, Log, MasterEffect, PeerKey, SendTo, SetTimer
from trionet.wire.errors import ProtocolError
from trionet.wire.master_messages import (
    Changes,
    Denial,
    FromMaster,
    Goodbye,
    GroupJoin,
    GroupLeave,
    GroupRefused,
    HarborTaken,
    Hello,
    Join,
    Message,
    NameRefused,
    Probe,
    ProbeAnswer,
    Refused,
    Register,
    Registered,
    Renew,
    Renewed,
    Resync,
    Snapshot,
    Superseded,
    Unregister,
)
from trionet.wire.tables import NEVER, Change, Leaving, NodeRow, Tables, lives_on

#: How many superseded incarnations are remembered, the latest ones.
MAX_SUPERSEDED: Final = 4096


class Master:
    """The machine of the master.

    Every input returns the effects that it has, in the order in which they are to be carried out.

    Args:
        master: 64 random bits.
        now: the present time, in seconds of any steady clock; so are all other times.
        heartbeat_timeout: seconds after which a silent link is dead, on all nodes of the cluster.
        probe_timeout: seconds that the owner of a harbor id has to answer when another wants it.
        join_timeout: seconds that a new connection has to join.
        settle: seconds for which unknown exclusive names are not granted; by default twice the
            heartbeat timeout.  Zero is safe only if no other master ever served these nodes.
    """

    def __init__(
        self,
        *,
        master: int,
        now: float,
        heartbeat_timeout: float = 20.0,
        probe_timeout: float = 5.0,
        join_timeout: float = 5.0,
        settle: float | None = None,
    ) -> None:
        hold = 2 * heartbeat_timeout
        self.id = master
        self.directory: Directory = Directory(hold=hold, settled=now + (hold if settle is None else settle))
        self._probe_timeout = probe_timeout
        self._join_timeout = join_timeout
        self._copy = NEVER
        self._number = 0
        self._tokens = 0
        self._peers: dict[PeerKey, Peer] = {}
        self._admitted: dict[int, Peer] = {}
        self._contests: dict[int, Contest] = {}
        self._superseded = Recent(MAX_SUPERSEDED)
        self._parked: list[tuple[Peer, Register]] = []
        self._batch: list[Change] = []
        self._out: list[MasterEffect] = []
        self._timer: float | None = None

    @property
    def tables(self) -> Tables:
        """The tables as they are now; not to be changed."""
        return self.directory.tables

    @property
    def deadline(self) -> float | None:
        """The time at which :meth:`tick` has something to do, or None."""
        times = [peer.join_until for peer in self._peers.values() if peer.join_until is not None]
        times += [contest.until for contest in self._contests.values()]
        if self.directory.deadline is not None:
            times.append(self.directory.deadline)
        if self._parked:
            times.append(self.directory.settled)
        return min(times, default=None)

    # --- inputs -------------------------------------------------------------------------------------

    def connected(self, key: PeerKey, now: float) -> list[MasterEffect]:
        """A slave has connected and is authenticated.

        Args:
            key: tells this connection from every other, past ones included.
            now: the present time.
        """
        self._advance(now)
        self._peers[key] = Peer(key, now + self._join_timeout)
        self._send(key, Hello(self.id, self.directory.epoch, self._copy))
        return self._effects()

    def received(self, key: PeerKey, message: Message, now: float) -> list[MasterEffect]:
        """A message has come; one from a connection that is closed already has no effect."""
        self._advance(now)
        peer = self._peers.get(key)
        if peer is not None:
            try:
                self._handle(peer, message, now)
            except ProtocolError as error:
                self._out.append(Log("warning", f"a slave broke the protocol: {error}"))
                self._close(peer, str(error), now)
        return self._effects()

    def disconnected(self, key: PeerKey, now: float) -> list[MasterEffect]:
        """A connection has ended; that of a closed one may be told or not."""
        self._advance(now)
        peer = self._peers.pop(key, None)
        if peer is not None:
            self._lost(peer, Leaving.LOST, now)
        return self._effects()

    def tick(self, now: float) -> list[MasterEffect]:
        """A time that was set has come; harmless at any other time."""
        self._advance(now)
        return self._effects()

    # --- dispatch -----------------------------------------------------------------------------------

    def _handle(self, peer: Peer, message: Message, now: float) -> None:
        if isinstance(message, Join):
            self._join(peer, message, now)
        elif peer.node is None:
            raise ProtocolError(f"{type(message).__name__} before admission")
        else:
            self._serve(peer, peer.node, message, now)

    def _serve(self, peer: Peer, node: tuple[int, int], message: Message, now: float) -> None:
        match message:
            case Register(handle=handle) | GroupJoin(handle=handle) if not lives_on(handle, *node):
                raise ProtocolError(f"{handle!r} does not live on the node that names it")
            case Register():
                self._register(peer, message, now)
            case Unregister(name=name, handle=handle) if lives_on(handle, *node):
                self._batch += self.directory.unregister(name, handle)
            case GroupJoin():
                self._join_group(peer, message)
            case GroupLeave(group=group, handle=handle) if lives_on(handle, *node):
                self._batch += self.directory.leave_group(group, handle)
            case Renew(token=token):
                self._send(peer.key, Renewed(token))
            case ProbeAnswer(token=token):
                self._probe_answered(node[0], token, now)
            case Resync():
                self._snapshot(peer, node[0])
            case Goodbye():
                self._peers.pop(peer.key)
                self._lost(peer, Leaving.GOODBYE, now)
                self._out.append(Close(peer.key, "goodbye"))
            case _:
                raise ProtocolError(f"a slave may not send this {type(message).__name__}")

    def _register(self, peer: Peer, ask: Register, now: float) -> None:
        verdict, changes = self.directory.register(
            ask.name, ask.handle, exclusive=ask.exclusive, replace=ask.replace, now=now
        )
        self._batch += changes
        if isinstance(verdict, Later):
            self._parked.append((peer, ask))
        else:
            self._send(peer.key, _answer(ask.token, verdict))

    def _join_group(self, peer: Peer, ask: GroupJoin) -> None:
        changes = self.directory.join_group(ask.group, ask.handle)
        if changes is None:
            self._send(peer.key, GroupRefused(ask.group, ask.handle))
        else:
            self._batch += changes

    # --- admission ----------------------------------------------------------------------------------

    def _join(self, peer: Peer, join: Join, now: float) -> None:
        if peer.join_until is None:
            raise ProtocolError("a second Join")
        check_join(join)
        peer.join_until = None
        if join.harbor == 0:
            harbor = self.directory.free_harbor(join.incarnation, self._contests)
            if harbor is None:
                self._send(peer.key, Refused("all harbor ids are taken"))
                self._close(peer, "all harbor ids are taken", now)
                return
            join = attrs.evolve(join, harbor=harbor)
        self._restore(join, now)
        self._decide(peer, join, now)

    def _restore(self, join: Join, now: float) -> None:
        """Learn what a slave knows of another master's time."""
        if join.master == self.id:
            return
        self.directory.raise_epoch(join.known.epoch)
        if join.copy is not None and join.known > self._copy:
            self._copy = join.known
            copy = join.copy
            nodes = [node for node in copy.nodes if node.harbor != join.harbor]
            self._batch += self.directory.restore(nodes, copy.names, copy.groups, now)

    def _decide(self, peer: Peer, join: Join, now: float) -> None:
        owner = self.tables.nodes.get(join.harbor)
        if (join.harbor, join.incarnation) in self._superseded:
            self._supersede(peer, join.harbor, now)
        elif owner is None:
            self._admit(peer, join, now)
        else:
            match judge(join, owner, self.id, absent=self.directory.is_absent(join.harbor)):
                case Ruling.ADMIT:
                    self._admit(peer, join, now)
                case Ruling.SUPERSEDED:
                    self._supersede(peer, join.harbor, now)
                case Ruling.CONTEST:
                    self._contest(peer, join, owner, now)

    def _contest(self, peer: Peer, join: Join, owner: NodeRow, now: float) -> None:
        rival = self._contests.get(join.harbor)
        if rival is not None and rival.join.incarnation != join.incarnation:
            self._send(peer.key, HarborTaken(owner))
            self._close(peer, "the harbor id is contended for", now)
            return
        if rival is not None:
            del self._contests[join.harbor]
            self._close(rival.peer, "replaced by a new connection", now)
        self._tokens += 1
        self._contests[join.harbor] = Contest(peer, join, self._tokens, now + self._probe_timeout)
        holder = self._admitted.get(join.harbor)
        if holder is not None:
            self._send(holder.key, Probe(self._tokens))

    def _probe_answered(self, harbor: int, token: int, now: float) -> None:
        contest = self._contests.get(harbor)
        if contest is not None and contest.token == token:
            self._refuse_contender(harbor, now)

    def _refuse_contender(self, harbor: int, now: float) -> None:
        contest = self._contests.pop(harbor, None)
        if contest is None:
            return
        if contest.join.admission != NEVER:
            self._supersede(contest.peer, harbor, now)
        else:
            self._send(contest.peer.key, HarborTaken(self.tables.nodes[harbor]))
            self._close(contest.peer, "the harbor id is taken", now)

    def _admit(self, peer: Peer, join: Join, now: float) -> None:
        harbor = join.harbor
        old = self._admitted.pop(harbor, None)
        row = self.tables.nodes.get(harbor)
        if row is not None and row.incarnation != join.incarnation:
            self._superseded.add(harbor, row.incarnation)
            if old is not None:
                self._supersede(old, harbor, now)
        elif old is not None:
            self._close(old, "replaced by a new connection", now)
        admission = NEVER if join.master == self.id else join.admission
        node = NodeRow(harbor, join.incarnation, join.address, join.name, admission)
        self._batch += self.directory.admit(node, join.names, join.groups, now)
        self._flush()
        peer.node = (harbor, join.incarnation)
        self._admitted[harbor] = peer
        self._snapshot(peer, harbor)
        self._out.append(Log("info", f"node {join.name} joined as harbor {harbor}"))
        self._refuse_contender(harbor, now)

    def _supersede(self, peer: Peer, harbor: int, now: float) -> None:
        self._send(peer.key, Superseded(harbor))
        self._close(peer, "superseded", now)

    # --- the end of a connection --------------------------------------------------------------------

    def _close(self, peer: Peer, reason: str, now: float) -> None:
        """Close a connection; if it is the admitted one of its node, that node is lost."""
        self._flush()
        self._out.append(Close(peer.key, reason))
        if self._peers.pop(peer.key, None) is not None:
            self._lost(peer, Leaving.LOST, now)

    def _lost(self, peer: Peer, reason: Leaving, now: float) -> None:
        self._parked = [(each, ask) for each, ask in self._parked if each is not peer]
        for harbor in [each for each, contest in self._contests.items() if contest.peer is peer]:
            del self._contests[harbor]
        if peer.node is None or self._admitted.get(peer.node[0]) is not peer:
            return
        harbor = peer.node[0]
        del self._admitted[harbor]
        self._batch += self.directory.lose(harbor, reason, now)
        self._out.append(Log("info", f"harbor {harbor} left: {reason.value}"))
        contest = self._contests.pop(harbor, None)
        if contest is not None:
            self._admit(contest.peer, contest.join, now)

    # --- time and output ----------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Do what is due, before anything else is done at this time."""
        for peer in [each for each in self._peers.values() if _is_due(each.join_until, now)]:
            self._close(peer, "did not join in time", now)
        for harbor in sorted(each for each, contest in self._contests.items() if contest.until <= now):
            contest = self._contests.pop(harbor)
            self._admit(contest.peer, contest.join, now)
        self._batch += self.directory.expire(now)
        if now >= self.directory.settled:
            parked, self._parked = self._parked, []
            for peer, ask in parked:
                self._register(peer, ask, now)

    def _snapshot(self, peer: Peer, harbor: int) -> None:
        self._flush()
        rows = self.tables.node_rows(), self.tables.name_rows(), self.tables.group_rows()
        self._send(peer.key, Snapshot(harbor, self.id, self.directory.epoch, self._number, *rows))

    def _send(self, key: PeerKey, message: FromMaster) -> None:
        self._flush()
        self._out.append(SendTo(key, message))

    def _flush(self) -> None:
        if not self._batch:
            return
        self._number += 1
        changes = Changes(self.directory.epoch, self._number, tuple(self._batch))
        self._batch = []
        for harbor in sorted(self._admitted):
            self._out.append(SendTo(self._admitted[harbor].key, changes))

    def _effects(self) -> list[MasterEffect]:
        self._flush()
        if self.deadline != self._timer:
            self._timer = self.deadline
            self._out.append(SetTimer(self._timer))
        out, self._out = self._out, []
        return out


def _is_due(until: float | None, now: float) -> bool:
    return until is not None and until <= now


def _answer(token: int, verdict: Verdict) -> FromMaster:
    match verdict:
        case Taken(owner=owner):
            return NameRefused(token, Denial.TAKEN, owner)
        case Full():
            return NameRefused(token, Denial.FULL, None)
        case Later():
            raise AssertionError("a parked registration has no answer yet")
    return Registered(token, verdict.row.stamp)
