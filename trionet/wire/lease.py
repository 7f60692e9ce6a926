"""The lease on which a node holds its exclusive names.

Duty: the time until which they may be held, and when to ask for more.
May import: the standard library and the messages of wire.
"""

from __future__ import annotations

import math

from trionet.wire.master_messages import Renew, Renewed


class Lease:
    """How long a node may hold its exclusive names without hearing from the master.

    The time is counted from when a renewal was sent that the master has answered, never from when the
    answer came: a node that stood still, or an answer that was late, cannot stretch it.

    Args:
        timeout: seconds that an answered renewal is good for.
    """

    def __init__(self, timeout: float) -> None:
        self.until: float = -math.inf
        self.due: float = -math.inf
        self._timeout = timeout
        self._sent: dict[int, float] = {}
        self._numbers = 0

    def renew(self, now: float) -> Renew:
        """Return a renewal to be sent now."""
        self._numbers += 1
        self._sent[self._numbers] = now
        self.due = now + self._timeout / 10
        return Renew(self._numbers)

    def renewed(self, answer: Renewed) -> None:
        """The master has answered."""
        sent = self._sent.get(answer.token)
        if sent is not None:
            self._sent = {number: at for number, at in self._sent.items() if number > answer.token}
            self.until = max(self.until, sent + self._timeout)

    def forget(self) -> None:
        """The connection is lost: what was not answered never will be."""
        self._sent = {}
        self.due = -math.inf
