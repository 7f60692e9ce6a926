"""The tracer: tells other nodes what its node has recorded of call chains.

Duty: the service that stands on every node which records, and what collects a chain from all of them.
May import: trionet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from trionet import Node, Outcome, Service, Span, command, gather

#: The tracer of this node, and the group of all tracers of the cluster.
TRACER: Final = ".tracer"
TRACERS: Final = "trionet.tracer"
#: Spans that a tracer gives at once; more would make too large a message.
MOST_SPANS: Final = 5_000
#: Seconds within which the other nodes have to answer.
PATIENCE: Final = 5.0


class Tracer(Service):
    """What other nodes may see of the call chains that a node has recorded.

    ``trionet run`` and :func:`trionet.run` start it, as ``.tracer``, on each node of a cluster that records
    (:class:`trionet.TraceConfig`).  A program that opens its node itself does so with
    ``await node.start(Tracer, name=".tracer")``.
    """

    async def setup(self) -> None:
        """Let other nodes find it.

        Cancellation: nothing is left.
        """
        self.node.join_group(TRACERS, self.handle)

    @command
    def spans(self, trace: int, most: int = MOST_SPANS) -> tuple[Span, ...]:
        """What the node has of one chain, the earliest spans.

        Args:
            trace: the id of the chain.
            most: how many, at most 5,000.
        """
        found = sorted(self.node.spans(trace), key=_start)
        return tuple(found[: max(0, min(most, MOST_SPANS))])

    @command
    def begun(self, most: int) -> tuple[Span, ...]:
        """The first spans of chains that began on the node, the latest of them.

        Args:
            most: how many, at most 5,000.
        """
        return _latest(self.node.spans(), most)


async def collect_trace(node: Node, trace: int | str) -> tuple[Span, ...]:
    """Collect what all nodes have of a recorded call chain; :func:`trace_tree` draws it.

    Waits until the tracers of the other nodes have answered, for 5 seconds and the ``cancel_grace`` of their
    links at most.  A node that does not answer is left out.

    Cancellation: nothing is left.

    Args:
        node: this node, which need not be one of those that record.
        trace: the id of the chain: a number, or its 16 digits as logs have them.

    Returns:
        The spans, in the order in which they began; none if nobody has any.

    Raises:
        ValueError: if the text is no id.
    """
    wanted = int(trace, 16) if isinstance(trace, str) else trace
    found = [*node.spans(wanted), *await _ask_others(node, "spans", wanted)]
    return tuple(sorted(found, key=_start))


async def recent_traces(node: Node, most: int = 20) -> tuple[Span, ...]:
    """Find the recorded call chains that began last, on all nodes.

    Waits as :func:`collect_trace`.

    Cancellation: nothing is left.

    Args:
        node: this node.
        most: how many, at most 5,000.

    Returns:
        The first span of each, the latest first.
    """
    return _latest([*node.spans(), *await _ask_others(node, "begun", most)], most)


async def _ask_others(node: Node, what: str, argument: Any) -> list[Span]:
    others = [each for each in node.cluster.members(TRACERS) if each.incarnation != node.incarnation]
    outcomes: tuple[Outcome[Any], ...] = await gather(
        [node.call(each, what, argument) for each in others], deadline=PATIENCE
    )
    return [span for outcome in outcomes if outcome.is_ok for span in outcome.unwrap()]


def _latest(spans: Iterable[Span], most: int) -> tuple[Span, ...]:
    """The latest first spans of chains, but for those by which chains are looked at."""
    firsts = {each.span: each for each in spans if each.parent == 0 and each.label != TRACER}
    latest = sorted(firsts.values(), key=_start, reverse=True)
    return tuple(latest[: max(0, min(most, MOST_SPANS))])


def _start(span: Span) -> tuple[float, int]:
    return span.start, span.span
