"""What the machines of master and slave want done, and what they tell.

Duty: frozen values, nothing else.  The Trio side carries out effects in the order in which they come.
May import: the standard library, attrs, the handles of trionet and the messages of wire.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable

import attrs

from trionet.cluster_events import ClusterEvent as ClusterEvent
from trionet.cluster_events import GroupChanged as GroupChanged
from trionet.cluster_events import MasterBack as MasterBack
from trionet.cluster_events import MasterLost as MasterLost
from trionet.cluster_events import NameAdded as NameAdded
from trionet.cluster_events import NameRemoved as NameRemoved
from trionet.cluster_events import NodeGone as NodeGone
from trionet.cluster_events import NodeUp as NodeUp
from trionet.handle import Handle
from trionet.wire.master_messages import FromMaster, FromSlave
from trionet.wire.tables import Leaving, NodeRow

#: What tells one connection of the master from all others; never used for a second one.
PeerKey = Hashable
#: What tells one waiting registration or wait of a slave from the others; chosen by the caller.
Token = Hashable

# --- both ------------------------------------------------------------------------------------------------


@attrs.frozen
class SetTimer:
    """Call ``tick`` at this time, or never for None; replaces what was set before."""

    at: float | None


# --- master ----------------------------------------------------------------------------------------------


@attrs.frozen
class SendTo:
    """Send a message on a connection."""

    peer: PeerKey
    message: FromMaster


@attrs.frozen
class Close:
    """Close a connection, after what was to be sent on it; ``disconnected`` need not be told."""

    peer: PeerKey
    reason: str


@attrs.frozen
class Log:
    """Something for the master's log.

    Args:
        level: ``"info"`` or ``"warning"``.
        text: what happened.
    """

    level: str
    text: str


MasterEffect = SetTimer | SendTo | Close | Log

# --- slave: things to do ---------------------------------------------------------------------------------


@attrs.frozen
class Send:
    """Send a message to the master."""

    message: FromSlave


@attrs.frozen
class CloseMaster:
    """Close the connection to the master and tell ``disconnected``; then connect anew."""

    reason: str


@attrs.frozen
class Dial:
    """Keep a link to that node by dialling it, until ``Drop`` or ``Expect`` of the same harbor id.

    A link to that incarnation which is there already stays.  When the first try has failed, tell
    ``unreachable``, and keep trying.
    """

    node: NodeRow


@attrs.frozen
class Expect:
    """Await a link from that node, until ``Drop`` or ``Dial`` of the same harbor id.

    A link to that incarnation which is there already stays.
    """

    node: NodeRow


@attrs.frozen
class Drop:
    """Close the link to that incarnation, and no longer dial or await it."""

    harbor: int
    incarnation: int
    reason: Leaving


class Ending(enum.Enum):
    """Why a node can be no part of the cluster; unwelcome is one that got no further than the handshake."""

    TAKEN = "taken"
    SUPERSEDED = "superseded"
    REFUSED = "refused"
    UNWELCOME = "unwelcome"
    LEFT = "left"


@attrs.frozen
class Ended:
    """The slave has ended for good; unless it is ``LEFT``, the node has to end too, non-zero."""

    kind: Ending
    text: str


# --- slave: answers --------------------------------------------------------------------------------------


@attrs.frozen
class Admitted:
    """The node is part of the cluster under that harbor id; comes once."""

    harbor: int


@attrs.frozen
class Ready:
    """Every node of the first table is linked, has left, or was tried in vain; comes once.

    Args:
        unreachable: the harbor ids that were tried in vain.
    """

    unreachable: tuple[int, ...]


@attrs.frozen
class Done:
    """The registration or the wait of that token has succeeded."""

    token: Token
    handle: Handle


class Failure(enum.Enum):
    """Why a registration or a wait has failed."""

    TAKEN = "taken"
    FULL = "full"
    ENDED = "ended"


@attrs.frozen
class Failed:
    """The registration or the wait of that token has failed.

    Args:
        token: which one.
        failure: why.
        owner: who owns the name, if it is taken.
    """

    token: Token
    failure: Failure
    owner: Handle | None


class Loss(enum.Enum):
    """Why a service has lost a name or a membership."""

    OTHER_OWNER = "another owner"
    MASTER_SILENT = "the master was silent"
    WITHDRAWN = "withdrawn by the master"


@attrs.frozen
class NameLost:
    """A service of this node no longer owns a name, without having given it up."""

    name: str
    handle: Handle
    loss: Loss


@attrs.frozen
class GroupLost:
    """A service of this node is no longer member of a group, without having left it."""

    group: str
    handle: Handle
    loss: Loss


Event = ClusterEvent
SlaveEffect = (
    SetTimer
    | Send
    | CloseMaster
    | Dial
    | Expect
    | Drop
    | Ended
    | Admitted
    | Ready
    | Done
    | Failed
    | NameLost
    | GroupLost
    | Event
)
