"""Figures of a node for Prometheus; needs the extra ``metrics``.

Duty: what :mod:`prometheus_client` collects of a node, and the service that serves it.
May import: trionet, prometheus_client, and the pages of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from typing import Final

import trio
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from trionet import CommandStatistics, LinkReport, Node, NodeStatistics, Service, command
from trionet.services.pages import Pages

__all__ = ["MetricsServer", "NodeCollector"]

#: Where Prometheus looks.
PATH: Final = "/metrics"


class NodeCollector(Collector):
    """The figures of a node, as :mod:`prometheus_client` collects them; for a registry of your own.

    What they are is in the how-to on metrics.  Collect them in the node's own thread.

    Args:
        node: the node.
    """

    def __init__(self, node: Node) -> None:
        self.node = node

    def collect(self) -> Iterator[Metric]:
        """Give all figures as they are now."""
        yield from _node_metrics(self.node.statistics())
        yield from _link_metrics(self.node.cluster.links())
        if self.node.config.profile:
            yield from _command_metrics(self.node.profile())

    def describe(self) -> Iterator[Metric]:
        """Give none before they are asked for; so nothing is measured at a registration."""
        return iter(())


def _node_metrics(node: NodeStatistics) -> Iterator[Metric]:
    identity = {"node": node.name, "harbor": str(node.harbor), "incarnation": f"{node.incarnation:016x}"}
    yield InfoMetricFamily("trionet_node", "Which node this is.", identity)
    for name, help_text, value in (
        ("messages", "Messages that services have handled.", node.messages + node.ended_messages),
        (
            "handler_cpu_seconds",
            "Time in which handlers held the event loop.",
            node.cpu_time + node.ended_cpu_time,
        ),
        ("dead_letters", "Messages that did not arrive.", node.dead_letters),
        ("stalls", "How often a handler held the event loop for too long.", node.stalls),
    ):
        yield CounterMetricFamily(f"trionet_{name}", help_text, value)
    for name, help_text, value in (
        ("services", "Services that live on the node.", node.services),
        ("inbox_messages", "Messages in all inboxes.", node.inbox),
        ("running_handlers", "Handlers that run now.", node.running),
    ):
        yield GaugeMetricFamily(f"trionet_{name}", help_text, value)


#: Name, help and value of what only grows, and of what does not, of each link.
_LINK_COUNTERS: Final[tuple[tuple[str, str, Callable[[LinkReport], float]], ...]] = (
    ("sent_messages", "Calls and sends to another node.", lambda link: link.sent),
    ("received_messages", "Calls and sends of another node.", lambda link: link.arrived),
    ("sent_bytes", "Bytes written to another node.", lambda link: link.bytes_sent),
    ("received_bytes", "Bytes read from another node.", lambda link: link.bytes_received),
)
_LINK_GAUGES: Final[tuple[tuple[str, str, Callable[[LinkReport], float | None]], ...]] = (
    ("pending_bytes", "Bytes that wait for the socket.", lambda link: link.pending_bytes),
    ("waiting_messages", "Messages that wait for room in a window.", lambda link: link.waiting),
    ("unacknowledged_messages", "Sent messages without acknowledgement.", lambda link: link.unacknowledged),
    ("open_calls", "Calls to another node that have no outcome yet.", lambda link: link.calls),
    ("silent_seconds", "Time since something came from another node.", lambda link: link.silent),
    ("round_trip_seconds", "Time of a heartbeat to another node and back.", lambda link: link.round_trip),
)


def _link_metrics(links: tuple[LinkReport, ...]) -> Iterator[Metric]:
    for family, described in ((CounterMetricFamily, _LINK_COUNTERS), (GaugeMetricFamily, _LINK_GAUGES)):
        for name, help_text, value_of in described:
            metric = family(f"trionet_link_{name}", help_text, labels=["harbor"])
            for link in links:
                found = value_of(link)
                if found is not None:
                    metric.add_metric([str(link.harbor)], found)
            yield metric


#: Name, help and value of what only grows, of each command.
_COMMAND_COUNTERS: Final[tuple[tuple[str, str, Callable[[CommandStatistics], float]], ...]] = (
    ("handler_errors", "Handlers that raised.", lambda each: each.errors),
    ("handler_cancellations", "Handlers that were cancelled.", lambda each: each.cancelled),
    ("command_cpu_seconds", "Time in which handlers held the event loop.", lambda each: each.cpu_time),
    ("command_inbox_seconds", "Time that messages lay in an inbox.", lambda each: each.inbox_time),
)


def _command_metrics(commands: tuple[CommandStatistics, ...]) -> Iterator[Metric]:
    labels = ["service_class", "command"]
    text = "Time from the beginning of a handler to its end."
    duration = HistogramMetricFamily("trionet_handler_duration_seconds", text, labels=labels)
    for each in commands:
        bounds = [*map(str, each.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(each.buckets), strict=True))
        duration.add_metric([each.service_class, each.command], buckets, each.wall_time)
    yield duration
    for name, help_text, value_of in _COMMAND_COUNTERS:
        metric = CounterMetricFamily(f"trionet_{name}", help_text, labels=labels)
        for each in commands:
            metric.add_metric([each.service_class, each.command], value_of(each))
        yield metric


class MetricsServer(Service):
    """Serves the figures of its node to Prometheus: over HTTP, at ``/metrics``.

    Those of the process, and what the program itself has registered with :mod:`prometheus_client`, come
    along.  ``trionet run`` starts it, as ``.metrics``, where the configuration has ``metrics.address``.
    There is no authentication: who can reach the address can read.

    Args:
        address: where it listens, ``host:port``; port 0 takes a free one.
    """

    def __init__(self, address: str = "127.0.0.1:9464") -> None:
        self._wanted = address
        self._addresses: tuple[str, ...] = ()

    async def setup(self) -> None:
        """Listen.

        Cancellation: nothing is left.

        Raises:
            OSError: if it cannot listen there.
        """
        host, _, port = self._wanted.rpartition(":")
        listeners = await trio.open_tcp_listeners(int(port), host=host.strip("[]"))
        self._addresses = tuple(_address_of(each) for each in listeners)
        registry = CollectorRegistry()
        registry.register(NodeCollector(self.node))
        pages = Pages({PATH: partial(_page, registry)})
        for listener in listeners:
            self.nursery.start_soon(pages.serve, listener)

    @command
    def addresses(self) -> tuple[str, ...]:
        """Where it listens: one address, or one for each that the host's name has."""
        return self._addresses


def _address_of(listener: trio.SocketListener) -> str:
    host, port, *_ = listener.socket.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _page(registry: CollectorRegistry) -> tuple[str, bytes]:
    return CONTENT_TYPE_LATEST, generate_latest(registry) + generate_latest(REGISTRY)
