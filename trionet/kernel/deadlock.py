"""Circles of services that all wait on each other (C7).

Duty: tell whether a wait that is about to begin would close one.

Theory of operation.  A call that is queued, or a send that waits for room, goes on when a slot of its
service becomes free, that is when any of that service's running handlers ends.  A running handler goes on
at once, unless its own task waits for another request.  So from the new request on, everything that it
waits for is followed; if all of it waits, and none of it can go on, the wait would never end.  One handler
that is busy with anything else, a free slot, or a wait on another node breaks the search off: that wait may
end.
"""

from __future__ import annotations

from trionet.kernel.request import Request, State


def find_circle(waiting: Request) -> list[str] | None:
    """Return the circle that this request would close, one entry a service, or None."""
    seen: dict[Request, None] = {}
    ahead = [waiting]
    while ahead:
        request = ahead.pop()
        if request in seen:
            continue
        seen[request] = None
        blockers = _waits_of_blockers(request)
        if blockers is None:
            return None
        ahead += blockers
    return _chain(waiting)


def _waits_of_blockers(request: Request) -> list[Request] | None:
    """What those wait for who must end before this request goes on; None if one of them can go on."""
    if request.state is State.RUNNING:
        handlers = [request]
    elif request.state is State.QUEUED:
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


def _chain(start: Request) -> list[str]:
    """Follow one way round, for people."""
    chain = []
    request: Request | None = start
    seen = set()
    while request is not None and request.target not in seen:
        seen.add(request.target)
        chain.append(f"{request.command} of {request.target.describe()}")
        handler = request if request.state is State.RUNNING else next(iter(request.target.handlers), None)
        request = None if handler is None else handler.waits_for
    if request is not None:
        chain.append(f"{request.command} of {request.target.describe()}")
    return chain
