"""Queue messages over HTTP: durable before 202, once for a key, 503 when the queue is full."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus

from starlette.exceptions import HTTPException

from orchestrator.errors import ConflictError, QueueFullError
from orchestrator.schema import Record
from orchestrator.store.job_queue import JobQueue, NewJob
from orchestrator.store.jobs import Status

RETRY_AFTER_S = "5"  # at hundreds of jobs a second there is room again by then


class Accepted(Record):
    """A message that was queued: where to ask how far it is."""

    job_id: str
    status: Status
    status_url: str


async def queue_once(queue: JobQueue, wanted: Sequence[NewJob], more: Sequence[str] = ()) -> tuple[list[Accepted], bool]:
    """Queue messages, all or none, and say whether that was done before under their keys: then with the answer that was given then.

    Raises ``ConflictError`` when one of their keys, or of ``more``, was used for something else. A full queue is a 503 problem.
    """
    keyed = wanted[0].key is not None
    if keyed and (before := await asyncio.to_thread(queue.queued_before, wanted, more)):
        return _told(before), True
    try:
        await asyncio.wrap_future(await asyncio.to_thread(queue.submit, wanted))
    except QueueFullError as error:
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers={"Retry-After": RETRY_AFTER_S}) from None
    except ConflictError:  # another replica was first
        if keyed and (before := await asyncio.to_thread(queue.queued_before, wanted, more)):
            return _told(before), True
        raise
    return _told([job.id for job in wanted]), False


def _told(ids: Sequence[str]) -> list[Accepted]:
    return [Accepted(job_id=one, status=Status.QUEUED, status_url=f"/api/v1/jobs/{one}") for one in ids]
