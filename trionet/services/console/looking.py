"""The commands that look, and change nothing."""

from __future__ import annotations

from typing import Any, Final

import trio

from trionet import HandlerStatistics, ServiceStatistics, Span, TrionetError
from trionet.services.chain_tree import trace_tree
from trionet.services.console.asking import Ask, Entry
from trionet.services.console.values import BadLine, to_json
from trionet.services.remote_node import RemoteNode
from trionet.services.tracer import collect_trace, recent_traces

#: Seconds within which a node must answer to be in the list of nodes with its figures.
PATIENCE: Final = 2.0
#: Services that are listed where nobody asks for more.
MOST_LISTED: Final = 1_000


async def _list(ask: Ask) -> Any:
    words = ask.words("list [MOST]", 0, 1)
    most = _number(words[0]) if words else MOST_LISTED
    services = await ask.remote.services()
    return [_row(each) for each in services[:most]]


def _row(service: ServiceStatistics) -> dict[str, Any]:
    return {
        "handle": str(service.handle),
        "name": " ".join(service.names),
        "class": service.service_class,
        "life": service.life,
        "messages": service.messages,
        "cpu": round(service.cpu_time, 6),
        "inbox": service.inbox,
        "running": service.running,
    }


async def _stat(ask: Ask) -> Any:
    words = ask.words("stat [SERVICE]", 0, 1)
    if not words:
        node = await ask.remote.node_stat()
        return {**to_json(node), "incarnation": f"{node.incarnation:016x}"}
    remote, target = ask.place(words[0])
    service = await remote.stat(target)
    more = {"waiting_senders": service.waiting_senders, "deferred": service.deferred, "tasks": service.tasks}
    return {**_row(service), **more, "commands_running": [each.command for each in service.handlers]}


async def _task(ask: Ask) -> Any:
    (word,) = ask.words("task SERVICE", 1, 1)
    remote, target = ask.place(word)
    return [_handler(each) for each in (await remote.stat(target)).handlers]


def _handler(handler: HandlerStatistics) -> dict[str, Any]:
    return {
        "command": handler.command,
        "from": "the node" if handler.source is None else str(handler.source),
        "seconds": round(handler.age, 3),
        "abandoned": handler.abandoned,
        "stack": list(handler.stack),
    }


async def _info(ask: Ask) -> Any:
    (word,) = ask.words("info SERVICE", 1, 1)
    remote, target = ask.place(word)
    return await remote.info(target)


async def _ping(ask: Ask) -> Any:
    (word,) = ask.words("ping SERVICE", 1, 1)
    remote, target = ask.place(word)
    return {"milliseconds": round(1000 * await remote.ping(target), 3)}


async def _names(ask: Ask) -> Any:
    ask.no_words("names")
    return [{"name": name, "handle": str(handle)} for name, handle in (await ask.remote.names()).items()]


async def _nodes(ask: Ask) -> Any:
    ask.no_words("nodes")
    cluster = ask.node.cluster
    addresses = cluster.nodes() or {ask.node.harbor: ""}
    linked = {*cluster.linked(), ask.node.harbor}
    rows = {
        harbor: {"harbor": harbor, "address": address, "linked": harbor in linked}
        for harbor, address in addresses.items()
    }
    async with trio.open_nursery() as nursery:
        for row in rows.values():
            nursery.start_soon(_measure_node, ask, row)
    return list(rows.values())


async def _measure_node(ask: Ask, row: dict[str, Any]) -> None:
    """Add what the node tells of itself, if it does so in time."""
    try:
        with trio.fail_after(PATIENCE):
            found = await RemoteNode(ask.node, row["harbor"]).node_stat()
    except (TrionetError, trio.TooSlowError) as error:
        row["problem"] = str(error) or f"no answer within {PATIENCE:g} s"
        return
    row.update(
        name=found.name,
        services=found.services,
        messages=found.messages,
        cpu=round(found.cpu_time, 6),
        inbox=found.inbox,
        dead_letters=found.dead_letters,
        stalls=found.stalls,
    )


async def _links(ask: Ask) -> Any:
    ask.no_words("links")
    return [
        {
            "harbor": link.harbor,
            "address": link.address,
            "calls": link.calls,
            "serving": link.serving,
            "waiting": link.waiting,
            "pending_bytes": link.pending_bytes,
            "silent": round(link.silent, 3),
            "round_trip": _rounded(link.round_trip),
        }
        for link in await ask.remote.links()
    ]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


async def _net(ask: Ask) -> Any:
    ask.no_words("net")
    return [
        {
            "harbor": link.harbor,
            "sent": link.sent,
            "unacknowledged": link.unacknowledged,
            "arrived": link.arrived,
            "bytes_sent": link.bytes_sent,
            "bytes_received": link.bytes_received,
        }
        for link in await ask.remote.links()
    ]


async def _mem(ask: Ask) -> Any:
    ask.no_words("mem")
    return await ask.remote.memory()


async def _trace(ask: Ask) -> Any:
    words = ask.words("trace [ID]", 0, 1)
    if not words:
        return [_chain(each) for each in await recent_traces(ask.node)]
    try:
        spans = await collect_trace(ask.node, words[0])
    except ValueError:
        raise BadLine(f"found {words[0][:20]!r}, expected the 16 digits of a trace") from None
    return trace_tree(spans) if spans else "nothing is recorded of that trace"


def _chain(first: Span) -> dict[str, Any]:
    return {
        "trace": f"{first.trace:016x}",
        "service": f"{first.label} ({first.service})",
        "command": first.command,
        "seconds": round(first.duration, 6),
    }


def _number(text: str) -> int:
    """A whole number of something.

    Raises:
        BadLine: if it is none.
    """
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise BadLine(f"found {text[:20]!r}, expected a whole number, 1 or more")
    return int(text)


LOOKING: Final = {
    "list": Entry("list [MOST]", "the services of a node", _list),
    "stat": Entry("stat [SERVICE]", "a service, measured; without one the node", _stat),
    "task": Entry("task SERVICE", "the handlers that run, and where they wait", _task),
    "info": Entry("info SERVICE", "what a service tells of itself (debug_info)", _info),
    "ping": Entry("ping SERVICE", "how long a message takes through its inbox", _ping),
    "trace": Entry("trace [ID]", "the recorded call chains that began last, or one as a tree", _trace),
    "names": Entry("names", "the names that a node knows", _names),
    "nodes": Entry("nodes", "the nodes of the cluster", _nodes),
    "links": Entry("links", "the links of a node, and what waits on them", _links),
    "net": Entry("net", "what a node's links have sent and received", _net),
    "mem": Entry("mem", "the memory of a node's process", _mem),
}
