"""Circles of services that all wait on each other (C7).

Duty: tell whether a wait that is about to begin would close one, be it of a service that starts on itself.

Theory of operation.  A call that is queued, or a send that waits for room, goes on when a slot of its
service becomes free, that is when any of that service's running handlers ends.  A running handler goes on
at once, unless its own task waits for another request, or for several together.  So from the new wait on,
everything that it hangs on is followed.  Whatever can go on sets free who hangs on it: one such thing is
enough for some, others need all that they hang on.  What is never set free waits for ever.  A handler that
is busy with anything else, a free slot, or a wait on another node can go on.
"""

from __future__ import annotations

import trio

from trionet.errors import Deadlock
from trionet.kernel.request import QUEUED, RUNNING, Request
from trionet.kernel.together import Together


def find_circle(waiting: Request | Together) -> list[str] | None:
    """Return the circle that this wait would close, one entry a service, or None."""
    search = _Search()
    ahead: list[Request | Together] = [waiting]
    while ahead:
        wait = ahead.pop()
        if wait not in search.missing:
            ahead += search.add(wait)
            if search.can_go_on(waiting):
                return None
    return _chain(waiting, search)


def check_own_start(request: Request) -> None:
    """Refuse that a service waits in its ``setup`` for a message to itself: none is handled before.

    Raises:
        Deadlock: if it does.
    """
    actor = request.target
    if actor.has_started or request.one_way:
        return
    if actor.nursery in trio.lowlevel.current_task().child_nurseries:  # its own task, and no helper
        raise Deadlock([f"setup of {actor.describe()}", f"{request.command} of {actor.describe()}"])


class _Search:
    """Waits that hang on each other.

    Attributes:
        missing: of how many, of those that a wait hangs on, it must still be found that they can go on.
    """

    def __init__(self) -> None:
        self.missing: dict[Request | Together, int] = {}
        self._hanging: dict[Request | Together, list[Request | Together]] = {}

    def can_go_on(self, wait: Request | Together) -> bool:
        """Tell whether a wait is known to end."""
        return self.missing.get(wait, 1) <= 0

    def add(self, wait: Request | Together) -> list[Request | Together]:
        """Take a wait up; returns what it hangs on."""
        hangs_on = wait.waits() if isinstance(wait, Together) else _waits_of_blockers(wait)
        if hangs_on is None:
            self.missing[wait] = 0
            self._set_free(wait)
            return []
        needs_all = isinstance(wait, Together) and wait.needs_all
        free = sum(map(self.can_go_on, hangs_on))
        self.missing[wait] = (len(hangs_on) if needs_all else 1) - free
        for each in hangs_on:
            self._hanging.setdefault(each, []).append(wait)
        if self.can_go_on(wait):
            self._set_free(wait)
        return hangs_on

    def _set_free(self, wait: Request | Together) -> None:
        freed = [wait]
        while freed:
            for each in self._hanging.pop(freed.pop(), ()):
                self.missing[each] -= 1
                if self.missing[each] == 0:
                    freed.append(each)


def _waits_of_blockers(request: Request) -> list[Request | Together] | None:
    """What those wait for of whom one must end before this request goes on; None if one of them can go on."""
    if request.state is RUNNING:
        handlers = [request]
    elif request.state is QUEUED:
        actor = request.target
        if request.one_way and not actor.inbox.is_in_line(request):
            return None  # there was room: its sender is about to go on
        if not actor.accepting or len(actor.handlers) < actor.concurrency:
            return None
        handlers = list(actor.handlers)
    else:
        return None
    waits = [handler.blocker() for handler in handlers]
    return None if None in waits else [each for each in waits if each is not None]


def _chain(start: Request | Together, search: _Search) -> list[str]:
    """Follow one way round, for people."""
    chain = []
    request = _stuck_in(start, search)
    seen = set()
    while request is not None and request.target not in seen:
        seen.add(request.target)
        chain.append(f"{request.command} of {request.target.describe()}")
        handler = request if request.state is RUNNING else next(iter(request.target.handlers), None)
        wait = None if handler is None else handler.waits_for
        request = None if wait is None else _stuck_in(wait, search)
    if request is not None:
        chain.append(f"{request.command} of {request.target.describe()}")
    return chain


def _stuck_in(wait: Request | Together, search: _Search) -> Request | None:
    """A request that a wait will wait on for ever."""
    while isinstance(wait, Together):
        stuck = [each for each in wait.waits() or () if not search.can_go_on(each)]
        if not stuck:
            return None
        wait = stuck[0]
    return wait
