"""Recorded call chains as spans of OpenTelemetry; needs the extra ``otel``.

Duty: hand over what the node records to an exporter of OpenTelemetry.
May import: trionet and opentelemetry.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import trio
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from trionet import Service, Span, __version__

__all__ = ["OtelExporter", "otel_span"]

#: Spans that are handed over at once.
MOST_AT_ONCE: Final = 512
_SCOPE: Final = InstrumentationScope("trionet", __version__)
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_log: Final = logging.getLogger("trionet.otel")


class OtelExporter(Service):
    """Hands what its node records of call chains over to OpenTelemetry.

    Every node that records needs one.  What cannot be handed over is logged and dropped; what the node has
    forgotten in the meantime, because it keeps too few spans, too.

    Args:
        exporter: an exporter of OpenTelemetry, such as ``OTLPSpanExporter()``.  It is used in a worker
            thread, and shut down at the end.
        interval: seconds between two times that it is used.
        resource: what the spans are of; by default what the variables ``OTEL_SERVICE_NAME`` and
            ``OTEL_RESOURCE_ATTRIBUTES`` say, and the name of the node as ``service.instance.id``.
    """

    def __init__(
        self, exporter: SpanExporter, *, interval: float = 5.0, resource: Resource | None = None
    ) -> None:
        self._exporter = exporter
        self._interval = interval
        self._resource = resource
        self._seen = 0
        self._exported = self._failed = self._missed = 0

    async def setup(self) -> None:
        """Begin.

        Cancellation: nothing is left.
        """
        if self._resource is None:
            self._resource = Resource.create({"service.instance.id": self.node.name})
        self.nursery.start_soon(self._export_for_ever)

    async def teardown(self) -> None:
        """Hand over what is left.

        Cancellation: waits for the exporter all the same.
        """
        await self._export()
        await self.node.run_sync(self._exporter.shutdown)

    def debug_info(self) -> dict[str, int]:
        """How many spans were handed over, could not be, and were forgotten before."""
        return {"exported": self._exported, "failed": self._failed, "missed": self._missed}

    async def _export_for_ever(self) -> None:
        while True:
            await trio.sleep(self._interval)
            await self._export()

    async def _export(self) -> None:
        spans, recorded = self.node.spans_since(self._seen)
        missed = recorded - self._seen - len(spans)
        self._seen = recorded
        if missed:
            self._missed += missed
            _log.warning("%d spans were forgotten before they were exported (trace.spans)", missed)
        for start in range(0, len(spans), MOST_AT_ONCE):
            await self._hand_over(spans[start : start + MOST_AT_ONCE])

    async def _hand_over(self, spans: Sequence[Span]) -> None:
        batch = [otel_span(each, self._resource) for each in spans]
        try:
            done = await self.node.run_sync(self._exporter.export, batch)
        except Exception as error:
            _log.warning("%d spans could not be exported: %s", len(batch), error)
        else:
            if done is SpanExportResult.SUCCESS:
                self._exported += len(batch)
                return
            _log.warning("%d spans could not be exported", len(batch))
        self._failed += len(batch)


def otel_span(span: Span, resource: Resource | None = None) -> ReadableSpan:
    """Make a span of OpenTelemetry of a recorded handler; with the same ids, that of the chain after zeros.

    Args:
        span: the handler, which has ended.
        resource: what the span is of.
    """
    start = round(span.start * 1e9)
    attributes: dict[str, Any] = {
        "rpc.system": "trionet",
        "rpc.service": span.label,
        "rpc.method": span.command,
        "trionet.node": span.node,
        "trionet.service": str(span.service),
        "trionet.inbox_seconds": span.waited,
        "trionet.cpu_seconds": span.cpu_time,
    }
    return ReadableSpan(
        name=f"{span.label}.{span.command}",
        context=SpanContext(span.trace, span.span, is_remote=False, trace_flags=_SAMPLED),
        parent=SpanContext(span.trace, span.parent, is_remote=True, trace_flags=_SAMPLED)
        if span.parent
        else None,
        resource=resource,
        attributes=attributes,
        kind=SpanKind.SERVER,
        status=Status(StatusCode.UNSET if span.error is None else StatusCode.ERROR, span.error),
        start_time=start,
        end_time=start + round(span.duration * 1e9),
        instrumentation_scope=_SCOPE,
    )
