"""Work on the queue of jobs: in the process that serves, or in one of its own (``python -m serve worker``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from orchestrator.callbacks import deliver_callbacks
from orchestrator.destinations import Destinations
from orchestrator.jobs import DEADLINE_S, Handler, Worker
from orchestrator.schema import Outcome
from orchestrator.store.job_queue import JobQueue
from serve.client import ANYBODY


async def work(
    handler: Handler,
    queue: JobQueue,
    concurrency: int,
    stop: asyncio.Event,
    *,
    deadline_s: float = DEADLINE_S,
    callback_hosts: Collection[str] = (),
    callbacks: Destinations | None = None,
    handled: Callable[[Outcome], object] = lambda _: None,
) -> None:
    """Handle jobs, ``concurrency`` at once, and call back, until ``stop`` is set and what is under way has ended.

    ``callbacks`` is what ``callback_settings`` made of the environment; without it, or without hosts, nobody is called back.
    """
    async with asyncio.TaskGroup() as group:
        worker = Worker(handler, queue, concurrency=concurrency, deadline_s=deadline_s, handled=handled, anonymous=ANYBODY.id)
        group.create_task(worker.run(stop))
        if callbacks is not None and callback_hosts:
            group.create_task(deliver_callbacks(queue.ledger, callback_hosts, callbacks, stop))
