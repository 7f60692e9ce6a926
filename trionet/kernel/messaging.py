"""The way of a message from its sender to an inbox (C1, C2, C4, C5, C10, C12).

Duty: find the receiver, take the snapshot, choose the deadline, hand the message over.  This is the part
of a node that every call and every send passes; the rest of the node is :mod:`trionet.kernel.node`.
"""

from __future__ import annotations

from contextvars import Context
from difflib import get_close_matches
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Final

import trio

from trionet.config import NodeConfig
from trionet.errors import (
    CallError,
    Deadlock,
    NodeDown,
    NoSuchService,
    ServiceBusy,
    ServiceExited,
    ServiceRestarting,
)
from trionet.handle import LOCAL_BITS, MAX_LOCAL, Handle, is_local_name, parse_handle
from trionet.kernel.actor import Actor
from trionet.kernel.calls import LocalCall
from trionet.kernel.command import DEFAULT_OPTIONS, CallOptions, Command, command_name
from trionet.kernel.context import current_actor, handling
from trionet.kernel.dead_letters import DeadLetter, DeadLetters
from trionet.kernel.deadlines import Deadlines
from trionet.kernel.deadlock import find_circle
from trionet.kernel.declaration import Declaration
from trionet.kernel.names import NameTable
from trionet.kernel.network import Network, Outgoing
from trionet.kernel.reference import make_reference
from trionet.kernel.request import Request
from trionet.kernel.seams import Seams
from trionet.kernel.single_node import SingleNode
from trionet.kernel.together import Branch, waiter_for
from trionet.message import Limits, snapshot_arguments

if TYPE_CHECKING:
    from trionet.kernel.consuming import StreamCall
    from trionet.kernel.stream import Stream, StreamOptions

#: Seconds after which a caller lets other tasks run, at the latest.
SLICE: Final = 0.001


class Messaging:
    """What a node needs for messages.

    Attributes:
        actors: the services of this node by local id.
        current: the request whose handler holds the event loop right now.
    """

    def __init__(self, config: NodeConfig, seams: Seams, network: Network | None = None) -> None:
        self.config = config
        self.seams = seams
        self.limits: Limits = config.limits
        self.network: Network = SingleNode() if network is None else network
        self.incarnation: int = seams.random.getrandbits(64)
        self.actors: dict[int, Actor] = {}
        self.local_names: NameTable[Actor] = NameTable()
        self.dead_letters: DeadLetters = DeadLetters(config.dead_letter_log_rate)
        self.deadlines: Deadlines = Deadlines()
        self.context: Context = Context()
        self.current: Request | None = None
        self._sessions = count(1)
        self._traces = count(seams.random.getrandbits(62))
        self._slice_ends = 0.0

    # finding the receiver

    def locate(self, target: Handle | str) -> Actor | Handle:
        """Find the service that an address stands for: here, or by its handle elsewhere.

        Raises:
            NoSuchService: if nobody owns the name, or nothing lives at the handle.
            ServiceRestarting: if the owner of the name is about to be started again.
            NodeDown: for a handle of an earlier incarnation, or of a harbor without a link.
            ValueError: if the text is neither a name nor a handle.
        """
        if isinstance(target, Handle):
            if target.incarnation == self.incarnation:
                return self.actors.get(target.value & MAX_LOCAL) or self._nothing_at(target)
            if target.harbor == self.network.harbor:
                raise NodeDown(f"{target} is of an earlier incarnation of this node", executed=False)
            return target
        if target.startswith(":"):
            return self.locate(self.parse_handle(target))
        if is_local_name(target):
            return self.local_names.owner(target) or self._nobody_named(target)
        handle = self.network.lookup(target)
        return self._nobody_named(target) if handle is None else self.locate(handle)

    def parse_handle(self, text: str) -> Handle:
        """Read the text of a handle; it means the present incarnation of its node.

        Raises:
            ValueError: if the text is no handle.
            NodeDown: if there is no link to its node.
        """
        value = parse_handle(text)
        harbor = value >> LOCAL_BITS
        if harbor == self.network.harbor:
            return Handle(value, self.incarnation)
        return Handle(value, self.network.incarnation(harbor))

    def _nothing_at(self, handle: Handle) -> Actor:
        raise NoSuchService(f"no service at {handle}: it has ended, or never was", executed=False)

    def _nobody_named(self, name: str) -> Actor:
        if self.local_names.is_restarting(name) or self.network.is_restarting(name):
            raise ServiceRestarting(f"the service named {name!r} is about to be restarted", executed=False)
        known = list(self.local_names.names() if is_local_name(name) else self.network.global_names())
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise NoSuchService(f"nobody owns the name {name!r}{hint}", executed=False)

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

    async def call_command(
        self,
        target: Handle | str,
        command: str | Command[Any, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions = DEFAULT_OPTIONS,
    ) -> Any:
        """Call a command and wait for the end of the call; see :class:`BoundCommand`."""
        name = command_name(command)
        args, kwargs, checks = snapshot_arguments(args, kwargs, self.limits, self.resolve_reference)
        await self._breathe()
        where = self.locate(target)
        parent = handling.get()
        deadline, enforced = self._deadline(command, where, options, parent)
        trace = next(self._traces) if parent is None else parent.trace
        waiter = None if parent is None else waiter_for(parent)
        source = current_actor.get()
        if not isinstance(where, Actor):
            handler = None if waiter is None else parent
            return await self.network.call(
                Outgoing(source, where, name, args, kwargs, deadline, enforced, trace, handler)
            )
        request = LocalCall(source, where, name, args, kwargs, checks, trace)
        request.prepare(next(self._sessions), deadline)
        self._hand_over(request, where, source)
        if enforced:
            self.deadlines.add(request)
        if waiter is None:
            return await request.outcome()
        with _Waiting(waiter, request):
            return await request.outcome()

    def _deadline(
        self,
        command: str | Declaration,
        where: Actor | Handle,
        options: CallOptions,
        parent: Request | None,
    ) -> tuple[float, bool]:
        """When the call's time is over, and whether that must be watched here."""
        callers, enforced = trio.current_effective_deadline(), False
        if parent is not None and parent.time_left_bound() < callers and _is_within(parent):
            callers, enforced = parent.time_left_bound(), True  # the call may be within a shield
        if options.deadline is not None:
            own = trio.current_time() + options.deadline
        elif callers == inf:
            own = trio.current_time() + self._default_deadline(command, where)
        else:
            return callers, enforced
        return (own, True) if own < callers else (callers, enforced)

    def _default_deadline(self, command: str | Declaration, where: Actor | Handle) -> float:
        if isinstance(command, Declaration) and command.deadline is not None:
            return command.deadline
        if isinstance(where, Actor):
            name = command if isinstance(command, str) else command.name
            own: Declaration | None = where.commands.get(name)
            if own is not None and own.deadline is not None:
                return own.deadline
            of_class: float | None = where.spec.cls.__trionet_options__.deadline
            if of_class is not None:
                return of_class
        return self.config.call_deadline

    def _hand_over(self, request: Request, actor: Actor, source: Actor | None) -> bool:
        """Put a message into an inbox, or into the line before it; tell whether there was room.

        Raises:
            ServiceExited: if the service is ending.
            ServiceBusy: if there is no room and the service rejects what finds none.
        """
        if not actor.accepting:
            raise ServiceExited(f"{actor.describe()} is ending", executed=False)
        inbox = actor.inbox
        if inbox.has_room() or actor is source:
            self.deliver(request)
            return True
        if actor.spec.cls.__trionet_options__.overflow == "reject":
            raise ServiceBusy(
                f"the inbox of {actor.describe()} is full ({inbox.limit} messages)", executed=False
            )
        inbox.stand_in_line(request)
        return False

    def deliver(self, request: Request) -> None:
        """Put a message into the inbox of its target, which has room for it or a window kept it."""
        actor = request.target
        actor.inbox.put(request)
        if not actor.leading:
            actor.summon()
        if actor.inbox.size >= actor.inbox.warn_at and actor.inbox.overloaded():
            actor.log.warning("%s may be overloaded: %d messages wait", actor.describe(), actor.inbox.size)

    async def _breathe(self) -> None:
        """Be a cancellation point, and at the latest every millisecond a schedule point (C6)."""
        now = self.seams.stopwatch()
        if now >= self._slice_ends:
            await trio.lowlevel.checkpoint()
            self._slice_ends = self.seams.stopwatch() + SLICE
        else:
            await trio.lowlevel.checkpoint_if_cancelled()

    # sends

    async def send_command(
        self, target: Handle | str, command: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Send a command and wait for room in the inbox; see :meth:`BoundCommand.send`."""
        args, kwargs, checks = snapshot_arguments(args, kwargs, self.limits, self.resolve_reference)
        await self._breathe()
        parent = handling.get()
        try:
            where = self.locate(target)
            if not isinstance(where, Actor):
                await self.network.send(self._outgoing(where, command, args, kwargs, parent))
                return
            request = self._one_way(where, command, args, kwargs, checks, parent)
            if self._hand_over(request, where, request.source):
                return
        except ServiceBusy:
            raise
        except CallError as error:
            self._dead_letter(target, command, args, kwargs, error)
            return
        waiter = None if parent is None else waiter_for(parent)
        if waiter is None:
            await _wait_for_room(request)
        else:
            with _Waiting(waiter, request):
                await _wait_for_room(request)

    def send_command_nowait(
        self, target: Handle | str, command: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Send a command if there is room right now; see :meth:`BoundCommand.send_nowait`."""
        args, kwargs, checks = snapshot_arguments(args, kwargs, self.limits, self.resolve_reference)
        parent = handling.get()
        try:
            where = self.locate(target)
            if not isinstance(where, Actor):
                self.network.send_nowait(self._outgoing(where, command, args, kwargs, parent))
                return
            request = self._one_way(where, command, args, kwargs, checks, parent)
            if where.accepting and not where.inbox.has_room() and where is not request.source:
                raise trio.WouldBlock
            self._hand_over(request, where, request.source)
        except CallError as error:
            self._dead_letter(target, command, args, kwargs, error)

    def _one_way(
        self,
        actor: Actor,
        command: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        checks: list[object],
        parent: Request | None,
    ) -> Request:
        trace = next(self._traces) if parent is None else parent.trace
        return Request(current_actor.get(), actor, command, args, kwargs, checks, trace)

    def _outgoing(
        self,
        handle: Handle,
        command: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        parent: Request | None,
    ) -> Outgoing:
        trace = next(self._traces) if parent is None else parent.trace
        source = current_actor.get()
        return Outgoing(source, handle, command, args, kwargs, inf, False, trace, parent)

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


def _is_within(parent: Request) -> bool:
    """Tell whether the current task ends with the handler; a helper of the service does not."""
    worker = parent.worker
    task = trio.lowlevel.current_task()
    while worker is not None and task is not worker.task:
        nursery = task.parent_nursery
        if nursery is None or nursery is parent.target.nursery:
            return False
        task = nursery.parent_task
    return worker is not None


async def _wait_for_room(request: Request) -> None:
    """Wait until a message that stands in the line is in the inbox, or its service has ended."""

    def abort(_: object) -> trio.lowlevel.Abort:
        request.parked = None
        request.target.inbox.withdraw(request)
        return trio.lowlevel.Abort.SUCCEEDED

    request.parked = trio.lowlevel.current_task()
    await trio.lowlevel.wait_task_rescheduled(abort)


class _Waiting:
    """While somebody waits for a request; entering refuses to close a circle."""

    __slots__ = ("request", "waiter")

    def __init__(self, waiter: Request | Branch, request: Request) -> None:
        self.waiter = waiter
        self.request = request

    def __enter__(self) -> None:
        waiter, request = self.waiter, self.request
        waiter.waits_for = request
        target = request.target
        if len(target.handlers) >= target.concurrency:
            chain = find_circle(request)
            if chain is not None:
                waiter.waits_for = None
                target.inbox.withdraw(request)
                raise Deadlock(chain)

    def __exit__(self, *_: object) -> None:
        self.waiter.waits_for = None
