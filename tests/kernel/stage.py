"""What the tests of the machinery share: a node in virtual time, puppets on a stage, and its invariants.

Theory of operation.  A puppet is a service whose handlers wait at gates that the test opens, and write what
happens to them on the stage, which is not a message and so is shared.  :func:`check_node` looks at the inner
state of a node of which every task is blocked, and fails where the machinery could never go on.
"""

from __future__ import annotations

import types
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trionet import DeadlineExceeded, Node, NodeConfig, Reply, Service, command, defer, open_node, spec
from trionet.kernel.actor import Actor, Life
from trionet.kernel.dispatch import MOST_RESTING
from trionet.kernel.inbox import Inbox
from trionet.kernel.request import State
from trionet.kernel.seams import simulated


class Stage:
    """What a test and its puppets share.

    Attributes:
        log: what happened, in order.
        kept: replies that puppets have deferred, by key.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.kept: dict[str, Reply] = {}
        self._gates: dict[str, trio.Event] = defaultdict(trio.Event)

    def gate(self, key: str) -> trio.Event:
        """The event that a handler waits for."""
        return self._gates[key]

    def open(self, *keys: str) -> None:
        """Let the handlers behind some gates go on."""
        for key in keys:
            self._gates[key].set()

    async def settle(self, node: Node) -> list[str]:
        """Wait until nothing moves, check the node, and return what was written since the last time."""
        await wait_all_tasks_blocked()
        check_node(node)
        log, self.log = self.log, []
        return log


class Puppet(Service):
    """A service whose handlers do what the message says."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @command
    def note(self, word: str) -> str:
        """Write a word, and end in the first step."""
        self.stage.log.append(word)
        return word

    @command
    async def hold(self, key: str) -> str:
        """Wait at a gate; tell how the wait began and ended."""
        return await self._wait(key)

    @command(shielded=True)
    async def persist(self, key: str) -> str:
        """The same, and go on when the caller has gone."""
        return await self._wait(key)

    @command(shielded=True)
    async def persist_and_fail(self, key: str) -> None:
        """Go on when the caller has gone, and raise then."""
        await self._wait(key)
        raise ValueError(key)

    async def _wait(self, key: str) -> str:
        self.stage.log.append(f"{key} begins")
        try:
            await self.stage.gate(key).wait()
        except trio.Cancelled:
            self.stage.log.append(f"{key} cancelled")
            raise
        self.stage.log.append(f"{key} ends")
        return key

    @command
    async def fail(self, text: str) -> None:
        """Raise."""
        raise ValueError(text)

    @command
    async def relay(self, target: Any, name: str, *args: Any) -> Any:
        """Call another service, and hand on the result."""
        self.stage.log.append(f"relay {name}")
        return await self.call(target, name, *args)

    @command
    async def pass_on(self, target: Any, name: str, *args: Any) -> None:
        """Send to another service, and wait for room."""
        self.stage.log.append(f"pass on {name}")
        await self.send(target, name, *args)
        self.stage.log.append(f"passed on {name}")

    @command
    async def later(self, key: str) -> None:
        """Defer the reply."""
        self.stage.kept[key] = defer()


class Caller:
    """A task of the test that makes one call and tells how it ended.

    Attributes:
        end: how it ended, in one line.
        over: set at the end.
        scope: cancels it.
    """

    def __init__(self, call: Callable[[], Awaitable[object]]) -> None:
        self.end = "none"
        self.over = trio.Event()
        self.scope = trio.CancelScope()
        self._call = call

    async def run(self) -> None:
        """Make the call."""
        with self.scope:
            try:
                self.end = f"value {await self._call()}"
            except trio.Cancelled:
                self.end = "cancelled"
                raise
            except Exception as error:
                self.end = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            finally:
                self.over.set()


async def begin(nursery: trio.Nursery, call: Callable[[], Awaitable[object]]) -> Caller:
    """Start a caller and let it get as far as it can."""
    caller = Caller(call)
    nursery.start_soon(caller.run)
    await wait_all_tasks_blocked()
    return caller


async def exceeded(call: Callable[[], Awaitable[object]], seconds: float) -> DeadlineExceeded:
    """Make a call that runs out of time after some seconds."""
    began = trio.current_time()
    with pytest.raises(DeadlineExceeded) as caught:
        await call()
    assert trio.current_time() - began == pytest.approx(seconds)
    assert isinstance(caught.value, trio.TooSlowError)
    return caught.value


def puppet(**options: Any) -> type[Puppet]:
    """A class of puppets with options of the class statement."""
    body = {"__module__": __name__, "__doc__": "A puppet."}
    made: type[Puppet] = types.new_class("Puppet", (Puppet,), options, lambda names: names.update(body))
    return made


async def start(node: Node, stage: Stage, name: str | None = None, **options: Any) -> Puppet:
    """Start a puppet."""
    return await node.start(spec(puppet(**options), stage), name=name)


def actor_of(node: Node, reference: Any) -> Actor:
    """The inner side of a service."""
    actor = node.locate(reference._target)
    assert isinstance(actor, Actor)
    return actor


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Node]:
    """A simulated node that must be sound when the block ends, and must leave nothing behind."""
    async with open_node(NodeConfig(**settings), seams=simulated(0)) as node:
        yield node
        await wait_all_tasks_blocked()
        check_node(node)
    check_gone(node)


@types.coroutine
def interrupted(
    node: Node, call: Coroutine[Any, Any, Any], between: Callable[[], object]
) -> Generator[object, object, Any]:
    """Await a call, and do something right after its message was handed over, before anybody else runs."""
    node._slice_ends = inf  # no checkpoint before the message is handed over
    trap = call.send(None)
    between()
    node._slice_ends = 0
    while True:
        answer = yield trap
        try:
            trap = call.send(answer)
        except StopIteration as stop:
            return stop.value


def check_node(node: Node) -> None:
    """Fail if the machinery of a node, all of whose tasks are blocked, is not sound."""
    for actor in node.actors.values():
        if actor.life is Life.RUNNING and actor.accepting:
            if actor.nursery is None or actor.nursery.cancel_scope.cancel_called:
                continue  # it has failed, and is held only by what is shielded
            _check_lead(actor)
            _check_inbox(actor)
            _check_pool(actor)
            _check_handlers(actor)


def check_gone(node: Node) -> None:
    """Fail if a node that was closed still holds anything."""
    assert node.actors == {}
    assert node.services() == ()
    assert node.names() == {}
    assert node.local_names.waiting() == []
    assert node.deadlines.waiting() == []
    assert node.nursery.child_tasks == frozenset()
    assert node._roots == {}


def _check_lead(actor: Actor) -> None:
    """Nobody leads, because there is no message or no slot for one."""
    assert not actor.leading, f"somebody leads {actor.describe()}"
    full = len(actor.handlers) >= actor.concurrency
    assert full or actor.inbox.size == 0, f"nobody leads {actor.describe()}"


def lying(inbox: Inbox) -> int:
    """How many messages its channel holds."""
    return 0 if inbox._channel is None else inbox._channel[1].statistics().current_buffer_used


def _check_inbox(actor: Actor) -> None:
    """The size is right, and nobody waits for room that is there."""
    inbox = actor.inbox
    assert inbox.size + inbox._withdrawn == lying(inbox)
    if inbox.waiting:
        assert inbox.size >= inbox.limit, f"{inbox.waiting} wait for room that is there"
    assert all(request.state is State.QUEUED for request in inbox._line or ())


def _check_pool(actor: Actor) -> None:
    """Few tasks rest, and each of the pool has its place."""
    assert len(actor.resting) <= MOST_RESTING + 1
    assert actor.resting or len(actor.handlers) > 0, f"no task of {actor.describe()} rests"
    assert len(set(actor.resting)) == len(actor.resting)


def _check_handlers(actor: Actor) -> None:
    """Every running handler has a task of its own, within the limit."""
    assert len(actor.handlers) <= actor.concurrency
    workers = [request.worker for request in actor.handlers]
    assert None not in workers
    assert len(set(workers)) == len(workers)
    assert not set(workers) & set(actor.resting)
    for request in actor.handlers:
        assert request.coroutine is not None
        assert request.context is not None
