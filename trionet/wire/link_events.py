"""What a link tells its user besides messages: events, the fates at its end, its statistics.

Duty: values only.
May import: the standard library, attrs, trionet.wire.link_frames and link_streams.

Ids of services are local ids: the source of a message lives on the peer, its target on this node, because
a link is tied to one incarnation at each end.  Id 0 is the node itself.
"""

from __future__ import annotations

from typing import Any

import attrs

from trionet.wire.link_frames import LinkSettings
from trionet.wire.link_streams import Outflow


@attrs.define
class Opened:
    """Both ends said open: from now on messages may be sent.

    Args:
        settings: the limits that the peer told.
    """

    settings: LinkSettings


@attrs.frozen
class Route:
    """Who sends what to whom; of one route there are mostly many messages.

    Args:
        source: local id of the sender.
        target: local id of the service that it is for.
        command: the command's name.
    """

    source: int
    target: int
    command: str


@attrs.define
class StreamReceived:
    """A service of the peer opens a stream of one of this node.

    It takes room in the window of its target until ``Link.consumed``, and ends as a call does.  Until then
    items may be sent by ``Link.items``, within ``outflow``.

    Args:
        session: names the stream on this link.
        route: who opens it, and which.
        trace: the number of its call chain.
        payload: the encoded arguments.
        outflow: the room of the consumer; charge each item to it.
    """

    session: int
    route: Route
    trace: int
    payload: bytes
    outflow: Outflow


@attrs.define
class StreamBegun:
    """The handler of a stream of this side has started; it is not told where an item came first.

    Args:
        session: the stream.
        token: what ``Link.stream`` was given.
    """

    session: int
    token: Any


@attrs.define
class ItemsReceived:
    """Items of a stream of this side have come; say ``Link.taken`` once they were taken out of the buffer.

    Args:
        session: the stream.
        token: what ``Link.stream`` was given.
        items: how many there should be.
        payload: the encoded items, one after another.
    """

    session: int
    token: Any
    items: int
    payload: bytes


@attrs.define
class ItemsTaken:
    """The consumer of a stream of this node has more room; it is in its ``outflow`` already."""

    session: int


@attrs.define
class FailureReceived:
    """A call of this side failed.

    Args:
        session: the call.
        token: what ``Link.call`` was given.
        code: kind of the error, 0 to 255.
        executed: whether the handler started; None for unknown.
        payload: the encoded rest of the error.
    """

    session: int
    token: Any
    code: int
    executed: bool | None
    payload: bytes


@attrs.define
class CancelConfirmed:
    """A call that this side cancelled has ended by it: its handler is over, or never started."""

    session: int
    token: Any


@attrs.define
class AbandonedEnded:
    """A call that this side had abandoned has ended at the peer, however it did."""

    session: int
    token: Any


@attrs.define
class CancelReceived:
    """The peer cancels a call that it made; the call still has to be ended."""

    session: int


@attrs.define
class WatchReceived:
    """A service of the peer watches one of this node; answer once with ``Link.exited``.

    Args:
        watch: names the watch on this link.
        source: local id of the watcher.
        target: local id of the watched service.
    """

    watch: int
    source: int
    target: int


@attrs.define
class UnwatchReceived:
    """The peer leaves a watch, which is forgotten with this event."""

    watch: int


@attrs.define
class ExitReceived:
    """A watched service has ended.

    Args:
        watch: the watch.
        token: what ``Link.watch`` was given.
        payload: the encoded reason.
    """

    watch: int
    token: Any
    payload: bytes


@attrs.define
class CreditAvailable:
    """The window of a service of the peer, which had no room, has more of it: try again."""

    target: int


@attrs.define
class PayloadReceived:
    """A message of the dialogue between slave and master, or console and node."""

    payload: bytes


@attrs.define
class GoodbyeReceived:
    """The peer is leaving.

    Args:
        reason: why.
        final: whether nothing more will come; else calls under way are still answered.
    """

    reason: str
    final: bool


@attrs.define
class PeerSilent:
    """Nothing came from the peer for longer than the heartbeat timeout.

    Args:
        seconds: for how long.
    """

    seconds: float


LinkEvent = (
    Opened
    | StreamReceived
    | StreamBegun
    | ItemsReceived
    | ItemsTaken
    | FailureReceived
    | CancelConfirmed
    | AbandonedEnded
    | CancelReceived
    | WatchReceived
    | UnwatchReceived
    | ExitReceived
    | CreditAvailable
    | PayloadReceived
    | GoodbyeReceived
    | PeerSilent
)


@attrs.frozen
class LinkFates:
    """What became of everything that was under way when a link ended.

    Args:
        unsent: tokens of sends that were certainly not delivered, in order.
        unknown: tokens of sends that may or may not have been delivered, in order.
        calls: token and ``executed`` (False or None) of each call that has no outcome.
        abandoned: tokens of the calls that were abandoned before and had not ended yet.
        watches: tokens of the watches of this side.
        serving: sessions of the peer's calls that had not been answered: cancel their handlers.
        watched: watches of the peer that had not been answered: forget them.
    """

    unsent: tuple[Any, ...]
    unknown: tuple[Any, ...]
    calls: tuple[tuple[Any, bool | None], ...]
    abandoned: tuple[Any, ...]
    watches: tuple[Any, ...]
    serving: tuple[int, ...]
    watched: tuple[int, ...]


@attrs.frozen
class LinkStatistics:
    """What a link holds and has done.

    Args:
        pending_bytes: bytes that were handed over and not taken by ``data_to_send``.
        sent: sends, calls and streams that were handed over.
        unacknowledged: sends that went onto the wire, and that the peer has not acknowledged.
        arrived: sends, calls and streams that came.
        calls: calls of this side without an outcome, abandoned ones included.
        serving: calls of the peer without an answer.
        watches: watches of this side.
        watched: watches of the peer.
        lanes: pairs of services that wait for a large message.
        heard: when bytes last came.
        round_trip: seconds that the latest heartbeat took there and back, once that is known.
    """

    pending_bytes: int
    sent: int
    unacknowledged: int
    arrived: int
    calls: int
    serving: int
    watches: int
    watched: int
    lanes: int
    heard: float
    round_trip: float | None
