"""Traces for an OpenTelemetry collector (the ``otel`` extra): a span for each request, made after it was answered from what was measured.

A request costs a line in a queue; a thread sends what is in it. Where the collector is away the spans are dropped and nobody waits.
Within a request the spans follow one another as its work does: waiting for a place, the LLM's call, the workflow, the commit.
"""

from __future__ import annotations

import logging
import threading
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from serve.telemetry.timing import Served

SERVICE = "contact-centre-orchestrator"
EXPORT_TIMEOUT_S = 5.0
CLOSE_WITHIN_S = 3.0  # for what was not sent yet: a collector that is away must not hold up a shutdown
_log = logging.getLogger(__name__)


class Tracing:
    """Turns answered requests into spans. The client's ``traceparent`` is their parent; its ``tracestate`` may hold anything and is not."""

    def __init__(self, processor: SpanProcessor, release: str) -> None:
        """Hand spans to ``processor``."""
        resource = Resource.create({"service.name": SERVICE, "service.version": release})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(__name__)
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def to(cls, endpoint: str, release: str) -> Tracing:
        """Send spans to the collector at a base URL (OTEL_EXPORTER_OTLP_ENDPOINT) by OTLP over HTTP."""
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
        return cls(BatchSpanProcessor(exporter), release)

    def record(self, served: Served) -> None:
        """Make the spans of one request. Nothing that goes wrong here reaches the request."""
        try:
            self._record(served)
        except Exception:  # noqa: BLE001  # the request was answered well
            _log.exception("a trace could not be made")

    def close(self) -> None:
        """Send what waits, for three seconds at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_WITHIN_S)

    def _record(self, served: Served) -> None:
        to_epoch_s = time.time() - time.perf_counter()  # spans are dated by the wall clock, and measured by the other

        def nanoseconds(moment: float) -> int:
            return int((moment + to_epoch_s) * 1e9)

        parent = self._propagator.extract({"traceparent": served.traceparent}) if served.traceparent else None
        attributes = {
            "http.request.method": served.method,
            "http.route": served.route,
            "http.response.status_code": served.status,
            "request_id": served.request_id,
            **{name: value for name, value in served.told.items() if isinstance(value, str | bool | int | float)},
        }
        if served.client is not None:
            attributes["client"] = served.client
        span = self._tracer.start_span(
            f"{served.method} {served.route}", parent, SpanKind.SERVER, attributes, start_time=nanoseconds(served.started)
        )
        if served.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        within = set_span_in_context(span)
        for name, began, ended in parts(served):
            self._tracer.start_span(name, within, start_time=nanoseconds(began)).end(nanoseconds(ended))
        span.end(nanoseconds(served.ended))


def parts(served: Served) -> list[tuple[str, float, float]]:
    """Return the parts of a request as ``(name, begin, end)``, in seconds of ``time.perf_counter``; each within the request."""
    timings, found = served.timings, []
    if "queue" in timings:
        found.append(("queue", served.started, served.started + timings["queue"]))
    if served.handled_at is not None and "handle" in timings:
        began = served.handled_at - timings["handle"]
        answered = min(began + timings.get("llm", 0.0), served.handled_at)
        if "llm" in timings:
            found.append(("llm", began, answered))
        stored = max(served.handled_at - timings.get("store", 0.0), answered)
        found.append(("workflow", answered, stored))
        if "store" in timings:
            found.append(("store", stored, served.handled_at))
    return [(name, _within(begin, served), _within(end, served)) for name, begin, end in found]


def _within(moment: float, served: Served) -> float:
    return min(max(moment, served.started), served.ended)
