"""The message log of one service: each message when it begins and when it has ended, for who wants to see.

Duty: watch the messages of a single service, at no cost for all others and while nobody looks.

Theory of operation.  While somebody looks at a service, its inbox and its actor are of the subclasses below,
which tell what passes; otherwise they are of the plain classes, and nothing of this is even asked.  A tapped
service takes no direct calls, so that all of its messages come through the inbox.
"""

from __future__ import annotations

import reprlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import attrs
import trio

from trionet.errors import CallError, text_of
from trionet.handle import Handle
from trionet.kernel.actor import Actor
from trionet.kernel.declaration import Declaration
from trionet.kernel.inbox import Inbox
from trionet.kernel.observing import TimedInbox
from trionet.kernel.request import DEFERRED, Request
from trionet.kernel.traces import id_of
from trionet.message import value

#: Events that a reader may lag behind before further ones are dropped for it.
READER_BUFFER: Final = 1_000
#: Characters of the arguments, or of the outcome, that an event tells.
MOST_TEXT: Final = 1_000

Kind = Literal["call", "send", "stream"]


@value(name="trionet.MessageEvent", unknown="drop")
@attrs.frozen
class MessageEvent:
    """A message of a service that somebody looks at: it began to be handled, or has ended.

    A send to a command that is a plain function has no second event unless it raises: it is over at once.

    Args:
        stage: ``"begun"`` or ``"ended"``.
        number: tells which message, counted since somebody began to look.
        kind: ``"call"``, ``"send"`` or ``"stream"``.
        command: the name of the command.
        source: who sent it; None for code outside any service.
        text: begun: its arguments; ended: what came of it; cut to 1,000 characters.
        seconds: ended: how long the handler took.
        trace: the id that all messages of one chain share.
        missed: events that were dropped before this one, because the reader lagged.
    """

    stage: Literal["begun", "ended"]
    number: int
    kind: Kind
    command: str
    source: Handle | None
    text: str
    seconds: float
    trace: int
    missed: int


@attrs.define(eq=False)
class _Reader:
    """Somebody who looks, and how many events it has missed since the last that it got."""

    send: trio.MemorySendChannel[MessageEvent]
    missed: int = 0

    def offer(self, event: MessageEvent) -> None:
        try:
            self.send.send_nowait(attrs.evolve(event, missed=self.missed) if self.missed else event)
        except trio.WouldBlock:
            self.missed += 1
        except trio.BrokenResourceError:
            pass  # it has closed its end
        else:
            self.missed = 0


class Tap:
    """All who look at one service, and the messages that it is handling meanwhile.

    Args:
        inbox_class: what the inbox is while nobody looks.
    """

    def __init__(self, inbox_class: type[Inbox]) -> None:
        self.readers: dict[_Reader, None] = {}
        self.untapped: type[Inbox] = inbox_class
        self._open: dict[Request, tuple[int, float]] = {}
        self._instant: Request | None = None
        self._count = 0

    def begun(self, request: Request) -> None:
        """A message was taken out of the inbox."""
        self._count += 1
        if self._instant is not None:
            self._open.pop(self._instant, None)  # it was over before this one began
        command = request.target.commands.get(request.command)
        plain = command is not None and not command.is_async
        self._instant = request if plain and request.one_way else None
        self._open[request] = self._count, trio.current_time()
        self._tell("begun", self._count, request, _arguments(request), 0.0)

    def ended(self, request: Request, text: str) -> None:
        """A message was handled; one that began before anybody looked is left out."""
        number, began = self._open.pop(request, (0, 0.0))
        if number:
            self._tell("ended", number, request, text, trio.current_time() - began)

    def _tell(
        self,
        stage: Literal["begun", "ended"],
        number: int,
        request: Request,
        text: str,
        seconds: float,
    ) -> None:
        kind: Kind = "stream" if request.is_stream else "send" if request.one_way else "call"
        source, trace = request.source_handle(), id_of(request.trace)
        event = MessageEvent(stage, number, kind, request.command, source, text, seconds, trace, 0)
        for reader in self.readers:
            reader.offer(event)


class _TappedInbox(TimedInbox):
    """Tells of each message that is taken."""

    __slots__ = ()

    def take(self) -> Request | None:
        """Take the next message that nobody has withdrawn, or None when the inbox is empty."""
        request = super().take()
        if request is not None:
            request.target.node.taps[request.target.handle].begun(request)
        return request


class _TappedActor(Actor):
    """Tells how each message ends."""

    __slots__ = ()

    def may_begin(self, command: Declaration) -> bool:
        """All messages go through the inbox."""
        return False

    def returned(self, request: Request, value: Any) -> None:
        """The handler returned."""
        super().returned(request, value)
        later = request.state is DEFERRED
        self._note_end(request, "left its reply for later" if later else f"returned {shown(value)}")

    def raised(self, request: Request, error: BaseException) -> None:
        """The handler raised, or ended by cancellation."""
        try:
            super().raised(request, error)
        finally:
            what = "was cancelled" if isinstance(error, trio.Cancelled) else f"raised {_named(error)}"
            self._note_end(request, what)

    def refused(self, request: Request, error: BaseException) -> None:
        """The message could not be handled."""
        super().refused(request, error)
        what = "was refused: " if isinstance(error, CallError) else "raised "
        self._note_end(request, f"{what}{_named(error)}")

    def _note_end(self, request: Request, text: str) -> None:
        tap = self.node.taps.get(self.handle)
        if tap is not None:
            tap.ended(request, text[:MOST_TEXT])


@asynccontextmanager
async def tapped(actor: Actor) -> AsyncIterator[trio.MemoryReceiveChannel[MessageEvent]]:
    """Look at the messages of a service for the block; the channel ends with the service."""
    taps = actor.node.taps
    tap = taps.get(actor.handle)
    if tap is None:
        tap = taps[actor.handle] = Tap(type(actor.inbox))
        actor.__class__ = _TappedActor
        actor.inbox.__class__ = _TappedInbox
    send, receive = trio.open_memory_channel[MessageEvent](READER_BUFFER)
    reader = _Reader(send)
    tap.readers[reader] = None
    leave = actor.watch(lambda _: send.close())
    if actor.exit is not None:  # it has ended since it was found
        send.close()
    try:
        with send, receive:
            yield receive
    finally:
        leave()
        del tap.readers[reader]
        if not tap.readers:
            actor.__class__ = Actor
            actor.inbox.__class__ = tap.untapped
            del taps[actor.handle]


# --- text --------------------------------------------------------------------------------------------


class _Short(reprlib.Repr):
    """Short texts of values: of what is long, its beginning and its end."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 5
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 20
        self.maxstring = self.maxlong = self.maxother = 200


_SHORT: Final = _Short()


def shown(item: object) -> str:
    """A short text of a value."""
    try:
        return _SHORT.repr(item)
    except Exception as error:  # a handler may return what is no value, and not even to be shown
        return f"<{type(item).__qualname__}, whose repr() raised {type(error).__qualname__}>"


def _arguments(request: Request) -> str:
    named = (f"{key}={shown(each)}" for key, each in request.kwargs.items())
    return ", ".join([*map(shown, request.args), *named])[:MOST_TEXT]


def _named(error: BaseException) -> str:
    return f"{type(error).__qualname__}: {text_of(error)}"
