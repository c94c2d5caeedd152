"""The worker: takes jobs from the queue and has each handled once, whatever becomes of the worker.

A job is handled under an idempotency key and its own id, so when a worker dies between the outcome and its being written down, or is
slower than its lease, the one that takes the job next gets the outcome that is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from orchestrator.errors import ConflictError, KeysError, StoreUnavailableError
from orchestrator.response import ClassifyResponse
from orchestrator.schema import Message, Outcome
from orchestrator.store.entry import Idempotency
from orchestrator.store.job_queue import JobQueue, idempotency_of
from orchestrator.store.jobs import Error, Taken

DEADLINE_S = 30.0
LEASE_MARGIN_S = 30.0  # beyond the deadline: for the database before and after it, and for clocks that differ
POLL_S = 0.2  # how often the queue is looked into while there is nothing to do
BACKOFF_S, MAX_BACKOFF_S = 1.0, 60.0  # between two attempts at a job
MAX_PATIENCE_S = 30.0  # the longest wait between two attempts to reach a lost database
_log = logging.getLogger(__name__)


class Handler(Protocol):
    """Who handles messages: an ``Orchestrator``, or what stands before one."""

    async def handle(
        self,
        message: Message,
        *,
        request_id: str | None = None,
        idempotency: Idempotency | None = None,
        deadline_s: float | None = None,
        client: str | None = None,
    ) -> Outcome:
        """Handle one message as ``Orchestrator.handle`` does."""
        ...


class Worker:
    """Has up to ``concurrency`` jobs under way. Any number of workers may work on one queue."""

    def __init__(
        self,
        handler: Handler,
        queue: JobQueue,
        *,
        concurrency: int,
        deadline_s: float = DEADLINE_S,
        poll_s: float = POLL_S,
        handled: Callable[[Outcome], object] = lambda _: None,
        anonymous: str | None = None,
    ) -> None:
        """Give the handler ``deadline_s`` seconds for a job; ``handled`` is told each outcome that is new.

        ``anonymous`` is the client that stands for whoever asks: its messages need not all be answered by one release.
        """
        self._handler, self._queue = handler, queue
        self._concurrency, self._deadline_s, self._poll_s = concurrency, deadline_s, poll_s
        self._handled, self._anonymous = handled, anonymous

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set and what is under way has ended; outlasts a lost database."""
        under_way: set[asyncio.Task[None]] = set()
        stopping = asyncio.create_task(stop.wait())
        lost_s = 0.0
        try:
            while not stop.is_set():
                wait_s = self._poll_s
                try:
                    taken = await self._take(self._concurrency - len(under_way))
                    under_way |= {asyncio.create_task(self._until_written(job, stop)) for job in taken}
                    lost_s = 0.0
                except StoreUnavailableError as error:
                    wait_s = lost_s = _longer(lost_s)
                    _log.warning("the worker waits %.0f s for the database: %s", wait_s, error)
                await asyncio.wait({*under_way, stopping}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                under_way = {task for task in under_way if not task.done()}
        finally:
            stopping.cancel()
            if under_way:
                await asyncio.wait(under_way)

    async def _take(self, room: int) -> list[Taken]:
        if not room or not await asyncio.to_thread(self._queue.any_due):
            return []
        return await asyncio.wrap_future(self._queue.take(limit=room, lease_s=self._deadline_s + LEASE_MARGIN_S))

    async def _until_written(self, job: Taken, stop: asyncio.Event) -> None:
        """Do a job again until what came of it is written down; where that is not before the stop, its lease runs out."""
        lost_s = 0.0
        while True:
            try:
                await self._one(job)
            except StoreUnavailableError:
                lost_s = _longer(lost_s)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), lost_s)
                if stop.is_set():
                    return
            else:
                return

    async def _one(self, job: Taken) -> None:
        """Handle one job and write down what came of it. Raises ``StoreUnavailableError`` alone."""
        try:
            message = self._queue.message_of(job)
            outcome = await self._handler.handle(
                message,
                request_id=job.id,
                idempotency=idempotency_of(job, message),
                deadline_s=self._deadline_s,
                client=None if job.client == self._anonymous else job.client,
            )
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever one job comes to, the others go on; its text could quote the message
            await self._failed(job, error)
        else:
            if outcome.request_id == job.id:
                self._handled(outcome)
            await asyncio.wrap_future(self._queue.finish(job, result=ClassifyResponse.of(outcome).model_dump(mode="json")))

    async def _failed(self, job: Taken, error: Exception) -> None:
        """Try again later, or give the job up."""
        kind = _kind_of(error)
        if kind == Error.CONFLICT or job.attempts >= self._queue.attempts:
            _log.error("job %s has failed at attempt %d: %s (%s)", job.id, job.attempts, kind.value, type(error).__name__)
            await asyncio.wrap_future(self._queue.finish(job, error=kind))
            return
        wait_s = min(BACKOFF_S * 2.0 ** (job.attempts - 1), MAX_BACKOFF_S)
        _log.warning("job %s failed at attempt %d, again in %.0f s: %s", job.id, job.attempts, wait_s, type(error).__name__)
        await asyncio.wrap_future(self._queue.retry(job, in_s=wait_s))


def _kind_of(error: Exception) -> Error:
    if isinstance(error, ConflictError):
        return Error.CONFLICT
    return Error.UNREADABLE if isinstance(error, KeysError) else Error.INTERNAL


def _longer(lost_s: float) -> float:
    return min(2 * lost_s or 1.0, MAX_PATIENCE_S)
