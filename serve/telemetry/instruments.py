"""Every metric the service counts by itself: its name, its labels and what it says. The contract's names come first."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from orchestrator.schema import Category, FailureKind

# 2.5 s is the latency objective (docs/monitoring.md): it must be a bucket's edge. 30 s is the deadline.
LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COMMIT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
BREAKER_STATES = ("closed", "half_open", "open")
# Read when somebody scrapes: ``Telemetry.watch`` says where from.
WATCHED = {
    "admission_in_use": "Places for messages under way that are taken.",
    "admission_waiting": "Requests that wait for a place.",
    "rate_limit_shared": "Processes whose rate limits are shared through Redis at the moment; 0 after it was lost.",
}


class Instruments:
    """The metrics of one process. What is bounded is there from the start, with 0: a rate of what first appears at 1 sees nothing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Declare them in ``registry``."""

        def counter(name: str, told: str, **labels: Iterable[str]) -> Counter:
            made = Counter(name, told, list(labels), registry=registry)
            if len(labels) == 1:
                for value in next(iter(labels.values())):
                    made.labels(value)
            return made

        def histogram(name: str, told: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, told, labels, buckets=buckets, registry=registry)

        def gauge(name: str, told: str, *labels: str) -> Gauge:
            return Gauge(name, told, labels, registry=registry, multiprocess_mode="livesum")

        self.requests = counter("classification_requests_total", "Classification requests by HTTP status.", status=("200",))
        self.latency = histogram("classification_latency_seconds", "Time to handle a message, until it was durably recorded.", LATENCY_S)
        self.confidence = histogram("classification_confidence", "Calibrated confidence of the decision.", CONFIDENCE)
        self.category = counter("classification_category", "Decisions by category.", category=[category.value for category in Category])
        self.llm_errors = counter("llm_errors_total", "LLM failures by kind.", kind=[kind.value for kind in FailureKind])

        self.degraded = counter("classification_degraded_total", "Answers given without the LLM.")
        self.review = counter("classification_review_total", "Decisions that a person must look at.")
        self.replayed = counter("classification_replayed_total", "Answers repeated for an idempotency key.")
        self.llm_latency = histogram("llm_latency_seconds", "Service time of LLM calls that were answered.", LATENCY_S)
        self.llm_retries = counter("llm_retries_total", "LLM calls made again after a transient failure.")
        self.llm_hedges = counter("llm_hedges_total", "Second LLM calls made beside a slow one.")
        self.breaker = gauge("llm_breaker_state", "Processes whose circuit breaker is in this state.", "state")
        self.breaker_changes = counter("llm_breaker_changes_total", "Changes of the circuit breaker by new state.", state=BREAKER_STATES)
        self.shed = counter("requests_shed_total", "Requests refused for want of capacity, by reason.", reason=())
        self.rate_limited = counter("requests_rate_limited_total", "Requests above their client's rate.")
        self.refused = counter("auth_refused_total", "Requests refused for their API key, by reason.", reason=())
        self.limits_lost = counter("rate_limit_fallbacks_total", "Requests that a process limited on its own because Redis did not answer.")
        self.commit = histogram("store_commit_seconds", "Time from an outcome to its durable commit.", COMMIT_S)
        self.compared = counter("shadow_comparisons_total", "Challenger's decisions beside the champion's.", agree=("true", "false"))
        self.release = gauge("release_info", "Processes that serve this release in this role.", "release", "candidate", "role")
        self.http = counter("http_requests_total", "Requests by method, route template and status.", method=(), route=(), status=())
        self.http_latency = histogram("http_request_seconds", "Time to answer by route template.", LATENCY_S, "route")
        self.in_flight = gauge("http_requests_in_flight", "Requests under way.")
        self.watched = {name: gauge(name, told) for name, told in WATCHED.items()}
