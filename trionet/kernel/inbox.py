"""The inbox of a service: bounded, first in first out, fair to those who wait for room (C2, C10).

Duty: who may put a message in, in which order messages come out, when somebody waits.

Theory of operation.  Messages lie in a Trio memory channel, which the dispatcher drains.  The channel
itself has no bound; the bound is kept here, because some messages must never wait: those that a service
sends to itself, and those for which a remote sender holds a window.  Whoever finds no room stands in a
line, and room that becomes free goes to the head of the line before anybody else.  A message keeps its
place from the moment it joins the line, so one sender's messages never overtake each other.

A message that is withdrawn gives its room back at once, but stays in the channel, out of whose middle
nothing can be taken, until it comes to the front or too many of its kind are there.

There is no channel before the first message that must lie in it.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import Final

import trio

from trionet.kernel.request import DONE, QUEUED, Request

#: Length at which an inbox is first reported as overloaded; then at each doubling (as skynet does).
FIRST_WARNING = 1024
#: Withdrawn messages that may lie in an inbox in any case; beyond, no more of them than of the others.
MOST_WITHDRAWN = 64

_open_channel: Final = trio.open_memory_channel[Request]
_Channel = tuple[trio.MemorySendChannel[Request], trio.MemoryReceiveChannel[Request]]


class Inbox:
    """A bounded queue of requests.

    Args:
        limit: messages that it holds before senders wait.

    Attributes:
        size: messages in it that nobody has withdrawn.
    """

    __slots__ = (
        "_channel",
        "_line",
        "_withdrawn",
        "closed",
        "limit",
        "size",
        "warn_at",
    )

    def __init__(self, limit: int) -> None:
        self._channel: _Channel | None = None
        self._line: OrderedDict[Request, None] | None = None
        self.limit: int = limit
        self.size: int = 0
        self._withdrawn = 0
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
        """Take a message without regard to the bound.

        Raises:
            RecursionError: if the sender's stack is full; the message will never be handled.
        """
        try:
            if self._channel is None:
                self._channel = _open_channel(float("inf"))
            self._channel[0].send_nowait(request)
        except RecursionError:
            request.state = DONE  # the channel may have it all the same
            raise
        self.size += 1

    def stand_in_line(self, request: Request) -> None:
        """Let a message wait for room; it is told by ``request.admitted()``."""
        if self._line is None:
            self._line = OrderedDict()
        self._line[request] = None

    def is_in_line(self, request: Request) -> bool:
        """Tell whether a message waits for room."""
        return self._line is not None and request in self._line

    def withdraw(self, request: Request) -> None:
        """Take back a message that is queued, in the line or in the inbox: it will never be handled."""
        request.state = DONE
        if self._line is not None and request in self._line:
            del self._line[request]
            return
        self._withdrawn += 1
        self.size -= 1
        self._gave_room(request)
        if self._withdrawn > max(MOST_WITHDRAWN, self.size):
            self._sift()

    def take(self) -> Request | None:
        """Take the next message that nobody has withdrawn, or None when the inbox is empty."""
        while self.size:
            assert self._channel is not None
            request = self._channel[1].receive_nowait()
            if request.state is QUEUED:
                self.size -= 1
                if request.from_link or self._line:
                    self._gave_room(request)
                return request
            self._withdrawn -= 1
        self.warn_at = FIRST_WARNING
        return None

    def drain(self) -> list[Request]:
        """Close the inbox and return all that is in it or waits for room, in order."""
        self.closed = True
        rest = self._empty() if self.size or self._withdrawn else []
        self.size = 0
        for request in rest:
            if request.from_link:
                request.left_inbox()
        if self._line is not None:
            rest += self._line
            self._line = None
        return rest

    def overloaded(self) -> bool:
        """Tell, once per doubling, that the inbox has grown long."""
        if self.size < self.warn_at:
            return False
        while self.size >= self.warn_at:
            self.warn_at *= 2
        return True

    def _sift(self) -> None:
        """Be rid of the withdrawn messages."""
        assert self._channel is not None
        for request in self._empty():
            self._channel[0].send_nowait(request)

    def _empty(self) -> list[Request]:
        """Empty the channel; return what nobody has withdrawn, in order."""
        found: list[Request] = []
        assert self._channel is not None
        with suppress(trio.WouldBlock):
            while True:
                request = self._channel[1].receive_nowait()
                if request.state is QUEUED:
                    found.append(request)
                else:
                    self._withdrawn -= 1
        return found

    def _gave_room(self, request: Request) -> None:
        """A message takes no room any more: who waits longest has it."""
        if request.from_link:
            request.left_inbox()
        if self._line and self.size < self.limit:
            waiting, _ = self._line.popitem(last=False)
            self.put(waiting)
            waiting.admitted()
