"""The other process of a remote workload: it says where it listens, and ends with who started it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from subprocess import PIPE
from typing import Any

import trio


def _words(module: str, arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", f"tests.benchmarks.speed.{module}", *arguments]


# --- with Trio ---------------------------------------------------------------------------------------


@asynccontextmanager
async def open_far(module: str, *arguments: str) -> AsyncIterator[str]:
    """Start ``tests.benchmarks.speed.MODULE`` as a process; gives the first line that it says.

    Raises:
        RuntimeError: if it ended without a word.
    """
    process = await trio.lowlevel.open_process(_words(module, arguments), stdin=PIPE, stdout=PIPE)
    try:
        yield await _first_line(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _first_line(process: trio.Process) -> str:
    assert process.stdout is not None
    said = b""
    while not said.endswith(b"\n"):
        more = await process.stdout.receive_some()
        if not more:
            raise RuntimeError("the other process ended before it was ready")
        said += more
    return said.decode().strip()


async def _until_alone(scope: trio.CancelScope) -> None:
    async with trio.lowlevel.FdStream(sys.stdin.fileno()) as stream:
        while await stream.receive_some():
            pass
    scope.cancel()


async def _attended(serve: Callable[..., Awaitable[Any]], arguments: tuple[str, ...]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_alone, nursery.cancel_scope)
        await serve(*arguments)


def run_far(serve: Callable[..., Awaitable[Any]], *arguments: str) -> None:
    """Run the other process: ``serve`` prints the line and serves until this process is ended."""
    trio.run(_attended, serve, arguments)


# --- for peers, which do without Trio ----------------------------------------------------------------


@contextmanager
def far_of_peer(module: str, *arguments: str) -> Iterator[str]:
    """As :func:`open_far`; it blocks until the other process has said its first line."""
    process = subprocess.Popen(_words(module, arguments), stdin=PIPE, stdout=PIPE)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()
    finally:
        process.kill()
        process.wait()


def end_when_alone() -> None:
    """In the other process of a peer: end with who started it."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
