"""Recorded call chains on one node: which spans there are, what they tell, and that others cost nothing."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from tests.kernel.lives import actor_of
from tests.kernel.nodes import fresh_node
from trionet import (
    BadArguments,
    DeadlineExceeded,
    Node,
    NodeConfig,
    RemoteError,
    Service,
    ServiceExited,
    Span,
    TraceConfig,
    command,
    current_request,
    gather,
    spec,
    stream,
)
from trionet.handle import Handle
from trionet.kernel.context import current_owner_label
from trionet.kernel.inbox import Inbox
from trionet.kernel.spans import Spans
from trionet.kernel.traces import LARGEST_ID, id_of, trace_ids
from trionet.logs import ServiceFilter
from trionet.testing import Hold

pytestmark = pytest.mark.usefixtures("virtual_run")


@pytest.fixture
def node_config() -> NodeConfig:
    return NodeConfig(name="recorder", trace=TraceConfig(sample=1))


class Leaf(Service):
    """Is called in every way there is."""

    def __init__(self, hold: Hold | None = None) -> None:
        self.hold = hold or Hold()

    @command
    def plain(self) -> int:
        return current_request().trace

    @command
    async def slow(self, seconds: float = 2.0) -> int:
        await trio.sleep(seconds)
        return current_request().trace

    @command
    async def swift(self) -> int:
        await trio.sleep(1)
        return current_request().trace

    @command
    def fail(self, text: str = "no") -> None:
        raise ValueError(text)

    @command
    async def stand(self) -> None:
        await self.hold.here()

    @stream
    async def count(self) -> AsyncIterator[int]:
        yield current_request().trace


class Root(Service):
    """Calls and sends in every way there is."""

    def __init__(self, leaf: Leaf) -> None:
        self.leaf = leaf

    @command
    async def chain(self) -> set[int]:
        traces = {current_request().trace, await self.leaf.plain(), await self.leaf.slow()}
        traces.add(await self.leaf.swift())
        await self.leaf.plain.send()
        self.leaf.plain.send_nowait()
        async with self.leaf.count() as numbers:
            traces.update([each async for each in numbers])
        traces.update(each.unwrap() for each in await gather([self.leaf.plain(), self.leaf.slow()]))
        self.nursery.start_soon(self.leaf.slow)
        return traces

    @command
    async def do(self, what: str, *args: Any) -> None:
        await self.node.call(self.leaf, what, *args)

    @command
    async def deeper(self, levels: int) -> None:
        if levels:
            await self.node.ref(self.handle, Root).deeper(levels - 1)


async def put_up(node: Node, hold: Hold | None = None) -> Root:
    return await node.start(spec(Root, await node.start(spec(Leaf, hold))))


def by_command(node: Node) -> dict[str, Span]:
    return {each.command: each for each in node.spans()}


async def test_all_that_a_handler_calls_and_sends_is_within_its_span(node: Node) -> None:
    root = await put_up(node)
    (trace,) = await root.chain()
    await trio.sleep(3)
    spans = node.spans(trace)
    (top,) = [each for each in spans if each.command == "chain"]
    assert (top.parent, top.label, top.node) == (0, "Root", "recorder")
    below = sorted(each.command for each in spans if each.parent == top.span)
    assert below == ["count", "plain", "plain", "plain", "plain", "slow", "slow", "slow", "swift"]
    assert len(spans) == len({each.span for each in spans}) == 10
    assert spans == node.spans()


async def test_each_level_is_within_the_one_above(node: Node) -> None:
    await (await put_up(node)).deeper(5)
    spans = {each.span: each for each in node.spans()}
    (deepest,) = [each for each in spans if each not in {one.parent for one in spans.values()}]
    depth = 0
    while deepest:
        depth, deepest = depth + 1, spans[deepest].parent
    assert depth == 6


async def test_code_outside_of_services_begins_a_chain_with_each_message(node: Node) -> None:
    leaf = await node.start(Leaf)
    assert len({await leaf.plain(), await leaf.plain()}) == len({each.trace for each in node.spans()}) == 2


async def test_a_span_tells_how_long_it_took_and_waited(node: Node) -> None:
    class Serial(Leaf, concurrency=1):
        pass

    serial = await node.start(Serial)
    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serial.slow, 2.0)
        await wait_all_tasks_blocked()
        nursery.start_soon(serial.slow, 3.0)
    first, second = node.spans()
    assert (first.start - begin, first.waited, first.duration) == (0, 0, 2)
    assert (second.start - begin, second.waited, second.duration) == (2, 2, 3)
    assert 0 < first.cpu_time < 0.01
    assert (first.error, first.running) == (None, False)


async def test_a_span_tells_how_the_handler_ended(node: Node) -> None:
    leaf = await node.start(Leaf)
    root = await node.start(spec(Root, leaf))
    with pytest.raises(RemoteError):
        await root.do("fail", "x" * 1000)
    with pytest.raises(DeadlineExceeded):
        await leaf.slow.options(deadline=1)()
    with trio.move_on_after(1):
        await leaf.slow()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_its_end, leaf)
        await wait_all_tasks_blocked()
        await node.kill(leaf)
    inner, outer, expired, left, killed = [each.error or "" for each in node.spans()]
    assert inner == "ValueError: " + "x" * 188
    assert outer.startswith("RemoteError: ")
    assert expired == "cancelled: its deadline passed"
    assert left == "cancelled: its caller was cancelled"
    assert killed == "cancelled"


async def expect_its_end(leaf: Leaf) -> None:
    with pytest.raises(ServiceExited):
        await leaf.slow()


async def test_a_handler_that_runs_has_a_span_too(node: Node) -> None:
    hold = Hold()
    root = await put_up(node, hold)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(root.do, "stand")
        await hold.wait_held()
        await trio.sleep(4)
        now = by_command(node)
        assert {"do", "stand"} == set(now)
        assert now["stand"].running
        assert now["stand"].duration == 4
        assert now["stand"].parent == now["do"].span
        hold.release()
    assert not any(each.running for each in node.spans())


@pytest.mark.parametrize("way", ["plain", "slow", "count"])
async def test_arguments_that_do_not_fit_are_told_as_without_records(node: Node, way: str) -> None:
    leaf = await node.start(Leaf)
    opened = node.stream(leaf, way, 1, 2, 3).__aenter__ if way == "count" else None
    with pytest.raises(BadArguments, match=f"the command is {way}"):
        await (opened() if opened else node.call(leaf, way, 1, 2, 3))
    (span,) = node.spans()
    assert (span.error or "").startswith("TypeError: ")


async def test_where_a_handler_stands_is_told_as_without_records(node: Node) -> None:
    hold = Hold()
    leaf = await node.start(spec(Leaf, hold))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leaf.stand)
        await hold.wait_held()
        (handler,) = node.service_statistics(leaf).handlers
        assert "in stand: await self.hold.here()" in handler.stack[0]
        hold.release()


async def test_records_of_logs_have_the_id_of_the_chain(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    class Talking(Service):
        async def setup(self) -> None:
            logging.getLogger("talk").warning("setup")

        @command
        def talk(self) -> int:
            logging.getLogger("talk").warning("handler")
            return current_request().trace

    caplog.handler.addFilter(log_filter := ServiceFilter(current_owner_label))
    try:
        trace = await (await node.start(Talking)).talk()
    finally:
        caplog.handler.removeFilter(log_filter)
    chains = {each.message: each.trace for each in caplog.records if each.name == "talk"}  # type: ignore[attr-defined]
    assert chains == {"setup": None, "handler": f"{trace:016x}"}


# what is not recorded


async def test_a_node_that_records_nothing_has_services_as_ever() -> None:
    async with fresh_node() as node:
        root = await put_up(node)
        actor = actor_of(node, root)
        assert node.observer is None
        assert actor.commands is Root.__trionet_commands__
        assert type(actor.inbox) is Inbox
        (trace,) = await root.chain()
        assert 0 < trace <= LARGEST_ID
        assert (node.spans(), node.spans_since(0), node.profile()) == ((), ((), 0), ())
        await trio.sleep(3)


async def test_a_node_may_record_only_what_began_elsewhere() -> None:
    async with fresh_node(trace=TraceConfig(record=True)) as node:
        await (await put_up(node)).do("plain")
        assert node.spans() == ()


async def test_a_share_of_the_chains_is_recorded_and_each_of_them_whole() -> None:
    async with fresh_node(trace=TraceConfig(sample=0.25)) as node:
        root = await put_up(node)
        for _ in range(200):
            await root.do("plain")
        chains: dict[int, list[str]] = {}
        for each in node.spans():
            chains.setdefault(each.trace, []).append(each.command)
        assert 30 < len(chains) < 70
        assert all(each == ["plain", "do"] for each in chains.values())


@given(st.floats(0, 1), st.integers(0, 1000))
def test_ids_of_chains_are_the_same_numbers_whatever_is_recorded(sample: float, seed: int) -> None:
    ids, plain = trace_ids(sample, Random(seed)), trace_ids(0, Random(seed))
    drawn = [next(ids) for _ in range(20)]
    assert [id_of(each) for each in drawn] == [next(plain) for _ in range(20)]
    recorded = sum(each > LARGEST_ID for each in drawn)
    assert sample > 0 or recorded == 0
    assert sample < 1 or recorded == 20


# the ring


class Fake:
    """A handler that runs, as the ring knows it."""

    def __init__(self, trace: int) -> None:
        self.trace = trace
        self.number = 0

    def span(self) -> Span:
        return Span(id_of(self.trace), self.number, 0, "n", Handle(1, 1), "l", "c", 0, 0, 0, 0, None)


@given(st.integers(1, 5), st.lists(st.one_of(st.integers(0, 2), st.none(), st.just("look"))), st.integers(0))
def test_the_ring_is_a_list_of_which_the_last_are_kept(capacity: int, steps: list[Any], seed: int) -> None:
    ring = Spans(capacity, Random(seed))
    running: list[Fake] = []
    ended: list[Span] = []
    seen = fresh = 0
    for step in steps:
        if step == "look":
            found, seen = ring.since(seen)
            assert found == ended[len(ended) - min(fresh, capacity) :]
            fresh = 0
        elif step is not None:
            fake = Fake(step)
            fake.number = ring.begin(fake)
            running.append(fake)
        elif running:
            span = running.pop(0).span()
            ring.end(span)
            ended.append(span)
            fresh += 1
        kept = ended[-capacity:] + [each.span() for each in running]
        assert list(ring) == kept
        assert ring.of(1) == [each for each in kept if each.trace == 1]
        assert ring.recorded == len(ended)
