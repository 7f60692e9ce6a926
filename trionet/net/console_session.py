"""One client of the console: its lines in, their replies out, in order.

Duty: the protocol of the console over one connection.

Each line of a client is a JSON object: ``{"line": "stat .greeter"}`` asks, ``{"stop": true}`` ends what was
asked before and has no end yet.  Each line of a reply is one, too; its ``reply`` is

``"hello"``: the first, with ``node``, ``harbor`` and ``version``;
``"item"``: one of several results that come one after another, in ``data``;
``"result"``: the end of a request that went well, with ``data``;
``"error"``: the end of one that did not, with ``kind`` and ``text``;
``"stopped"``: the end of one that was stopped.

Each request has exactly one end, in the order of the requests.  Requests wait while another is answered; when
16 wait, no more are read.  A client that closes its end is gone: what it asked for is cancelled.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs
import trio

from trionet.errors import RemoteError, TrionetError, printable, text_of
from trionet.wire.errors import ProtocolError
from trionet.wire.lines import LineCoder, TooLong

#: Bytes that are read at a time.
READ_SIZE: Final = 64 * 1024
#: Requests that wait while another is answered.
MOST_WAITING: Final = 16
#: Bytes of lines that are too long, after which a client is given up.
MOST_DROPPED: Final = 64 * 1024 * 1024

Say = Callable[[Any], Awaitable[None]]
#: Answers a line: returns the result, or says items one by one first; values that JSON knows.
Answer = Callable[[str, Say], Awaitable[Any]]


class BadRequest(TrionetError):
    """A line of a client that is no request."""


class _ClientGone(Exception):
    """The client reads no more."""


@attrs.frozen
class _Request:
    number: int
    line: str | None
    problem: str = ""


class ConsoleSession:
    """One client.

    Args:
        stream: the connection; whoever made it closes it.
        coder: cuts and packs its lines.
        answer: answers a line.
        line_size: bytes that a line may have, for error texts.
        write_timeout: seconds that the client may take to read a reply.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        coder: LineCoder,
        answer: Answer,
        line_size: int,
        write_timeout: float,
    ) -> None:
        self._stream = stream
        self._coder = coder
        self._answer = answer
        self._line_size = line_size
        self._write_timeout = write_timeout
        self._send, self._receive = trio.open_memory_channel[_Request](MOST_WAITING)
        self._read = 0
        self._stopped = 0
        self._current = trio.CancelScope()
        self._current_number = 0
        self._writing = False
        self._broken = False
        self._reason = "it closed the connection"

    async def run(self, hello: dict[str, Any]) -> str:
        """Serve the client until it is gone; returns why.

        Cancellation: ends the session, and what it asked for.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_on, nursery.cancel_scope)
            try:
                await self._write({"reply": "hello", **hello})
                async for request in self._receive:
                    await self._serve(request)
            except _ClientGone as error:
                self._reason = str(error)
            nursery.cancel_scope.cancel()
        return self._reason

    # --- in --------------------------------------------------------------------------------------------

    async def _read_on(self, session: trio.CancelScope) -> None:
        try:
            while True:
                while (line := self._coder.next_line()) is not None:
                    await self._take(line)
                if self._coder.dropped > MOST_DROPPED:
                    self._reason = f"it sent {self._coder.dropped} bytes in lines that are too long"
                    break
                data = await self._stream.receive_some(READ_SIZE)
                if not data:
                    break
                self._coder.receive_data(bytes(data))
        except ProtocolError as error:
            self._reason = str(error)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            self._reason = f"the connection was lost: {error.__cause__ or error}"
        session.cancel()

    async def _take(self, line: bytes | TooLong) -> None:
        request = self._parse(line)
        if request is None:
            self._stopped = self._read
            if not self._writing:
                self._current.cancel()
        else:
            self._read += 1
            await self._send.send(attrs.evolve(request, number=self._read))

    def _parse(self, line: bytes | TooLong) -> _Request | None:
        """A request, or None for a stop."""
        if isinstance(line, TooLong):
            return _Request(0, None, f"found a line of more than {self._line_size} bytes, and dropped it")
        expected = 'expected {"line": "..."} or {"stop": true}'
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            return _Request(0, None, f"found {_shown(line)}, which is no JSON, {expected}")
        match content:
            case {"line": str(text)} if len(content) == 1:
                return _Request(0, text)
            case {"stop": True} if len(content) == 1:
                return None
        return _Request(0, None, f"found {_shown(line)}, {expected}")

    # --- out -------------------------------------------------------------------------------------------

    async def _serve(self, request: _Request) -> None:
        self._current_number = request.number
        with trio.CancelScope() as self._current:
            self._stop_if_asked()
            end = await self._end_of(request)
        if self._current.cancelled_caught:
            end = {"reply": "stopped"}
        await self._write(end)

    async def _end_of(self, request: _Request) -> dict[str, Any]:
        try:
            await trio.lowlevel.checkpoint()
            if request.line is None:
                raise BadRequest(request.problem)
            data = await self._answer(request.line, self._say)
        except _ClientGone:
            raise
        except Exception as error:
            return _failure(error)
        return {"reply": "result", "data": data}

    async def _say(self, data: Any) -> None:
        await self._write({"reply": "item", "data": data})

    def _stop_if_asked(self) -> None:
        if self._current_number <= self._stopped:
            self._current.cancel()

    async def _write(self, content: dict[str, Any]) -> None:
        """Send a line; whole, also if what it belongs to is stopped meanwhile."""
        if self._broken:
            raise _ClientGone(self._reason)
        data = self._coder.pack(json.dumps(content, allow_nan=False).encode())
        self._writing = self._broken = True
        with trio.move_on_after(self._write_timeout) as scope:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                raise _ClientGone(self._reason) from error
        if scope.cancelled_caught:
            raise _ClientGone(f"it read nothing for {self._write_timeout:g} seconds")
        self._writing = self._broken = False
        self._stop_if_asked()


def _shown(line: bytes) -> str:
    text = line[:60].decode(errors="replace")
    return repr(text) if len(line) <= 60 else f"{text!r}..."


def _failure(error: Exception) -> dict[str, Any]:
    content = {
        "reply": "error",
        "kind": error.type_name if isinstance(error, RemoteError) else type(error).__qualname__,
        "text": printable(error.text if isinstance(error, RemoteError) else text_of(error)),
    }
    notes = [printable(str(each)) for each in getattr(error, "__notes__", ())]
    if isinstance(error, RemoteError) and not notes:
        notes = [printable(error.traceback_text)]
    return {**content, "notes": notes} if notes else content
