"""ZeroMQ by pyzmq, sockets without services: W5 to W7.

Run as a module it is the other process: ``python -m tests.benchmarks.speed.peers.with_zmq ADDRESS``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from tests.benchmarks.speed.far import end_when_alone, far_of_peer
from tests.benchmarks.speed.timing import Stopwatch, latencies
from tests.benchmarks.speed.workload import Figures
from tests.ports import free_address


@contextmanager
def _connected() -> Iterator[Any]:
    address = f"tcp://{free_address()}"
    with (
        far_of_peer("peers.with_zmq", address),
        zmq.Context() as context,
        context.socket(zmq.DEALER) as socket,
    ):
        socket.connect(address)
        yield socket


def _ask(socket: Any, message: bytes, rounds: int) -> list[float]:
    stamps = [time.perf_counter()]
    for _ in range(rounds):
        socket.send(message)
        if socket.recv() != message:
            raise AssertionError("a wrong answer")
        stamps.append(time.perf_counter())
    return stamps


def call(size: int, payload: int) -> Figures:
    """An echo, one at a time."""
    with _connected() as socket:
        _ask(socket, bytes(payload), size // 10)
        watch = Stopwatch()
        stamps = _ask(socket, bytes(payload), size)
        return watch.figures(size) | latencies(stamps)


def calls(size: int, payload: int, outstanding: int) -> Figures:
    """An echo, many at a time, by one task."""
    message = bytes(payload)
    with _connected() as socket:
        watch = Stopwatch()
        for number in range(size + outstanding):
            if number < size:
                socket.send(message)
            if number >= outstanding and socket.recv() != message:
                raise AssertionError("a wrong answer")
        return watch.figures(size)


def one_way(size: int, payload: int) -> Figures:
    """Messages, until the other process has counted all."""
    message = bytes(payload)
    with _connected() as socket:
        socket.send(b"count %d" % size)
        watch = Stopwatch()
        for _ in range(size):
            socket.send(message)
        if socket.recv() != b"%d" % size:
            raise AssertionError("messages were lost")
        return watch.figures(size)


def _serve(address: str) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.bind(address)
        print("ready", flush=True)
        while True:
            message = socket.recv()
            if message.startswith(b"count "):
                expected = int(message.split()[1])
                for _ in range(expected):
                    socket.recv()
                message = b"%d" % expected
            socket.send(message)


if __name__ == "__main__":
    end_when_alone()
    _serve(sys.argv[1])
