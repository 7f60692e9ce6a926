"""Random services, callers, cancellations and deaths, against what must hold of every message (C2 to C10)."""

from __future__ import annotations

import types
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any

import attrs
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.kernel.history import History, Message
from tests.kernel.stage import check_gone, check_node
from trionet import (
    CallError,
    Deadlock,
    NameTaken,
    Node,
    NodeConfig,
    Reply,
    Service,
    ServiceBusy,
    command,
    defer,
    open_node,
    spec,
)
from trionet.kernel.actor import Life
from trionet.kernel.exceptions import split_cancelled
from trionet.kernel.seams import simulated

#: A step of a handler: its kind and what it needs.  Times are eighths of a second, which floats hold exactly.
Step = tuple[Any, ...]
SERVICES = 3


class Player(Service):
    """A service whose handlers do what the script in the message says."""

    def __init__(self, history: History, limit: int) -> None:
        self.history = history
        self.limit = limit
        self.running = 0

    @command
    async def play(self, number: int, script: tuple[Step, ...]) -> int:
        return await self._play(number, script)

    @command
    async def sprint(self, number: int, script: tuple[Step, ...]) -> int:
        return await self._play(number, script)

    @command(shielded=True)
    async def persist(self, number: int, script: tuple[Step, ...]) -> int:
        return await self._play(number, script)

    @command
    def quick(self, number: int, script: tuple[Step, ...]) -> int:
        message = self.history.begin(number, self.handle)
        message.handler = "returned"
        return number

    async def _play(self, number: int, script: tuple[Step, ...]) -> int:
        message = self.history.begin(number, self.handle)
        self.running += 1
        self.history.require(self.running <= self.limit, f"{self.running} handlers run")
        how = "raised"
        try:
            for step in script:
                await getattr(self, f"_{step[0]}")(message, *step[1:])
            how = "returned"
        except BaseException as error:
            if split_cancelled(error)[1] is None:
                how = "cancelled"
            raise
        finally:
            self.running -= 1
            message.handler = how
        return number

    # the kinds of steps

    async def _sleep(self, _: Message, time: int) -> None:
        await trio.sleep(time / 8)

    async def _shield(self, _: Message, time: int) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(time / 8)

    async def _swallow(self, _: Message, time: int) -> None:
        try:
            await trio.sleep(time / 8)
        except trio.Cancelled:
            return

    async def _fail(self, message: Message) -> None:
        raise ValueError(message.number)

    async def _call(self, _: Message, *how: Any) -> None:
        await make_call(self.history, self.node, *how)

    async def _call_and_catch(self, _: Message, *how: Any) -> None:
        await try_call(self.history, self.node, *how)

    async def _send(self, _: Message, *how: Any) -> None:
        await make_send(self.history, self.node, *how)

    async def _call_in_helpers(self, _: Message, time: int, *how: Any) -> None:
        with trio.move_on_after(time / 8):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(make_call, self.history, self.node, *how)
                nursery.start_soon(try_call, self.history, self.node, *how)
                await trio.sleep(time / 8)

    async def _call_aside(self, _: Message, *how: Any) -> None:
        self.nursery.start_soon(try_call, self.history, self.node, *how)

    async def _defer(self, message: Message, time: int, how: str) -> None:
        reply = defer()
        message.deferred = True
        self.nursery.start_soon(self._answer, message, reply, time, how)

    async def _answer(self, message: Message, reply: Reply, time: int, how: str) -> None:
        await trio.sleep(time / 8)
        self.history.require(message.answer is None, f"{message} was answered twice")
        if how == "ok":
            given = reply.ok(message.number)
        elif how == "fail":
            given = reply.fail(ValueError(message.number))
        else:
            given = reply.is_open
        if given:
            message.answer = how

    async def _stop(self, _: Message) -> None:
        self.history.ended.add(self.handle)
        await self.stop()

    async def _crash(self, _: Message) -> None:
        self.crash()

    def crash(self) -> None:
        """Let one of its own tasks fail."""

        async def crash() -> None:
            raise ValueError("crash")

        self.history.ended.add(self.handle)
        self.nursery.start_soon(crash)


async def make_call(
    history: History,
    node: Node,
    target: int,
    name: str,
    script: tuple[Step, ...],
    deadline: int | None,
    time: int | None,
) -> None:
    """Call, and follow the call to its end."""
    message = history.issue(one_way=False, shielded=name == "persist")
    called = getattr(node.ref(f".{target}"), name)
    if deadline is not None:
        called = called.options(deadline=deadline / 8)
    with trio.move_on_after(inf if time is None else time / 8):
        with history.calling(message):
            value = await called(message.number, script)
        history.returned(message, value)


async def try_call(history: History, node: Node, *how: Any) -> None:
    """The same; an error is the end of it."""
    try:
        await make_call(history, node, *how)
    except CallError:
        return


async def make_send(
    history: History, node: Node, target: int, name: str, script: tuple[Step, ...], time: int | None
) -> None:
    """Send, with time to wait for room, or at once."""
    message = history.issue(one_way=True)
    sent = getattr(node.ref(f".{target}"), name)
    try:
        if time is None:
            with history.sending(message):
                sent.send_nowait(message.number, script)
            return
        with trio.move_on_after(time / 8), history.sending(message):
            await sent.send(message.number, script)
    except (trio.WouldBlock, ServiceBusy, Deadlock):
        return


# --- what is drawn ------------------------------------------------------------------------------------

targets = st.integers(0, SERVICES - 1)
times = st.integers(0, 12)
some_times = st.none() | st.integers(1, 12)
names = st.sampled_from(["play", "play", "sprint", "sprint", "persist", "quick"])


def steps(scripts: st.SearchStrategy[tuple[Step, ...]]) -> st.SearchStrategy[Step]:
    """Steps whose calls carry such scripts."""
    call = (targets, names, scripts, some_times, some_times)
    send = (targets, names, scripts, some_times)
    return st.one_of(
        simple,
        st.tuples(st.just("call"), *call),
        st.tuples(st.just("call_and_catch"), *call),
        st.tuples(st.just("call_in_helpers"), times, *call),
        st.tuples(st.just("call_aside"), *call),
        st.tuples(st.just("send"), *send),
    )


simple: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("sleep"), times),
    st.tuples(st.just("shield"), times),
    st.tuples(st.just("swallow"), times),
    st.tuples(st.just("fail")),
    st.tuples(st.just("defer"), times, st.sampled_from(["ok", "fail", "drop"])),
    st.tuples(st.just("stop")),
    st.tuples(st.just("crash")),
)


def several(step: st.SearchStrategy[Step], most: int) -> st.SearchStrategy[tuple[Step, ...]]:
    """A script."""
    return st.lists(step, max_size=most).map(tuple)


scripts = several(steps(several(steps(several(simple, 2)), 2)), 3)
call_event = st.tuples(st.just("call"), targets, names, scripts, some_times, some_times)
send_event = st.tuples(st.just("send"), targets, names, scripts, some_times)
events: st.SearchStrategy[Step] = st.one_of(
    call_event,
    call_event,
    call_event,
    send_event,
    send_event,
    st.tuples(st.just("cancel"), st.integers(0, 7)),
    st.tuples(st.just("cancel"), st.integers(0, 7)),
    st.tuples(st.just("sleep"), times),
    st.tuples(st.just("settle")),
    st.tuples(st.sampled_from(["stop", "kill", "crash"]), targets),
)


@attrs.frozen
class Kind:
    """The options of a service."""

    concurrency: int
    inbox: int
    overflow: str


kinds = st.builds(Kind, st.integers(1, 3), st.integers(1, 3), st.sampled_from(["wait", "wait", "reject"]))


# --- what is run --------------------------------------------------------------------------------------


class Play:
    """One example: a node, its services, and what happens to them."""

    def __init__(self, node: Node, history: History, kinds: list[Kind], nursery: trio.Nursery) -> None:
        self.node = node
        self.history = history
        self.kinds = kinds
        self.nursery = nursery
        self.scopes: list[trio.CancelScope] = []

    async def do(self, event: Step) -> None:
        """Let one event happen."""
        await getattr(self, f"_{event[0]}")(*event[1:])

    def _begin(self, run: Callable[..., Any], *how: Any) -> None:
        scope = trio.CancelScope()
        self.scopes.append(scope)

        async def task() -> None:
            with scope:
                await run(self.history, self.node, *how)

        self.nursery.start_soon(task)

    async def _call(self, *how: Any) -> None:
        self._begin(try_call, *how)

    async def _send(self, *how: Any) -> None:
        self._begin(make_send, *how)

    async def _cancel(self, which: int) -> None:
        if which < len(self.scopes):
            self.scopes[which].cancel()

    async def _sleep(self, time: int) -> None:
        await trio.sleep(time / 8)

    async def _settle(self) -> None:
        await wait_all_tasks_blocked()
        check_node(self.node)

    async def _stop(self, target: int) -> None:
        self._end(target, self.node.stop)

    async def _kill(self, target: int) -> None:
        self._end(target, self.node.kill)

    def _end(self, target: int, end: Callable[[Any], Any]) -> None:
        handle = self.node.lookup(f".{target}")
        if handle is not None:
            self.history.ended.add(handle)
            self.nursery.start_soon(end, handle)

    async def _crash(self, target: int) -> None:
        actor = self.node.local_names.owner(f".{target}")
        if actor is not None and actor.life is Life.RUNNING:
            assert isinstance(actor.instance, Player)
            actor.instance.crash()

    async def revive(self) -> None:
        """Start those anew that have ended."""
        for target in range(SERVICES):
            if self.node.lookup(f".{target}") is None:
                with suppress(NameTaken):  # a service that fails has its names until its tasks have ended
                    await self.start(target)

    async def start(self, target: int) -> None:
        """Start one of the services."""
        kind = self.kinds[target]
        options: dict[str, Any] = attrs.asdict(kind)
        body = {"__module__": __name__}
        cls = types.new_class("Player", (Player,), options, lambda names: names.update(body))
        await self.node.start(spec(cls, self.history, kind.concurrency), name=f".{target}")


async def run_play(kinds: list[Kind], events: list[Step]) -> None:
    """Run one example and check it."""
    history = History()
    with pytest.MonkeyPatch.context() as patch:
        await live(kinds, events, history, patch)
    history.check()


async def live(kinds: list[Kind], events: list[Step], history: History, patch: pytest.MonkeyPatch) -> None:
    """Run one example from the start of its node to the end."""
    config = NodeConfig(call_deadline=30, stop_grace=1)
    async with open_node(config, seams=simulated(0)) as node:
        history.follow(node, patch)
        with trio.fail_after(1000):
            async with trio.open_nursery() as nursery:
                play = Play(node, history, kinds, nursery)
                for event in events:
                    await play.revive()
                    await play.do(event)
        await wait_all_tasks_blocked()
        check_node(node)
        history.ended.update(node.services())
    check_gone(node)
    history.require(node.dead_letters.count == len(history.dead), "dead letters were not counted")


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(kinds, min_size=SERVICES, max_size=SERVICES), st.lists(events, min_size=4, max_size=16))
def test_c2_to_c10_hold_whatever_happens(kinds: list[Kind], events: list[Step]) -> None:
    trio.run(run_play, kinds, events, clock=MockClock(autojump_threshold=0))
