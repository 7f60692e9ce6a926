"""Many calls at once: all of them (:func:`gather`), or one after the other as they end (:func:`select`).

Duty: run coroutines side by side under one deadline, and say of each how it ended.

Theory of operation.  Each coroutine runs in a task of its own, or, under a limit, in one of a few tasks that
take one after the other.  The tasks are branches of the one that waits for them
(:mod:`trionet.kernel.together`), so a circle of services that goes through them is found.  What a coroutine
raises is its outcome and does not end the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from math import inf
from typing import Any, Generic, TypeVar, cast, overload

import attrs
import trio

from trionet.errors import DeadlineExceeded, Deadlock
from trionet.kernel.context import handling
from trionet.kernel.deadlock import find_circle
from trionet.kernel.exceptions import split_cancelled
from trionet.kernel.request import Request
from trionet.kernel.together import Branch, Together, waiter_for

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
K = TypeVar("K")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

Call = Coroutine[Any, Any, T]


@attrs.frozen(repr=False)
class Outcome(Generic[T_co]):
    """How one of several calls ended.

    Args:
        value: what it returned; None if it raised.
        error: what it raised; None if it returned.
    """

    value: T_co | None
    error: Exception | None = None

    @property
    def is_ok(self) -> bool:
        """Whether it returned."""
        return self.error is None

    def unwrap(self) -> T_co:
        """Return what the call returned, or raise what it raised.

        Raises:
            Exception: what the call raised.
        """
        if self.error is not None:
            raise self.error
        return cast("T_co", self.value)

    def __repr__(self) -> str:
        return f"<Outcome {self.value!r}>" if self.error is None else f"<Outcome raised {self.error!r}>"


class Selection(Generic[K, T]):
    """The outcomes of several calls, each as soon as it is there; made by :func:`select`."""

    def __init__(self, keys: tuple[K, ...], together: Together) -> None:
        self._ended: deque[tuple[K, Outcome[T]]] = deque()
        self._waiting: dict[K, None] = dict.fromkeys(keys)
        self._together = together
        self._news = trio.lowlevel.ParkingLot()

    @property
    def waiting(self) -> tuple[K, ...]:
        """The keys of the calls that have not ended, in the order of the calls."""
        return tuple(self._waiting)

    def _end(self, key: K, outcome: Outcome[T]) -> None:
        del self._waiting[key]
        self._ended.append((key, outcome))
        self._together.ready = len(self._ended)
        self._news.unpark(count=1 if self._waiting else inf)

    def __aiter__(self) -> AsyncIterator[tuple[K, Outcome[T]]]:
        return self

    async def __anext__(self) -> tuple[K, Outcome[T]]:
        """Wait until one more call has ended.

        Cancellation: nothing is lost; it can be waited for again.
        """
        await trio.lowlevel.checkpoint()
        while not self._ended:
            if not self._waiting:
                raise StopAsyncIteration
            with _waiting_for(self._together) as waiter:
                if waiter is not None and (chain := find_circle(self._together)) is not None:
                    self._together.break_open(chain)
                await self._news.park()
        ended = self._ended.popleft()
        self._together.ready = len(self._ended)
        return ended


@contextmanager
def _waiting_for(together: Together) -> Iterator[Request | Branch | None]:
    """While the current task waits for its branches."""
    parent = handling.get()
    waiter = waiter_for(parent)
    if waiter is None:
        yield None
        return
    waiter.waits_for = together
    try:
        yield waiter
    finally:
        waiter.waits_for = None


class _Calls(Generic[K, T]):
    """Several coroutines, and what is to be done with them.

    Args:
        calls: the coroutines, by key.
        deadline: seconds that all of them together may take.
        limit: how many may run at a time.
        needs_all: whether it is for all of them that somebody waits.
    """

    def __init__(
        self, calls: Mapping[K, Any], deadline: float | None, limit: int | None, *, needs_all: bool
    ) -> None:
        if deadline is not None and not deadline >= 0:
            raise ValueError(f"a deadline is 0 seconds or more, not {deadline}")
        if limit is not None and not limit >= 1:
            raise ValueError(f"a limit is 1 call or more at a time, not {limit}")
        for key, each in calls.items():
            if not isinstance(each, Coroutine):
                raise TypeError(f"call {key!r} is no coroutine, but {each!r:.80}")
        self._calls: Mapping[K, Call[T]] = calls
        self._seconds = deadline
        self._ends = inf if deadline is None else trio.current_time() + deadline
        self._next = iter(self._calls.items())
        self._tasks = len(calls) if limit is None else min(limit, len(calls))
        self.together = Together(self._tasks, needs_all=needs_all)

    def start(self, nursery: trio.Nursery, tell: Callable[[K, Outcome[T]], None]) -> None:
        """Start as many as may run at a time."""
        for _ in range(self._tasks):
            nursery.start_soon(self._run, tell, name="one of several calls")

    async def _run(self, tell: Callable[[K, Outcome[T]], None]) -> None:
        """Make one call after the other."""
        own = self.together.begun()
        try:
            for key, call in self._next:
                await trio.lowlevel.checkpoint_if_cancelled()
                tell(key, await self._outcome(own, key, call))
        finally:
            self.together.ended(own)

    async def _outcome(self, own: Branch, key: K, call: Call[T]) -> Outcome[T]:
        if trio.current_time() >= self._ends:
            return self._out_of_time(key, executed=False)
        try:
            with own.begin(self._ends):
                return Outcome(await call)
        except Exception as error:
            return Outcome(None, error)
        if own.circle is None:
            return self._out_of_time(key, executed=None)
        deadlock = Deadlock(own.circle)
        deadlock.executed = None
        return Outcome(None, deadlock)

    def _out_of_time(self, key: K, *, executed: bool | None) -> Outcome[T]:
        how = "did not end" if executed is None else "had no turn"
        text = f"call {key!r} of {len(self._calls)} {how} within {self._seconds:g} seconds"
        return Outcome(None, DeadlineExceeded(text, executed))


def _close(calls: Iterable[Any]) -> None:
    """Drop the coroutines that were never begun."""
    for each in calls:
        if isinstance(each, Coroutine):
            each.close()


@overload
async def gather(
    calls: Iterable[Call[T]], /, *, deadline: float | None = ..., limit: int | None = ...
) -> tuple[Outcome[T], ...]: ...
@overload
async def gather(
    first: Call[A], second: Call[B], /, *, deadline: float | None = ..., limit: int | None = ...
) -> tuple[Outcome[A], Outcome[B]]: ...
@overload
async def gather(
    first: Call[A],
    second: Call[B],
    third: Call[C],
    /,
    *,
    deadline: float | None = ...,
    limit: int | None = ...,
) -> tuple[Outcome[A], Outcome[B], Outcome[C]]: ...
@overload
async def gather(
    first: Call[A],
    second: Call[B],
    third: Call[C],
    fourth: Call[D],
    /,
    *,
    deadline: float | None = ...,
    limit: int | None = ...,
) -> tuple[Outcome[A], Outcome[B], Outcome[C], Outcome[D]]: ...
async def gather(
    *calls: Any, deadline: float | None = None, limit: int | None = None
) -> tuple[Outcome[Any], ...]:
    """Make several calls at once and wait until each of them has ended, well or not.

    The calls are given as one iterable, or, where each is of a type of its own, as two to four arguments.
    They have no order among each other.  An error of one does not end the others: it is an outcome.

    Cancellation: cancels all calls, and waits until they have ended.

    Args:
        calls: coroutines, mostly calls by references: ``[room.describe() for room in rooms]``.
        deadline: seconds that all together may take.  A call that has not ended by then is cancelled, and
            its outcome is :exc:`DeadlineExceeded`.
        limit: how many may run at a time; by default all.  They are begun in the order given.

    Returns:
        The outcomes, in the order of the calls.

    Raises:
        ValueError: if the deadline is negative, or the limit is not above 0.
        TypeError: if one of the calls is no coroutine.
    """
    several: list[Any] = []
    try:
        several += calls[0] if len(calls) == 1 else calls
        todo: _Calls[int, Any] = _Calls(dict(enumerate(several)), deadline, limit, needs_all=True)
        ended: dict[int, Outcome[Any]] = {}
        with _waiting_for(todo.together):
            async with trio.open_nursery() as nursery:
                todo.start(nursery, ended.__setitem__)
    finally:
        _close(several or calls)
    return tuple(ended[index] for index in range(len(several)))


@overload
def select(  # type: ignore[overload-overlap]  # a table whose keys are coroutines is a table
    calls: Mapping[K, Call[T]], /, *, deadline: float | None = ..., limit: int | None = ...
) -> AbstractAsyncContextManager[Selection[K, T]]: ...
@overload
def select(
    calls: Iterable[Call[T]], /, *, deadline: float | None = ..., limit: int | None = ...
) -> AbstractAsyncContextManager[Selection[int, T]]: ...
def select(calls: Any, /, *, deadline: float | None = None, limit: int | None = None) -> Any:
    """Make several calls at once and take their outcomes in the order in which they end.

    ::

        async with select({room: room.describe() for room in rooms}) as ended:
            async for room, outcome in ended:
                ...

    Leaving the block cancels the calls that have not ended, and waits until they have.

    Cancellation: cancels all calls, and waits until they have ended.

    Args:
        calls: coroutines by key, or only coroutines; then the keys are their places: 0, 1, ...
        deadline: as for :func:`gather`; each call has an outcome then, too.
        limit: as for :func:`gather`.

    Raises:
        ValueError: if the deadline is negative, or the limit is not above 0.
        TypeError: if one of the calls is no coroutine.
    """
    return _select(dict(calls if isinstance(calls, Mapping) else enumerate(calls)), deadline, limit)


@asynccontextmanager
async def _select(
    calls: dict[K, Call[T]], deadline: float | None, limit: int | None
) -> AsyncIterator[Selection[K, T]]:
    failure: BaseException | None = None
    try:
        todo: _Calls[K, T] = _Calls(calls, deadline, limit, needs_all=False)
        selection: Selection[K, T] = Selection(tuple(calls), todo.together)
        async with trio.open_nursery() as nursery:
            todo.start(nursery, selection._end)
            try:
                yield selection
            except BaseException as error:
                failure = error  # raised below, without the group of the nursery around it
            nursery.cancel_scope.cancel()
    except BaseException as error:
        _, more = split_cancelled(error)
        if failure is None:
            raise
        if more is not None:
            raise BaseExceptionGroup("a block of select() and one of its calls", [failure, more]) from None
    finally:
        _close(calls.values())
    if failure is not None:
        raise failure
