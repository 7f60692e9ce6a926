"""The leak check of a node's part in a cluster: what is left of it once all its services have stopped.

Duty: find it and say in words what it is.  It looks into the tables of the network, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from trionet.net.harbor import Harbor
from trionet.net.peer import Peer


def find_link_leaks(harbor: Harbor) -> tuple[str, ...]:
    """List what the network still holds for services of a node that has none any more.

    Args:
        harbor: of a node whose services have all stopped, before its links are closed.
    """
    return (
        *_directory(harbor),
        *(leak for link in harbor._links.open.values() for leak in _link(link.peer)),
    )


def _directory(harbor: Harbor) -> Iterator[str]:
    for ask in harbor._asks._waiting.values():
        yield f"somebody who waits for the name {ask.name!r}"
    for name in harbor._kept:
        yield f"name {name!r}, kept for a restart"
    for handle, groups in harbor._memberships.items():
        for group in sorted(groups):
            yield f"{handle}, member of group {group!r}"
    for _ in range(len(harbor._events._subscribers)):
        yield "a subscriber of events of the cluster"


def _link(peer: Peer) -> Iterator[str]:
    figures = peer.link.statistics()
    left = {
        "messages that wait for room": sum(len(line) for line in peer._lines.values()),
        "calls that wait for an answer": sum(not each.abandoned for each in peer.link.calls.values()),
        "calls of the other node without an answer": len(peer._serving),
        "watches": figures.watches,
        "watchers on the other node": len(peer._watched),
    }
    for what, figure in left.items():
        if figure:
            yield f"{what}, of the link to {peer.describe()}: {figure}"
