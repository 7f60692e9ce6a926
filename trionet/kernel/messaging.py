"""The way of a message from its sender to an inbox, or straight to its handler (C1, C2, C4, C5, C10).

Duty: take the snapshot, choose the deadline, hand the message over.  This is the part of a node that every
call and every send passes; the rest of the node is :mod:`trionet.kernel.node`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import trio
from trio.lowlevel import checkpoint_if_cancelled

from trionet.config import NodeConfig
from trionet.errors import CallError, ServiceBusy, ServiceExited
from trionet.handle import MAX_LOCAL, Handle, is_local_name
from trionet.kernel.actor import Actor
from trionet.kernel.addressing import Addressing
from trionet.kernel.calls import LocalCall
from trionet.kernel.command import DEFAULT_OPTIONS, CallOptions, Command, command_name
from trionet.kernel.context import current_actor, handling
from trionet.kernel.dead_letters import DeadLetter, DeadLetters
from trionet.kernel.deadlines import Deadlines
from trionet.kernel.deadlock import check_own_start
from trionet.kernel.direct import DirectCall, begin_here
from trionet.kernel.network import Network, Outgoing
from trionet.kernel.observing import Observer
from trionet.kernel.patience import Waiting, choose_deadline, wait_for_room
from trionet.kernel.reference import make_reference
from trionet.kernel.request import DONE, Request
from trionet.kernel.seams import Seams
from trionet.kernel.together import Branch, waiter_for
from trionet.kernel.traces import trace_ids
from trionet.kernel.trio_inside import is_cancelled
from trionet.message import NO_CHECKS, Limits, are_plain, snapshot_arguments

if TYPE_CHECKING:
    from trionet.kernel.stream import Stream, StreamOptions
    from trionet.kernel.stream_reader import StreamCall

#: Seconds after which a caller lets other tasks run, at the latest.
SLICE: Final = 0.001


class Messaging(Addressing):
    """What a node needs for messages.

    Attributes:
        token: the way into the event loop from another thread.
        current: the request whose handler holds the event loop right now.
        sessions: numbers for calls.
        nested: how many first steps of coroutines are within one another right now.
        observer: what knows of handlers, on a node that observes them.
    """

    def __init__(self, config: NodeConfig, seams: Seams, network: Network | None = None) -> None:
        super().__init__(config, seams, network)
        self.token: trio.lowlevel.TrioToken = trio.lowlevel.current_trio_token()
        self.stopwatch: Callable[[], float] = seams.stopwatch
        self.limits: Limits = config.limits
        self.dead_letters: DeadLetters = DeadLetters(config.dead_letter_log_rate)
        self.deadlines: Deadlines = Deadlines()
        self.context: Context = Context()
        self.current: Request | None = None
        self.nested: int = 0
        self.sessions: Iterator[int] = count(1)
        self._traces = trace_ids(config.trace.sample, seams.random)
        self.observer: Observer | None = None
        if config.profile or config.trace.records:
            self.observer = Observer(config, seams)
        self._slice_ends = 0.0

    def resolve_reference(self, reference: Any) -> Any:
        """The reference that travels in place of another: a local name becomes a handle.

        Raises:
            NoSuchService: if nobody owns the local name.
        """
        target = reference._target
        if isinstance(target, Handle) or not is_local_name(target):
            return reference
        owner = self.local_names.owner(target) or self._nobody_named(target)
        return make_reference(self, owner.handle, reference.__trionet_interface__)

    if TYPE_CHECKING:

        def call_stream(
            self,
            target: Handle | str,
            declared: str | Stream[Any, Any],
            options: StreamOptions,
            args: tuple[Any, ...],
            kwargs: dict[str, Any],
        ) -> StreamCall[Any]:
            """Prepare to open a stream; it is in :class:`trionet.kernel.streaming.Streaming`."""

    # calls

    async def call_command(  # noqa: C901 - a function more would be paid by each message
        self,
        target: Handle | str,
        command: str | Command[Any, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions = DEFAULT_OPTIONS,
    ) -> Any:
        """Call a command and wait for the end of the call; see :class:`BoundCommand`."""
        name = command.name if type(command) is Command else command_name(command)
        checks: Sequence[object] = NO_CHECKS
        if not are_plain(args, kwargs, self.limits):
            args, kwargs, checks = snapshot_arguments(args, kwargs, self.limits, self.resolve_reference)
        if self.stopwatch() >= self._slice_ends:
            await self._let_others_run()
        elif is_cancelled():
            await checkpoint_if_cancelled()
        if type(target) is Handle and target.incarnation == self.incarnation:
            where: Actor | Handle = self.actors.get(target.value & MAX_LOCAL) or self._nothing_at(target)
        else:
            where = self.locate(target)
        parent = handling.get()
        if parent is None:
            trace, source = next(self._traces), current_actor.get()
        else:
            trace, source = parent.trace, parent.target
        if isinstance(where, Handle):
            handler = None if waiter_for(parent) is None else parent
            about = self.config, command, where, options, parent
            deadline, enforced = choose_deadline(*about, handler is not None)
            message = Outgoing(source, where, name, args, kwargs, deadline, enforced, trace, handler)
            return await self.network.call(message)
        request: LocalCall
        waiter: Request | Branch | None = None
        if (declared := where.commands.get(name)) is not None and where.may_begin(declared):
            request = DirectCall(source, where, name, args, kwargs, checks, trace)
            request.asked = command, options, parent
            if declared.is_async:
                request.caller = trio.lowlevel.current_task()
                waiter = waiter_for(parent)
                if waiter is not None:
                    waiter.waits_for = request
            begin_here(request, declared, self.stopwatch())
            if request.state is DONE:
                if waiter is not None:
                    waiter.waits_for = None
                return request.result() if request.error is not None or request.checks else request.value
            request.has_begun = True
            enforced = request.settle_deadline()
        else:
            request = LocalCall(source, where, name, args, kwargs, checks, trace)
            request.deadline, enforced = choose_deadline(self.config, command, where, options, parent)
            self._hand_over(request, where, source)
        if enforced:
            self.deadlines.add(request)
        waiter = waiter or waiter_for(parent)
        if waiter is None:
            return await request.outcome()
        with Waiting(waiter, request):
            return await request.outcome()

    async def breathe(self) -> None:
        """Be a cancellation point, and at the latest every millisecond a schedule point (C6)."""
        if self.stopwatch() >= self._slice_ends:
            await self._let_others_run()
        elif is_cancelled():
            await checkpoint_if_cancelled()

    async def _let_others_run(self) -> None:
        """Be a schedule point, as every caller is at the latest every millisecond (C6).

        The next slice begins at once: those whose turn comes in the same round need not do it again.
        """
        self._slice_ends = self.stopwatch() + SLICE
        await trio.lowlevel.checkpoint()

    def charge(self, actor: Actor, seconds: float) -> None:
        """Count processor time for a service, and not for the handler within whose step it was spent."""
        actor.cpu_time += seconds
        if self.current is not None:
            self.current.target.cpu_time -= seconds

    def _hand_over(self, request: Request, actor: Actor, source: Actor | None) -> bool:
        """Put a message into an inbox, or into the line before it; tell whether there was room.

        Raises:
            ServiceExited: if the service is ending.
            ServiceBusy: if there is no room and the service rejects what finds none.
            Deadlock: if the service waits for itself while it starts.
        """
        if not actor.accepting:
            raise ServiceExited(f"{actor.describe()} is ending", executed=False)
        inbox = actor.inbox
        if actor is source:
            check_own_start(request)
        if inbox.size < inbox.limit or actor is source:
            self.deliver(request)
            return True
        if actor.spec.cls.__trionet_options__.overflow == "reject":
            raise ServiceBusy(
                f"the inbox of {actor.describe()} is full ({inbox.limit} messages)", executed=False
            )
        inbox.stand_in_line(request)
        return False

    def deliver(self, request: Request) -> None:
        """Put a message into the inbox of its target, where a window kept room for it."""
        actor = request.target
        actor.inbox.put(request)
        if not actor.leading:
            try:
                actor.summon()
            except RecursionError:  # the sender's stack is full
                actor.inbox.withdraw(request)
                raise
        if actor.inbox.size >= actor.inbox.warn_at:
            self._warn_of_overload(actor)

    def _warn_of_overload(self, actor: Actor) -> None:
        if actor.inbox.overloaded():
            actor.log.warning("%s may be overloaded: %d messages wait", actor.describe(), actor.inbox.size)

    # sends

    async def send_command(  # noqa: C901 - as above
        self,
        target: Handle | str,
        command: str | Command[Any, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Send a command and wait for room in the inbox; see :meth:`BoundCommand.send`."""
        name = command.name if type(command) is Command else command_name(command)
        checks: Sequence[object] = NO_CHECKS
        if not are_plain(args, kwargs, self.limits):
            args, kwargs, checks = snapshot_arguments(args, kwargs, self.limits, self.resolve_reference)
        if self.stopwatch() >= self._slice_ends:
            await self._let_others_run()
        elif is_cancelled():
            await checkpoint_if_cancelled()
        parent = handling.get()
        if parent is None:
            trace, source = next(self._traces), current_actor.get()
        else:
            trace, source = parent.trace, parent.target
        try:
            if type(target) is Handle and target.incarnation == self.incarnation:
                where: Actor | Handle = self.actors.get(target.value & MAX_LOCAL) or self._nothing_at(target)
            else:
                where = self.locate(target)
            if not isinstance(where, Actor):
                wait = self.network.send(source, where, name, args, kwargs, trace)
                if wait is not None:
                    await wait
                return
            request = Request(source, where, name, args, kwargs, checks, trace)
            declared = where.commands.get(name)
            if declared is not None and where is not source and where.may_begin(declared):
                begin_here(request, declared, self.stopwatch())
                return
            if self._hand_over(request, where, source):
                return
        except ServiceBusy:
            raise
        except CallError as error:
            self._dead_letter(target, name, args, kwargs, error)
            return
        waiter = waiter_for(parent)
        if waiter is None:
            await wait_for_room(request)
        else:
            with Waiting(waiter, request):
                await wait_for_room(request)

    def send_command_nowait(
        self,
        target: Handle | str,
        command: str | Command[Any, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Send a command if there is room right now; see :meth:`BoundCommand.send_nowait`."""
        name = command.name if type(command) is Command else command_name(command)
        checks: Sequence[object] = NO_CHECKS
        if not are_plain(args, kwargs, self.limits):
            args, kwargs, checks = snapshot_arguments(args, kwargs, self.limits, self.resolve_reference)
        parent = handling.get()
        if parent is None:
            trace, source = next(self._traces), current_actor.get()
        else:
            trace, source = parent.trace, parent.target
        try:
            where = self.locate(target)
            if not isinstance(where, Actor):
                self.network.send_nowait(source, where, name, args, kwargs, trace)
                return
            if where.inbox.size >= where.inbox.limit and where.accepting and where is not source:
                raise trio.WouldBlock
            self._hand_over(Request(source, where, name, args, kwargs, checks, trace), where, source)
        except CallError as error:
            self._dead_letter(target, name, args, kwargs, error)

    def _dead_letter(
        self,
        target: Handle | str,
        command: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        error: CallError,
    ) -> None:
        source = current_actor.get()
        handle = None if source is None else source.handle
        self.dead_letters.add(DeadLetter(handle, target, command, args, kwargs, str(error)))
