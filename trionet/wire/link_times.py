"""The times of a link: when to send a heartbeat or an acknowledgement, when the peer counts as silent.

Duty: arithmetic on times that are passed in, in seconds; no clock.
May import: the standard library, attrs, trionet.wire.errors and trionet.wire.link_frames.

The round trip.  Each heartbeat brings the time at which it was said, and gives back the time that the peer's
latest one has brought, together with the seconds for which it was held.  So each end knows the round trip as
of each heartbeat that comes, from its own clock and a span of the other one; nothing is said for that alone.
"""

from __future__ import annotations

import math

import attrs

from trionet.wire.errors import ProtocolError
from trionet.wire.link_frames import LinkSettings, heartbeat


@attrs.frozen
class Due:
    """What is due.

    Args:
        acknowledge: an acknowledgement has waited long enough.
        sweep: left-over credit goes back.
        heartbeat: it is time for one.
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
        "_beat",
        "_echo",
        "_echo_came",
        "_last_sweep",
        "_last_tick",
        "_patience",
        "_settings",
        "_told",
        "ack_due",
        "received",
        "round_trip",
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
        #: Seconds that the latest heartbeat took to the peer and its answer back, once it is known.
        self.round_trip: float | None = None
        self._beat = self._last_tick = self._last_sweep = now
        self._echo, self._echo_came = 0.0, -math.inf
        self._patience = -math.inf
        self._told = False

    @property
    def next(self) -> float:
        """When :meth:`tick` is due."""
        return min(self._beat + self._settings.heartbeat, self._silent_at, self.ack_due)

    def acknowledge_later(self) -> None:
        """Let an acknowledgement wait from the last received bytes on."""
        self.ack_due = self.received + self._settings.ack_delay

    def tick(self, now: float) -> Due:
        """Tell what is due now."""
        interval = self._settings.heartbeat
        if now - self._last_tick > 2 * interval:
            self._patience = now + interval
        self._last_tick = now
        sweep = now >= self._last_sweep + interval
        if sweep:
            self._last_sweep = now
        silence = None
        if now >= self._silent_at:
            self._told = True
            silence = now - self.received
        beat = False
        if now >= self._beat + interval:
            beat = self.sent >= self._beat  # else the latest one still waits for the stream
            self._beat = now
        return Due(now >= self.ack_due, sweep, beat, silence)

    def heartbeat(self, now: float) -> bytes:
        """Return the heartbeat that is due."""
        return heartbeat(now, self._echo, now - self._echo_came)

    def heartbeat_came(self, time: float, echo: float, held: float) -> None:
        """Take what the latest received bytes have brought.

        Raises:
            ProtocolError: if it is out of range.
        """
        if not (held >= 0 and math.isfinite(time) and math.isfinite(echo)):
            raise ProtocolError("a heartbeat with a field out of range")
        self._echo, self._echo_came = time, self.received
        if held < math.inf:
            self.round_trip = max(0.0, self.received - echo - held)

    @property
    def _silent_at(self) -> float:
        if self._told:
            return math.inf
        return max(self.received + self._settings.heartbeat_timeout, self._patience)
