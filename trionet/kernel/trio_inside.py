"""What Trio does not offer and is taken all the same: the one place that knows of its inside.

Duty: which task runs, whether it is cancelled, until when it may run, and how a task is parked and woken.

All of these are private names of Trio's.  Where one of them is missing, :data:`POSSIBLE` is false, and what
would have used it goes a longer way that needs none; a test tells when that is so.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Generator
from math import inf
from typing import Any, Final

import attrs
import trio
from trio._core import _run

#: What Trio's loop knows of the present step: its attribute ``task`` is the task that runs.
LOOP: Final[Any] = getattr(_run, "GLOBAL_RUN_CONTEXT", None)


def _request_of(wait: Callable[..., Any], *args: object) -> Any:
    """What Trio's loop is asked for by something that waits."""
    waiting = wait(*args)
    try:
        return waiting.send(None)
    finally:
        waiting.close()


def parking(abort: Callable[[Any], trio.lowlevel.Abort]) -> Any:
    """What a task asks Trio's loop for, as often as it likes, to be parked until it is rescheduled.

    Args:
        abort: as for :func:`trio.lowlevel.wait_task_rescheduled`.
    """
    return _request_of(trio.lowlevel.wait_task_rescheduled, abort)


_EXAMPLE: Final = parking(lambda _: trio.lowlevel.Abort.SUCCEEDED)
#: The class of what asks the loop to park a task, and what asks it to run the task again at once.
PARKING: Final[type[Any]] = type(_EXAMPLE)
CHECKPOINT: Final[Any] = _request_of(trio.lowlevel.cancel_shielded_checkpoint)

#: Whether this version of Trio has all of it.
POSSIBLE: Final[bool] = (
    LOOP is not None
    and hasattr(_EXAMPLE, "abort_func")
    and hasattr(trio.lowlevel.Task, "_attempt_delivery_of_any_pending_cancel")
    and {"_abort_func", "_cancel_points", "_cancel_status", "_schedule_points"}
    <= attrs.fields_dict(trio.lowlevel.Task).keys()
    and {"_parent", "_scope", "effectively_cancelled"} <= attrs.fields_dict(_run.CancelStatus).keys()
    and {"_cancel_status", "_deadline", "_shield"} <= attrs.fields_dict(trio.CancelScope).keys()
)


#: What a task is woken with that waits in :func:`park`, in place of an outcome made for it.
_WOKEN: Final[Any] = object()


@types.coroutine
def _park(abort: Callable[[Any], trio.lowlevel.Abort]) -> Generator[object, Any, None]:
    answer = yield PARKING(abort)
    if answer is not _WOKEN:
        answer.unwrap()


def _wake(task: trio.lowlevel.Task) -> None:
    trio.lowlevel.reschedule(task, _WOKEN)


#: Waits until :func:`wake`, as :func:`trio.lowlevel.wait_task_rescheduled` does, with less on the way.
park: Final[Callable[[Callable[[Any], trio.lowlevel.Abort]], Awaitable[object]]] = (
    _park if POSSIBLE else trio.lowlevel.wait_task_rescheduled
)
#: Lets a task go on that waits in :func:`park`.
wake: Final[Callable[[trio.lowlevel.Task], None]] = _wake if POSSIBLE else trio.lowlevel.reschedule


def is_cancelled() -> bool:
    """Tell whether the current task is to be cancelled at its next checkpoint, or may be."""
    return not POSSIBLE or bool(LOOP.task._cancel_status.effectively_cancelled)


def effective_deadline(outermost: trio.CancelScope | None = None) -> tuple[float, bool]:
    """As :func:`trio.current_effective_deadline`, in less time: each call asks for it.

    Args:
        outermost: the last scope around the current task that counts; without one all do.

    Returns:
        The deadline, and whether the task may be in a shield, so that not all around it can cancel it.
    """
    if not POSSIBLE:
        return trio.current_effective_deadline(), True
    status = LOOP.task._cancel_status
    if status.effectively_cancelled:
        return -inf, False
    earliest = inf
    while status is not None:
        scope = status._scope
        if scope._deadline < earliest:
            earliest = scope._deadline
        if scope is outermost:
            break
        if scope._shield:
            return earliest, True
        status = status._parent
    return earliest, False


def see_as(task: trio.lowlevel.Task, look: Callable[..., Any], *args: object) -> Any:
    """Call a function that asks what holds for the current task, as another one."""
    present, LOOP.task = LOOP.task, task
    try:
        return look(*args)
    finally:
        LOOP.task = present


def close_left_open(task: Any, outermost: Any) -> int:
    """Close the cancel scopes that the current task opened within a scope and never left.

    Those of nurseries are among them, whose tasks are cancelled by it.  Such a nursery itself stays open: it
    cannot be closed from outside.

    Args:
        task: the current task.
        outermost: the scope; it stays open.

    Returns:
        How many there were; 0 also if the task is not within the scope any more.
    """
    inside: list[Any] = []
    status = task._cancel_status
    while status is not outermost._cancel_status:
        if status is None:
            return 0
        inside.append(status._scope)
        status = status._parent
    for scope in inside:
        scope.__exit__(None, None, None)
    return len(inside)
