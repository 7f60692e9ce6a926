"""What holds back a process that stood still: its time is looked at before any task goes on (C11).

Duty: let the slave give up exclusive names that are no longer its own before a service acts as their owner.

Theory of operation.  A process that was stopped, or whose machine was busy with others, does not know it.
When it goes on, Trio wakes everybody whose time has come in one batch, in any order: a service might make a
step, and write somewhere, before the task that watches the lease has had its turn.  Trio tells instruments
when it has waited for the system, before it wakes anybody.  That is the moment to look.

What was being executed when the process was stopped cannot be held back by anything within it.  So there is
a second line where it is wanted: an alarm of the system half a timeout after the end of the lease, which is
half a timeout before anybody else can have the name.  Nobody handles it, so it ends the process, and one that
was stopped gets it before it executes anything.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from math import inf
from typing import Final

import trio

from trionet.errors import ConfigError

#: The shortest time that an alarm can be set to, in seconds; zero would take it back.
_AT_ONCE: Final = 1e-6


class Fence(trio.abc.Instrument):
    """Calls a function as soon as a time has come, before any task goes on.

    Args:
        fire: is called; it must not raise, and sets another time.
        alarm: seconds after that time at which the system ends the process; None for no alarm.

    Raises:
        ConfigError: if the alarm has another use in this process.
    """

    def __init__(self, fire: Callable[[], None], alarm: float | None = None) -> None:
        if alarm is not None and signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
            raise ConfigError(['cluster.fence: found "process", but SIGALRM has a handler; expected none'])
        self._fire = fire
        self._alarm = alarm
        self._at = inf
        self._is_closed = False

    def set(self, at: float) -> None:
        """Set the time, on the clock of ``trio.current_time()``; infinity takes the fence down."""
        at = inf if self._is_closed else at
        if at == self._at:
            return
        if (at < inf) != (self._at < inf):
            change = trio.lowlevel.add_instrument if at < inf else trio.lowlevel.remove_instrument
            change(self)
        self._at = at
        if self._alarm is not None:
            left = 0.0 if at == inf else max(at + self._alarm - trio.current_time(), _AT_ONCE)
            signal.setitimer(signal.ITIMER_REAL, left)

    def close(self) -> None:
        """Take the fence down for good."""
        self._is_closed = True
        self.set(inf)

    def after_io_wait(self, timeout: float) -> None:
        """Trio has waited for the system, and has not yet woken anybody."""
        if trio.current_time() >= self._at:
            self._fire()
