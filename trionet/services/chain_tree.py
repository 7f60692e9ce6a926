"""A recorded call chain as a tree, for people.

Duty: lines of text from spans, in whatever order and from whatever nodes they come, also where some are
missing.
May import: trionet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from trionet import Span

#: Stands for a span that was not recorded, or is not kept any more, or whose node did not answer.
_MISSING: Final = "(a handler that is not recorded)"


def trace_tree(spans: Iterable[Span]) -> str:
    """Draw recorded call chains: a line for each handler, below the one that called or sent to it.

    A line tells when the handler began, counted from the first of its chain, how long it took, how long the
    message had lain in the inbox, and how the handler ended if it did not return.  When it began goes by the
    clock of its node: clocks of machines differ.

    Args:
        spans: of one chain or several, as :func:`collect_trace` gives them.
    """
    by_trace: dict[int, dict[int, Span]] = {}
    for each in spans:
        known = by_trace.setdefault(each.trace, {})
        if each.span not in known or known[each.span].running:
            known[each.span] = each
    chains = sorted(by_trace.values(), key=_begin_of)
    return "\n\n".join("\n".join(_lines(chain)) for chain in chains)


def _begin_of(chain: dict[int, Span]) -> tuple[float, int]:
    first = min(chain.values(), key=_order)
    return first.start, first.trace


def _order(span: Span) -> tuple[float, int]:
    return span.start, span.span


def _lines(chain: dict[int, Span]) -> Iterator[str]:
    """The lines of one chain."""
    begin, trace = _begin_of(chain)
    nodes = {each.service.incarnation for each in chain.values()}
    yield f"trace {trace:016x}: {_count(len(chain), 'handler')} on {_count(len(nodes), 'node')}"
    rows = [(prefix + _name(span), span) for prefix, span in _walk(chain)]
    width = max(len(name) for name, _ in rows)
    for name, span in rows:
        yield name if span is None else f"{name:{width}}  {_figures(span, begin)}"


def _walk(chain: dict[int, Span]) -> Iterator[tuple[str, Span | None]]:
    """Each span with what is drawn before it, parents before their children; None for one that is missing."""
    children: dict[int, list[Span]] = {}
    for each in sorted(chain.values(), key=_order):
        children.setdefault(each.parent, []).append(each)
    tops = [parent for parent in children if parent not in chain]
    while children:
        top = tops.pop(0) if tops else next(iter(children))  # a circle of parents, which is cut there
        inner = children.pop(top)
        if top == 0:
            todo = [("", "", each) for each in reversed(inner)]
        else:
            yield "", None
            todo = _branches("", inner)
        while todo:
            own, below, span = todo.pop()
            yield own, span
            todo += _branches(below, children.pop(span.span, []))


def _branches(before: str, spans: list[Span]) -> list[tuple[str, str, Span]]:
    """What is drawn before each of some siblings, and before what is below it; the first one last."""
    made = [(f"{before}├─ ", f"{before}│  ", each) for each in spans[:-1]]
    made += [(f"{before}└─ ", f"{before}   ", each) for each in spans[-1:]]
    return made[::-1]


def _name(span: Span | None) -> str:
    return _MISSING if span is None else f"{_plain(span.label)}.{_plain(span.command)}"


def _figures(span: Span, begin: float) -> str:
    """What a line tells besides the name."""
    where = f"{_plain(span.node)} {span.service}"
    told = [f"{where}  +{_time(span.start - begin)}  {_time(span.duration)}"]
    if span.waited >= 0.000_05:
        told.append(f"waited {_time(span.waited)}")
    if span.running:
        told.append("still runs")
    if span.error is not None:
        told.append(_plain(span.error))
    return "  ".join(told)


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 10 else f"{seconds:.1f} s"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _plain(text: str) -> str:
    """A text of another node on one line, without anything that a terminal obeys."""
    return "".join(each if each.isprintable() else " " for each in text)
