"""Tasks among which a handler divides its wait, so that it still counts as one (C7).

Duty: tell for whom the current task waits when it waits for a request.

Theory of operation.  A handler's own task waits for at most one thing.  Mostly that is a request; where the
handler makes several calls at once it is a :class:`Together`: branches, which are tasks that make one call
after the other, all of which must end, or any.  A branch can divide its own wait in turn.  Other tasks that a
handler starts are no branches: nobody knows whether the handler waits for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trionet.kernel.context import branch

if TYPE_CHECKING:
    from trionet.kernel.request import Request


class Branch:
    """A task that somebody waits for, who may be a handler.

    Attributes:
        task: the Trio task.
        waits_for: what it waits for; None while it does anything else.
        scope: cancels what it does at present.
        circle: the circle for whose sake that was cancelled.
    """

    __slots__ = ("circle", "scope", "task", "waits_for")

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task: trio.lowlevel.Task = task
        self.waits_for: Request | Together | None = None
        self.scope: trio.CancelScope = trio.CancelScope()
        self.circle: list[str] | None = None

    def begin(self, deadline: float) -> trio.CancelScope:
        """The scope for what it does next."""
        self.circle = None
        self.scope = trio.CancelScope(deadline=deadline)
        return self.scope


class Together:
    """Several branches, as one thing to wait for.

    Attributes:
        tasks: how many have not ended.
        branches: those that have begun and not ended.
        needs_all: whether the wait is for all of them, or for any one.
        ready: results of ended branches that nobody has taken yet.
    """

    __slots__ = ("branches", "needs_all", "ready", "tasks")

    def __init__(self, tasks: int, *, needs_all: bool) -> None:
        self.tasks: int = tasks
        self.branches: dict[Branch, None] = {}
        self.needs_all: bool = needs_all
        self.ready: int = 0

    def begun(self) -> Branch:
        """The current task is one of them from now on."""
        own = Branch(trio.lowlevel.current_task())
        branch.set(own)
        self.branches[own] = None
        return own

    def ended(self, own: Branch) -> None:
        """One has ended."""
        del self.branches[own]
        self.tasks -= 1

    def break_open(self, circle: list[str]) -> None:
        """All of them wait for ever: end the wait of the youngest."""
        youngest = next(reversed(self.branches))
        youngest.circle = circle
        youngest.waits_for = None
        youngest.scope.cancel()

    def waits(self) -> list[Request | Together] | None:
        """What the branches wait for; None if the wait may end, since nobody waits who would hold it up."""
        waits = [each.waits_for for each in self.branches if each.waits_for is not None]
        if self.needs_all:
            return waits or None
        return None if self.ready or len(waits) < self.tasks else waits


def waiter_for(parent: Request | None) -> Request | Branch | None:
    """The handler or the branch of it whose own task is the current one; None for any other task."""
    if parent is None:
        return None
    task = trio.lowlevel.current_task()
    if parent.worker is not None and parent.worker.task is task:
        return parent
    own = branch.get()
    return own if own is not None and own.task is task else None
