"""Recorded call chains across nodes: collected from all of them, and drawn."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from trionet import Handle, Node, NodeConfig, Service, Span, TraceConfig, command, current_request, spec
from trionet.services import Tracer, collect_trace, recent_traces, trace_tree
from trionet.testing import SimulatedCluster, open_cluster
from trionet.wire.link import Link

pytestmark = pytest.mark.usefixtures("virtual_run")

CONFIG = NodeConfig(trace=TraceConfig(sample=1))


class Step(Service):
    """Hands a call on to the next."""

    def __init__(self, following: Step | None = None) -> None:
        self.following = following

    @command
    async def go(self, seconds: float) -> int:
        await trio.sleep(seconds)
        if self.following is not None:
            await self.following.note.send()
            await self.following.go(seconds)
        return current_request().trace

    @command
    def note(self) -> None:
        raise KeyError("note")


async def put_up(cluster: SimulatedCluster) -> Step:
    """Start a step on each node, the first of which leads through all of them."""
    following: Step | None = None
    for number, node in reversed(cluster.nodes.items()):
        await node.start(Tracer, name=".tracer")
        name = f"step{number}"
        await node.start(spec(Step, following), name=name)
        await cluster[1].wait_for_name(name)
        following = cluster[max(1, number - 1)].ref(name, Step)
    assert following is not None
    return following


async def test_a_chain_is_one_tree_across_nodes() -> None:
    async with open_cluster(3, config=CONFIG) as cluster:
        first = await put_up(cluster)
        trace = await first.go(1)
        found: tuple[Span, ...] = ()
        for node in cluster.nodes.values():
            found = await collect_trace(node, f"{trace:016x}")
            assert [each.command for each in found] == ["go", "note", "go", "note", "go"]
            top, _, middle, _, last = found
            assert (top.parent, middle.parent, last.parent) == (0, top.span, middle.span)
            assert {each.service.harbor for each in found} == {1, 2, 3}
        lines = trace_tree(found).splitlines()
        assert lines[0] == f"trace {trace:016x}: 5 handlers on 3 nodes"
        assert [each.split("  node")[0].rstrip() for each in lines[1:]] == [
            "step1.go",
            "├─ step2.note",
            "└─ step2.go",
            "   ├─ step3.note",
            "   └─ step3.go",
        ]
        assert lines[2].endswith("KeyError: 'note'")
        assert f"node1 {found[0].service}  +0.0 ms  3" in lines[1]


async def test_the_latest_chains_are_found_on_all_nodes() -> None:
    async with open_cluster(2, config=CONFIG) as cluster:
        await put_up(cluster)
        traces = [await cluster[number].ref("step2", Step).go(number) for number in (1, 2, 1)]
        found = await recent_traces(cluster[1])
        assert [each.trace for each in found] == traces[::-1]
        assert await recent_traces(cluster[1], 2) == found[:2]
        assert await recent_traces(cluster[1], -1) == ()


async def test_a_node_that_cannot_answer_is_left_out_and_its_part_is_missing() -> None:
    async with open_cluster(3, config=CONFIG) as cluster:
        first = await put_up(cluster)
        trace = await first.go(1)
        await trio.sleep(1)
        cluster.partition({1, 3}, {2})
        began = trio.current_time()
        found = await collect_trace(cluster[1], trace)
        assert trio.current_time() - began <= 6
        assert {each.service.harbor for each in found} == {1, 3}
        drawn = trace_tree(found)
        assert [each.split("  node")[0].rstrip() for each in drawn.splitlines()[1:]] == [
            "step1.go",
            "(a handler that is not recorded)",
            "├─ step3.note",
            "└─ step3.go",
        ]
        cluster.heal()


async def test_a_node_that_begins_no_records_takes_part_in_those_of_others() -> None:
    async with open_cluster(1, config=CONFIG) as cluster:
        await cluster.start(2, config=NodeConfig(trace=TraceConfig(record=True)))
        first = await put_up(cluster)
        trace = await first.go(1)
        found = await collect_trace(cluster[2], trace)
        assert [each.command for each in found] == ["go", "note", "go"]
        await cluster[2].ref("step2", Step).go(0)
        assert [each.trace for each in await recent_traces(cluster[2])] == [trace]


async def test_a_node_that_records_nothing_hands_the_chain_on() -> None:
    async with open_cluster(1, config=CONFIG) as cluster:
        await cluster.start(2, config=NodeConfig())
        await cluster.start(3, config=NodeConfig(trace=TraceConfig(record=True)))
        trace = await (await put_up(cluster)).go(1)
        top, note, last = await collect_trace(cluster[1], trace)
        assert (top.service.harbor, note.service.harbor, last.service.harbor) == (1, 3, 3)
        assert (top.parent, note.parent, last.parent) == (0, top.span, top.span)


async def test_nobody_knows_of_a_chain_that_is_not_recorded(node: Node) -> None:
    assert await collect_trace(node, 5) == ()
    assert trace_tree(()) == ""
    with pytest.raises(ValueError, match="invalid literal"):
        await collect_trace(node, "no id")


# the tree


def a_span(number: int, parent: int, **changes: Any) -> Span:
    made = Span(1, number, parent, "node", Handle(1, 1), "Service", f"c{number}", number, 0, 1, 0, None)
    return attrs.evolve(made, **changes)


@given(st.dictionaries(st.integers(1, 12), st.integers(0, 15)), st.randoms(use_true_random=False))
def test_each_span_is_drawn_once_whatever_its_parent(parents: dict[int, int], random: Any) -> None:
    spans = [a_span(number, parent) for number, parent in parents.items()]
    random.shuffle(spans)
    drawn = trace_tree(spans + spans[:2])
    lines = drawn.splitlines()[1:]
    named = [each for each in lines if "(a handler" not in each]
    assert sorted(parents) == sorted(int(each.split("Service.c")[1].split()[0]) for each in named)
    depth = {int(each.split("Service.c")[1].split()[0]): each.index("Service") // 3 for each in named}
    at = {number: index for index, number in enumerate(depth)}
    for number, parent in parents.items():
        if parent in parents and depth[number] == depth[parent] + 1:
            assert at[parent] < at[number] or _is_in_circle(number, parents)
        elif parent in parents:
            assert _is_in_circle(number, parents)
        else:
            assert depth[number] == (0 if parent == 0 else 1)


def _is_in_circle(number: int, parents: dict[int, int]) -> bool:
    """Tell whether the parents of a span lead to no beginning."""
    for _ in range(len(parents) + 1):
        if number not in parents:
            return False
        number = parents[number]
    return True


def test_a_deep_chain_is_drawn_too() -> None:
    drawn = trace_tree(a_span(number, number - 1) for number in range(1, 2000))
    assert len(drawn.splitlines()) == 2000


def test_a_handler_that_runs_gives_way_to_its_end_and_says_so() -> None:
    running, ended = a_span(1, 0, running=True), a_span(1, 0, duration=12.0, waited=0.25)
    assert "still runs" in trace_tree([running])
    for each in ([running, ended], [ended, running]):
        assert trace_tree(each).endswith("+0.0 ms  12.0 s  waited 250.0 ms")


def test_texts_of_other_nodes_stay_on_their_line() -> None:
    drawn = trace_tree([a_span(1, 0, label="a\nb", node="\x1b[2J", error="x\r\ny")])
    assert drawn.isprintable() or drawn.replace("\n", "").isprintable()
    assert len(drawn.splitlines()) == 2


def test_chains_are_drawn_one_after_the_other() -> None:
    drawn = trace_tree([a_span(2, 0, trace=2), a_span(1, 0)])
    first, second = drawn.split("\n\n")
    assert (first[:22], second[:22]) == ("trace 0000000000000001", "trace 0000000000000002")


@pytest.mark.parametrize("number", [0, 1, (1 << 64) - 1, (1 << 64) + 1, (1 << 128) - 1])
async def test_whatever_number_of_a_chain_another_node_sends(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    call = Link.call

    def call_with_number(link: Link, *message: Any, **options: Any) -> int:
        return call(link, *message, **{**options, "trace": number})

    async with open_cluster(2, config=NodeConfig(trace=TraceConfig(record=True))) as cluster:
        step = await cluster[2].start(Step)
        there = cluster[1].ref(cluster[2].handle_of(step), Step)
        with monkeypatch.context() as patched:
            patched.setattr(Link, "call", call_with_number)
            trace = await there.go(0)
        recorded = cluster[2].spans()
        assert [(each.trace, each.parent) for each in recorded] == [(trace, trace)] * (number >= 1 << 64)
        assert 0 <= trace < 1 << 64
        assert trace_tree(recorded).count("\n") == 2 * len(recorded)
