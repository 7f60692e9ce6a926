"""Makes Trio repeatable, so that a simulation with the same seed runs the same.

Duty: the only place that touches private names of Trio; a test for each of them fails when Trio changes it.

Theory of operation.  Trio runs the tasks that are ready in one round in an order that it draws; it can draw
from a seed (``_ALLOW_DETERMINISTIC_SCHEDULING`` and ``_r``).  Two more orders depend on where objects lie in
memory: that in which a cancellation reaches the tasks of a scope, which Trio keeps in sets
(``CancelStatus``), and that in which scopes with the same deadline expire, for which it compares ``id()``.
Both matter where tasks that are cancelled at the same moment still do something, as callers do who cancel
their handlers.  While the block runs, the sets keep the order of what is put into them, and for Trio's
scheduler ``id()`` counts upwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from trio import _core

_run: Any = _core._run
#: Never the same one twice, whichever blocks are open: equal ones would make Trio compare the scopes.
_numbers = count()


class _OrderedSet(dict[Any, None]):
    """What Trio needs of a set, in the order in which things were added."""

    def add(self, item: Any) -> None:
        self[item] = None

    def remove(self, item: Any) -> None:
        del self[item]


@contextmanager
def seeded_scheduler(seed: int) -> Iterator[None]:
    """Let Trio do everything in an order that follows from the seed alone, while the block runs."""
    with _seeded_rounds(seed), _ordered_cancellation(), _ordered_deadlines():
        yield


@contextmanager
def _seeded_rounds(seed: int) -> Iterator[None]:
    allowed, state = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True
    _run._r.seed(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = allowed
        _run._r.setstate(state)


@contextmanager
def _ordered_cancellation() -> Iterator[None]:
    status = _run.CancelStatus
    original = status.__attrs_post_init__

    def prepare(self: Any) -> None:
        self._children = _OrderedSet()
        self._tasks = _OrderedSet()
        original(self)

    status.__attrs_post_init__ = prepare
    try:
        yield
    finally:
        status.__attrs_post_init__ = original


@contextmanager
def _ordered_deadlines() -> Iterator[None]:
    former = vars(_run).get("id", id)
    _run.id = lambda _: next(_numbers)
    try:
        yield
    finally:
        _run.id = former
