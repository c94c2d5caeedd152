"""Count what happens: one small method for each thing the service has to tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from orchestrator.response import ClassifyResponse
from orchestrator.schema import Category, Outcome
from serve.telemetry.exposition import Exposition
from serve.telemetry.instruments import BREAKER_STATES, Instruments
from serve.telemetry.queues import FRESH_S

if TYPE_CHECKING:
    from orchestrator.store.figures import Figures


class Telemetry:
    """The metrics of this process, in a registry of their own, and how they are told to who scrapes.

    Every method is cheap, takes no text that came from outside, and may be called from any thread.
    """

    def __init__(self) -> None:
        """Declare the metrics."""
        self.registry = CollectorRegistry()
        self._metrics = Instruments(self.registry)
        self._exposition = Exposition(self.registry)
        self._categories = {category: self._metrics.category.labels(category.value) for category in Category}
        self._watched: dict[str, Callable[[], float]] = {}
        self._looks: list[Callable[[], None]] = []
        self._serving: dict[str, tuple[str, str]] = {}
        self.breaker_changed("closed", first=True)

    # --- messages

    def observe(self, outcome: Outcome, state: MutableMapping[str, Any] | None = None, *, replayed: bool = False) -> ClassifyResponse:
        """Count one outcome and return its response.

        ``state`` is the request's (``request.scope["state"]``): it gets the timings and what the access log tells. ``replayed`` says
        that the answer was given before, to the same idempotency key: then nothing is decided and nothing is counted again.
        """
        response = ClassifyResponse.of(outcome)
        if state is not None:
            _tell(state, outcome, replayed=replayed)
        if replayed:
            self._metrics.replayed.inc()
            return response
        mark = {"request_id": outcome.request_id[:64]}
        classification = outcome.classification
        self._metrics.latency.observe(response.processing_time_ms / 1000, mark)
        self._metrics.confidence.observe(response.confidence, mark)
        self._categories[response.category].inc(1, mark)
        if classification.failure:
            self._metrics.llm_errors.labels(classification.failure.kind.value).inc(1, mark)
        elif classification.usage.latency_s:
            self._metrics.llm_latency.observe(classification.usage.latency_s, mark)
        if response.degraded:
            self._metrics.degraded.inc(1, mark)
        if response.review_required:
            self._metrics.review.inc(1, mark)
        return response

    def compared(self, *, agree: bool) -> None:
        """Count one message that a challenger decided beside the champion."""
        self._metrics.compared.labels("true" if agree else "false").inc()

    def serving(self, release: str, candidate: str, role: str = "champion") -> None:
        """Say which release has a role (champion, challenger) from now on."""
        before = self._serving.get(role)
        if before:
            self._metrics.release.labels(*before, role).set(0)
        self._serving[role] = (release, candidate)
        self._metrics.release.labels(release, candidate, role).set(1)

    # --- the LLM

    def breaker_changed(self, state: str, *, first: bool = False) -> None:
        """Say that the circuit breaker is ``closed``, ``half_open`` or ``open`` from now on."""
        name = str(state).replace("-", "_")
        for known in BREAKER_STATES:
            self._metrics.breaker.labels(known).set(1 if known == name else 0)
        if not first:
            self._metrics.breaker_changes.labels(name).inc()

    def retried(self) -> None:
        """Count an LLM call that is made again."""
        self._metrics.llm_retries.inc()

    def hedged(self) -> None:
        """Count a second LLM call beside a slow one."""
        self._metrics.llm_hedges.inc()

    # --- who is turned away

    def shed(self, reason: str) -> None:
        """Count a request refused for want of capacity; ``reason`` is a word of the code's, never of the request's."""
        self._metrics.shed.labels(str(reason)).inc()

    def rate_limited(self) -> None:
        """Count a request above its client's rate."""
        self._metrics.rate_limited.inc()

    def refused(self, reason: str) -> None:
        """Count a request refused for its API key; ``reason`` is a word of the code's, never of the request's."""
        self._metrics.refused.labels(str(reason)).inc()

    def limits_lost(self) -> None:
        """Count a request that this process limited on its own because Redis did not answer."""
        self._metrics.limits_lost.inc()

    # --- HTTP and the store

    def began(self) -> None:
        """Count a request that came in."""
        self._metrics.in_flight.inc()

    def ended(self, method: str, route: str, status: int, took_s: float, request_id: str) -> None:
        """Count a request that was answered; ``route`` is the template, of a bounded set."""
        self._metrics.in_flight.dec()
        self._metrics.http.labels(method, route, str(status)).inc()
        self._metrics.http_latency.labels(route).observe(took_s, {"request_id": request_id})

    def classified(self, status: int) -> None:
        """Count a classification request that was answered with this HTTP status."""
        self._metrics.requests.labels(str(status)).inc()

    def committed(self, took_s: float) -> None:
        """Count a commit of the store that took so many seconds."""
        self._metrics.commit.observe(took_s)

    # --- who scrapes

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Let one of ``instruments.WATCHED`` tell what ``read`` returns whenever somebody scrapes; ``read`` must not block."""
        if name not in self._metrics.watched:
            raise KeyError(f"{name!r} is not among serve.telemetry.instruments.WATCHED: declare it there")
        self._watched[name] = read

    def watch_store(self, read: Callable[[], Figures]) -> None:
        """Let the queues of the store be counted by ``read``, in a thread, at most every five seconds."""
        self._exposition.watch_store(read)

    def before_scrape(self, look: Callable[[], None]) -> None:
        """Call ``look`` whenever somebody scrapes, before the metrics are read; it must not block."""
        self._looks.append(look)

    def refresh(self) -> None:
        """Read what is watched. With several processes each does so every few seconds, for others may be asked in its place."""
        for look in self._looks:
            look()
        for name, read in self._watched.items():
            self._metrics.watched[name].set(read())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within the block keep what is watched fresh for other processes, where there are others; wrap the service's life in it."""
        if not self._exposition.of_many:
            yield
            return
        refreshing = asyncio.create_task(self._refresh_forever())
        try:
            yield
        finally:
            refreshing.cancel()
            await asyncio.wait({refreshing})

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics and their content type: OpenMetrics, which has exemplars, for who accepts it; else Prometheus' text."""
        self.refresh()
        return await self._exposition.render(accept)

    async def _refresh_forever(self) -> None:
        while True:
            self.refresh()
            await asyncio.sleep(FRESH_S)


def _tell(state: MutableMapping[str, Any], outcome: Outcome, *, replayed: bool) -> None:
    decision = outcome.classification.decision
    told = state.setdefault("told", {})
    told |= {"category": decision.category.value, "degraded": outcome.classification.degraded, "release": outcome.release}
    if replayed:
        told["replayed"] = True
        return
    timings = state.setdefault("timings", {})
    timings["handle"] = outcome.processing_time_ms / 1000
    if outcome.classification.usage.latency_s:
        timings["llm"] = outcome.classification.usage.latency_s
    state["handled_at"] = time.perf_counter()
