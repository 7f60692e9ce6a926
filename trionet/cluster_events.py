"""What happens in a cluster, as values for whoever wants to know.

Duty: one class an event.
May import: the standard library, attrs and the handles of trionet.
"""

from __future__ import annotations

import enum

import attrs

from trionet.handle import Handle


class Leaving(enum.Enum):
    """Why a node left the table."""

    LOST = "lost"
    GOODBYE = "goodbye"
    SUPERSEDED = "superseded"

    @property
    def final(self) -> bool:
        """Whether that incarnation never comes back."""
        return self is not Leaving.LOST


@attrs.frozen
class NodeUp:
    """A node is in the table of the cluster; a link may take a moment more."""

    harbor: int
    incarnation: int
    address: str
    name: str


@attrs.frozen
class NodeGone:
    """A node is no longer in the table of the cluster."""

    harbor: int
    incarnation: int
    reason: Leaving


@attrs.frozen
class MasterLost:
    """The connection to the master is lost; what is known stays, new registrations wait."""


@attrs.frozen
class MasterBack:
    """The master is there again, and the tables are up to date."""


@attrs.frozen
class NameAdded:
    """A name has this owner now; a name that moves to another owner gives this event alone."""

    name: str
    handle: Handle


@attrs.frozen
class NameRemoved:
    """A name has no owner any more."""

    name: str
    handle: Handle


@attrs.frozen
class GroupChanged:
    """Services joined or left a group."""

    group: str
    joined: tuple[Handle, ...]
    left: tuple[Handle, ...]


ClusterEvent = NodeUp | NodeGone | MasterLost | MasterBack | NameAdded | NameRemoved | GroupChanged
