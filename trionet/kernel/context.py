"""Who is running: the service, the request and the branch of the current task.

Duty: three context variables and what is read from them.  A handler runs in a context of its own, and
tasks that it starts inherit it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

import attrs

from trionet.handle import Handle
from trionet.kernel.traces import text_of_trace

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor
    from trionet.kernel.request import Request
    from trionet.kernel.together import Branch

current_actor: Final[ContextVar[Actor | None]] = ContextVar("trionet.actor", default=None)
handling: Final[ContextVar[Request | None]] = ContextVar("trionet.request", default=None)
branch: Final[ContextVar[Branch | None]] = ContextVar("trionet.branch", default=None)


@attrs.frozen
class RequestInfo:
    """What a handler can know of the message that it handles.

    Args:
        source: the handle of the service that sent it, or None when code outside any service did.
        node: the incarnation of the node that it was sent from.
        session: number of the call on its node or link; 0 for a send.
        deadline: when the caller's time is over, on the clock of ``trio.current_time()``.
        trace: an id that all calls and sends of one chain share.
        command: the name of the command.
    """

    source: Handle | None
    node: int
    session: int
    deadline: float
    trace: int
    command: str


def current_request() -> RequestInfo:
    """Tell what is known of the message that the current task handles.

    Raises:
        RuntimeError: if the current task handles no message, nor was started by one that does.
    """
    request = handling.get()
    if request is None:
        raise RuntimeError("current_request() is for handlers and the tasks that they start")
    return request.info()


def current_owner_label() -> tuple[str, str, str | None] | None:
    """Who the current code belongs to, for logs; None outside of services.

    Returns:
        The handle and the name of the service, and the id of the call chain within which it runs, if any.
    """
    actor = current_actor.get()
    if actor is None:
        return None
    request = handling.get()
    return str(actor.handle), actor.label, None if request is None else text_of_trace(request.trace)
