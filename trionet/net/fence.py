"""What holds back a process that stood still: its time is looked at before any task goes on (C11).

Duty: let the slave give up exclusive names that are no longer its own before a service acts as their owner.

Theory of operation.  A process that was stopped, or whose machine was busy with others, does not know it.
When it goes on, Trio wakes everybody whose time has come in one batch, in any order: a service might make a
step, and write somewhere, before the task that watches the lease has had its turn.  Trio tells instruments
when it has waited for the system, before it wakes anybody.  That is the moment to look; what was already
being executed when the process was stopped cannot be held back by anything within it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import trio


class Fence(trio.abc.Instrument):
    """Calls a function as soon as a time has come, before any task goes on.

    Args:
        fire: is called; it must not raise, and sets another time.
    """

    def __init__(self, fire: Callable[[], None]) -> None:
        self._fire = fire
        self._at = inf
        self._is_up = False
        self._is_closed = False

    def set(self, at: float) -> None:
        """Set the time, on the clock of ``trio.current_time()``; infinity takes the fence down."""
        self._at = inf if self._is_closed else at
        if (self._at < inf) != self._is_up:
            self._is_up = not self._is_up
            change = trio.lowlevel.add_instrument if self._is_up else trio.lowlevel.remove_instrument
            change(self)

    def close(self) -> None:
        """Take the fence down for good."""
        self._is_closed = True
        self.set(inf)

    def after_io_wait(self, timeout: float) -> None:
        """Trio has waited for the system, and has not yet woken anybody."""
        if trio.current_time() >= self._at:
            self._fire()
