"""What holds back a process that stood still: its time is looked at before any task goes on (C11).

Duty: let the slave give up exclusive names that are no longer its own before a service acts as their owner.

Theory of operation.  A process that was stopped, or whose machine was busy with others, does not know it.
When it goes on, Trio wakes everybody whose time has come in one batch, in any order: a service might make a
step, and write somewhere, before the task that watches the lease has had its turn.  Trio tells instruments
when it has waited for the system, before it wakes anybody.  That is the moment to look.

What was being executed when the process was stopped cannot be held back by anything within it.  So there is
a second line wherever it can be had: an alarm of the system half a timeout after the end of the lease, which
is half a timeout before anybody else can have the name.  Nobody handles it, so it ends the process, and one
that was stopped gets it before it executes anything.  An owner that has lost its name and shields its end
meets it as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import Literal

import trio

from trionet.errors import ConfigError
from trionet.net.alarm import shared_alarm

_log = logging.getLogger("trionet.fence")


class Fence(trio.abc.Instrument):
    """Calls a function as soon as a time has come, before any task goes on.

    Args:
        fire: is called; it must not raise, and sets another time.
        kind: ``"tasks"`` for no more than that; ``"process"`` or ``"auto"`` for an alarm besides.
        delay: seconds after that time at which the alarm ends the process.

    Raises:
        ConfigError: if there must be an alarm, and it cannot be had in this process.
    """

    def __init__(
        self,
        fire: Callable[[], None],
        kind: Literal["auto", "process", "tasks"] = "tasks",
        delay: float = 0.0,
    ) -> None:
        self._fire = fire
        self._delay = delay
        self._at = inf
        self._is_closed = False
        self._has_told = False
        self._alarm = None if kind == "tasks" else shared_alarm()
        obstacle = self._alarm.obstacle() if self._alarm is not None and kind == "process" else None
        if obstacle is not None:
            raise ConfigError([f'cluster.fence: found "process", but {obstacle}; expected a free SIGALRM'])

    def set(self, at: float) -> None:
        """Set the time, on the clock of ``trio.current_time()``; infinity takes the fence down."""
        at = inf if self._is_closed else at
        if at == self._at:
            return
        if (at < inf) != (self._at < inf):
            change = trio.lowlevel.add_instrument if at < inf else trio.lowlevel.remove_instrument
            change(self)
        self._at = at
        obstacle = self._alarm.set(self, at + self._delay) if self._alarm is not None else None
        if obstacle is not None and not self._has_told:
            self._has_told = True
            _log.warning(
                "%s: if this process stands still for longer than its lease of exclusive names, it finishes "
                'the step that it was in, as with cluster.fence = "tasks"',
                obstacle,
            )

    def stay_for_an_owner(self) -> Callable[[object], None]:
        """Keep the alarm as it is now, though the fence may go: an owner has lost its name and is ending.

        Whoever shields its end for longer than the name is sure to be nobody's is ended with the process.

        Returns:
            What to call with anything when the owner has ended.
        """
        owner, alarm = object(), self._alarm

        def ended(_: object) -> None:
            if alarm is not None:
                alarm.set(owner, inf)

        if alarm is not None:
            alarm.set(owner, self._at + self._delay)
        return ended

    def close(self) -> None:
        """Take the fence down for good."""
        self._is_closed = True
        self.set(inf)

    def after_io_wait(self, timeout: float) -> None:
        """Trio has waited for the system, and has not yet woken anybody."""
        if trio.current_time() >= self._at:
            self._fire()
