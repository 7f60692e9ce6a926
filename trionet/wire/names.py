"""The names of the cluster as one node sees them: what it owns, asks for and waits for.

Duty: the part of the slave that deals with names.  It holds the copy of the tables.
May import: the standard library, attrs, the handles of trionet and other modules of wire.

Theory of operation
-------------------
A name of another node counts as the copy of the tables says.  A name of this node counts as this node
says: the copy only tells that the master agrees.  So a name that was given up, or lost, is gone here
at once, and one that was granted counts from the moment its registration is answered.

Registrations stay pending until they are answered; what was not answered when the master was lost is
asked again when it is back.  A cancelled one that was granted all the same is given up again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf

from trionet.handle import Handle
from trionet.wire.effects import (
    Done,
    Failed,
    Failure,
    Loss,
    NameAdded,
    NameLost,
    NameRemoved,
    Send,
    SlaveEffect,
    Token,
)
from trionet.wire.lease import Lease
from trionet.wire.master_messages import Denial, NameRefused, Register, Registered, Unregister
from trionet.wire.pending import Ask, Asks, Waits
from trionet.wire.tables import Change, NameRow, Tables, check_global_name


class NameDesk:
    """The names as one node sees them.

    Args:
        out: where effects are put.
        incarnation: of this node.
        timeout: the heartbeat timeout in seconds.
    """

    def __init__(self, out: list[SlaveEffect], incarnation: int, timeout: float) -> None:
        self.tables: Tables = Tables()
        self.lease: Lease = Lease(timeout)
        self.online: bool = False
        self._out = out
        self._incarnation = incarnation
        self._held: dict[str, NameRow] = {}
        self._exclusive: dict[str, None] = {}
        self._asks = Asks()
        self._waits = Waits()

    # --- reading ------------------------------------------------------------------------------------

    def lookup(self, name: str) -> Handle | None:
        """Return the owner of a name, or None."""
        row = self.row(name)
        return None if row is None else row.handle

    def row(self, name: str) -> NameRow | None:
        """Return the row of a name as this node sees it, or None."""
        row = self.tables.names.get(name)
        return self._held.get(name) if row is not None and self._is_mine(row.handle) else row

    def rows(self) -> tuple[NameRow, ...]:
        """All names as this node sees them, in their order."""
        found = [self.row(name) for name in sorted(self.tables.names)]
        return tuple([row for row in found if row is not None])

    def held(self) -> tuple[NameRow, ...]:
        """The names that this node owns."""
        return tuple([self._held[name] for name in sorted(self._held)])

    def tokens(self) -> frozenset[Token]:
        """The registrations and waits that have not ended."""
        return frozenset([*self._asks.tokens(), *self._waits.tokens()])

    @property
    def deadline(self) -> float | None:
        """The time at which :meth:`advance` has something to do."""
        times = [self.lease_ends] if self._exclusive else []
        if self.online and self._wants_lease():
            times.append(self.lease.due)
        return min(times, default=None)

    @property
    def lease_ends(self) -> float:
        """The time at which exclusive names are withdrawn, if the lease is not renewed; infinity for none."""
        return self.lease.until if self._exclusive else inf

    # --- what services want -------------------------------------------------------------------------

    def check(self, token: Token, name: str) -> None:
        """Raise a ValueError if a registration or a wait is not allowed."""
        check_global_name(name)
        if token in self._waits or self._asks.with_token(token) is not None:
            raise ValueError(f"the token {token!r} is in use")

    def register(
        self, token: Token, name: str, handle: Handle, exclusive: bool, replace: Handle | None, now: float
    ) -> None:
        """Ask for a name, after :meth:`check`."""
        held = self._held.get(name)
        if held is not None and held.handle == handle and held.exclusive == exclusive:
            self._out.append(Done(token, handle))
            return
        ask = self._asks.add(token, name, handle, exclusive, replace)
        if self.online:
            self._ask(ask, now)

    def unregister(self, name: str, handle: Handle) -> None:
        """Give up a name; nothing happens if the service does not own it."""
        held = self._held.get(name)
        if held is None or held.handle != handle:
            return
        with self._viewing([name]):
            self._release(name)
        if self.online:
            self._out.append(Send(Unregister(name, handle)))

    def withdraw(self, handle: Handle) -> None:
        """A service has ended: give up all it owns and asks for."""
        for ask in self._asks:
            if ask.handle == handle:
                self._drop(ask)
        for row in list(self._held.values()):
            self.unregister(row.name, handle)

    def wait(self, token: Token, name: str) -> None:
        """Wait until a name has an owner, after :meth:`check`."""
        owner = self.lookup(name)
        if owner is not None:
            self._out.append(Done(token, owner))
        else:
            self._waits.add(token, name)

    def cancel(self, token: Token) -> None:
        """Nobody waits for that token any more."""
        self._waits.remove(token)
        ask = self._asks.with_token(token)
        if ask is not None:
            self._drop(ask)

    # --- what the master says -----------------------------------------------------------------------

    def load(self, tables: Tables) -> None:
        """Take over a whole copy."""
        names = sorted({*self.tables.names, *tables.names, *self._held})
        with self._viewing(names):
            self.tables = tables
            self._check_held(names)
        asked = {ask.name for ask in self._asks}
        for name in names:
            row = tables.names.get(name)
            if row and self._is_mine(row.handle) and name not in self._held and name not in asked:
                self._out.append(Send(Unregister(name, row.handle)))

    def apply(self, change: Change) -> None:
        """Take over a change."""
        names, _ = self.tables.touched(change)
        with self._viewing(names):
            self.tables.apply(change)
            self._check_held(names)

    def granted(self, answer: Registered, now: float) -> None:
        """The master has accepted a registration."""
        ask = self._asks.take(answer.token)
        if ask is None:
            return
        if ask.cancelled:
            self._undo(ask)
        elif ask.exclusive and now >= self.lease.until:
            self._asks.put_back(ask)
            self._out.append(Send(Unregister(ask.name, ask.handle)))
            self._ask(ask, now)
        else:
            self._asks.told(ask)
            with self._viewing([ask.name]):
                self._hold(NameRow(ask.name, ask.handle, answer.stamp, ask.exclusive))
            self._out.append(Done(ask.token, ask.handle))

    def refused(self, answer: NameRefused) -> None:
        """The master has refused a registration."""
        ask = self._asks.take(answer.token)
        if ask is not None and not ask.cancelled:
            self._asks.told(ask)
            failure = Failure.TAKEN if answer.denial is Denial.TAKEN else Failure.FULL
            self._out.append(Failed(ask.token, failure, answer.owner))

    def go_online(self, now: float) -> None:
        """The slave is admitted: ask again for all that is pending."""
        self.online = True
        for ask in self._asks:
            self._ask(ask, now)
        self.advance(now)

    def go_offline(self) -> None:
        """The connection to the master is lost."""
        self.online = False
        self.lease.forget()
        for ask in self._asks:
            if ask.cancelled:
                self._asks.drop(ask)

    def end(self) -> None:
        """The slave has ended: nothing that waits will ever succeed."""
        self.online = False
        self._out += [
            Failed(token, Failure.ENDED, None) for token in [*self._asks.tokens(), *self._waits.tokens()]
        ]
        self._asks, self._waits = Asks(), Waits()

    def advance(self, now: float) -> None:
        """Withdraw exclusive names whose lease is over, renew the lease when it is time."""
        if now >= self.lease.until:
            for row in [self._held[name] for name in self._exclusive]:
                self.unregister(row.name, row.handle)
                self._out.append(NameLost(row.name, row.handle, Loss.MASTER_SILENT))
        if self.online and self._wants_lease() and now >= self.lease.due:
            self._out.append(Send(self.lease.renew(now)))

    # --- inside -------------------------------------------------------------------------------------

    def _is_mine(self, handle: Handle) -> bool:
        return handle.incarnation == self._incarnation

    def _wants_lease(self) -> bool:
        return bool(self._exclusive) or self._asks.has_exclusive

    def _hold(self, row: NameRow) -> None:
        self._release(row.name)
        self._held[row.name] = row
        if row.exclusive:
            self._exclusive[row.name] = None

    def _release(self, name: str) -> None:
        self._held.pop(name, None)
        self._exclusive.pop(name, None)

    def _ask(self, ask: Ask, now: float) -> None:
        if ask.exclusive:
            self._out.append(Send(self.lease.renew(now)))
        self._out.append(Send(Register(ask.number, ask.name, ask.handle, ask.exclusive, ask.replace)))

    def _drop(self, ask: Ask) -> None:
        """Nobody wants a registration any more; what was asked must still be answered."""
        if self.online:
            self._asks.cancel(ask)
        else:
            self._asks.drop(ask)

    def _undo(self, cancelled: Ask) -> None:
        """Give up what was granted to nobody, unless another registration has the same in mind."""
        name, handle = cancelled.name, cancelled.handle
        again = any(ask.name == name and ask.handle == handle for ask in self._asks)
        held = self._held.get(name)
        if again or (held is not None and held.handle == handle):
            return
        self._out.append(Send(Unregister(name, handle)))
        if held is not None:
            self._lose(held, Loss.WITHDRAWN)

    def _check_held(self, names: Iterable[str]) -> None:
        for name in names:
            held = self._held.get(name)
            row = self.tables.names.get(name)
            if held is None:
                continue
            if row is None:
                self._lose(held, Loss.WITHDRAWN)
            elif not self._is_mine(row.handle):
                self._lose(held, Loss.OTHER_OWNER)
            elif row.handle == held.handle:
                self._hold(row)

    def _lose(self, held: NameRow, loss: Loss) -> None:
        with self._viewing([held.name]):
            self._release(held.name)
        self._out.append(NameLost(held.name, held.handle, loss))

    @contextmanager
    def _viewing(self, names: Iterable[str]) -> Iterator[None]:
        """Tell how the view of these names differs after the body from before."""
        before = {name: self.lookup(name) for name in names}
        yield
        for name, old in before.items():
            new = self.lookup(name)
            if new == old:
                continue
            if new is not None:
                self._out.append(NameAdded(name, new))
                self._end_waits(name, new)
            elif old is not None:
                self._out.append(NameRemoved(name, old))

    def _end_waits(self, name: str, owner: Handle) -> None:
        self._out += [Done(token, owner) for token in self._waits.take(name)]
