"""Accepting connections: a hostile peer can cost its own link, nothing else (C14).

Duty: listen, bound the handshakes under way, give each connection its own task.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import trio

from trionet.net.greeting import GreetingFailed
from trionet.net.transport import Connection, Listener
from trionet.wire.agreement import Verdict

_log = logging.getLogger("trionet.net")

#: Seconds to wait when the process has no file descriptor left for another connection.
_BREATHE: Final = 0.1
#: Connections that came to nothing of which a second's log tells one by one.
_COMPLAINTS: Final = 10
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Accepts connections at one address.

    Args:
        listener: where they arrive; closed at the end.
        serve: given a connection and what must be called when its handshake is over; serves it to its end.
        most: handshakes that may be under way; the oldest is dropped for one more.
        timeout: seconds that a handshake may take.
    """

    def __init__(
        self,
        listener: Listener,
        serve: Callable[[Connection, Callable[[], None]], Awaitable[None]],
        most: int,
        timeout: float,
    ) -> None:
        self._listener = listener
        self._serve = serve
        self._most = most
        self._timeout = timeout
        self._half_open: dict[trio.CancelScope, None] = {}
        self._complaints = _Complaints(logging.WARNING)
        self._remarks = _Complaints(logging.INFO)

    async def run(self) -> NoReturn:
        """Accept until cancelled; then every connection ends.

        Raises:
            OSError: if the listener breaks.
        """
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    connection = await self._accept()
                    nursery.start_soon(self._welcome, connection)
        finally:
            with trio.CancelScope(shield=True):
                await self._listener.aclose()

    async def _accept(self) -> Connection:
        while True:
            try:
                return await self._listener.accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                _log.error("cannot accept connections: %s", error)
                await trio.sleep(_BREATHE)

    async def _welcome(self, connection: Connection) -> None:
        if len(self._half_open) >= self._most:
            next(iter(self._half_open)).cancel()
        with trio.CancelScope(deadline=trio.current_time() + self._timeout) as scope:
            self._half_open[scope] = None

            def done() -> None:
                self._half_open.pop(scope, None)
                scope.deadline = float("inf")

            try:
                await self._serve(connection, done)
            except GreetingFailed as error:
                self._note(connection, error)
            finally:
                self._half_open.pop(scope, None)
                await trio.aclose_forcefully(connection.stream)
        if scope.cancelled_caught:
            self._complaints.add(f"a connection from {connection.remote} did not finish its handshake")

    def _note(self, connection: Connection, error: GreetingFailed) -> None:
        """Tell why a connection came to nothing: nodes that stop, or looks at the port, are no news."""
        text = f"a connection from {connection.remote} was refused: {error}"
        if error.verdict is Verdict.SILENT:
            _log.debug("%s", text)
        elif error.verdict is Verdict.UNCLEAR:
            self._remarks.add(text)
        else:
            self._complaints.add(text)


class _Complaints:
    """Log lines about connections that came to nothing: some a second, the others are counted.

    Args:
        level: that of the lines.
    """

    def __init__(self, level: int) -> None:
        self._level = level
        self._second = 0
        self._logged = 0
        self._muted = 0

    def add(self, text: str) -> None:
        second = int(trio.current_time())
        if second != self._second:
            if self._muted:
                _log.log(self._level, "%d more connections came to nothing", self._muted)
            self._second, self._logged, self._muted = second, 0, 0
        if self._logged >= _COMPLAINTS:
            self._muted += 1
            return
        self._logged += 1
        _log.log(self._level, "%s", text)
