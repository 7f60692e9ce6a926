"""Who is admitted: the rules for a slave that asks to join.

Duty: decisions about one ``Join``, and the records that the master keeps of connections.
May import: the standard library, attrs, the handles of trionet and other modules of wire.

A node that comes back after another has taken its id loses to it, unless it is the master that was
restarted and has let a newcomer have the id meanwhile: then the one with the later admission stays.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import attrs

from trionet.wire.effects import PeerKey
from trionet.wire.errors import ProtocolError
from trionet.wire.master_messages import Join
from trionet.wire.tables import NEVER, NodeRow, Stamp, lives_on


@attrs.define
class Peer:
    """One connection.

    Args:
        key: tells it from the others.
        join_until: when it is closed if it has not joined, or None once it has.
        node: its harbor id and incarnation, once it is admitted.
    """

    key: PeerKey
    join_until: float | None
    node: tuple[int, int] | None = None


@attrs.define
class Contest:
    """A contender for an occupied harbor id.

    Args:
        peer: the contender's connection.
        join: what it asked for.
        token: what the probe of the owner carries.
        until: when the owner has lost.
    """

    peer: Peer
    join: Join
    token: int
    until: float


class Ruling(enum.Enum):
    """What happens to a slave that asks for an id which is in the table."""

    ADMIT = "admit"
    SUPERSEDED = "superseded"
    CONTEST = "contest"


def judge(join: Join, owner: NodeRow, master: int, *, absent: bool) -> Ruling:
    """Decide about a slave that asks for an id which is in the table.

    Args:
        join: what it asks for.
        owner: the row of that id.
        master: the id of this master.
        absent: whether the owner is known from a copy only.
    """
    if owner.incarnation == join.incarnation:
        return Ruling.ADMIT
    if join.master != master and join.admission > owner.admission:
        return Ruling.ADMIT
    if absent and join.admission != NEVER:
        return Ruling.SUPERSEDED
    return Ruling.CONTEST


class Recent:
    """The latest incarnations that something was noted of.

    Args:
        limit: how many are remembered.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[tuple[int, int], None] = {}

    def __contains__(self, node: tuple[int, int]) -> bool:
        return node in self._known

    def add(self, harbor: int, incarnation: int) -> None:
        """Note one; the oldest is forgotten if there are too many."""
        self._known[harbor, incarnation] = None
        if len(self._known) > self._limit:
            del self._known[next(iter(self._known))]


def check_join(join: Join) -> None:
    """Refuse a slave that claims what is not its own, or stamps that its master cannot have given."""
    mine = [row.handle for row in join.names] + [each for row in join.groups for each in row.members]
    if join.harbor == 0 and mine:
        raise ProtocolError("a node without a harbor id owns nothing")
    for handle in mine:
        if not lives_on(handle, join.harbor, join.incarnation):
            raise ProtocolError(f"{handle!r} does not live on the node that claims it")
    stamps: Sequence[Stamp] = [join.admission, *(row.stamp for row in join.names)]
    if join.copy is not None:
        stamps = [*stamps, *(row.stamp for row in join.copy.names)]
        stamps = [*stamps, *(node.admission for node in join.copy.nodes)]
    if max(stamps).epoch > join.known.epoch:
        raise ProtocolError("a stamp of an epoch that its own copy has not seen")
