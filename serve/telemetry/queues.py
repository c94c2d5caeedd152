"""The store's queues as metrics, counted when somebody scrapes: in a thread, seldom, and never waited for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from orchestrator.store.figures import Figures

FRESH_S = 5.0  # a store of replicas is asked by each of them at every scrape, and by whoever else looks at /metrics
PATIENCE_S = 2.0  # a scrape gives up after 10 s by default, and its other metrics are wanted most when the store hangs


class Queues(Collector):
    """The figures that ``read`` counted last. While it fails, ``store_up`` is 0 and the queues are not told: old ones would look well."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know nothing yet; ``clock`` gives seconds."""
        self.read: Callable[[], Figures] | None = None
        self._clock = clock
        self._figures: Figures | None = None
        self._counted_at = float("-inf")
        self._counting: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Count anew where the figures are older than five seconds; wait for that two seconds at most. One count runs at a time."""
        if self.read is None or self._clock() - self._counted_at < FRESH_S:
            return
        if self._counting is None or self._counting.done():
            self._counting = asyncio.create_task(self._count(self.read))
        done, _ = await asyncio.wait({self._counting}, timeout=PATIENCE_S)
        if not done:
            self._figures = None

    async def _count(self, read: Callable[[], Figures]) -> None:
        try:
            self._figures = await asyncio.to_thread(read)
        except Exception:  # noqa: BLE001  # whatever the driver raises, the store is down, and that is what the metrics are to say
            self._figures = None
        self._counted_at = self._clock()

    def collect(self) -> Iterable[Metric]:
        """Yield what is known; the store is not asked here."""
        figures = self._figures
        yield GaugeMetricFamily("store_up", "Whether the store answers.", value=0 if figures is None else 1)
        messages = GaugeMetricFamily("outbox_messages", "Messages of the outbox that were not delivered, by status.", labels=["status"])
        late = GaugeMetricFamily("outbox_oldest_pending_seconds", "Age of the oldest message that waits to be delivered.")
        waiting = GaugeMetricFamily("escalations_unresolved", "Escalations that nobody has resolved.", labels=["severity"])
        overdue = GaugeMetricFamily("escalations_overdue", "Those past the time by which somebody must act.", labels=["severity"])
        depth = GaugeMetricFamily("jobs_depth", "Queued messages that nobody has handled, by status.", labels=["status"])
        oldest = GaugeMetricFamily("jobs_oldest_age_seconds", "Age of the oldest queued message that is not finished; 0 without one.")
        if figures is not None:
            for family, counts in (
                (messages, figures.outbox),
                (waiting, figures.escalations),
                (overdue, figures.overdue),
                (depth, figures.jobs),
            ):
                for name, count in counts.items():
                    family.add_metric([name], count)
            late.add_metric([], figures.outbox_oldest_s)
            oldest.add_metric([], figures.jobs_oldest_s)
        yield from (messages, late, waiting, overdue, depth, oldest)
