"""What can be measured of a node and its services, as frozen values (a console only prints them)."""

from __future__ import annotations

import traceback
from collections.abc import AsyncGenerator, Coroutine, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import trio

from trionet.handle import Handle
from trionet.kernel.request import DEFERRED, Request
from trionet.message import value

if TYPE_CHECKING:
    from trionet.kernel.actor import Actor


@value(name="trionet.HandlerStatistics", unknown="drop")
@attrs.frozen
class HandlerStatistics:
    """A handler that runs now.

    Args:
        command: the name of the command.
        source: who sent the message; None for code outside any service.
        since: when it first waited for something, on the clock of ``trio.current_time()``.
        abandoned: whether nobody waits for it any more.
        stack: where it waits: one line a frame, outermost first.
        age: seconds since then.
    """

    command: str
    source: Handle | None
    since: float
    abandoned: bool
    stack: tuple[str, ...]
    age: float = attrs.field(default=0.0, eq=False)


@value(name="trionet.ServiceStatistics", unknown="drop")
@attrs.frozen
class ServiceStatistics:
    """A service, measured.

    Args:
        handle: its identity.
        names: its names.
        service_class: its class, as ``module:Class``.
        life: ``"starting"``, ``"running"`` or ``"stopping"``.
        messages: messages handled since it started.
        cpu_time: seconds that its handlers held the event loop.
        inbox: messages in its inbox.
        waiting_senders: messages that wait for room in its inbox.
        running: handlers that run now.
        deferred: calls whose reply was deferred and is still waited for.
        tasks: helper tasks and handlers in its nursery.
        handlers: the handlers that run now, oldest first.
    """

    handle: Handle
    names: tuple[str, ...]
    service_class: str
    life: str
    messages: int
    cpu_time: float
    inbox: int
    waiting_senders: int
    running: int
    deferred: int
    tasks: int
    handlers: tuple[HandlerStatistics, ...]


@value(name="trionet.NodeStatistics", unknown="drop")
@attrs.frozen
class NodeStatistics:
    """A node, measured.

    Args:
        name: its name.
        harbor: its harbor id; 0 without a cluster.
        incarnation: its incarnation.
        services: how many services live on it.
        messages: messages that living services have handled.
        cpu_time: seconds that handlers of living services held the event loop.
        inbox: messages in all inboxes.
        running: handlers that run now.
        dead_letters: messages that did not arrive.
        stalls: how often a handler held the event loop for longer than the threshold.
        ended_messages: messages that services have handled which have ended since.
        ended_cpu_time: seconds that the handlers of such services held the event loop.
    """

    name: str
    harbor: int
    incarnation: int
    services: int
    messages: int
    cpu_time: float
    inbox: int
    running: int
    dead_letters: int
    stalls: int
    ended_messages: int = 0
    ended_cpu_time: float = 0.0


@value(name="trionet.LinkReport", unknown="drop")
@attrs.frozen
class LinkReport:
    """The link to another node, measured.

    Args:
        harbor: the harbor id of the other node.
        address: where it listens.
        sent: calls and sends that went onto the wire.
        unacknowledged: how many of them the other node has not acknowledged.
        arrived: calls and sends that came.
        calls: calls to the other node that have no outcome yet.
        serving: calls of the other node that have no answer yet.
        waiting: messages that wait for room in a window.
        pending_bytes: bytes that wait for the socket.
        bytes_sent: bytes that were written.
        bytes_received: bytes that were read.
        silent: seconds since something came.
        round_trip: seconds that the latest heartbeat took to the other node and back; None until two have
            been exchanged.
    """

    harbor: int
    address: str
    sent: int
    unacknowledged: int
    arrived: int
    calls: int
    serving: int
    waiting: int
    pending_bytes: int
    bytes_sent: int
    bytes_received: int
    silent: float
    round_trip: float | None = None


class Sample(NamedTuple):
    """What changes most of a service, cheap enough to be read of all of them every second.

    Args:
        messages: messages handled since it started.
        cpu_time: seconds that its handlers held the event loop.
        inbox: messages in its inbox.
    """

    messages: int
    cpu_time: float
    inbox: int


def sample(actor: Actor) -> Sample:
    """Measure what changes most."""
    return Sample(actor.messages, actor.cpu_time, actor.inbox.size)


def measure(actor: Actor) -> ServiceStatistics:
    """Measure one service."""
    cls = actor.spec.cls
    return ServiceStatistics(
        actor.handle,
        actor.names,
        f"{cls.__module__}:{cls.__qualname__}",
        actor.life.value,
        actor.messages,
        actor.cpu_time,
        actor.inbox.size,
        actor.inbox.waiting,
        len(actor.handlers),
        sum(request.state is DEFERRED for request in actor.deferred or ()),
        actor.count_tasks(),
        tuple(_handler(request) for request in actor.handlers),
    )


def _handler(request: Request) -> HandlerStatistics:
    return HandlerStatistics(
        request.command,
        request.source_handle(),
        request.since,
        request.is_abandoned(),
        tuple(stack_of(request.body())),
        trio.current_time() - request.since,
    )


def stack_of(body: Coroutine[Any, Any, Any] | AsyncGenerator[Any, Any] | None) -> Iterator[str]:
    """The lines of code where a suspended coroutine or generator and those that it awaits stand."""
    awaited: Any = body
    while awaited is not None:
        frame: FrameType | None = _attribute(awaited, "cr_frame", "gi_frame", "ag_frame")
        if frame is None:
            return
        summary = traceback.extract_stack(frame, limit=1)[0]
        yield f'File "{summary.filename}", line {summary.lineno}, in {summary.name}: {summary.line}'
        awaited = _attribute(awaited, "cr_await", "gi_yieldfrom", "ag_await")


def _attribute(thing: object, *names: str) -> Any:
    """The first of some attributes that is there and not None."""
    return next((each for name in names if (each := getattr(thing, name, None)) is not None), None)
