"""The alarm with which the system ends this process, shared by all nodes of an event loop.

Duty: set the one timer of the process to the earliest time that anybody needs, and keep off somebody else's.

Theory of operation.  A process has one ``ITIMER_REAL`` and one SIGALRM, and any library may use them at any
time.  So they are looked at each time.  The timer carries whose it is: its interval, which has no other use
because the first expiry ends the process, is a number that no other event loop has.
"""

from __future__ import annotations

import itertools
import signal
from math import inf
from typing import Final

import trio

#: The shortest time that an alarm can be set to, in seconds; zero would take it back.
_AT_ONCE: Final = 1e-6
#: The longest time, in seconds, that every system takes; a clock of tests may stand still for ever.
_MOST: Final = 1e7
#: Intervals that are a mark, in seconds: many weeks, and no round number.
_marks: Final = itertools.count(7_654_321)


class Alarm:
    """What the nodes of one event loop want of the timer; made by :func:`shared_alarm`."""

    def __init__(self) -> None:
        self._mark = float(next(_marks))
        self._times: dict[object, float] = {}

    def obstacle(self) -> str | None:
        """Tell why there can be no alarm now; None if there can be one."""
        if not hasattr(signal, "SIGALRM"):
            return "this system has no SIGALRM"
        if signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
            return "SIGALRM has a handler or is ignored"
        if not self._is_own() and signal.getitimer(signal.ITIMER_REAL)[0] > 0:
            return "the timer of SIGALRM has another use"
        return None

    def set(self, owner: object, at: float) -> str | None:
        """Have the process ended at a time, if nobody needs it ended earlier.

        Args:
            owner: who wants it; what it wanted before is forgotten.
            at: on the clock of ``trio.current_time()``; infinity for not at all.

        Returns:
            Why there is no alarm, though there should be one; None if all is well.
        """
        self._times.pop(owner, None)
        if at < inf:
            self._times[owner] = at
        obstacle = self.obstacle() if self._times else None
        if self._times and obstacle is None:
            left = trio.lowlevel.current_clock().deadline_to_sleep_time(min(self._times.values()))
            signal.setitimer(signal.ITIMER_REAL, min(max(left, _AT_ONCE), _MOST), self._mark)
        elif self._is_own():
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        return obstacle

    def _is_own(self) -> bool:
        return hasattr(signal, "setitimer") and signal.getitimer(signal.ITIMER_REAL)[1] == self._mark


_alarm: Final = trio.lowlevel.RunVar[Alarm]("trionet alarm")


def shared_alarm() -> Alarm:
    """The alarm of this event loop."""
    try:
        return _alarm.get()
    except LookupError:
        alarm = Alarm()
        _alarm.set(alarm)
        return alarm
