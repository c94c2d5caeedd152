"""Tell the metrics to who scrapes: of this process, or the sum of all where several serve."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from serve.telemetry import processes
from serve.telemetry.queues import Queues

if TYPE_CHECKING:
    from orchestrator.store.figures import Figures


class Exposition:
    """What a scrape shows: the counted metrics, the processes' memory and time, the store's queues."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Show ``registry``; where several processes share a folder of metrics, what is in there in its place."""
        folder = os.environ.get(processes.VARIABLE)
        if folder and not values.ValueClass._multiprocess:
            raise RuntimeError(f"{processes.VARIABLE} was set after prometheus_client was imported: the processes would not be summed up")
        self._folder = folder
        self._shown = CollectorRegistry() if folder else registry
        self._queues = Queues()
        if folder:
            MultiProcessCollector(self._shown, path=folder)  # type: ignore[no-untyped-call]  # prometheus_client's gap
            self._shown.register(_Processes(folder))
        else:
            ProcessCollector(registry=self._shown)
        self._shown.register(self._queues)

    @property
    def of_many(self) -> bool:
        """Whether several processes are summed up."""
        return self._folder is not None

    def watch_store(self, read: Callable[[], Figures]) -> None:
        """Count the store's queues by ``read``."""
        self._queues.read = read

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics in the form that ``accept`` asks for, and its content type."""
        await self._queues.refresh()
        encode, content_type = choose_encoder(accept)
        return await asyncio.to_thread(self._encoded, encode), content_type

    def _encoded(self, encode: Callable[[Collector], bytes]) -> bytes:
        if self._folder:
            processes.forget_dead(self._folder)
        return encode(self._shown)


class _Processes(Collector):
    """Memory, processor time and open files of each process that serves, by its id."""

    def __init__(self, folder: str) -> None:
        """Look at the processes that write to ``folder``."""
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Yield each metric with a sample for each process."""
        together: dict[str, Metric] = {}
        for pid in processes.living(self._folder):
            for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]  # bound in the loop
                kept = together.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                for sample in metric.samples:
                    kept.add_sample(sample.name, {"pid": str(pid)}, sample.value)
        return together.values()
