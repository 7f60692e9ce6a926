"""The running side of a service: who it is, what it holds, how it is ended, who is told of that (C8, C9).

Duty: hold the state of one running service, and end it.  What it does of its own accord is in
:mod:`trionet.kernel.life`; its tasks are in :mod:`trionet.kernel.pool`, what becomes of its handlers in
:mod:`trionet.kernel.outcomes`.  What user code sees of it is :class:`trionet.kernel.service.Service`.

The stations of a life: starting (``setup`` runs), running, stopping (running handlers may end, then
``teardown``), dead.  Death is complete and in the order of C8: :meth:`Actor.close` withdraws the names and
fails what is queued; then handlers, helper tasks and children end; then ``teardown``; then
:meth:`Actor.conclude` tells everybody who waits.
"""

from __future__ import annotations

import enum
import logging
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from trionet.errors import NameTaken, ServiceExited, StartFailed
from trionet.handle import Handle
from trionet.kernel.context import current_actor
from trionet.kernel.dispatch import Worker
from trionet.kernel.exceptions import named_text
from trionet.kernel.inbox import Inbox
from trionet.kernel.pool import Pool
from trionet.kernel.request import Cut
from trionet.kernel.watch import Exit, Watchers

if TYPE_CHECKING:
    from collections.abc import Callable
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


class Actor(Pool):
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
        killed: whether it ends without grace time and without ``teardown``.
        scope: what cancels all that it does at present; None while there is nothing, or children end.
    """

    __slots__ = (
        "_ended",
        "_on_started",
        "accepting",
        "call_deadline",
        "children",
        "deferred",
        "error",
        "exclusive",
        "exit",
        "handlers",
        "has_started",
        "instance",
        "keeper",
        "killed",
        "life",
        "names",
        "parent",
        "scope",
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
        self.killed: bool = False
        self.scope: trio.CancelScope | None = None
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
            if self.scope is not None:  # teardown runs
                self.scope.deadline = self.stop_deadline
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
        self.killed = True
        self.close()
        if self.scope is not None:
            self.scope.cancel()
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

    def conclude(self, error: BaseException | None) -> None:
        """The last steps of death: everybody who waits is told, the handle is given back."""
        self.close()
        if self.exclusive and (self.keeper is None or not self.keeper.keeps):
            self.node.free_kept_names(self)
        self.life = Life.DEAD
        self.nursery = self.scope = None
        self.error = error
        self.exit = Exit(self.handle, self._reason(error), None if error is None else named_text(error))
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
            self.tell_starter(self._start_error(error))
        elif error is not None and self.keeper is None:
            self.node.escalate(self, error)

    def _reason(self, error: BaseException | None) -> Any:
        if error is not None:
            return "failed"
        return "killed" if self.killed else "stopped"

    def _start_error(self, error: BaseException | None) -> BaseException:
        if isinstance(error, NameTaken):
            return error
        if error is None:
            return StartFailed(f"{self.describe()} ended during its start")
        failure = StartFailed(f"{self.describe()} did not start: {named_text(error)}")
        failure.__cause__ = error
        return failure

    # who waits for it

    def on_started(self, tell: Callable[[BaseException | None], None]) -> None:
        """Tell the starter once: None when it runs, or why it does not."""
        self._on_started = tell

    def tell_starter(self, error: BaseException | None) -> None:
        """Tell the starter now, if it was not told yet."""
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
