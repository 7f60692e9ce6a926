"""Running one handler, step by step, in whatever task (C4, C9).

Duty: from a request that was taken to the end of its handler.  Which task runs it is the matter of
:mod:`trionet.kernel.dispatch` and :mod:`trionet.kernel.direct`.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from trionet.errors import BadArguments, BadMessage, CallError, NoSuchCommand, ServiceExited
from trionet.kernel.context import handling
from trionet.kernel.declaration import Declaration
from trionet.kernel.observing import CALLERS
from trionet.kernel.producing import begin as begin_stream
from trionet.kernel.request import RUNNING, Request
from trionet.message import NO_CHECKS, check

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor
    from trionet.kernel.dispatch import Worker

#: What :func:`begin` returns for a handler that has ended in its first step.
ENDED: Final = object()


def run_plain(request: Request, command: Declaration) -> None:
    """Run the handler of a command that is a plain function, from its beginning to its end.

    It holds the event loop all the time, so nobody ever sees it in the table of running handlers.
    """
    actor = request.target
    if command.abstract or not actor.accepting:
        _refuse(actor, request)
        return
    if request.checks and not _passes(actor, request):
        return
    node = actor.node
    request.state = RUNNING
    actor.messages += 1
    former, node.current = node.current, request
    try:
        value = actor.context.copy().run(_plain, request, command, actor.instance)
    except BaseException as error:
        _broke(actor, request, command, error)
    else:
        actor.returned(request, value)
    finally:
        node.current = former


def begin(request: Request, command: Declaration | None, worker: Worker) -> object:
    """Run the first step of a handler that is a coroutine.

    Returns:
        What the handler waits for, or ENDED; then the request has ended as well.
    """
    actor = request.target
    if command is None or command.abstract or not actor.accepting:
        _refuse(actor, request)
        return ENDED
    if request.checks and not _passes(actor, request):
        return ENDED
    node = actor.node
    request.state = RUNNING
    if command.shielded:
        request.shielded = True
    request.worker = worker
    request.context = context = actor.context.copy()
    actor.handlers[request] = None
    actor.messages += 1
    former, node.current = node.current, request
    try:
        return context.run(_first_step, request, command, actor.instance)
    except StopIteration as stop:
        actor.returned(request, stop.value)
    except BaseException as error:
        _broke(actor, request, command, error)
    finally:
        node.current = former
    return ENDED


async def go_on(request: Request, trap: object, answer: object = None) -> None:
    """Drive a handler that has blocked until it ends, in the task of its first step.

    Cancellation: reaches the handler where it waits; what it makes of it is the end of the request.

    Args:
        request: the request.
        trap: what the handler waits for; ENDED if the answer to that is there.
        answer: that answer, as Trio gives it.
    """
    actor = request.target
    try:
        value = await _resume(request, trap, answer)
    except BaseException as error:
        actor.raised(request, error)
    else:
        actor.returned(request, value)


def _passes(actor: Actor, request: Request) -> bool:
    """Run the validators of the arguments; False if the request has ended by it."""
    checks, request.checks = request.checks, NO_CHECKS
    try:
        actor.context.copy().run(check, checks)
    except BadMessage as error:
        actor.refused(request, error)
        return False
    return True


def _refuse(actor: Actor, request: Request) -> None:
    """End a request that has no handler to run."""
    if not actor.accepting:
        request.undeliverable(ServiceExited(f"{actor.describe()} has ended", executed=False))
        return
    known = ", ".join(sorted(actor.commands)) or "none"
    text = f"{actor.describe()} has no command {request.command!r}; it has: {known}"
    actor.refused(request, NoSuchCommand(text, executed=False))


def _plain(request: Request, command: Declaration, instance: object) -> object:
    handling.set(request)
    try:
        return command.function(instance, *request.args, **request.kwargs)
    except StopIteration as error:  # as in a coroutine; here it would look like the end of one
        raise RuntimeError(f"{command.name} raised StopIteration") from error


def _first_step(request: Request, command: Declaration, instance: object) -> object:
    handling.set(request)
    request.coroutine = coroutine = command.function(instance, *request.args, **request.kwargs)
    return coroutine.send(None)


def _broke(actor: Actor, request: Request, command: Declaration, error: BaseException) -> None:
    unfit = _unfit(error, command)
    if unfit is None:
        actor.raised(request, error)
    else:
        actor.not_started(request, unfit)


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
_CALLERS: Final = (_first_step.__code__, _plain.__code__, begin_stream.__code__, *CALLERS)


@types.coroutine
def _resume(request: Request, trap: object, answer: object) -> Generator[object, object, Any]:
    """Pass on what the handler waits for to Trio, and Trio's answers to the handler."""
    coroutine, context = request.coroutine, request.context
    assert coroutine is not None
    assert context is not None
    actor = request.target
    node = actor.node
    stopwatch = node.stopwatch
    send = coroutine.send
    while True:
        step: Callable[[Any], object] = send
        try:
            if trap is not ENDED:
                answer = yield trap
        except GeneratorExit:  # the whole run was dropped
            coroutine.close()
            raise
        except Exception as refused:  # it waits for what is not of Trio
            step, answer = coroutine.throw, refused
        began = stopwatch()
        former, node.current = node.current, request
        try:
            trap = context.run(step, answer)
        except StopIteration as stop:
            return stop.value
        finally:
            node.current = former
            node.charge(actor, stopwatch() - began)
