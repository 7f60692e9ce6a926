"""The inbox of a service: bounded, first in first out, fair to those who wait for room (C2, C10).

Duty: who may put a message in, in which order messages come out, when somebody waits.

Theory of operation.  Messages lie in a Trio memory channel, which the dispatcher drains.  The channel
itself has no bound; the bound is kept here, because some messages must never wait: those that a service
sends to itself, and those for which a remote sender holds a window.  Whoever finds no room stands in a
line, and room that becomes free goes to the head of the line before anybody else.  A message keeps its
place from the moment it joins the line, so one sender's messages never overtake each other.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress

import trio

from trionet.kernel.request import Request, State

#: Length at which an inbox is first reported as overloaded; then at each doubling (as skynet does).
FIRST_WARNING = 1024


class Inbox:
    """A bounded queue of requests.

    Args:
        limit: messages that it holds before senders wait.
    """

    __slots__ = ("_line", "_receive", "_send", "closed", "limit", "size", "warn_at")

    def __init__(self, limit: int) -> None:
        self._send, self._receive = trio.open_memory_channel[Request](float("inf"))
        self._line: OrderedDict[Request, None] | None = None
        self.limit: int = limit
        self.size: int = 0
        self.warn_at: int = FIRST_WARNING
        self.closed: bool = False

    @property
    def waiting(self) -> int:
        """How many senders stand in the line for room."""
        return 0 if self._line is None else len(self._line)

    def has_room(self) -> bool:
        """Tell whether a message would be taken at once."""
        return self.size < self.limit and not self._line

    def put(self, request: Request) -> None:
        """Take a message without regard to the bound."""
        self.size += 1
        self._send.send_nowait(request)

    def stand_in_line(self, request: Request) -> None:
        """Let a message wait for room; it is told by ``request.admitted()``."""
        if self._line is None:
            self._line = OrderedDict()
        self._line[request] = None

    def is_in_line(self, request: Request) -> bool:
        """Tell whether a message waits for room."""
        return self._line is not None and request in self._line

    def leave_line(self, request: Request) -> bool:
        """Forget a message that waits for room; False if it had been admitted."""
        if self._line is None or request not in self._line:
            return False
        del self._line[request]
        return True

    def take(self) -> Request | None:
        """Take the next message that nobody has withdrawn, or None when the inbox is empty."""
        while self.size:
            request = self._receive.receive_nowait()
            self._taken(request)
            if request.state is State.QUEUED:
                return request
        self.warn_at = FIRST_WARNING
        return None

    async def wait(self) -> Request:
        """Wait for the next message; it may have been withdrawn.

        Cancellation: takes nothing.
        """
        request = await self._receive.receive()
        self._taken(request)
        return request

    def drain(self) -> list[Request]:
        """Close the inbox and return all that is in it or waits for room, in order."""
        self.closed = True
        rest = []
        with suppress(trio.WouldBlock):  # the dispatcher may have been handed one that it has not seen yet
            while True:
                request = self._receive.receive_nowait()
                self.size -= 1
                if request.from_link:
                    request.left_inbox()
                rest.append(request)
        if self._line is not None:
            rest += self._line
            self._line = None
        return [request for request in rest if request.state is State.QUEUED]

    def overloaded(self) -> bool:
        """Tell, once per doubling, that the inbox has grown long."""
        if self.size < self.warn_at:
            return False
        while self.size >= self.warn_at:
            self.warn_at *= 2
        return True

    def _taken(self, request: Request) -> None:
        self.size -= 1
        if request.from_link:
            request.left_inbox()
        if self._line and self.size < self.limit:
            waiting, _ = self._line.popitem(last=False)
            self.put(waiting)
            waiting.admitted()
