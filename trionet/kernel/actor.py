"""The running side of a service: its task, its inbox, its handlers, its life and its death (C7, C8, C9).

Duty: hold the state of one running service and lead it through its life.  What user code sees of it is
:class:`trionet.kernel.service.Service`.

The stations of a life: starting (``setup`` runs), running, stopping (running handlers may end, then
``teardown``), dead.  Death is complete and in the order of C8: :meth:`Actor.close` withdraws the names and
fails what is queued; then handlers, helper tasks and children end; then ``teardown``; then
:meth:`Actor._conclude` tells everybody who waits.
"""

from __future__ import annotations

import enum
import logging
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from trionet.errors import InternalError, NameTaken, ServiceExited, StartFailed, text_of
from trionet.handle import Handle
from trionet.kernel.context import current_actor
from trionet.kernel.dispatch import Worker
from trionet.kernel.inbox import Inbox
from trionet.kernel.lending import MOST_NESTED
from trionet.kernel.outcomes import HandlerEnds, split_cancelled
from trionet.kernel.request import Cut
from trionet.kernel.watch import Exit, Watchers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from contextvars import Context

    from trionet.kernel.declaration import Declaration
    from trionet.kernel.keeper import Keeper
    from trionet.kernel.node import Node
    from trionet.kernel.request import Request
    from trionet.kernel.service import Service
    from trionet.kernel.spec import Spec


class Life(enum.Enum):
    """The stations of a service's life."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    DEAD = "dead"


class Actor(HandlerEnds):
    """One running service.

    Attributes:
        accepting: whether messages are taken; False from the first step of its death on.
        leading: whether a task of the pool takes messages from the inbox, or is about to.
        direct: whether a message may be handled before its sender goes on, if nothing else waits.
        handlers: the requests whose handlers run now, oldest first.
        deferred: the requests whose handlers left the reply for later.
        resting: tasks of the pool that wait for something to do.
        children: what it started itself, oldest first.
        keeper: what starts it again after its end, if anything does.
        exclusive: whether its names must never have two owners, not even while one starts or stops.
    """

    __slots__ = (
        "_ended",
        "_guard",
        "_killed",
        "_on_started",
        "_scope",
        "accepting",
        "call_deadline",
        "children",
        "context",
        "deferred",
        "direct",
        "error",
        "exclusive",
        "exit",
        "handlers",
        "has_started",
        "inbox",
        "instance",
        "keeper",
        "leading",
        "life",
        "names",
        "nursery",
        "parent",
        "resting",
        "spec",
        "stop_deadline",
        "watchers",
    )

    def __init__(self, node: Node, handle: Handle, spec: Spec[Any], parent: Actor | None) -> None:
        self.node = node
        self.handle = handle
        self.spec: Spec[Any] = spec
        self.parent: Actor | None = parent
        self.commands: dict[str, Declaration] = spec.cls.__trionet_commands__
        options = spec.cls.__trionet_options__
        self.concurrency: int = options.concurrency or node.config.concurrency
        #: Seconds that a call of it may take where neither caller nor command say anything.
        self.call_deadline: float = (
            node.config.call_deadline if options.deadline is None else options.deadline
        )
        self.inbox: Inbox = Inbox(options.inbox or node.config.inbox)
        self.names: tuple[str, ...] = ()
        self.life: Life = Life.STARTING
        self.accepting: bool = True
        self.leading: bool = True  # nobody shall be summoned before setup is over
        self.direct: bool = False
        self.handlers: dict[Request, None] = {}
        self.deferred: dict[Request, None] | None = None
        self.resting: list[Worker] = []
        self.children: dict[Handle, Actor | Keeper] | None = None
        self.keeper: Keeper | None = None
        self.exclusive: bool = False
        self.has_started: bool = False
        self.watchers: Watchers | None = None
        self.exit: Exit | None = None
        self.error: BaseException | None = None
        self.instance: Service | None = None
        self.nursery: trio.Nursery | None = None
        self.stop_deadline: float = inf
        self.messages = 0
        self.cpu_time: float = 0.0
        self._guard: trio.lowlevel.Task | None = None
        self._killed = False
        self._scope: trio.CancelScope | None = None
        self._ended: trio.Event | None = None
        self._on_started: Callable[[BaseException | None], None] | None = None
        self.context: Context = node.context.copy()
        self.context.run(current_actor.set, self)
        if node.observer is not None:
            node.observer.attach(self)

    # who it is

    @property
    def label(self) -> str:
        """Its first name, or else the name of its class."""
        return self.names[0] if self.names else str(self.spec.cls.__name__)

    @property
    def log(self) -> logging.Logger:
        """The logger of the service's class."""
        cls = self.spec.cls
        return logging.getLogger(f"{cls.__module__}.{cls.__qualname__}")

    def describe(self) -> str:
        """Who it is, for error texts and logs."""
        name = f" {self.names[0]}" if self.names else ""
        return f"{self.handle}{name} ({self.spec.cls.__name__})"

    # its life

    async def run(self) -> None:
        """Live from ``setup`` to the end; the body of the service's task.

        Raises:
            trio.Cancelled: when the node is torn down around it.
        """
        error: BaseException | None = None
        current_actor.set(self)
        try:
            await self._live()
            await self._end_children()
            await self._tear_down()
        except BaseException as failure:
            cancelled, rest = split_cancelled(failure)
            if rest is None:
                self._killed = True
                raise
            error = only_one(rest)
            if not cancelled:
                await self._end_children()
            if isinstance(error, InternalError | KeyboardInterrupt):
                raise
        finally:
            self._conclude(error)

    async def _live(self) -> None:
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            self._scope = nursery.cancel_scope
            if self._killed:
                nursery.cancel_scope.cancel()
            try:
                await self._set_up()
                worker = Worker(self, permanent=True)
                if not self.inbox.size:  # what never gets a message has no use for more
                    self.leading = False
                    await worker.rest()
                await _work(worker)
            finally:
                self.close()
        self.nursery = self._scope = None

    async def _set_up(self) -> None:
        cls = self.spec.cls
        if self.exclusive:
            await self.node.announce(self, before_setup=True)
        self.instance = instance = object.__new__(cls)
        instance._trionet_actor = self
        instance.__init__(*self.spec.args, **self.spec.kwargs)
        if cls.has_setup():
            with trio.CancelScope(deadline=trio.current_time() + self.node.config.start_deadline) as scope:
                await instance.setup()
            if scope.cancelled_caught:
                limit = self.node.config.start_deadline
                raise TimeoutError(f"setup was still running after {limit:g} seconds")
        await self._end_if_ending()
        await self.node.announce(self, before_setup=False)
        await self._end_if_ending()
        self.life = Life.RUNNING
        self.has_started = True
        self.direct = self.node.config.direct_calls
        self._tell_starter(None)

    async def _end_if_ending(self) -> None:
        """Be a cancellation point for a service that was killed, or failed, while its setup went on."""
        if not self.accepting:
            await trio.lowlevel.checkpoint()

    async def _end_children(self) -> None:
        """End the children, youngest first, each before its elder."""
        self.nursery = self._scope = None
        while self.children:
            child = next(reversed(self.children.values()))
            self._end_child(child)
            await child.wait_ended()

    def _end_child(self, child: Actor | Keeper) -> None:
        if self._killed:
            child.kill()
        else:
            grace_ends = trio.current_time() + self.node.config.stop_grace
            child.request_stop(min(self.stop_deadline, grace_ends))

    async def _tear_down(self) -> None:
        if self._killed or not self.spec.cls.has_teardown():
            return
        assert self.instance is not None
        with trio.CancelScope(deadline=self.stop_deadline) as self._scope:
            await self.instance.teardown()
        if self._scope.cancelled_caught and not self._killed:
            self.node.note_cut_off(f"teardown of {self.describe()}")

    # its end

    def request_stop(self, deadline: float) -> None:
        """Begin to stop; a later request can only shorten the time (C8).

        Args:
            deadline: when the grace time is over, on the clock of ``trio.current_time()``.
        """
        if self.life is Life.STARTING:
            self.kill()
            return
        if self.life is Life.DEAD or deadline >= self.stop_deadline:
            return
        self.life = Life.STOPPING
        self.stop_deadline = deadline
        self.close()
        for request in tuple(self.handlers):
            if self.commands[request.command].endless:
                request.cut_handler(Cut.ENDLESS)
        self.wind_up()

    def wind_up(self) -> None:
        """Stopping: give running handlers until the deadline; without any, end at once."""
        if self.nursery is None:
            if self._scope is not None:  # teardown runs
                self._scope.deadline = self.stop_deadline
            for child in reversed(tuple((self.children or {}).values())):
                child.request_stop(self.stop_deadline)
        elif self.handlers:
            self.nursery.cancel_scope.deadline = self.stop_deadline
        elif self.nursery.child_tasks or not self.resting:
            self.nursery.cancel_scope.cancel()
        else:  # its own task alone is left, and rests
            self.resting.pop().end()

    def kill(self) -> None:
        """End at once: no grace time, no teardown."""
        if self.life is Life.DEAD:
            return
        self._killed = True
        self.close()
        if self._scope is not None:
            self._scope.cancel()
        for child in reversed(tuple((self.children or {}).values())):
            child.kill()

    def close(self) -> None:
        """The first two steps of death: names go, nothing more is accepted, what is queued fails.

        Exclusive names are only hidden: nobody else may have them before this service has ended.
        """
        if not self.accepting:
            return
        self.accepting = self.direct = False
        self.node.withdraw_names(self, keep=self.keeper is not None and self.keeper.keeps)
        for request in self.inbox.drain():
            text = f"{self.describe()} ended before it handled the message"
            request.undeliverable(ServiceExited(text, executed=False))

    def _conclude(self, error: BaseException | None) -> None:
        """The last steps of death: everybody who waits is told, the handle is given back."""
        self.close()
        if self.exclusive and (self.keeper is None or not self.keeper.keeps):
            self.node.free_kept_names(self)
        self.life = Life.DEAD
        self.nursery = self._scope = None
        self.error = error
        self.exit = Exit(self.handle, self._reason(error), None if error is None else _text(error))
        for request in list(self.deferred or ()):
            text = f"{self.describe()} ended with a deferred reply open"
            request.fail(ServiceExited(text, executed=True))
        for request in list(self.handlers):  # there are none, unless a bug of trionet ended the service
            request.fail(ServiceExited(f"{self.describe()} broke", executed=True))
        self.deferred = None
        self.instance = None  # no circle is left that only the collector would find
        self.context = self.node.context
        self.node.forget(self)
        if self.watchers is not None:
            self.watchers.tell_all(self.exit)
        if self._ended is not None:
            self._ended.set()
        if self._on_started is not None:
            self._tell_starter(self._start_error(error))
        elif error is not None and self.keeper is None:
            self.node.escalate(self, error)

    def _reason(self, error: BaseException | None) -> Any:
        if error is not None:
            return "failed"
        return "killed" if self._killed else "stopped"

    def _start_error(self, error: BaseException | None) -> BaseException:
        if isinstance(error, NameTaken):
            return error
        if error is None:
            return StartFailed(f"{self.describe()} ended during its start")
        failure = StartFailed(f"{self.describe()} did not start: {_text(error)}")
        failure.__cause__ = error
        return failure

    # who waits for it

    def on_started(self, tell: Callable[[BaseException | None], None]) -> None:
        """Tell the starter once: None when it runs, or why it does not."""
        self._on_started = tell

    def _tell_starter(self, error: BaseException | None) -> None:
        tell, self._on_started = self._on_started, None
        if tell is not None:
            tell(error)

    async def wait_ended(self) -> None:
        """Wait until it is dead.

        Cancellation: changes nothing.
        """
        if self.life is Life.DEAD:
            await trio.lowlevel.checkpoint()
            return
        if self._ended is None:
            self._ended = trio.Event()
        await self._ended.wait()

    def watch(self, tell: Callable[[Exit], None]) -> Callable[[], None]:
        """Tell once how it ended; returns what ends the watch."""
        if self.watchers is None:
            self.watchers = Watchers()
        watchers = self.watchers
        watchers.add(tell)
        return lambda: watchers.remove(tell)

    def adopted(self) -> dict[Handle, Actor | Keeper]:
        """The table of its children."""
        if self.children is None:
            self.children = {}
        return self.children

    def has_things_to_do(self) -> bool:
        """Tell whether its stop takes more than a moment, and may need other services."""
        idle = {self._guard, *(worker.task for worker in self.resting)}
        tasks = self.nursery is not None and not self.nursery.child_tasks <= idle
        return bool(self.handlers or self.children or tasks or self.spec.cls.has_teardown())

    # its tasks

    def count_tasks(self) -> int:
        """How many tasks it has besides its own."""
        return 0 if self.nursery is None else len(self.nursery.child_tasks) - (self._guard is not None)

    def begin(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run something in a task of the service; what it raises ends the service."""
        assert self.nursery is not None
        start = partial(self.nursery.start_soon, _run, self, function, *args, name=function)
        self.context.copy().run(start)

    def for_helpers(self, nursery: trio.Nursery) -> trio.Nursery:
        """The nursery, for tasks that the service starts itself.

        From the first of them on a guard sees to it that the service closes at once when one of them fails:
        its own task, and all others of the pool, may be in handlers that shield themselves.
        """
        if self.node.current is not None:
            self.node.current.settle()
        if self._guard is None:
            others = nursery.child_tasks
            self.begin(trio.sleep_forever)
            (self._guard,) = nursery.child_tasks - others
        return nursery

    def may_begin(self, command: Declaration) -> bool:
        """Tell whether a handler may begin in place: it would be the next anyway (C2, C7)."""
        return (
            self.direct
            and command.in_place
            and not self.inbox.size
            and len(self.handlers) < self.concurrency
            and (not command.is_async or self._has_one_to_lend())
        )

    def _has_one_to_lend(self) -> bool:
        """Tell whether a task of the pool can be lent for the first step of a coroutine."""
        resting = self.resting
        return bool(resting) and resting[-1].scope is not None and self.node.nested < MOST_NESTED

    def summon(self) -> None:
        """See to it that somebody leads, if there is a message and a slot for it."""
        if self.leading or not self.inbox.size or len(self.handlers) >= self.concurrency:
            return
        if self.resting:
            self.leading = True
            trio.lowlevel.reschedule(self.resting.pop().task)
        elif self.nursery is not None and self.accepting:
            self.leading = True
            self.context.copy().run(partial(self.nursery.start_soon, work, self))


async def work(actor: Actor) -> None:
    """One more task of the pool."""
    await _work(Worker(actor))


async def _work(worker: Worker) -> None:
    """A task of the pool; handlers' exceptions never get here, so what does is a bug of trionet."""
    try:
        await worker.run()
    except Exception as error:
        raise InternalError(f"the dispatcher of {worker.actor.describe()} broke") from error


async def _run(actor: Actor, function: Callable[..., Awaitable[object]], *args: object) -> None:
    """A task of a service outside its pool; when it ends by an exception, so does the service."""
    try:
        await function(*args)
    except BaseException:
        actor.close()
        raise


def _text(error: BaseException) -> str:
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _leaves(error: BaseException) -> Generator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def only_one(error: BaseException) -> BaseException:
    """The one exception within nested groups, or the group where there are several."""
    leaves = list(_leaves(error))
    return leaves[0] if len(leaves) == 1 else error
