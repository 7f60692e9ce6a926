"""Restart policies: whether and when a service that ended is started again.

Duty: the decision, as pure code; the restart itself is done by :mod:`trionet.kernel.keeper`.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

import attrs
from attrs import field

from trionet.config import count, one_of, seconds
from trionet.kernel.watch import Exit
from trionet.message import value

#: When a policy starts a service again.
WHEN: Final = ("never", "failure", "always")
#: The delay doubles so many times; after that it is beyond any longest delay, and soon beyond any number.
MOST_DOUBLINGS: Final = 60


@value(name="trionet.Restart")
@attrs.frozen
class Restart:
    """When a service is started again after its end.

    Args:
        when: ``"never"``; ``"failure"``, after an exception of its own; ``"always"``, also after it
            stopped itself.  A service that its owner stops or kills is not started again.
        most: restarts within ``within`` seconds after which the policy gives up.
        within: the period, in seconds.
        delay: seconds before the first restart of a period; doubles at each further one.
        longest_delay: the largest delay, in seconds.
    """

    when: Literal["never", "failure", "always"] = field(default="failure", validator=one_of(WHEN))
    most: int = field(default=3, validator=count("restarts", least=0))
    within: float = field(default=5.0, validator=seconds())
    delay: float = field(default=0.1, validator=seconds(zero=True))
    longest_delay: float = field(default=10.0, validator=seconds(zero=True))


class RestartHistory:
    """The restarts of one service so far."""

    def __init__(self, policy: Restart) -> None:
        self.policy = policy
        self._times: deque[float] = deque()

    def wants(self, exit_: Exit) -> bool:
        """Tell whether the policy is about this kind of end at all."""
        if self.policy.when == "always":
            return exit_.reason in ("failed", "stopped")
        return self.policy.when == "failure" and exit_.reason == "failed"

    def next_delay(self, now: float) -> float | None:
        """Count one more restart; return the seconds to wait before it, or None to give up."""
        while self._times and self._times[0] <= now - self.policy.within:
            self._times.popleft()
        if len(self._times) >= self.policy.most:
            return None
        earlier = len(self._times)
        self._times.append(now)
        return min(self.policy.delay * 2.0 ** min(earlier, MOST_DOUBLINGS), float(self.policy.longest_delay))
