"""All that one node knows of topics: who subscribes, here and elsewhere, and what was published last.

Duty: give each message to all who get it, in one step.
May import: trionet, and the parts of multicast that do not wait.

Theory of operation.  A node has one board, which belongs to the node and not to its hub: when the hub ends,
subscriptions and numbers stay, and the next hub goes on with them.  Publishing is a plain function, so that
all messages of one publisher are everywhere in the order in which they were published.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count, islice
from typing import Any, Final, Protocol

import trio

from trionet import Handle, Snapshot
from trionet.services.multicast_mailbox import Arrival, Mailbox, Overflow, Past
from trionet.services.multicast_protocol import MOST_TOPICS, PATIENCE
from trionet.services.multicast_routes import Routes
from trionet.services.multicast_state import REMEMBERED, LocalTopic, Origin, Topics

#: Topics of which the last messages are kept; those that were not published to for longest go first.
MOST_KEPT: Final = 10_000
#: Topics that are shown one by one.
MOST_SHOWN: Final = 100


class Listener(Protocol):
    """Whoever tells another node what this one subscribes to."""

    def changed(self, number: int) -> None:
        """Somebody subscribes to a topic now, or nobody any more, or publishers shall (not) wait."""

    def ask(self, mailbox: Mailbox, number: int, last: int) -> None:
        """Ask for the last messages of a topic; the mailbox takes nothing from there before they came."""

    async def wait_told(self) -> None:
        """Wait until the other node knows what this one subscribes to now, unless it is out of reach."""

    def lag(self) -> None:
        """It was waited for long enough: it is out of reach until it is heard of again."""


class Board:
    """All that one node knows of topics.

    Attributes:
        hub: the hub of this node, if it has one.
        has_met: whether that hub and the others know each other.
        starting: held by whoever starts it.
        listeners: who tells other nodes what this one subscribes to.
        requests: for what was published before, by their numbers.
        topics: what is known of each topic.
        routes: the ways to other nodes.
    """

    def __init__(self) -> None:
        self.hub: Handle | None = None
        self.has_met: bool = False
        self.starting: trio.Lock = trio.Lock()
        self.listeners: dict[Listener, None] = {}
        self.requests: dict[int, Mailbox] = {}
        self.topics: Topics = Topics()
        self.routes: Routes = Routes(self.topics)
        self._numbered: dict[int, LocalTopic] = {}
        self._numbers = count(1)
        self._origins: dict[int, Origin] = {}
        self._kept: dict[LocalTopic, None] = {}

    def lost_hub(self, hub: Handle) -> None:
        """The hub has ended; whoever waits for a message sees to it that there is another one."""
        if self.hub == hub:
            self.hub = None
            self.has_met = False
            for topic in self._numbered.values():
                for mailbox in topic.mailboxes:
                    mailbox.wake()

    def info(self) -> dict[str, Any]:
        """What the console shows of it: how many of what there are, and some topics."""
        return {
            "topics": len(self.topics),
            "subscribed": {
                topic.name: {
                    "subscribers": len(topic.mailboxes),
                    "waiting": sum(len(mailbox.queue) for mailbox in topic.mailboxes),
                    "missed": sum(mailbox.missed for mailbox in topic.mailboxes),
                }
                for topic in islice(self._numbered.values(), MOST_SHOWN)
            },
            "nodes": self.routes.info(),
        }

    # --- publishing ---------------------------------------------------------------------------------------

    async def wait_for_room(self, name: str) -> None:
        """Wait until all who shall not miss anything have room; then the caller must publish at once.

        Cancellation: leaves nothing behind.
        """
        topic = self.topics.get(name)
        if topic is not None and not topic.room.is_free:
            await topic.room.wait()

    def publish(self, name: str, item: Snapshot[Any], *, keep: int, sure: bool) -> None:
        """Give a message to everybody."""
        topic = self.topics.get(name)
        if keep:
            topic = topic or self.topics.make(name)
            self._keep(topic, item, keep)
        if topic is None:
            return
        for mailbox in topic.mailboxes:
            mailbox.put(item)
        for outlet in topic.outlets:
            outlet.put(item, sure=sure)

    def _keep(self, topic: LocalTopic, item: Snapshot[Any], keep: int) -> None:
        if topic.kept is None or topic.kept.maxlen != keep:
            topic.kept = deque(topic.kept or (), maxlen=keep)
        topic.kept.append((trio.current_time(), item))
        self._kept.pop(topic, None)
        self._kept[topic] = None
        if len(self._kept) > MOST_KEPT:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            oldest.kept = None
            self.topics.let_go(oldest)

    # --- subscribing --------------------------------------------------------------------------------------

    def subscribe(self, name: str, limit: int, overflow: Overflow, last: int) -> tuple[LocalTopic, Mailbox]:
        """Add a subscriber, who gets what is published from now on.

        Raises:
            RuntimeError: if this node subscribes to too many topics.
        """
        topic = self.topics.make(name)
        if not topic.number:
            if len(self._numbered) >= MOST_TOPICS:
                self.topics.let_go(topic)
                raise RuntimeError(f"this node subscribes to {MOST_TOPICS} topics already")
            topic.number = next(self._numbers)
            self._numbered[topic.number] = topic
            self._changed(topic.number)
        mailbox = Mailbox(limit, overflow, topic.room)
        topic.mailboxes[mailbox] = None
        if mailbox.waits:
            topic.waiting += 1
            if topic.waiting == 1:
                self._changed(topic.number)
        if last:
            now = trio.current_time()
            mailbox.past = Past(last)
            for age, item in topic.past(last, now):
                mailbox.past.add(now - age, item)
        return topic, mailbox

    def unsubscribe(self, topic: LocalTopic, mailbox: Mailbox) -> None:
        """Remove a subscriber."""
        del topic.mailboxes[mailbox]
        mailbox.close()
        self.requests.pop(mailbox.request, None)
        if mailbox.waits:
            topic.waiting -= 1
            if not topic.waiting:
                self._changed(topic.number)
        if not topic.mailboxes:
            number, topic.number = topic.number, 0
            del self._numbered[number]
            for origin in self._origins.values():
                origin.seen.pop(number, None)
                origin.confirmed.pop(number, None)
            self._changed(number)
            self.topics.let_go(topic)

    def ask_others(self, topic: LocalTopic, mailbox: Mailbox, last: int) -> None:
        """Ask other nodes for what was published before on a topic."""
        mailbox.request = next(self._numbers)
        for listener in self.listeners:
            listener.ask(mailbox, topic.number, last)
        if mailbox.deaf:
            self.requests[mailbox.request] = mailbox

    async def tell_others(self, past: Past | None = None) -> None:
        """Wait until other nodes know what this one subscribes to, and have sent a past; but not for long.

        Cancellation: nothing is lost.
        """
        with trio.move_on_after(PATIENCE) as patience:
            for listener in [*self.listeners]:
                await listener.wait_told()
            if past is not None:
                await past.done.wait()
        if patience.cancelled_caught:
            for listener in self.listeners:
                listener.lag()

    def answered(self, origin: int, request: int) -> None:
        """All of the past that one node has was received, or nobody waits for it any more."""
        mailbox = self.requests.get(request)
        if mailbox is not None:
            mailbox.deaf.pop(origin, None)
            if not mailbox.deaf:
                del self.requests[request]
                if mailbox.past is not None:
                    mailbox.past.done.set()

    def wish(self, number: int) -> tuple[str, bool] | None:
        """What this node subscribes to under a number: the name, and whether publishers shall wait."""
        topic = self._numbered.get(number)
        return None if topic is None else (topic.name, topic.waiting > 0)

    def numbers(self) -> list[int]:
        """The numbers of all topics that this node subscribes to."""
        return list(self._numbered)

    def _changed(self, number: int) -> None:
        for listener in self.listeners:
            listener.changed(number)

    # --- what comes from other nodes ------------------------------------------------------------------------

    def origin(self, incarnation: int) -> Origin:
        """What this node has seen of another one."""
        limit = trio.current_time() - REMEMBERED
        for lost in [each for each in self._origins.values() if each.wake is None]:
            if lost.closed_at < limit:
                del self._origins[lost.incarnation]
        found = self._origins.get(incarnation)
        if found is None:
            found = self._origins[incarnation] = Origin(incarnation)
        return found

    def receive(
        self, origin: Origin, item: tuple[Any, ...], snapshot: Callable[[Any], Snapshot[Any]]
    ) -> None:
        """Take what came through the stream of another node; see :meth:`HubApi.messages`.

        Raises:
            ValueError: if it is none of it.
        """
        match item:
            case (int(number), int(seen), bool(sure), value):
                self._message(origin, number, seen, snapshot(value), sure=sure)
            case (int(number), int(seen)):
                self._gap(origin, number, seen)
            case (int(request), int() | float() as age, value):
                mailbox = self.requests.get(request)
                if mailbox is not None and mailbox.past is not None:
                    mailbox.past.add(trio.current_time() - age, snapshot(value))
            case (int(request),):
                self.answered(origin.incarnation, request)
            case _:
                raise ValueError(f"{item!r:.80} is nothing that a hub sends")

    def _message(self, origin: Origin, number: int, seen: int, item: Snapshot[Any], *, sure: bool) -> None:
        topic = self._numbered.get(number)
        if topic is None or seen <= origin.seen.get(number, 0):  # it was given up already
            return
        self._gap(origin, number, seen - 1)
        origin.seen[number] = seen
        if not sure:
            for mailbox in topic.mailboxes:
                if origin.incarnation not in mailbox.deaf:
                    mailbox.put(item)
            return
        arrival = Arrival(lambda: origin.confirm(number))
        for mailbox in topic.mailboxes:
            if origin.incarnation not in mailbox.deaf:
                mailbox.put_arrival(item, arrival)
        arrival.done()

    def _gap(self, origin: Origin, number: int, last: int) -> None:
        """The numbers up to that one are over."""
        missed = last - origin.seen.get(number, 0)
        topic = self._numbered.get(number)
        if topic is None or missed <= 0:
            return
        origin.seen[number] = last
        for mailbox in topic.mailboxes:
            if origin.incarnation not in mailbox.deaf:
                mailbox.miss(missed)
