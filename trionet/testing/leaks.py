"""The leak check: what is left on a node that has stopped all its services.

Duty: find it and say in words what it is.  It looks into the tables of the kernel, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import trio
from trio.lowlevel import Task

from trionet.kernel.calls import LocalCall
from trionet.kernel.deadlines import Deadlines
from trionet.kernel.feed import Feed
from trionet.kernel.names import NameTable
from trionet.kernel.node import Node
from trionet.kernel.producing import LocalStream
from trionet.kernel.request import Request
from trionet.kernel.single_node import SingleNode

#: The tasks that a node runs for itself, by the code of their functions.
_OWN_TASKS = {Deadlines.run.__code__}


def assert_no_leaks(node: Node) -> None:
    """Check that a node whose services have all ended is empty.

    Nothing else may be there: no task, no service, no call or send that somebody waits for, no name, nobody
    who waits for one, no watcher, no deadline, no subscriber of dead letters.  The fixture ``node`` and
    :func:`open_simulated_node` check it at their end.

    Args:
        node: a node, after ``await node.close()``.

    Raises:
        AssertionError: if something is left; the text has a line for each.
    """
    __tracebackhide__ = True
    left = find_leaks(node)
    if left:
        raise AssertionError("left on the node:\n" + "\n".join(f"  {each}" for each in left))


def find_leaks(node: Node) -> tuple[str, ...]:
    """List what is on a node, one text for each thing; empty for a node that is closed as it should be.

    Args:
        node: a node; of one that is still in use, all that is in use is listed.
    """
    return (
        *_services(node),
        *_tasks(node),
        *_names(node.local_names),
        *_global_names(node),
        *_deadlines(node),
        *_waits(node),
        *(f"the span of {each.label}.{each.command}, which ended" for each in node.spans() if each.running),
        *["a subscriber of dead letters"] * len(node.dead_letters._subscribers),
        *(f"somebody who looks at the messages of {handle}" for handle in node.taps),
    )


def _services(node: Node) -> Iterator[str]:
    listed = set()
    for actor in node.actors.values():
        listed.add(actor.handle)
        text = f"service {actor.describe()}, {actor.life.value}"
        figures = {
            "messages in its inbox": actor.inbox.size,
            "senders that wait for room": actor.inbox.waiting,
            "running handlers": len(actor.handlers),
            "deferred replies": len(actor.deferred or ()),
            "watchers": len(actor.watchers or ()),
        }
        yield ", ".join([text, *(f"{what}: {figure}" for what, figure in figures.items() if figure)])
    for handle in node._roots:
        if handle not in listed:
            yield f"a supervised service that began as {handle}"


def _tasks(node: Node) -> Iterator[str]:
    for task in node.nursery.child_tasks:
        if getattr(task.coro, "cr_code", None) not in _OWN_TASKS:
            yield f"task {task.name}"


def _names(table: NameTable[Any]) -> Iterator[str]:
    for name in sorted(table._entries):
        owner = table.handle(name)
        yield f"name {name!r}, " + ("reserved" if owner is None else f"of {owner}")
    for name in table.waiting():
        yield f"somebody who waits for the name {name!r}"


def _global_names(node: Node) -> Iterator[str]:
    if isinstance(node.network, SingleNode):
        yield from _names(node.network._names)
        return
    for name, owner in node.network.global_names().items():
        if owner.incarnation == node.incarnation:
            yield f"name {name!r}, of {owner}"


def _deadlines(node: Node) -> Iterator[str]:
    for timed in node.deadlines.waiting():
        yield f"deadline of {timed!r}"


def _waits(node: Node) -> Iterator[str]:
    root = trio.lowlevel.current_root_task()
    for task in () if root is None else _family(root):
        for frame, _ in task.iter_await_frames():
            waiter = frame.f_locals.get("self") if frame.f_code is LocalCall.outcome.__code__ else None
            waiter = waiter or frame.f_locals.get("request")
            if frame.f_code is Feed._park.__code__:
                waiter = frame.f_locals["self"].source
                if isinstance(waiter, LocalStream) and waiter.target.node is node:
                    yield f"task {task.name}, which waits for {waiter!r}"
                continue
            if isinstance(waiter, Request) and waiter.parked is task and waiter.target.node is node:
                yield f"task {task.name}, which waits for {waiter!r}"


def _family(task: Task) -> Iterator[Task]:
    yield task
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _family(child)
