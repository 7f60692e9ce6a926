"""The producer's side of a stream: a handler that drives the generator (C6, C7, C10).

Duty: run the generator of a stream as a handler, and hand its items over, as many as there is room for.

Theory of operation.  A stream is one long call whose handler is :func:`drive`.  It asks the generator for
an item, hands it over, and waits until there is room for one more before it asks again.  Whatever that wait
raises, a cancellation above all, is thrown into the generator at its ``yield``.  So a ``yield`` is a wait
like any other: cancel scopes and nurseries around it nest as they should, ``finally`` runs in the handler's
own task, and how the generator ends then is how the handler ends.

Where the items go is not known here: a consumer on this node has a buffer of its own
(:class:`LocalStream`), one on another node is behind a link.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

import trio
from trio.lowlevel import Abort

from trionet.errors import BadMessage, CallError, Deadlock, NoSuchCommand, ServiceExited
from trionet.kernel.calls import NO_KWARGS
from trionet.kernel.context import handling
from trionet.kernel.deadlock import find_circle
from trionet.kernel.request import DONE, QUEUED, Cut, Request, State
from trionet.message import NO_CHECKS, is_plain, weighed_snapshot, weight_of_plain

if TYPE_CHECKING:
    from trionet.kernel.feed import Feed
    from trionet.kernel.stream import Stream
    from trionet.kernel.together import Together

#: Items that a producer hands over without waiting before it lets other tasks run.
FAIR_ITEMS: Final = 100


class Producing(Request):
    """A request whose handler drives a generator.

    Attributes:
        generator: while running: the generator.
        producer: the handler's task while it waits for room.
        deserted: whether the consumer has left, so that no item is wanted any more.
    """

    is_stream = True
    one_way = False
    generator: AsyncGenerator[Any, None] | None = None
    producer: trio.lowlevel.Task | None = None
    deserted: bool = False
    waits_for: Request | Together | None = None

    def begun(self) -> None:
        """The generator is about to make its first step."""
        raise NotImplementedError

    def put(self, item: Any) -> bool:
        """Hand over an item; tells whether there is room for one more.

        Raises:
            BadMessage: if the item is no value, or too large.
        """
        raise NotImplementedError

    def has_room(self) -> bool:
        """Tell whether one more item may be handed over."""
        raise NotImplementedError

    def consumer(self) -> Request | None:
        """The request whose handler will take items, if it is on this node and certain to be the only one."""
        return None

    def body(self) -> Coroutine[Any, Any, Any] | AsyncGenerator[Any, Any] | None:
        """While running: the generator, without what drives it."""
        return self.generator

    async def room(self) -> None:
        """Wait for room for one more item.

        Cancellation: nothing is lost.

        Raises:
            Deadlock: if the consumer waits for this handler already.
        """
        while not self.has_room():
            if self.deserted:
                await trio.lowlevel.checkpoint()
                return
            self.waits_for = self.consumer()
            try:
                if self.waits_for is not None and (chain := find_circle(self.waits_for)) is not None:
                    raise Deadlock(chain)
                self.producer = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abort_wait)
            finally:
                self.waits_for = None

    def _abort_wait(self, _: object) -> Abort:
        self.producer = None
        return Abort.SUCCEEDED

    def go_on(self) -> None:
        """There is room, or nobody wants any items: let the handler go on."""
        task, self.producer = self.producer, None
        if task is not None:
            self.waits_for = None
            trio.lowlevel.reschedule(task)


class LocalStream(Producing):
    """A stream whose consumer is on this node.

    Args besides those of a request:
        feed: where the items go.
        opener: the request whose handler opened it in its own task, if any.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    state: State
    generator: AsyncGenerator[Any, None] | None

    def begin(self, session: int, feed: Feed, opener: Request | None) -> None:
        """Set what a stream has and a send has not."""
        self.session = session
        self.feed: Feed = feed
        self.opener: Request | None = opener

    # the handler's side

    def begun(self) -> None:
        """The generator is about to make its first step."""
        self.feed.begin()

    def put(self, item: Any) -> bool:
        """Hand over an item; tells whether there is room for one more."""
        if self.deserted:
            return False
        node = self.target.node
        if is_plain(item, node.limits):
            self.feed.put(item, NO_CHECKS, weight_of_plain(item))
        else:
            self.feed.put(*weighed_snapshot(item, "item", node.limits, node.resolve_reference))
        return self.feed.has_room()

    def has_room(self) -> bool:
        """Tell whether one more item may be handed over."""
        return self.feed.has_room() and not self.deserted

    def consumer(self) -> Request | None:
        """The request whose handler will take items, if nobody else can do it."""
        opener = self.opener
        return None if opener is None or self.feed.is_shared or has_helpers(opener) else opener

    def blocker(self) -> Request | Together | None:
        """What the handler's own task waits for; a consumer who got helpers meanwhile may take items."""
        return self.consumer() if self.waits_for is self.opener else self.waits_for

    # the consumer's side

    @property
    def executed(self) -> bool:
        """Whether the handler started."""
        return self.state is not QUEUED

    def taken(self, items: int, size: int) -> None:
        """Items left the buffer."""
        self.go_on()

    def leave(self) -> bool:
        """The consumer leaves; tells whether the end is still to come."""
        if self.state is QUEUED:
            self.target.inbox.withdraw(self)
            self._let_go()
            return False
        self.deserted = True
        self.cut_handler(Cut.CALLER)
        self.go_on()
        return True

    # how it came into the inbox, and its end

    def admitted(self) -> None:
        """There was room at last; the consumer goes on waiting for the beginning."""

    def succeed(self, value: Any, checks: Sequence[object]) -> None:
        """The generator has ended."""
        self._end(None)

    def fail(self, error: Exception) -> None:
        """The generator raised, or was never reached."""
        self._end(error)

    def cancelled(self) -> None:
        """The handler ended by cancellation: the consumer's, or that of its service."""
        text = f"{self.target.describe()} ended while it handled {self.command}"
        self._end(None if self.deserted else ServiceExited(text, executed=True))

    def undeliverable(self, error: CallError) -> None:
        """It never reached a handler."""
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self.state is not DONE:
            self.state = DONE
            self._let_go()
            self.feed.end(error)

    def _let_go(self) -> None:
        self.args = ()
        self.kwargs = NO_KWARGS
        self.generator = None


def has_helpers(handler: Request) -> bool:
    """Tell whether a handler has tasks that may take items in its place, or has even ended."""
    task = handler.task
    return task is None or any(nursery.child_tasks for nursery in task.child_nurseries)


def begin(
    declared: Stream[Any, Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Coroutine[Any, Any, None]:
    """Return the handler of a stream.

    What is raised here itself, and in nothing that it calls, is about the message and not about the handler.

    Raises:
        NoSuchCommand: if the message means a command.
        TypeError: if the arguments do not fit.
    """
    request = handling.get()
    assert request is not None
    if not isinstance(request, Producing):
        text = f"{request.target.describe()} has no command {declared.name!r}: it is a stream, to be opened "
        raise NoSuchCommand(text + "with `async with`", executed=False)
    request.generator = declared.generator(instance, *args, **kwargs)
    return drive(request, request.generator)


async def drive(request: Producing, generator: AsyncGenerator[Any, None]) -> None:
    """Run a generator to its end and hand its items over; the handler of a stream.

    Cancellation: is thrown into the generator, and ends the handler as it ends the generator.

    Raises:
        BaseException: what the generator raised.
    """
    request.begun()
    unfit: BadMessage | None = None
    has_room = True
    without_wait = 0
    step = generator.__anext__()
    while True:
        try:
            item = await step
        except StopAsyncIteration:
            return
        except BadMessage as error:
            if error is not unfit:
                raise
            text = f"{request.command} of {request.target.describe()} yielded {error}"
            request.fail(BadMessage(text, executed=True))
            return
        try:
            if not has_room:  # the last wait was cut short
                await request.room()
            has_room = request.put(item)
            without_wait += 1
            if not has_room:
                await request.room()
                has_room = True
                without_wait = 0
            elif without_wait >= FAIR_ITEMS:
                await trio.lowlevel.checkpoint()
                without_wait = 0
        except BaseException as error:
            unfit = error if isinstance(error, BadMessage) else None
            step = generator.athrow(error)
        else:
            step = generator.__anext__()
