"""One process of ``trionet up``: started, listened to, ended.

Duty: from a command to an exit code; whether it is started again is decided elsewhere.

Theory of operation.  A child is a process group of its own, so that Ctrl-C in a terminal reaches
``trionet up`` alone, which then stops the children in order.  Two pipes connect it with this process besides
its output (:mod:`trionet.program`): one tells how far the child is, the other holds nothing and ends with
this process, however that ends; then the child stops by itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import trio

from trionet.program import LIFELINE_FD, READY_FD

#: Seconds to wait for the rest of the output of a process that has ended, where a descendant holds the pipe.
_LAST_WORDS: Final = 1.0
#: Bytes of a line beyond which it is broken.
_LONGEST_LINE: Final = 64 * 1024


class Child:
    """One process.

    Args:
        command: the program and its arguments.
        env: variables besides those of this process.
        told: takes each line of its output.
        reported: takes each report of how far it is.
    """

    def __init__(
        self,
        command: list[str],
        env: Mapping[str, str],
        told: Callable[[str], None],
        reported: Callable[[dict[str, Any]], None],
    ) -> None:
        self._command = command
        self._env = env
        self._told = told
        self._reported = reported
        self._process: trio.Process | None = None
        self._unwanted: signal.Signals | None = None

    async def run(self) -> int:
        """Start the process and wait for its end.

        Cancellation: kills it.

        Returns:
            The exit code; if a signal ended it, the number of the signal, negative.

        Raises:
            OSError: if it cannot be started.
        """
        ready, ready_end = os.pipe()
        lifeline_end, lifeline = os.pipe()
        try:
            self._process = await self._start(ready_end, lifeline_end)
        except BaseException:
            os.close(ready)
            os.close(lifeline)
            raise
        finally:
            os.close(ready_end)
            os.close(lifeline_end)
        try:
            if self._unwanted is not None:
                self._process.send_signal(self._unwanted)
            return await self._serve(self._process, trio.lowlevel.FdStream(ready))
        finally:
            os.close(lifeline)
            self._process = None

    async def _start(self, ready_end: int, lifeline_end: int) -> trio.Process:
        return await trio.lowlevel.open_process(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                **self._env,
                READY_FD: str(ready_end),
                LIFELINE_FD: str(lifeline_end),
            },
            pass_fds=(ready_end, lifeline_end),
            process_group=0,
        )

    async def _serve(self, process: trio.Process, reports: trio.abc.ReceiveStream) -> int:
        assert process.stdout is not None
        async with process.stdout, reports, trio.open_nursery() as nursery:
            output_over, reports_over = trio.Event(), trio.Event()
            nursery.start_soon(self._read_output, process.stdout, output_over)
            nursery.start_soon(self._read_reports, reports, reports_over)
            try:
                await process.wait()
            finally:
                _kill_group(process)
                with trio.CancelScope(shield=True):
                    code = await process.wait()
            with trio.move_on_after(_LAST_WORDS):
                await output_over.wait()
                await reports_over.wait()
            nursery.cancel_scope.cancel()
        return code

    def terminate(self) -> None:
        """Ask the process to stop in order, also one that is just being started."""
        self._unwanted = signal.SIGTERM
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End the process, and what it has started, at once; also one that is just being started."""
        self._unwanted = signal.SIGKILL
        if self._process is not None:
            _kill_group(self._process)

    async def _read_output(self, stream: trio.abc.ReceiveStream, over: trio.Event) -> None:
        async for line in _lines(stream):
            self._told(line)
        over.set()

    async def _read_reports(self, stream: trio.abc.ReceiveStream, over: trio.Event) -> None:
        async for line in _lines(stream):
            with suppress(ValueError):
                report = json.loads(line)
                if isinstance(report, dict):
                    self._reported(report)
        over.set()


def _kill_group(process: trio.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    """The lines of a stream; the last may lack its end, an endless one is broken."""
    rest = b""
    async for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield _text(line)
        while len(rest) > _LONGEST_LINE:
            yield _text(rest[:_LONGEST_LINE])
            rest = rest[_LONGEST_LINE:]
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")
