"""What the model test writes down of each message, and what must hold of it (C2 to C10).

Theory of operation.  Every message has a number.  The players and the tasks of the test tell the history when
a message is issued, when its handler begins and ends, and how its sender fared; a hook in the node tells the
moment and the order in which messages are handed over.  Each telling is checked against what is known by
then, and :meth:`History.check` looks at the whole when all is over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

import attrs
import pytest
import trio

from trionet import (
    CallError,
    DeadLetter,
    DeadlineExceeded,
    Deadlock,
    Handle,
    Node,
    NoReply,
    NoSuchService,
    RemoteError,
    ServiceBusy,
    ServiceExited,
)
from trionet.kernel import messaging
from trionet.kernel.actor import Actor
from trionet.kernel.declaration import Declaration
from trionet.kernel.direct import begin_here
from trionet.kernel.request import Request


@attrs.define
class Message:
    """What is known of one message.

    Args:
        number: its number.
        one_way: whether it was sent.
        shielded: whether its handler runs on when the caller has gone.
        target: who it was handed over to, once it was.
        source: who handed it over, then; None outside of services.
        request: what stood for it on the way, then.
        begun: whether its handler has begun.
        handler: how its handler ended.
        deferred: whether its reply was deferred.
        answer: how a deferred reply was given.
        end: how its sender fared.
    """

    number: int
    one_way: bool
    shielded: bool = False
    target: Handle | None = None
    source: Handle | None = None
    request: Request | None = None
    begun: bool = False
    handler: str | None = None
    deferred: bool = False
    answer: str | None = None
    end: str | None = None


class History:
    """All that happened on a node.

    Attributes:
        messages: by number.
        ended: services that were stopped, killed or made to fail.
        dead: the numbers of dead letters.
        broken: what did not hold.
    """

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.messages: list[Message] = []
        self.ended: set[Handle] = set()
        self.dead: list[int] = []
        self._handed: dict[tuple[Handle | None, Handle], list[int]] = defaultdict(list)
        self._begun: dict[tuple[Handle | None, Handle], list[int]] = defaultdict(list)

    def require(self, holds: bool, text: str) -> None:
        """Note what does not hold: a handler's own assertion would only fail its call."""
        if not holds:
            self.broken.append(text)

    # hooks

    def follow(self, node: Node, patch: pytest.MonkeyPatch) -> None:
        """Be told of each message that is handed over, and of each dead letter."""
        hand_over, add = node._hand_over, node.dead_letters.add

        def note(request: Request) -> None:
            message = self.messages[request.args[0]]
            message.target = request.target.handle
            message.source = request.source_handle()
            message.request = request
            self._handed[message.source, message.target].append(message.number)

        def note_hand_over(request: Request, actor: Actor, source: Actor | None) -> bool:
            room = hand_over(request, actor, source)
            note(request)
            return room

        def note_begin_here(request: Request, command: Declaration, began: float) -> float:
            note(request)
            return begin_here(request, command, began)

        def note_dead_letter(letter: DeadLetter) -> None:
            self.dead.append(letter.args[0])
            add(letter)

        node._hand_over = note_hand_over  # type: ignore[method-assign]
        node.dead_letters.add = note_dead_letter  # type: ignore[method-assign]
        patch.setattr(messaging, "begin_here", note_begin_here)

    # what the sender tells

    def issue(self, *, one_way: bool, shielded: bool = False) -> Message:
        """A message is about to be sent."""
        message = Message(len(self.messages), one_way, shielded)
        self.messages.append(message)
        return message

    @contextmanager
    def calling(self, message: Message) -> Iterator[None]:
        """Follow a call to its end, which must be one that is allowed."""
        try:
            yield
        except trio.Cancelled:
            self.require(is_cancelled(), f"{message} ended by the Cancelled of somebody else")
            self._over(message, "cancelled")
            raise
        except CallError as error:
            self._check_error(message, error)
            self._over(message, type(error).__name__)
            raise

    def returned(self, message: Message, value: object) -> None:
        """A call gave a value."""
        answered = message.answer == "ok" if message.deferred else message.handler == "returned"
        self.require(answered and value == message.number, f"{message} gave {value!r}")
        self._over(message, "value")

    @contextmanager
    def sending(self, message: Message) -> Iterator[None]:
        """Follow a send until it has been accepted, or not."""
        try:
            yield
        except trio.Cancelled:
            self.require(is_cancelled(), f"{message} ended by the Cancelled of somebody else")
            message.end = "withdrawn"
            raise
        except (trio.WouldBlock, ServiceBusy, Deadlock):
            message.end = "refused"
            raise
        message.end = "sent"

    def _over(self, message: Message, end: str) -> None:
        self.require(message.end is None, f"{message} ended twice")
        message.end = end
        if message.begun and not message.shielded and not message.deferred:
            self.require(message.handler is not None, f"{message} is over, its handler is not")
            if end in ("cancelled", "DeadlineExceeded", "ServiceExited"):
                self.require(message.handler == "cancelled", f"{message} did not end as its handler")

    def _check_error(self, message: Message, error: CallError) -> None:
        """An error must be of a kind that fits, and tell truly whether the handler has begun."""
        match error:
            case RemoteError():
                fits = message.handler == "raised" or message.answer == "fail"
            case DeadlineExceeded():
                fits = message.request is not None and trio.current_time() >= message.request.deadline
            case ServiceExited():
                fits = message.target in self.ended
            case NoSuchService() | ServiceBusy():
                fits = message.target is None
            case Deadlock():
                fits = message.source is not None and len(error.chain) >= 2
            case NoReply():
                fits = message.answer == "drop" or message.target in self.ended
            case _:
                fits = False
        tells_truly = error.executed is None or error.executed == message.begun
        self.require(fits and tells_truly, f"{message} ended by {error!r}, executed {error.executed}")

    # what the receiver tells

    def begin(self, number: int, receiver: Handle) -> Message:
        """A handler begins: at most once, not after the call is over, and in order."""
        message = self.messages[number]
        self.require(not message.begun, f"{message} began twice")
        self.require(message.end in (None, "sent"), f"{message} began after its end")
        self.require(message.target == receiver, f"{message} began at {receiver!r}")
        message.begun = True
        self._begun[message.source, receiver].append(number)
        return message

    # the whole

    def check(self) -> None:
        """Look at the whole, when all is over."""
        for message in self.messages:
            self.require(message.end is not None, f"{message} has no end")
            self.require(not message.begun or message.handler is not None, f"{message} still runs")
            if message.one_way:
                reached = int(message.begun) + self.dead.count(message.number)
                self.require(reached == (message.end == "sent"), f"{message} reached {reached} ends")
        for pair, begun in self._begun.items():
            place = {number: index for index, number in enumerate(self._handed[pair])}
            order = [place[number] for number in begun]
            self.require(order == sorted(order), f"{pair} began in the order {begun}")
        assert not self.broken, "\n".join(self.broken)


def is_cancelled() -> bool:
    """Tell whether a scope around the current task has been cancelled."""
    return trio.current_effective_deadline() == -inf
