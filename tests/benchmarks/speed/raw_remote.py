"""The least that raw Trio needs for the work of W5 to W7: frames with a length before them, over TCP.

Run as a module it is the other process, which sends frames back, or counts them.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import outcome
import trio

from tests.benchmarks.speed.far import open_far, run_far
from tests.benchmarks.speed.timing import Stopwatch, latencies
from tests.benchmarks.speed.workload import Figures

#: Messages that are written at once (W7).
JOINED: Final = 256
_LENGTH: Final = struct.Struct("!I")
#: What the dialer wants: every frame back, or a frame when so many have come.
_ECHO, _COUNT = 0, 1
_GREETING: Final = struct.Struct("!BQ")
_READ: Final = 256 * 1024


def frame(payload: bytes) -> bytes:
    """A message on the wire."""
    return _LENGTH.pack(len(payload)) + payload


def scan(buffer: bytearray) -> tuple[int, int]:
    """Parse; tells how many whole frames there are, and where the last of them ends."""
    unpack, size = _LENGTH.unpack_from, len(buffer)
    count = at = 0
    while at + 4 <= size:
        end = at + 4 + unpack(buffer, at)[0]
        if end > size:
            break
        at = end
        count += 1
    return count, at


async def _receive(stream: trio.SocketStream, buffer: bytearray) -> tuple[int, bytearray]:
    """Wait for at least one whole frame; returns how many there are, and their bytes."""
    while True:
        count, end = scan(buffer)
        if count:
            whole = buffer[:end]
            del buffer[:end]
            return count, whole
        data = await stream.receive_some(_READ)
        if not data:
            raise trio.EndOfChannel
        buffer += data


# --- the other process -------------------------------------------------------------------------------


async def _serve(stream: trio.SocketStream) -> None:
    buffer = bytearray()
    while len(buffer) < _GREETING.size:
        buffer += await stream.receive_some(_READ)
    wish, expected = _GREETING.unpack_from(buffer)
    del buffer[: _GREETING.size]
    try:
        while wish == _ECHO:
            await stream.send_all((await _receive(stream, buffer))[1])
        while expected:
            expected -= (await _receive(stream, buffer))[0]
        await stream.send_all(frame(b"all"))
    except trio.EndOfChannel:
        pass


async def _listen() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listener.socket.getsockname()[1], flush=True)
    await trio.serve_listeners(_serve, [listener])


# --- this process ------------------------------------------------------------------------------------


@asynccontextmanager
async def _connected(port: str, wish: int, expected: int = 0) -> AsyncIterator[trio.SocketStream]:
    async with await trio.open_tcp_stream("127.0.0.1", int(port)) as stream:
        await stream.send_all(_GREETING.pack(wish, expected))
        yield stream


async def _ask(stream: trio.SocketStream, message: bytes, rounds: int) -> list[float]:
    buffer = bytearray()
    stamps = [time.perf_counter()]
    for _ in range(rounds):
        await stream.send_all(message)
        if (await _receive(stream, buffer))[1] != message:
            raise AssertionError("a wrong answer")
        stamps.append(time.perf_counter())
    return stamps


async def call(size: int, payload: int) -> Figures:
    """An echo, one at a time."""
    message = frame(bytes(payload))
    async with open_far("raw_remote") as port, _connected(port, _ECHO) as stream:
        await _ask(stream, message, size // 10)
        watch = Stopwatch()
        stamps = await _ask(stream, message, size)
        return watch.figures(size) | latencies(stamps)


class _Shared:
    """A stream that many tasks ask through: each parks for its answer, writes are joined."""

    def __init__(self, stream: trio.SocketStream, message: bytes) -> None:
        self._stream = stream
        self._message = message
        self._queued = 0
        self._writer: trio.lowlevel.Task | None = None
        self._askers: deque[trio.lowlevel.Task] = deque()

    async def write(self) -> None:
        """Send what is queued, all of it at once."""
        while True:
            if not self._queued:
                self._writer = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._leave)
            count, self._queued = self._queued, 0
            await self._stream.send_all(self._message * count)

    def _leave(self, _: object) -> trio.lowlevel.Abort:
        self._writer = None
        return trio.lowlevel.Abort.SUCCEEDED

    async def read(self) -> None:
        """Hand out the answers in the order of the questions."""
        buffer, size = bytearray(), len(self._message)
        while True:
            count, answers = await _receive(self._stream, buffer)
            for at in range(0, count * size, size):
                answer = outcome.Value(bytes(answers[at : at + size]))
                trio.lowlevel.reschedule(self._askers.popleft(), answer)

    async def ask(self, rounds: int) -> None:
        """Ask so often, one after the other."""
        me = trio.lowlevel.current_task()
        for _ in range(rounds):
            self._queued += 1
            self._askers.append(me)
            writer, self._writer = self._writer, None
            if writer is not None:
                trio.lowlevel.reschedule(writer)
            if await trio.lowlevel.wait_task_rescheduled(_never) != self._message:
                raise AssertionError("a wrong answer")

    async def ask_all(self, size: int, concurrent: int) -> Figures:
        """Ask by so many tasks."""
        each = size // concurrent
        watch = Stopwatch()
        async with trio.open_nursery() as nursery:
            for _ in range(concurrent):
                nursery.start_soon(self.ask, each)
        return watch.figures(each * concurrent)


def _never(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED


async def calls(size: int, payload: int, concurrent: int) -> Figures:
    """An echo for many tasks, with joined writes."""
    async with (
        open_far("raw_remote") as port,
        _connected(port, _ECHO) as stream,
        trio.open_nursery() as nursery,
    ):
        shared = _Shared(stream, frame(bytes(payload)))
        nursery.start_soon(shared.write)
        nursery.start_soon(shared.read)
        await shared.ask_all(size // 10, concurrent)
        figures = await shared.ask_all(size, concurrent)
        nursery.cancel_scope.cancel()
    return figures


async def one_way(size: int, payload: int) -> Figures:
    """Frames, many with one ``send_all``, until the other process has counted all."""
    message = frame(bytes(payload))
    async with open_far("raw_remote") as port, _connected(port, _COUNT, size) as stream:
        buffer = bytearray()
        watch = Stopwatch()
        for sent in range(0, size, JOINED):
            await stream.send_all(message * min(JOINED, size - sent))
        await _receive(stream, buffer)
        return watch.figures(size)


if __name__ == "__main__":
    run_far(_listen)
