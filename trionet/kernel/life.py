"""The life of a service, as its own task leads it: setup, messages, the end of the children, teardown (C8).

Duty: the body of the task of a service.  What others do to the service is in :mod:`trionet.kernel.actor`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trionet.errors import InternalError
from trionet.kernel.actor import Actor, Life
from trionet.kernel.context import current_actor
from trionet.kernel.dispatch import Worker
from trionet.kernel.exceptions import note_inner_group, only_one, split_cancelled
from trionet.kernel.pool import work

if TYPE_CHECKING:
    from trionet.kernel.keeper import Keeper


async def live(actor: Actor) -> None:
    """Let a service live from ``setup`` to the end; the body of the service's task.

    Raises:
        trio.Cancelled: when the node is torn down around it.
    """
    error: BaseException | None = None
    current_actor.set(actor)
    try:
        await _serve(actor)
        await _end_children(actor)
        await _tear_down(actor)
    except BaseException as failure:
        cancelled, rest = split_cancelled(failure)
        if rest is None:
            actor.killed = True
            raise
        error = only_one(rest)
        note_inner_group(rest, error)
        if not cancelled:
            await _end_children(actor)
        if isinstance(error, InternalError | KeyboardInterrupt):
            raise
    finally:
        actor.conclude(error)


async def _serve(actor: Actor) -> None:
    async with trio.open_nursery() as nursery:
        actor.nursery = nursery
        actor.scope = nursery.cancel_scope
        if actor.killed:
            nursery.cancel_scope.cancel()
        try:
            await _set_up(actor)
            worker = Worker(actor, permanent=True)
            if not actor.inbox.size:  # what never gets a message has no use for more
                actor.leading = False
                await worker.rest()
            await work(worker)
        finally:
            actor.close()


async def _set_up(actor: Actor) -> None:
    cls = actor.spec.cls
    if actor.exclusive:
        await actor.node.announce(actor, before_setup=True)
    actor.instance = instance = object.__new__(cls)
    instance._trionet_actor = actor
    instance.__init__(*actor.spec.args, **actor.spec.kwargs)
    if cls.has_setup():
        with trio.CancelScope(deadline=trio.current_time() + actor.node.config.start_deadline) as scope:
            await instance.setup()
        if scope.cancelled_caught:
            limit = actor.node.config.start_deadline
            raise TimeoutError(f"setup was still running after {limit:g} seconds")
    await _end_if_ending(actor)
    await actor.node.announce(actor, before_setup=False)
    await _end_if_ending(actor)
    actor.life = Life.RUNNING
    actor.has_started = True
    actor.direct = actor.node.config.direct_calls
    actor.tell_starter(None)


async def _end_if_ending(actor: Actor) -> None:
    """Be a cancellation point for a service that was killed, or failed, while its setup went on."""
    if not actor.accepting:
        await trio.lowlevel.checkpoint()


async def _end_children(actor: Actor) -> None:
    """End the children, youngest first, each before its elder."""
    actor.nursery = actor.scope = None
    while actor.children:
        child = next(reversed(actor.children.values()))
        _end_child(actor, child)
        await child.wait_ended()


def _end_child(actor: Actor, child: Actor | Keeper) -> None:
    if actor.killed:
        child.kill()
    else:
        grace_ends = trio.current_time() + actor.node.config.stop_grace
        child.request_stop(min(actor.stop_deadline, grace_ends))


async def _tear_down(actor: Actor) -> None:
    if actor.killed or not actor.spec.cls.has_teardown():
        return
    assert actor.instance is not None
    with trio.CancelScope(deadline=actor.stop_deadline) as actor.scope:
        await actor.instance.teardown()
    if actor.scope.cancelled_caught and not actor.killed:
        actor.node.note_cut_off(f"teardown of {actor.describe()}")
