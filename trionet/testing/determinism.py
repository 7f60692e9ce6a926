"""Makes Trio's scheduler repeatable, so that a simulation with the same seed runs the same.

Duty: the only place that touches private names of Trio: two of them, and a test fails when they change.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trio import _core

_run: Any = _core._run


@contextmanager
def seeded_scheduler(seed: int) -> Iterator[None]:
    """Let Trio run tasks in an order that follows from the seed alone, while the block runs."""
    allowed, state = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True
    _run._r.seed(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = allowed
        _run._r.setstate(state)
