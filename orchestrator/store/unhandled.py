"""Queued messages that nobody could handle: their jobs failed for our faults, and all that is left of them is what was sealed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, literal, select, update

from orchestrator.errors import OrchestratorError
from orchestrator.redact import redact
from orchestrator.schema import Message, Record
from orchestrator.store.database import reading, writing
from orchestrator.store.entry import Entry
from orchestrator.store.job_queue import open_message
from orchestrator.store.jobs import RED_FLAG, Error, Status, key_id
from orchestrator.store.ledger import Ledger
from orchestrator.store.outbox import AT_ONCE
from orchestrator.store.tables import DataKey, Job

IS_UNHANDLED = and_(Job.status == Status.FAILED.value, Job.sealed_message.is_not(None))


class Unhandled(Record):
    """A job that failed, without its message."""

    id: str
    red_flag: bool
    error: Error
    attempts: int
    created_at: datetime
    finished_at: datetime


def list_unhandled(ledger: Ledger, limit: int) -> list[Unhandled]:
    """Return them, those with a red flag first, then the oldest."""
    names = [name for name in Unhandled.model_fields if name != "red_flag"]
    query = select(*(getattr(Job, name) for name in names), (Job.rank == RED_FLAG).label("red_flag"))
    with reading(ledger.engine) as connection:
        rows = connection.execute(query.where(IS_UNHANDLED).order_by(Job.rank, Job.created_at).limit(limit)).all()
    return [Unhandled(**row._mapping) for row in rows]


def read_message(ledger: Ledger, job_id: str, by: str, reason: str) -> Message:
    """Return the message of one. That it was read, by whom and why, is audited before it is returned.

    Raises ``OrchestratorError`` when there is none, and where nobody or no reason is named; ``KeysError`` when no key opens it.
    """
    if not by.strip() or not reason.strip():
        raise OrchestratorError("a message is read by somebody and for a reason: give both")
    query = select(Job.sealed_message, DataKey.wrapped_key).outerjoin(DataKey, DataKey.request_id == literal("job:") + Job.id)
    with reading(ledger.engine) as connection:
        row = connection.execute(query.where(IS_UNHANDLED, Job.id == job_id)).first()
    if row is None:
        raise _missing(job_id)
    message = open_message(ledger.keys, job_id, row.sealed_message, row.wrapped_key)
    ledger.put(Entry(_event(ledger, "message_read", job_id, by) | {"reason": redact(reason)})).result()
    return message


def close(ledger: Ledger, job_id: str, by: str) -> None:
    """Forget the message of one, for a person has seen to it; that is audited.

    Raises ``OrchestratorError`` when there is none, and where nobody is named.
    """
    if not by.strip():
        raise OrchestratorError("a job is closed by somebody: name who")

    def forget(connection: Connection) -> None:
        if not connection.execute(update(Job).where(IS_UNHANDLED, Job.id == job_id).values(sealed_message=None)).rowcount:
            raise _missing(job_id)
        connection.execute(delete(DataKey).where(DataKey.request_id == key_id(job_id)))

    ledger.put(Entry(_event(ledger, "job_closed", job_id, by), change=forget)).result()


def redrive(ledger: Ledger, ids: Sequence[str] | None = None) -> int:
    """Queue them again, all or those with the given ids, and return how many; erased ones stay as they are."""
    which = IS_UNHANDLED if ids is None else and_(IS_UNHANDLED, Job.id.in_(ids))
    anew = {"status": Status.QUEUED.value, "error": None, "finished_at": None, "attempts": 0, "run_after": AT_ONCE}
    with writing(ledger.engine) as connection:  # with the chain's lock, as retention, which must not be half done meanwhile
        return int(connection.execute(update(Job).where(which).values(anew)).rowcount)


def _event(ledger: Ledger, kind: str, job_id: str, by: str) -> dict[str, Any]:
    return {"kind": kind, "at": ledger.clock().isoformat(), "request_id": job_id, "by": by}


def _missing(job_id: str) -> OrchestratorError:
    return OrchestratorError(f"there is no failed job {job_id!r} whose message is kept: take an id from `jobs failed`")
