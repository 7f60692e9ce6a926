"""The ways from one node to all others on which somebody subscribes to anything.

Duty: what each other node wants, from when it first asks until it has not been there for long.
May import: trionet, and the parts of multicast that do not wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import trio

from trionet import Snapshot
from trionet.services.multicast_protocol import MOST_TOPICS, Wish, check_topic
from trionet.services.multicast_route import Outlet, Route
from trionet.services.multicast_state import REMEMBERED, Topics


class Routes:
    """The ways to other nodes, by their incarnations.

    Args:
        topics: what this node knows of each topic.
    """

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._routes: dict[int, Route] = {}

    def open(self, incarnation: int, wishes: Mapping[int, Wish]) -> tuple[Route, object]:
        """Another node has opened its stream; returns the way to it, and what stands for the stream.

        Raises:
            TypeError: if a topic is named by no text.
            ValueError: if the wishes are none.
        """
        self._forget_the_lost()
        route = self._routes.get(incarnation)
        if route is None:
            route = self._routes[incarnation] = Route()
        stream = route.open()
        try:
            self.change(route, wishes, [each for each in route.outlets if each not in wishes])
        except BaseException:
            route.close(stream, trio.current_time())
            raise
        for key, (_, _, seen) in wishes.items():
            outlet = route.outlets[key]
            if outlet.number != seen:
                route.tell_gap(outlet)
        return route, stream

    def get(self, incarnation: int) -> Route | None:
        """The way to another node, if there is a stream to it."""
        route = self._routes.get(incarnation)
        return None if route is None or not route.is_open else route

    def change(self, route: Route, wanted: Mapping[int, Wish], unwanted: Iterable[int]) -> None:
        """Another node subscribes to topics, or does not any more.

        Raises:
            TypeError: if a topic is named by no text.
            ValueError: if the name of a topic is none, or another one than before, or there are too many.
        """
        for key in unwanted:
            outlet = route.outlets.pop(key, None)
            if outlet is not None:
                self._close(outlet)
        if len(route.outlets) + len(wanted) > 2 * MOST_TOPICS:  # known ones may be among the wanted
            raise ValueError(f"no node may subscribe to more than {MOST_TOPICS} topics")
        for key, wish in wanted.items():
            _check_wish(wish)
            known = route.outlets.get(key)
            if known is not None and known.name != wish[0]:
                raise ValueError(f"{key} stands for {known.name!r}, and not for {wish[0]!r:.80}")
            topic = self._topics.make(wish[0])
            topic.outlets[route.wish(key, wish, topic.room)] = None

    def past(self, route: Route, key: int, most: int) -> list[tuple[float, Snapshot[Any]]]:
        """The last messages of a topic that a node subscribes to, with their ages."""
        outlet = route.outlets.get(key)
        return [] if outlet is None else self._topics.make(outlet.name).past(most, trio.current_time())

    def info(self) -> dict[str, Any]:
        """What the console shows of it."""
        return {
            f"{incarnation:016x}": {
                "topics": len(route.outlets),
                "waiting": route.waiting,
                "open": route.is_open,
            }
            for incarnation, route in self._routes.items()
        }

    def _close(self, outlet: Outlet) -> None:
        outlet.forgive()
        topic = self._topics.make(outlet.name)
        topic.outlets.pop(outlet, None)
        self._topics.let_go(topic)

    def _forget_the_lost(self) -> None:
        limit = trio.current_time() - REMEMBERED
        for incarnation, route in list(self._routes.items()):
            if not route.is_open and route.closed_at < limit:
                del self._routes[incarnation]
                for outlet in route.outlets.values():
                    self._close(outlet)


def _check_wish(wish: object) -> None:
    """Refuse what another node cannot want.

    Raises:
        TypeError: if a topic is named by no text.
        ValueError: if anything else in it is wrong.
    """
    match wish:
        case (name, bool(), int(seen)) if seen >= 0:
            check_topic(name)
        case _:
            raise ValueError(f"{wish!r:.80} is no wish for a topic")
