"""Replies that a handler leaves for later (C7)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import trio

from trionet.errors import NoReply
from trionet.kernel.context import handling
from trionet.kernel.outcomes import portable
from trionet.kernel.request import DEFERRED, RUNNING
from trionet.message import snapshot

if TYPE_CHECKING:
    from trionet.kernel.request import Request


class Reply:
    """The reply to a call whose handler has deferred it; made by :func:`defer`.

    Exactly one of :meth:`ok` and :meth:`fail` counts.  A reply that is dropped without an answer fails
    the call with :exc:`~trionet.NoReply`; one that is still open when its service has ended fails it
    with :exc:`~trionet.ServiceExited`.
    """

    def __init__(self, request: Request) -> None:
        self._request = request

    @property
    def is_open(self) -> bool:
        """Whether the caller still waits; always False for a message that was sent one-way."""
        return _is_open(self._request)

    def ok(self, value: Any = None) -> bool:
        """Answer the call.

        Returns:
            False if nobody waited any more.

        Raises:
            BadMessage: if ``value`` holds what is no value; the call stays open.
        """
        node = self._request.target.node
        copied, checks = snapshot(value, "result", node.limits, node.resolve_reference)
        if not _close(self._request):
            return False
        self._request.succeed(copied, checks)
        return True

    def fail(self, error: Exception) -> bool:
        """Fail the call: a declared exception travels as itself, any other as ``RemoteError``.

        Returns:
            False if nobody waited any more.
        """
        node = self._request.target.node
        if not _close(self._request):
            return False
        self._request.fail(portable(error, node))
        return True

    def __del__(self) -> None:
        """It was dropped; the collector of a circle that it was in may run in any thread."""
        token = self._request.target.node.token
        if _is_here(token):
            _dropped(self._request)
        else:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(_dropped, self._request)


def _is_here(token: trio.lowlevel.TrioToken) -> bool:
    """Tell whether this is the thread of a node's event loop."""
    try:
        return trio.lowlevel.current_trio_token() is token
    except RuntimeError:
        return False


def _is_open(request: Request) -> bool:
    return request.state is DEFERRED and not request.one_way


def _close(request: Request) -> bool:
    """The reply of a request was given, or never will be; tells whether anybody waits for it."""
    if request.target.deferred is not None:
        request.target.deferred.pop(request, None)
    return _is_open(request)


def _dropped(request: Request) -> None:
    """Nobody can answer a request any more."""
    if _close(request):
        text = f"{request.command} of {request.target.describe()} dropped its deferred reply"
        request.fail(NoReply(text, executed=True))


def _runs(request: Request) -> bool:
    """Tell whether the handler runs, also one that is a plain function."""
    actor = request.target
    return request is actor.node.current or request in actor.handlers


def defer() -> Reply:
    """Take the reply of the current call into one's own hands; what the handler returns is ignored.

    The slot of the handler is free again when the handler returns.  The call ends when the reply is
    given; when its caller goes away meanwhile, ``is_open`` becomes False.

    Raises:
        RuntimeError: outside a handler, or when the reply was deferred already.
    """
    request = handling.get()
    if request is None or not _runs(request):
        raise RuntimeError("defer() is for handlers, while they run")
    if request.is_stream:
        raise RuntimeError(f"{request.command} is a stream: its reply is the end of the generator")
    if request.state is not RUNNING:
        raise RuntimeError(f"the reply of {request.command} was deferred already")
    actor = request.target
    request.state = DEFERRED
    if request.cut is not None:
        request.cancelled()  # its caller waits for nothing but the end of this handler
    if actor.deferred is None:
        actor.deferred = {}
    actor.deferred[request] = None
    return Reply(request)
