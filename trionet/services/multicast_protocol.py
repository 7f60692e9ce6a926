"""What the hubs of a cluster say to each other.

Duty: the commands of a hub, and what its stream consists of.
May import: trionet.

Theory of operation.  A hub opens one stream from each other hub, and so from each node on which something
is or may be published; all that its node subscribes to comes through it, each message once.  It numbers the
topics that its node subscribes to, for as long as anybody there does.  The other hub numbers the messages
of each: a message that was lost on the way, at whatever place, is a number that is missing.

The stream never waits for a subscriber.  Where subscribers want publishers to wait for them, the messages
of those who do are *sure*: the other node sends some and keeps any more until these are confirmed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Any, Final

from trionet import Service, command, stream

#: The hub of this node.
HUB: Final = ".multicast"
#: The name of the hub of a node in the cluster.
HUB_OF: Final = "trionet.multicast.{}"
#: The group of all hubs of the cluster.
HUBS: Final = "trionet.multicast"
#: Longest name of a topic, in bytes of UTF-8.
MAX_TOPIC: Final = 255
#: Topics that one node may subscribe to.
MOST_TOPICS: Final = 100_000
#: Sure messages of one topic that may be under way to one node and not confirmed.
WINDOW: Final = 64
#: Bytes of these after which no more are sent.
WINDOW_BYTES: Final = 1024 * 1024
#: Seconds that other nodes have to answer when somebody subscribes, or a hub starts, before it goes on.
PATIENCE: Final = 1.0

#: A topic that a node subscribes to: its name, whether publishers shall wait, and the last number seen.
Wish = tuple[str, bool, int]


class HubApi(Service):
    """What hubs ask of each other."""

    @stream(endless=True)
    @abstractmethod
    def messages(self, wishes: dict[int, Wish]) -> AsyncIterator[tuple[Any, ...]]:
        """All that the node of the caller subscribes to, as tuples.

        * ``(topic, number, sure, value)``: a message;
        * ``(topic, number)``: the numbers up to this one will not come any more;
        * ``(request, age, value)``: a message from before, published so many seconds ago;
        * ``(request,)``: that was all of it.
        """

    @command
    @abstractmethod
    def tell(
        self,
        wanted: dict[int, Wish],
        unwanted: list[int],
        confirmed: dict[int, int],
        asked: dict[int, tuple[int, int]],
    ) -> None:
        """Change what comes through the caller's stream.

        Args:
            wanted: topics that are new, or changed.
            unwanted: topics that nobody there subscribes to any more.
            confirmed: for topics, how many more sure messages have arrived.
            asked: requests for the last messages of a topic: its number, and how many.
        """

    @command
    @abstractmethod
    async def follow(self) -> None:
        """Open the stream of the caller, which is a new hub; returns when it is open."""


def check_topic(name: object) -> str:
    """Return the name of a topic, if it is one.

    Raises:
        TypeError: if it is no text.
        ValueError: if it is empty, too long, or not to be encoded.
    """
    if not isinstance(name, str):
        raise TypeError(f"a topic is named by a text such as 'room.1', not by {name!r:.80}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name!r:.80} is no name of a topic: UTF-8 cannot encode it") from None
    if not 0 < size <= MAX_TOPIC:
        raise ValueError(f"the name of a topic has 1 to {MAX_TOPIC} bytes, and not {size}: {name!r:.80}")
    return name
