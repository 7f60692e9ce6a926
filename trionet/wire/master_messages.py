"""The messages between master and slave, and their form on the wire.

Duty: one frozen class a message, with the check of every field in both directions.
May import: the standard library, attrs, the handles of trionet, wire.schema and wire.tables.

A link carries, in this order: ``Hello`` (master), ``Join`` (slave), then ``Snapshot``, or one of the
three refusals, after which the master closes.  After the snapshot the slave asks and the master tells
every change.  ``Probe`` may come at any time after ``Join``.

===================  =========  =====================================================================
message              sender     meaning
===================  =========  =====================================================================
Hello                master     who it is, and how new the copy is that it has restored from
Join                 slave      who it is, what it owns, and its copy if it is newer than that
Snapshot             master     admitted; or the answer to Resync
HarborTaken          master     another node has that id and answers
Superseded           master     another incarnation has taken that id: end
Refused              master     no free id
Changes              master     what has changed, numbered without gaps
Resync               slave      a number was missing: send a snapshot
Register             slave      ask for a name, or to move it to another service of the same node
Registered           master     it is yours
NameRefused          master     it is not, with the owner
Unregister           slave      give up a name
GroupJoin            slave      a service joins a group
GroupLeave           slave      a service leaves a group
GroupRefused         master     there is no room for that member
Renew                slave      ask for a longer lease of its exclusive names
Renewed              master     granted, counted from when it was asked
Probe                master     are you alive?
ProbeAnswer          slave      yes
Goodbye              slave      leaves in peace
===================  =========  =====================================================================
"""

from __future__ import annotations

import enum
from typing import Any, Final

import attrs

from trionet.handle import MAX_HARBOR, Handle
from trionet.wire.schema import (
    COUNT,
    FLAG,
    GLOBAL_NAME,
    HANDLE,
    HARBOR,
    U64,
    choice,
    integer,
    many,
    optional,
    record,
    text,
    union,
)
from trionet.wire.tables import (
    ADDRESS,
    CHANGE,
    GROUPS,
    MAX_ROWS,
    NAMES,
    NODE_NAME,
    NODES,
    STAMP,
    Change,
    GroupRow,
    NameRow,
    NodeRow,
    Stamp,
)


class Denial(enum.Enum):
    """Why a name was refused."""

    TAKEN = "taken"
    FULL = "full"


@attrs.frozen
class Hello:
    """Master to slave, first of all.

    Args:
        master: random 64 bits that tell a restarted master from its former self.
        epoch: its epoch so far.
        copy: how new the copy is that it has restored from: epoch and sequence number.
    """

    master: int
    epoch: int
    copy: Stamp


@attrs.frozen
class Copy:
    """What a slave knows of the others, for a master that has lost it."""

    nodes: tuple[NodeRow, ...]
    names: tuple[NameRow, ...]
    groups: tuple[GroupRow, ...]


@attrs.frozen
class Join:
    """Slave to master, as answer to ``Hello``.

    Args:
        harbor: the harbor id it wants, or 0 to be given one.
        incarnation: its incarnation.
        address: where other nodes dial it.
        name: its name, for people.
        admission: when it was last admitted, or (0, 0).
        master: the master that admitted it then, or 0.
        known: how new its copy is: epoch and sequence number.
        names: the names it owns.
        groups: the memberships of its services.
        copy: what it knows of the others, or None if the master knows as much.
    """

    harbor: int
    incarnation: int
    address: str
    name: str
    admission: Stamp
    master: int
    known: Stamp
    names: tuple[NameRow, ...]
    groups: tuple[GroupRow, ...]
    copy: Copy | None


@attrs.frozen
class Snapshot:
    """Master to slave: the tables, whole; the first one admits it under ``harbor``."""

    harbor: int
    master: int
    epoch: int
    number: int
    nodes: tuple[NodeRow, ...]
    names: tuple[NameRow, ...]
    groups: tuple[GroupRow, ...]


@attrs.frozen
class HarborTaken:
    """Master to slave: that id belongs to a node which answers; the master closes."""

    owner: NodeRow


@attrs.frozen
class Superseded:
    """Master to slave: another incarnation has taken the id, so this one has to end."""

    harbor: int


@attrs.frozen
class Refused:
    """Master to slave: it cannot be admitted, and why; the master closes."""

    reason: str


@attrs.frozen
class Changes:
    """Master to slave: changes made together; ``number`` is one more than what came before has."""

    epoch: int
    number: int
    changes: tuple[Change, ...]


@attrs.frozen
class Resync:
    """Slave to master: send a snapshot."""


@attrs.frozen
class Register:
    """Slave to master: ask for a name.

    Args:
        token: answers carry it.
        name: the name.
        handle: who shall own it.
        exclusive: whether there may never be two owners.
        replace: the service of the same node that hands it over, or None.
    """

    token: int
    name: str
    handle: Handle
    exclusive: bool
    replace: Handle | None


@attrs.frozen
class Registered:
    """Master to slave: the name is yours; the change came before this."""

    token: int
    stamp: Stamp


@attrs.frozen
class NameRefused:
    """Master to slave: the name is not yours."""

    token: int
    denial: Denial
    owner: Handle | None


@attrs.frozen
class Unregister:
    """Slave to master: the owner gives up a name."""

    name: str
    handle: Handle


@attrs.frozen
class GroupJoin:
    """Slave to master: a service joins a group."""

    group: str
    handle: Handle


@attrs.frozen
class GroupLeave:
    """Slave to master: a service leaves a group."""

    group: str
    handle: Handle


@attrs.frozen
class GroupRefused:
    """Master to slave: the tables are full."""

    group: str
    handle: Handle


@attrs.frozen
class Renew:
    """Slave to master: ask for a longer lease of its exclusive names."""

    token: int


@attrs.frozen
class Renewed:
    """Master to slave: the lease runs from when that was asked."""

    token: int


@attrs.frozen
class Probe:
    """Master to slave: are you alive?"""

    token: int


@attrs.frozen
class ProbeAnswer:
    """Slave to master: yes."""

    token: int


@attrs.frozen
class Goodbye:
    """Slave to master: this node leaves; all that it owned is free."""


Refusal = HarborTaken | Superseded | Refused
FromMaster = Hello | Snapshot | Refusal | Changes | Registered | NameRefused | GroupRefused | Renewed | Probe
FromSlave = Join | Resync | Register | Unregister | GroupJoin | GroupLeave | Renew | ProbeAnswer | Goodbye
Message = FromMaster | FromSlave

_COPY: Final = record(Copy, NODES, NAMES, GROUPS)
_CHANGES: Final = many(CHANGE, 2 * MAX_ROWS)
_WANTED: Final = integer(0, MAX_HARBOR)

_LAYOUTS: Final = {
    1: (Hello, record(Hello, U64, COUNT, STAMP)),
    2: (
        Join,
        record(Join, _WANTED, U64, ADDRESS, NODE_NAME, STAMP, U64, STAMP, NAMES, GROUPS, optional(_COPY)),
    ),
    3: (Snapshot, record(Snapshot, HARBOR, U64, COUNT, COUNT, NODES, NAMES, GROUPS)),
    4: (HarborTaken, record(HarborTaken, record(NodeRow, HARBOR, U64, ADDRESS, NODE_NAME, STAMP))),
    5: (Superseded, record(Superseded, HARBOR)),
    6: (Refused, record(Refused, text(512))),
    7: (Changes, record(Changes, COUNT, COUNT, _CHANGES)),
    8: (Resync, record(Resync)),
    9: (Register, record(Register, COUNT, GLOBAL_NAME, HANDLE, FLAG, optional(HANDLE))),
    10: (Registered, record(Registered, COUNT, STAMP)),
    11: (NameRefused, record(NameRefused, COUNT, choice(Denial), optional(HANDLE))),
    12: (Unregister, record(Unregister, GLOBAL_NAME, HANDLE)),
    13: (GroupJoin, record(GroupJoin, GLOBAL_NAME, HANDLE)),
    14: (GroupLeave, record(GroupLeave, GLOBAL_NAME, HANDLE)),
    15: (GroupRefused, record(GroupRefused, GLOBAL_NAME, HANDLE)),
    16: (Renew, record(Renew, COUNT)),
    17: (Renewed, record(Renewed, COUNT)),
    18: (Probe, record(Probe, U64)),
    19: (ProbeAnswer, record(ProbeAnswer, U64)),
    20: (Goodbye, record(Goodbye)),
}
_MESSAGE: Final = union(_LAYOUTS)


def to_wire(message: Message) -> list[Any]:
    """Return the plain list that a codec can carry.

    Raises:
        ProtocolError: if a field does not keep its limits.
    """
    packed: list[Any] = _MESSAGE.pack(message)
    return packed


def from_wire(item: Any) -> Message:
    """Return the message that a plain list stands for.

    Raises:
        ProtocolError: if it is anything else than the list of a message.
    """
    message: Message = _MESSAGE.unpack(item)
    return message
