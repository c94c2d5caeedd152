"""Jobs: messages that wait to be classified, sealed, and what came of them. The caller's transaction writes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, literal, or_, select, update

from orchestrator.schema import Record, Severity
from orchestrator.store import outbox, tables
from orchestrator.store.tables import DataKey, Job

# A lease or a pause is never longer than a request's longest deadline (600 s) and its margin. Where more is to go, the clock was set back.
LONGEST_WAIT = timedelta(minutes=15)


class Status(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Error(StrEnum):
    """Why a job failed."""

    CONFLICT = "conflict"  # its idempotency key was used for another message meanwhile
    UNREADABLE = "unreadable"  # none of the keys opens what was sealed
    INTERNAL = "internal"
    ATTEMPTS = "attempts"  # every worker that had it died


STAYS = (Error.UNREADABLE, Error.INTERNAL, Error.ATTEMPTS)  # the message of such a job is kept, sealed, until its days are over


class Taken(Record):
    """A job that a worker has to itself; ``attempts`` counts this one. ``wrapped_key`` is None where its data key is gone."""

    id: str
    client: str
    key: str | None
    attempts: int
    sealed_message: str | None
    wrapped_key: str | None


class View(Record):
    """A job as its client sees it."""

    id: str
    client: str
    status: Status
    created_at: datetime
    finished_at: datetime | None
    result: dict[str, Any] | None
    error: Error | None


class Known(NamedTuple):
    """A job that was queued under a key, and the hash of what it was queued for."""

    id: str
    body_hash: str


UNKNOWN = Known("", "")


class Depth(Record):
    """How many jobs wait, and for how long the oldest of them has, in seconds."""

    waiting: int
    oldest_age_s: float


RED_FLAG = 0  # the rank of a message with one
UNHANDLED = "a queued message with a red flag could not be handled, and nobody may have seen it: `python -m orchestrator jobs failed`"


def key_id(job_id: str) -> str:
    """Return the id of a job's data key: not the job's own, which the outcome's data key has."""
    return f"job:{job_id}"


def take(connection: Connection, now: datetime, *, limit: int, lease_s: float, attempts: int) -> list[Taken]:
    """Take up to ``limit`` jobs for ``lease_s`` seconds, those with a red flag first, then the oldest.

    A worker that dies holds them up no longer than that. One that was taken ``attempts`` times already has failed. Two workers never take
    the same job (SKIP LOCKED on PostgreSQL; SQLite has one writer).
    """
    for worn_out in connection.scalars(_due(now, Status.RUNNING).where(Job.attempts >= attempts).with_only_columns(Job.id)).all():
        finish(connection, worn_out, now, error=Error.ATTEMPTS)
    found = [row for status in (Status.RUNNING, Status.QUEUED) for row in connection.execute(_due(now, status).limit(limit))]
    ids = [row.id for row in sorted(found, key=lambda row: (row.rank, row.created_at))[:limit]]
    if not ids:
        return []
    leased = {"status": Status.RUNNING.value, "attempts": Job.attempts + 1, "run_after": now + timedelta(seconds=lease_s)}
    connection.execute(update(Job).where(Job.id.in_(ids)).values(leased))
    columns = [getattr(Job, name) for name in Taken.model_fields if name != "wrapped_key"]
    query = select(*columns, DataKey.wrapped_key).outerjoin(DataKey, DataKey.request_id == literal("job:") + Job.id)
    return [Taken(**row._mapping) for row in connection.execute(query.where(Job.id.in_(ids)).order_by(Job.rank, Job.created_at))]


def any_due(connection: Connection, now: datetime) -> bool:
    """Say whether there is a job to take."""
    return any(connection.execute(_due(now, status, lock=False).limit(1)).first() for status in (Status.QUEUED, Status.RUNNING))


def finish(connection: Connection, job_id: str, now: datetime, *, result: dict[str, Any] | None = None, error: Error | None = None) -> None:
    """Write down how a job ended, once, whoever has it by now, and who wants to be told will be.

    Its sealed message goes, but where the fault was ours: then it is all that is left of what somebody wrote, and where that has a red
    flag a person is paged, for no workflow will. Nothing is written where it has ended before or was erased.
    """
    going_on = and_(Job.id == job_id, Job.finished_at.is_(None))
    job = connection.execute(select(Job.callback_url, Job.rank).where(going_on).with_for_update()).first()
    if job is None:
        return
    status = Status.DONE if error is None else Status.FAILED
    ended = {"status": status.value, "result": result, "error": error and error.value, "finished_at": now}
    kept = {} if error in STAYS else {"sealed_message": None}
    connection.execute(update(Job).where(going_on).values(ended | {"callback_url": None} | kept))
    if error in STAYS and job.rank == RED_FLAG:
        connection.execute(insert(tables.OutboxMessage), [_page(job_id, now)])
    if error not in STAYS:
        connection.execute(delete(DataKey).where(DataKey.request_id == key_id(job_id)))
    if job.callback_url:
        told = {"job_id": job_id, "status": status.value, "result": result, "error": error and error.value}
        message = outbox.new_message(outbox.Topic.JOB_FINISHED, job_id, told | {"callback_url": job.callback_url}, now)
        connection.execute(insert(tables.OutboxMessage), [message])


def _page(job_id: str, now: datetime) -> dict[str, Any]:
    told = {"severity": Severity.URGENT.value, "reason": UNHANDLED, "due_at": now.isoformat()}
    # Not the key of the escalation that the message will have once it is handled, nor that of an earlier page.
    key = f"{outbox.Topic.ESCALATION_OPENED.value}:{job_id}:{uuid.uuid4().hex}"
    return outbox.new_message(outbox.Topic.ESCALATION_OPENED, job_id, told, now) | {"key": key}


def retry(connection: Connection, job: Taken, run_after: datetime) -> None:
    """Put a job back into the queue; nothing is written where it ended, was erased or was taken anew meanwhile."""
    mine = and_(Job.id == job.id, Job.status == Status.RUNNING.value, Job.attempts == job.attempts)
    connection.execute(update(Job).where(mine).values(status=Status.QUEUED.value, run_after=run_after))


def read(connection: Connection, job_id: str) -> View | None:
    """Return a job; None where there is none."""
    columns = [getattr(Job, name) for name in View.model_fields]
    row = connection.execute(select(*columns).where(Job.id == job_id)).first()
    return View(**row._mapping) if row else None


def find_keys(connection: Connection, client: str, keys: Sequence[str]) -> dict[str, Known]:
    """Return a client's jobs by their idempotency keys, those that exist."""
    columns = select(Job.key, Job.id, Job.body_hash)
    rows = connection.execute(columns.where(Job.client == client, Job.key.in_(keys))).all()
    return {row.key: Known(row.id, row.body_hash) for row in rows if row.key is not None}


def depth(connection: Connection, now: datetime) -> Depth:
    """Return how many jobs wait to be taken, and the age of the oldest; both are read from an index."""
    waits = Job.status == Status.QUEUED.value
    waiting = connection.scalar(select(func.count()).select_from(Job).where(waits)) or 0
    oldest = [connection.scalar(select(func.min(Job.created_at)).where(waits, Job.rank == rank)) for rank in (0, 1)]
    ages = [(now - born).total_seconds() for born in oldest if born is not None]
    return Depth(waiting=waiting, oldest_age_s=max([0.0, *ages]))


def _due(now: datetime, status: Status, *, lock: bool = True) -> Any:
    """Return the query of jobs of a status whose time has come; of running ones their lease has run out."""
    come: ColumnElement[bool] = or_(Job.run_after <= now, Job.run_after > now + LONGEST_WAIT)
    query = select(Job.id, Job.rank, Job.created_at).where(Job.status == status.value, come).order_by(Job.rank, Job.created_at)
    return query.with_for_update(skip_locked=True) if lock else query
