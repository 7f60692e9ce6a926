"""How long to wait before the next try: exponential, with full jitter."""

from __future__ import annotations

from trionet.kernel.seams import Random


class Backoff:
    """The delays between tries.

    Args:
        least: the first upper bound, in seconds; it doubles with each try.
        most: the largest upper bound, in seconds.
        random: source of the jitter.
    """

    def __init__(self, least: float, most: float, random: Random) -> None:
        self._least = least
        self._most = most
        self._random = random
        self._bound = least

    def next_delay(self) -> float:
        """The seconds to wait now."""
        bound = self._bound
        self._bound = min(2 * bound, self._most)
        return self._random.uniform(0.0, bound)

    def reset(self) -> None:
        """A try has succeeded."""
        self._bound = self._least
