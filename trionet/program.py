"""The entry for programs: one node in one Trio run, stopped by signals.

Duty: from ``main`` to an exit code, with SIGINT and SIGTERM in between (C13).
May import: the kernel and the values.

Theory of operation.  One handler serves both signals from first to last, and what it does depends on the
stage.  Before Trio runs it raises KeyboardInterrupt, which ends the loading of a script.  While Trio runs it
only counts and wakes the event loop, so no code is ever interrupted at a random place; the count is read
when the loop can act, so that a signal between two stages is not lost.  The second signal also restores
what the system does by default: if the loop is held by code that never ends, the third one ends the process.
"""

from __future__ import annotations

import enum
import inspect
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, Self, TypeVarTuple, overload

import trio

from trionet.config import NodeConfig
from trionet.kernel.node import Node, open_node

Ts = TypeVarTuple("Ts")

EXIT_OK: Final = 0
EXIT_CRASH: Final = 1
EXIT_USAGE: Final = 2
#: EX_TEMPFAIL: the node stopped, but something had to be cut off.
EXIT_CUT_OFF: Final = 75

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_log: Final = logging.getLogger("trionet.run")


class Stage(enum.Enum):
    """How far a program has come, as far as signals are concerned."""

    LOADING = "loading"
    RUNNING = "running"


class StopSignals:
    """SIGINT and SIGTERM, counted; a context manager that leaves the handlers as it found them.

    In a thread other than the main one it does nothing, as signals do not arrive there.

    Args:
        stage: LOADING raises KeyboardInterrupt at a signal, RUNNING does not.

    Attributes:
        count: the signals that arrived.
        last: the last of them.
    """

    def __init__(self, stage: Stage = Stage.RUNNING) -> None:
        self.stage = stage
        self.count = 0
        self.last = signal.SIGINT
        self._act: Callable[[str], None] | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        with suppress(ValueError):  # not the main thread
            for each in _SIGNALS:
                self._previous[each] = signal.signal(each, self._received)
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._previous.items():
            signal.signal(each, handler)
        self._previous.clear()

    def leave_for_good(self) -> None:
        """Let the system's default end the process from now on, quietly; nothing is left to stop."""
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        for each in self._previous:
            signal.signal(each, signal.SIG_DFL)
        self._previous.clear()

    @contextmanager
    def telling(self, act: Callable[[str], None]) -> Iterator[None]:
        """Tell each signal to a function in the event loop; one that came before is told at once.

        Args:
            act: takes the signal's name; :attr:`count` says how many there were.
        """
        self._token, self._act = trio.lowlevel.current_trio_token(), act
        try:
            if self.count:
                act(self.last.name)
            yield
        finally:
            self._token = self._act = None

    def _received(self, number: int, _: FrameType | None) -> None:
        self.count += 1
        self.last = signal.Signals(number)
        if self.count > 1:
            for each in self._previous:
                signal.signal(each, signal.SIG_DFL)
        if self.stage is Stage.LOADING:
            raise KeyboardInterrupt
        if self._token is not None:
            self._token.run_sync_soon(self._tell, self.last.name)

    def _tell(self, name: str) -> None:
        if self._act is not None:
            self._act(name)


class _Program:
    """The node of one run, and how a signal ends it."""

    def __init__(self, stops: StopSignals) -> None:
        self.stops = stops
        self.node: Node | None = None
        self.everything = trio.CancelScope()
        self.body = trio.CancelScope()
        self._aborted: list[str] = []

    async def serve(
        self, main: Callable[..., Awaitable[object]], args: tuple[Any, ...], config: NodeConfig
    ) -> None:
        """Open the node and run ``main``."""
        with self.stops.telling(self.stop), self.everything:
            async with open_node(config) as node:
                self.node = node
                with self.body:
                    if not self.stops.count:
                        await _called(main, node, args)

    def stop(self, name: str) -> None:
        """Stop in order at the first signal, cancel everything at the second."""
        if self.stops.count == 1:
            _log.info("%s: stopping; a second one cancels at once", name)
            self.body.cancel()
            if self.node is not None:
                self.node.shutdown()
            return
        _log.warning("%s: cancelling at once", name)
        if self.node is not None and not self._aborted:
            self._aborted = [
                actor.describe() for actor in self.node.actors.values() if actor.has_things_to_do()
            ]
            self.node.abort()
        self.everything.cancel()

    def cut_off(self) -> list[str]:
        """What had to be cut off, by the deadline or by the second signal."""
        by_deadline = () if self.node is None else self.node.cut_off
        return [*by_deadline, *self._aborted]


def _called(main: Callable[..., Awaitable[object]], node: Node, args: tuple[Any, ...]) -> Awaitable[object]:
    awaitable = main(node, *args)
    if not inspect.isawaitable(awaitable):
        raise TypeError(f"main returned {awaitable!r}; it must be an async function")
    return awaitable


def run_node(
    main: Callable[..., Awaitable[object]], args: tuple[Any, ...], config: NodeConfig, stops: StopSignals
) -> int:
    """Run a node until ``main`` returns or a signal stops it; what had to be cut off is logged.

    Returns:
        The exit code: 0, or 75 if something had to be cut off.

    Raises:
        Exception: what ``main`` raised.
    """
    program = _Program(stops)
    stops.stage = Stage.RUNNING
    trio.run(program.serve, main, args, config)
    cut_off = program.cut_off()
    if not cut_off:
        return EXIT_OK
    _log.error("stopped, but this had to be cut off: %s", "; ".join(cut_off))
    return EXIT_CUT_OFF


@overload
def run(main: Callable[[Node], Awaitable[object]], config: NodeConfig = ...) -> None: ...
@overload
def run(
    main: Callable[[Node, *Ts], Awaitable[object]],
    config: NodeConfig = ...,
    *,
    args: tuple[*Ts],
) -> None: ...
def run(
    main: Callable[..., Awaitable[object]],
    config: NodeConfig = NodeConfig(),  # noqa: B008 - frozen
    *,
    args: tuple[Any, ...] = (),
) -> None:
    """Run a node in a Trio run of its own until ``main`` returns or a signal stops it.

    SIGINT or SIGTERM cancels ``main`` and stops the node in order; a second one cancels everything at once;
    a third one ends the process.  In a thread other than the main one, signals are left alone.

    Args:
        main: called as ``await main(node, *args)``; when it returns, the node stops.
        config: the node's settings.
        args: more arguments for ``main``.

    Raises:
        SystemExit: with code 75 if something had to be cut off at the end of ``stop_grace`` or by a second
            signal; the list is logged as errors of the logger ``trionet.run``.
        Exception: what ``main`` raised, after the node stopped.
    """
    with StopSignals() as stops:
        code = run_node(main, args, config, stops)
    if code:
        raise SystemExit(code)
