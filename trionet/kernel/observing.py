"""Measuring handlers where that is asked for: for spans of call chains, and for the profile.

Duty: know when each handler begins, holds the event loop, waits and ends, without a trace of it on the way
of messages where nothing is asked for.

Theory of operation.  A service finds the code of a command in the table of its class, and puts messages into
its inbox.  On a node that observes, :meth:`Observer.attach` gives each new service another table, whose
commands are the same but for a function around their own, and an inbox that notes when a message came.  On
any other node nothing is different.

The steps of handlers can be within one another, where a message is handled before its sender goes on.  The
time of the inner one is taken off the outer one, as the kernel does it for services.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import trio

from trionet.errors import printable, text_of
from trionet.kernel.context import handling
from trionet.kernel.exceptions import split_cancelled
from trionet.kernel.inbox import Inbox
from trionet.kernel.profile import CommandStatistics, Figures
from trionet.kernel.spans import Span, Spans
from trionet.kernel.traces import LARGEST_ID, SPAN_BITS, id_of

if TYPE_CHECKING:
    from trionet.config import NodeConfig
    from trionet.kernel.actor import Actor
    from trionet.kernel.declaration import Declaration
    from trionet.kernel.request import Request
    from trionet.kernel.seams import Seams
    from trionet.kernel.service import Service

#: Characters of an error that a span keeps.
LONGEST_ERROR: Final = 200


class TimedInbox(Inbox):
    """An inbox that notes when a message came."""

    __slots__ = ()

    def put(self, request: Request) -> None:
        """Take a message without regard to the bound."""
        request.queued_at = trio.current_time()
        super().put(request)


class Observer:
    """What a node knows of its handlers, where it observes them.

    Args:
        config: says what is to be known.
        seams: clocks, and chance for ids.

    Attributes:
        spans: of recorded chains; None if none are recorded.
        current: the handler whose step runs.
    """

    def __init__(self, config: NodeConfig, seams: Seams) -> None:
        self.spans: Spans | None = Spans(config.trace.spans, seams.random) if config.trace.records else None
        self.profiles: bool = config.profile
        self.node_name: str = config.name
        self.stopwatch: Callable[[], float] = seams.stopwatch
        self.time_of_day: Callable[[], float] = seams.time_of_day
        self.current: Handling | None = None
        self._tables: dict[type[Service], dict[str, Declaration]] = {}
        self._figures: dict[tuple[str, str], Figures] = {}

    def attach(self, actor: Actor) -> None:
        """Observe a service that has not begun yet."""
        cls = actor.spec.cls
        table = self._tables.get(cls)
        if table is None:
            where = f"{cls.__module__}:{cls.__qualname__}"
            table = {name: self._observed(each, where) for name, each in cls.__trionet_commands__.items()}
            self._tables[cls] = table
        actor.commands = table
        actor.inbox = TimedInbox(actor.inbox.limit)

    def _observed(self, declared: Declaration, where: str) -> Declaration:
        """The same command, with a function around its own."""
        figures = self._figures.setdefault((where, declared.name), Figures())
        around = _begin_coroutine if declared.is_async else _run_plain
        made = copy.copy(declared)
        made.function = partial(around, self, figures, declared.function)
        return made

    def wants(self, request: Request) -> bool:
        """Tell whether anything is to be known of a handler."""
        return self.profiles or (request.trace > LARGEST_ID and self.spans is not None)

    def profile(self) -> tuple[CommandStatistics, ...]:
        """The figures of all commands that were handled, those that held the event loop longest first."""
        told = [figures.told(*key) for key, figures in self._figures.items() if figures.calls]
        return tuple(sorted(told, key=lambda each: (-each.cpu_time, each.service_class, each.command)))


class Handling:
    """One handler that is observed, from its beginning to its end."""

    __slots__ = (
        "_began",
        "_cpu",
        "_figures",
        "_nested",
        "_observer",
        "_parent",
        "_request",
        "_span",
        "_start",
        "_waited",
    )

    def __init__(self, observer: Observer, figures: Figures, request: Request) -> None:
        self._observer = observer
        self._figures = figures
        self._request = request
        self._cpu = self._nested = 0.0
        self._began = trio.current_time()
        self._waited = max(0.0, self._began - request.queued_at)
        self._span = self._parent = 0
        self._start = 0.0
        trace = request.trace
        if trace > LARGEST_ID and observer.spans is not None:
            self._start = observer.time_of_day()
            self._parent = trace & LARGEST_ID
            self._span = observer.spans.begin(self)
            request.trace = id_of(trace) << SPAN_BITS | self._span  # what it calls and sends is within it

    def step(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run the handler up to where it waits, or to its end."""
        observer = self._observer
        outer, observer.current = observer.current, self
        self._nested = 0.0
        began = observer.stopwatch()
        try:
            return function(*args, **kwargs)
        finally:
            spent = observer.stopwatch() - began
            self._cpu += spent - self._nested
            observer.current = outer
            if outer is not None:
                outer._nested += spent

    def end(self, error: BaseException | None = None) -> None:
        """The handler has ended."""
        observer = self._observer
        cancelled = error is not None and split_cancelled(error) == (True, None)
        if observer.profiles:
            wall = trio.current_time() - self._began
            failed = error is not None and not cancelled
            self._figures.add(self._waited, wall, self._cpu, failed=failed, cancelled=cancelled)
        if self._span and observer.spans is not None:
            observer.spans.end(self._tell(self._cut() if cancelled else _text(error), running=False))

    def _cut(self) -> str:
        cut = self._request.cut
        return "cancelled" if cut is None else f"cancelled: {cut.value}"

    # as long as it runs

    @property
    def trace(self) -> int:
        """The number of its chain."""
        return self._request.trace

    def span(self) -> Span:
        """What is known of it so far."""
        return self._tell(None, running=True)

    def _tell(self, error: str | None, *, running: bool) -> Span:
        request = self._request
        actor = request.target
        return Span(
            id_of(request.trace),
            self._span,
            self._parent,
            self._observer.node_name,
            actor.handle,
            actor.label,
            request.command,
            self._start,
            self._waited,
            trio.current_time() - self._began,
            self._cpu,
            error,
            running,
        )


class ObservedCoroutine(Coroutine[Any, Any, Any]):
    """The coroutine of a handler, measured step by step."""

    __slots__ = ("_handling", "_inner")

    def __init__(self, inner: Coroutine[Any, Any, Any], handling: Handling) -> None:
        self._inner = inner
        self._handling = handling

    def send(self, value: Any, /) -> Any:
        """Run the next step."""
        return self._step(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        """Run the next step, which begins with an exception."""
        return self._step(self._inner.throw, *error)

    def _step(self, step: Callable[..., Any], *args: Any) -> Any:
        try:
            return self._handling.step(step, *args)
        except StopIteration:
            self._handling.end()
            raise
        except BaseException as error:
            self._handling.end(error)
            raise

    def close(self) -> None:
        """End the coroutine where it stands."""
        if self.cr_frame is not None:
            self._inner.close()
            self._handling.end(GeneratorExit())

    def __await__(self) -> Any:
        """Handlers are driven step by step and never awaited."""
        raise TypeError("a handler cannot be awaited")

    # for who looks where it stands

    @property
    def cr_frame(self) -> FrameType | None:
        """The frame of the handler."""
        return getattr(self._inner, "cr_frame", None)

    @property
    def cr_await(self) -> Any:
        """What the handler awaits."""
        return getattr(self._inner, "cr_await", None)


def _text(error: BaseException | None) -> str | None:
    if error is None:
        return None
    return printable(f"{type(error).__name__}: {text_of(error)}"[:LONGEST_ERROR])


def _current() -> Request:
    request = handling.get()
    assert request is not None
    return request


def _run_plain(
    observer: Observer,
    figures: Figures,
    function: Callable[..., Any],
    instance: object,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    request = _current()
    if not observer.wants(request):
        return function(instance, *args, **kwargs)
    handler = Handling(observer, figures, request)
    try:
        result = handler.step(function, instance, *args, **kwargs)
    except BaseException as error:
        handler.end(error)
        raise
    handler.end()
    return result


def _begin_coroutine(
    observer: Observer,
    figures: Figures,
    function: Callable[..., Any],
    instance: object,
    /,
    *args: Any,
    **kwargs: Any,
) -> Coroutine[Any, Any, Any]:
    request = _current()
    if not observer.wants(request):
        return function(instance, *args, **kwargs)  # type: ignore[no-any-return]
    handler = Handling(observer, figures, request)
    try:
        inner = function(instance, *args, **kwargs)
    except BaseException as error:
        handler.end(error)
        raise
    return ObservedCoroutine(inner, handler)


#: The code that calls the functions of commands: what comes from none of their frames is about the message.
CALLERS: Final = (_run_plain.__code__, _begin_coroutine.__code__, Handling.step.__code__)
