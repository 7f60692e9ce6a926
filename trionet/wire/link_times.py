"""The times of a link: when to send a heartbeat or an acknowledgement, when the peer counts as silent.

Duty: arithmetic on times that are passed in, in seconds; no clock.
May import: the standard library, attrs and trionet.wire.link_frames.
"""

from __future__ import annotations

import math

import attrs

from trionet.wire.link_frames import LinkSettings


@attrs.frozen
class Due:
    """What is due.

    Args:
        acknowledge: an acknowledgement has waited long enough.
        sweep: left-over credit goes back.
        heartbeat: nothing was sent for so long that a heartbeat is needed.
        silence: seconds since anything came, once they are too many; told once.
    """

    acknowledge: bool
    sweep: bool
    heartbeat: bool
    silence: float | None


class LinkTimes:
    """The times of one end of a link.

    A tick that comes late by more than a heartbeat shows that this process stood still, not the peer: the
    peer then gets one heartbeat more, in which what it sent meanwhile can be read.

    Args:
        settings: heartbeat, heartbeat timeout and ack delay.
        now: the time in seconds.
    """

    __slots__ = (
        "_last_sweep",
        "_last_tick",
        "_patience",
        "_settings",
        "_told",
        "ack_due",
        "received",
        "sent",
    )

    def __init__(self, settings: LinkSettings, now: float) -> None:
        self._settings = settings
        #: When bytes were last taken for sending.
        self.sent: float = now
        #: When bytes last came.
        self.received: float = now
        #: When a waiting acknowledgement must go; infinite for none.
        self.ack_due: float = math.inf
        self._last_tick = self._last_sweep = now
        self._patience = -math.inf
        self._told = False

    @property
    def next(self) -> float:
        """When :meth:`tick` is due."""
        return min(self.sent + self._settings.heartbeat, self._silent_at, self.ack_due)

    def acknowledge_later(self) -> None:
        """Let an acknowledgement wait from the last received bytes on."""
        self.ack_due = self.received + self._settings.ack_delay

    def tick(self, now: float) -> Due:
        """Tell what is due now."""
        heartbeat = self._settings.heartbeat
        if now - self._last_tick > 2 * heartbeat:
            self._patience = now + heartbeat
        self._last_tick = now
        sweep = now >= self._last_sweep + heartbeat
        if sweep:
            self._last_sweep = now
        silence = None
        if now >= self._silent_at:
            self._told = True
            silence = now - self.received
        beat = now >= self.sent + heartbeat
        if beat:
            self.sent = now  # what is queued already serves as one, even if the stream does not take it yet
        return Due(now >= self.ack_due, sweep, beat, silence)

    @property
    def _silent_at(self) -> float:
        if self._told:
            return math.inf
        return max(self.received + self._settings.heartbeat_timeout, self._patience)
