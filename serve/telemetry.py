"""Prometheus metrics of the service, by the names of the contract."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from orchestrator.response import ClassifyResponse
from orchestrator.schema import Outcome


class Telemetry:
    """The metrics, in a registry of their own."""

    def __init__(self) -> None:
        """Declare them."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "classification_requests_total", "Classification requests by HTTP status.", ["status"], registry=self.registry
        )
        self.latency = Histogram("classification_latency_seconds", "Time to handle a classification request.", registry=self.registry)
        self.confidence = Histogram(
            "classification_confidence",
            "Calibrated confidence of the decision.",
            buckets=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0],
            registry=self.registry,
        )
        self.category = Counter("classification_category", "Decisions by category.", ["category"], registry=self.registry)
        self.llm_errors = Counter("llm_errors_total", "LLM failures by kind.", ["kind"], registry=self.registry)
        self.degraded = Counter("classification_degraded_total", "Answers given without the LLM.", registry=self.registry)

    def observe(self, outcome: Outcome) -> ClassifyResponse:
        """Count one outcome and return its response."""
        response = ClassifyResponse.of(outcome)
        self.latency.observe(response.processing_time_ms / 1000)
        self.confidence.observe(response.confidence)
        self.category.labels(response.category.value).inc()
        if outcome.classification.failure:
            self.llm_errors.labels(outcome.classification.failure.kind.value).inc()
        if response.degraded:
            self.degraded.inc()
        return response
