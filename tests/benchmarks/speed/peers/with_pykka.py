"""Pykka, actors with a thread each: W1 to W4."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pykka

from tests.benchmarks.speed.timing import Stopwatch, latencies, resident
from tests.benchmarks.speed.workload import Figures


class Counter(pykka.ThreadingActor):
    """Counts what it gets."""

    def __init__(self, expected: int, done: threading.Event) -> None:
        super().__init__()
        self.expected = expected
        self.seen = 0
        self.done = done

    def on_receive(self, message: Any) -> None:
        """Count."""
        self.seen += 1
        if self.seen == self.expected:
            self.done.set()


class Worker(pykka.ThreadingActor):
    """Does what it is told, in its own thread."""

    def on_receive(self, message: Callable[[], Any]) -> Any:
        """Do it."""
        return message()


class Echo(pykka.ThreadingActor):
    """Answers."""

    def on_receive(self, message: Any) -> Any:
        """Send it back."""
        return message


def one_way(size: int) -> Figures:
    """One actor tells another one."""
    done = threading.Event()
    counter = Counter.start(size, done)
    sender = Worker.start()

    def send() -> None:
        for number in range(size):
            counter.tell(number)

    watch = Stopwatch()
    sender.ask(send)
    done.wait()
    figures = watch.figures(size)
    pykka.ActorRegistry.stop_all()
    return figures


def _ask(echo: Any, rounds: int) -> list[float]:
    stamps = [time.perf_counter()]
    for number in range(rounds):
        if echo.ask(number) != number:
            raise AssertionError("a wrong answer")
        stamps.append(time.perf_counter())
    return stamps


def call(size: int) -> Figures:
    """One actor asks another one, in sequence."""
    echo, caller = Echo.start(), Worker.start()
    caller.ask(lambda: _ask(echo, size // 10))
    watch = Stopwatch()
    stamps: list[float] = caller.ask(lambda: _ask(echo, size))
    figures = watch.figures(size)
    pykka.ActorRegistry.stop_all()
    return figures | latencies(stamps)


def calls(size: int, concurrent: int) -> Figures:
    """Many actors ask one."""
    echo = Echo.start()
    callers = [Worker.start() for _ in range(concurrent)]
    each = size // concurrent
    watch = Stopwatch()
    pykka.get_all([caller.ask(lambda: _ask(echo, each), block=False) for caller in callers])
    figures = watch.figures(each * concurrent)
    pykka.ActorRegistry.stop_all()
    return figures


def lives(size: int) -> Figures:
    """Start actors and stop them."""
    whole = Stopwatch()
    actors = [Echo.start() for _ in range(size)]
    start, watch = size / whole.seconds(), Stopwatch()
    for actor in actors:
        actor.stop()
    return whole.figures(size) | {"start": start, "stop": size / watch.seconds()}


def memory(size: int) -> Figures:
    """Memory of an idle actor."""
    before = resident()
    for _ in range(size):
        Echo.start()
    held = resident() - before
    pykka.ActorRegistry.stop_all()
    return {"memory": held / size / 1024}
