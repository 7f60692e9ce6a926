"""How messages become running handlers: a small pool of tasks a service, of which one leads (C7).

Duty: take messages from the inbox, run handlers, hand the lead over when a handler blocks.

Theory of operation.  A new task costs more than most handlers, so handlers are driven by hand: the first
step of a handler's coroutine runs in the task that took the message.  Most handlers end in that step, and
the task takes the next message.  Only when a handler blocks does its task give up the lead and stay with
that handler until it has ended; so the handler lives in one task, and cancel scopes and nurseries nest as
they should.  Somebody else leads meanwhile, but only when a message is there and a slot is free:
:meth:`trionet.kernel.actor.Actor.summon` wakes a task that rests, or starts one.  At the limit of
concurrency nobody leads, and the inbox fills.

Each task has one cancel scope, which cancels the handler that it drives.  A scope that was cancelled is
spent: its task opens a new one before it goes on.

A hand-driven coroutine is not in Trio's chain of awaits; the table of running handlers keeps it for stack
dumps and for the watchdog.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

import trio

from trionet.errors import BadArguments, BadMessage, CallError, NoSuchCommand, ServiceExited
from trionet.kernel.context import handling
from trionet.kernel.declaration import Declaration
from trionet.kernel.producing import begin
from trionet.kernel.request import Cut, Request, State
from trionet.message import check

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor

#: Messages that a task handles before it lets other tasks run.
FAIR_MESSAGES: Final = 100
#: Seconds after which it lets them run even earlier.
FAIR_SECONDS: Final = 0.001
#: Tasks of one service that may rest; further ones end.
MOST_RESTING: Final = 64

_ENDED: Final = object()


class Worker:
    """One task of a service's pool.

    Attributes:
        task: the Trio task.
        scope: cancels the handler that the task drives.
    """

    __slots__ = ("actor", "scope", "task")

    def __init__(self, actor: Actor) -> None:
        self.actor: Actor = actor
        self.task: trio.lowlevel.Task = trio.lowlevel.current_task()
        self.scope: trio.CancelScope = trio.CancelScope()

    async def run(self, request: Request | None, *, permanent: bool) -> None:
        """Handle messages, beginning as the one who leads, for as long as the service has use for it.

        Args:
            request: the first message, if it has been taken already.
            permanent: whether the task rests rather than ends when there are enough others.
        """
        leads = True
        while leads or permanent or len(self.actor.resting) < MOST_RESTING:
            with self.scope:
                if not leads:
                    await self._rest()
                leads = await self._lead(request)
            request = None
            self.scope = trio.CancelScope()

    async def _lead(self, request: Request | None) -> bool:
        """Handle messages until the scope is spent or somebody else leads; tell if this task leads."""
        actor = self.actor
        stopwatch = actor.node.seams.stopwatch
        began = stopwatch()
        while True:
            if request is None:
                request = actor.inbox.take()
                if request is None:
                    request = await actor.inbox.wait()
                    began = stopwatch()
            if request.state is State.QUEUED:
                trap = self._begin(request)
                now = stopwatch()
                actor.cpu_time += now - began
                if trap is not _ENDED:
                    actor.leading = False
                    actor.summon()
                    await self._stay_with(request, trap)
                    if actor.leading:
                        return False
                    actor.leading = True
                    began = stopwatch()
                else:
                    began = now
                if request.cut is not None:
                    return True
            request = None
            actor.since_pause += 1
            if actor.since_pause >= FAIR_MESSAGES or began > actor.pause_at:
                await trio.lowlevel.checkpoint()
                began = stopwatch()
                actor.since_pause = 0
                actor.pause_at = began + FAIR_SECONDS

    async def _rest(self) -> None:
        """Wait until there is something to lead."""
        resting = self.actor.resting

        def abort(_: object) -> trio.lowlevel.Abort:
            resting.remove(self.task)
            return trio.lowlevel.Abort.SUCCEEDED

        resting.append(self.task)
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _begin(self, request: Request) -> object:
        """Run the first step of the handler; return what it waits for, or that it ended."""
        actor = self.actor
        command = actor.commands.get(request.command)
        if command is None or command.abstract or not actor.accepting:
            _refuse(actor, request)
            return _ENDED
        if request.checks:
            try:
                check(request.checks)
            except BadMessage as error:
                actor.refused(request, error)
                return _ENDED
            request.checks = []
        request.state = State.RUNNING
        request.worker = self
        request.shielded = command.shielded
        request.context = context = actor.context.copy()
        actor.handlers[request] = None
        actor.messages += 1
        actor.node.current = request
        try:
            if command.is_async:
                return context.run(_first_step, request, command, actor.instance)
            value = context.run(_run_plain, request, command, actor.instance)
        except StopIteration as stop:
            actor.returned(request, stop.value)
        except BaseException as error:
            unfit = _unfit(error, command)
            if unfit is None:
                actor.raised(request, error)
            else:
                actor.not_started(request, unfit)
        else:
            actor.returned(request, value)
        finally:
            actor.node.current = None
        return _ENDED

    async def _stay_with(self, request: Request, trap: object) -> None:
        """Drive a handler that has blocked until it ends."""
        request.since = trio.current_time()
        try:
            value = await _resume(request, trap)
        except BaseException as error:
            self.actor.raised(request, error)
        else:
            self.actor.returned(request, value)
        if request.cut is Cut.STOP:
            await trio.lowlevel.checkpoint_if_cancelled()


def _refuse(actor: Actor, request: Request) -> None:
    if not actor.accepting:
        request.undeliverable(ServiceExited(f"{actor.describe()} has ended", executed=False))
        return
    known = ", ".join(sorted(actor.commands)) or "none"
    text = f"{actor.describe()} has no command {request.command!r}; it has: {known}"
    actor.refused(request, NoSuchCommand(text, executed=False))


def _first_step(request: Request, command: Declaration, instance: object) -> object:
    handling.set(request)
    request.coroutine = coroutine = command.function(instance, *request.args, **request.kwargs)
    return coroutine.send(None)


def _run_plain(request: Request, command: Declaration, instance: object) -> object:
    handling.set(request)
    try:
        return command.function(instance, *request.args, **request.kwargs)
    except StopIteration as error:  # as in a coroutine; here it would look like the end of one
        raise RuntimeError(f"{command.name} raised StopIteration") from error


def _unfit(error: BaseException, command: Declaration) -> CallError | None:
    """What is wrong with a message whose handler could not be called; None for an error of a handler."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code not in _CALLERS:
        return None
    if isinstance(error, NoSuchCommand):
        return error
    if not isinstance(error, TypeError):
        return None
    return BadArguments(f"{error}; the command is {command.signature_text()}", executed=False)


#: The code that calls handlers: what comes from none of their frames is about the message.
_CALLERS: Final = (_first_step.__code__, _run_plain.__code__, begin.__code__)


@types.coroutine
def _resume(request: Request, trap: object) -> Generator[object, object, Any]:
    """Pass on what the handler waits for to Trio, and Trio's answers to the handler."""
    coroutine, context = request.coroutine, request.context
    assert coroutine is not None
    assert context is not None
    actor = request.target
    stopwatch = actor.node.seams.stopwatch
    while True:
        step: Callable[[Any], object] = coroutine.send
        try:
            answer = yield trap
        except GeneratorExit:  # the whole run was dropped
            coroutine.close()
            raise
        except Exception as refused:  # it waits for what is not of Trio
            step, answer = coroutine.throw, refused
        began = stopwatch()
        actor.node.current = request
        try:
            trap = context.run(step, answer)
        except StopIteration as stop:
            return stop.value
        finally:
            actor.node.current = None
            actor.cpu_time += stopwatch() - began
