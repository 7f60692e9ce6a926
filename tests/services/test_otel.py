"""Recorded call chains, handed over to OpenTelemetry."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.status import StatusCode

from trionet import Node, NodeConfig, Service, TraceConfig, command, spec
from trionet.services.otel import OtelExporter, otel_span


@pytest.fixture
def node_config() -> NodeConfig:
    return NodeConfig(name="shop1", trace=TraceConfig(sample=1, spans=10))


class Store(Service):
    @command
    async def save(self, item: str) -> None:
        await trio.sleep(0.25)
        if not item:
            raise ValueError("nothing")


class Shop(Service):
    def __init__(self, store: Store) -> None:
        self.store = store

    @command
    async def buy(self, item: str) -> None:
        await self.store.save(item)


async def put_up(node: Node) -> Shop:
    return await node.start(spec(Shop, await node.start(Store)))


async def test_spans_arrive_with_ids_times_and_ends(node: Node) -> None:
    memory = InMemorySpanExporter()
    exporter = await node.start(spec(OtelExporter, memory))
    shop = await put_up(node)
    await shop.buy("tea")
    with pytest.raises(Exception, match="nothing"):
        await shop.buy("")
    assert memory.get_finished_spans() == ()
    await trio.sleep(5)
    save, buy, failed, _ = memory.get_finished_spans()
    outer = node.spans()[1]
    assert buy.context is not None
    assert save.parent is not None
    assert (buy.context.trace_id, buy.context.span_id, buy.parent) == (outer.trace, outer.span, None)
    assert (save.parent.trace_id, save.parent.span_id) == (outer.trace, outer.span)
    assert buy.context.is_valid
    assert buy.context.trace_flags.sampled
    assert (save.name, buy.name) == ("Store.save", "Shop.buy")
    assert save.start_time is not None
    assert save.end_time == save.start_time + 250_000_000
    assert (save.attributes or {})["trionet.node"] == "shop1"
    assert save.resource.attributes["service.instance.id"] == "shop1"
    assert (save.status.status_code, failed.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)
    assert failed.status.description == "ValueError: nothing"
    assert "Store.save" in save.to_json()
    assert node.service_info(exporter) == {"exported": 4, "failed": 0, "missed": 0}


async def test_what_is_left_is_handed_over_at_the_end(node: Node) -> None:
    memory = InMemorySpanExporter()
    resource = Resource({"service.name": "shop"})
    exporter = await node.start(spec(OtelExporter, memory, interval=100, resource=resource))
    await (await put_up(node)).buy("tea")
    await node.stop(exporter)
    first, _ = memory.get_finished_spans()
    assert first.resource.attributes == {"service.name": "shop"}
    assert memory.export([otel_span(node.spans()[0])]) is SpanExportResult.FAILURE  # it was shut down


async def test_what_the_node_forgot_is_told(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    memory = InMemorySpanExporter()
    exporter = await node.start(spec(OtelExporter, memory, interval=10))
    shop = await put_up(node)
    for _ in range(7):
        await shop.buy("tea")
    await trio.sleep(10)
    assert node.service_info(exporter) == {"exported": 10, "failed": 0, "missed": 4}
    assert "4 spans were forgotten" in caplog.text


class Broken(InMemorySpanExporter):
    """Fails in both ways before it works."""

    calls = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.calls += 1
        if self.calls == 1:
            raise ConnectionError("nobody is there")
        return SpanExportResult.FAILURE if self.calls == 2 else super().export(spans)


async def test_an_exporter_that_fails_is_used_again(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    broken = Broken()
    exporter = await node.start(spec(OtelExporter, broken, interval=1))
    shop = await put_up(node)
    for _ in range(3):
        await shop.buy("tea")
        await trio.sleep(1)
    assert node.service_info(exporter) == {"exported": 2, "failed": 4, "missed": 0}
    messages = [each.message for each in caplog.records if each.name == "trionet.otel"]
    assert messages == [
        "2 spans could not be exported: nobody is there",
        "2 spans could not be exported",
    ]
