"""Steps that are made on behalf of a task that rests (C6, C7).

Duty: let the first step of a handler run as a task of its service, without a change of tasks.

Theory of operation.  A task that rests is parked by Trio, with a function that withdraws it from what it
waits for.  To lend it is to do by hand, from within the task that runs now, what Trio's loop does when it
runs a task: say that it is the current one, and that it waits for nothing; run the step; and then arrange
for what the step waits for.  Whatever the step opens, a cancel scope or a nursery, or takes, a lock or a
slot of a limiter, is that task's own.  If the step waits for nothing, the task rests on as if nothing had
been.  If it does, then Trio sees a task that is parked for what the step waits for; the answer reaches the
task where it rests, and the task passes it on.

Trio offers none of that (:mod:`trionet.kernel.trio_inside`).  Where it cannot be had nothing is lent, and
what would have been goes by way of the inbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from trionet.kernel.handlers import ENDED, begin
from trionet.kernel.trio_inside import CHECKPOINT, LOOP, PARKING

if TYPE_CHECKING:
    from trionet.kernel.declaration import Declaration
    from trionet.kernel.dispatch import Worker
    from trionet.kernel.request import Request

#: Steps that may be made within one another, each as another task.
MOST_NESTED: Final = 16


def lend(worker: Worker, request: Request, command: Declaration) -> None:
    """Make the first step of a handler in the name of a task of its service that rests.

    Args:
        worker: the one that rests since last; from now on it either does so again, or stays with the handler.
        request: the message.
        command: what it is for, a coroutine.
    """
    actor = worker.actor
    actor.resting.pop()
    task: Any = worker.task
    node = actor.node
    borrower = LOOP.task
    abort, task._abort_func = task._abort_func, None
    LOOP.task = task
    node.nested += 1
    waits_for = ENDED
    try:
        waits_for = begin(request, command, worker)
    finally:
        node.nested -= 1
        LOOP.task = borrower
        if waits_for is ENDED:
            actor.resting.append(worker)
            task._abort_func = abort
            if task._cancel_status.effectively_cancelled:
                task._attempt_delivery_of_any_pending_cancel()
    if waits_for is not ENDED:
        request.since = trio.current_time()
        worker.errand = request, _park(task, waits_for)
    elif actor.inbox.size:
        actor.summon()  # its slot is free


def _park(task: Any, waits_for: Any) -> object:
    """Park a task for what a step waits for that was made in its name; what Trio's loop does after a step.

    Returns:
        What the task must ask Trio's loop for itself, as it goes on; ENDED for nothing.
    """
    if type(waits_for) is PARKING:
        task._schedule_points += 1
        task._cancel_points += 1
        task._abort_func = waits_for.abort_func
        task._attempt_delivery_of_any_pending_cancel()
        return ENDED
    trio.lowlevel.reschedule(task)
    if waits_for is CHECKPOINT:
        task._schedule_points += 1
        return ENDED
    return waits_for
