"""A small HTTP server for pages that are text, on Trio and h11.

Duty: from a connection to a page, with a limit on everything that the other end can do.
May import: Trio and h11, which the extra ``metrics`` brings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import h11
import trio

Page = Callable[[], tuple[str, bytes]]

#: Connections that are open at a time; further ones wait to be accepted.
MOST_CONNECTIONS: Final = 16
#: Seconds that a request and its answer may take together.
PATIENCE: Final = 10.0
#: Bytes of the head of a request.
MOST_HEAD: Final = 16 * 1024
_READ_SIZE: Final = 4096
#: Seconds to wait after a connection could not be accepted.
_PAUSE: Final = 0.1

_log: Final = logging.getLogger("trionet.pages")


class Pages:
    """Serves pages over HTTP/1.1, one request a connection.

    Args:
        pages: gives the content type and the body of each path, anew for each request.
    """

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        self._turns = trio.CapacityLimiter(MOST_CONNECTIONS)

    async def serve(self, listener: trio.SocketListener) -> None:
        """Serve who connects, for ever.

        Cancellation: ends all connections and the listener.

        Args:
            listener: closed at the end.
        """
        async with listener, trio.open_nursery() as nursery:
            while True:
                turn = object()
                await self._turns.acquire_on_behalf_of(turn)
                try:
                    stream = await listener.accept()
                except BaseException as error:
                    self._turns.release_on_behalf_of(turn)
                    if not isinstance(error, OSError):
                        raise
                    _log.warning("a connection could not be accepted: %s", error)
                    await trio.sleep(_PAUSE)
                else:
                    nursery.start_soon(self._serve_one, stream, turn)

    async def _serve_one(self, stream: trio.SocketStream, turn: object) -> None:
        try:
            async with stream:
                with trio.move_on_after(PATIENCE):
                    await stream.send_all(await self._answer(stream))
                    await stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            _log.debug("a reader went away: %s", error)
        finally:
            self._turns.release_on_behalf_of(turn)

    async def _answer(self, stream: trio.SocketStream) -> bytes:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD)
        try:
            request = await _next_request(stream, connection)
        except h11.RemoteProtocolError as error:
            return _response(connection, error.error_status_hint, b"found no request that is valid\n")
        return b"" if request is None else self._answer_to(request, connection)

    def _answer_to(self, request: h11.Request, connection: h11.Connection) -> bytes:
        path = request.target.split(b"?")[0].decode("ascii", "replace")
        page = self._pages.get(path)
        if page is None:
            known = ", ".join(self._pages)
            return _response(connection, 404, f"found no such page, expected {known}\n".encode())
        if request.method not in {b"GET", b"HEAD"}:
            return _response(connection, 405, b"expected GET\n", [("allow", "GET, HEAD")])
        try:
            kind, body = page()
        except Exception:
            _log.exception("%s could not be made", path)
            return _response(connection, 500, b"the page could not be made; the log says why\n")
        return _response(connection, 200, body, [("content-type", kind)], bare=request.method == b"HEAD")


async def _next_request(stream: trio.SocketStream, connection: h11.Connection) -> h11.Request | None:
    """Read the head of a request; None if the other end closed before it sent one."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(await stream.receive_some(_READ_SIZE))


def _response(
    connection: h11.Connection,
    status: int,
    body: bytes,
    headers: Iterable[tuple[str, str]] = (("content-type", "text/plain; charset=utf-8"),),
    *,
    bare: bool = False,
) -> bytes:
    """The bytes of a response; a bare one tells of its body only how long it is."""
    all_headers = [("content-length", str(len(body))), ("connection", "close"), *headers]
    events = [h11.Response(status_code=status, headers=all_headers), h11.Data(data=b"" if bare else body)]
    return b"".join(connection.send(each) or b"" for each in (*events, h11.EndOfMessage()))
