"""How much waits in the store: the outbox, the escalations and the jobs, counted for whoever watches. Nothing here writes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine, and_, case, func, or_, select

from orchestrator.schema import Record, Severity
from orchestrator.store import jobs
from orchestrator.store.database import reading
from orchestrator.store.escalations import SKEW, UNRESOLVED
from orchestrator.store.outbox import ERASED, Status
from orchestrator.store.tables import Escalation, Job, OutboxMessage
from orchestrator.store.unhandled import IS_UNHANDLED


class Figures(Record):
    """Counts by status or severity, and the age in seconds of the oldest that waits, 0 where nothing does.

    ``overdue`` are those of ``escalations`` that are past their time. Dead letters that were erased are not counted: there is nothing
    left to tell.
    """

    outbox: dict[str, int]
    outbox_oldest_s: float
    escalations: dict[str, int]
    overdue: dict[str, int]
    jobs: dict[str, int]
    jobs_oldest_s: float


def count(engine: Engine, now: datetime) -> Figures:
    """Count what waits at this moment. Raises ``StoreUnavailableError`` when the database does not answer."""
    with reading(engine) as connection:
        outbox, outbox_oldest_s = _outbox(connection, now)
        escalations, overdue = _escalations(connection, now)
        unfinished, jobs_oldest_s = _jobs(connection, now)
    return Figures(
        outbox=outbox,
        outbox_oldest_s=outbox_oldest_s,
        escalations=escalations,
        overdue=overdue,
        jobs=unfinished,
        jobs_oldest_s=jobs_oldest_s,
    )


def _outbox(connection: Connection, now: datetime) -> tuple[dict[str, int], float]:
    pending = OutboxMessage.status == Status.PENDING.value
    dead = and_(OutboxMessage.status == Status.DEAD.value, func.coalesce(OutboxMessage.last_error, "") != ERASED)
    query = select(OutboxMessage.status, func.count()).where(or_(pending, dead)).group_by(OutboxMessage.status)
    counts = {Status.PENDING.value: 0, Status.DEAD.value: 0} | {row[0]: row[1] for row in connection.execute(query)}
    return counts, _age_s(connection.scalar(select(func.min(OutboxMessage.created_at)).where(pending)), now)


def _escalations(connection: Connection, now: datetime) -> tuple[dict[str, int], dict[str, int]]:
    late = case((or_(Escalation.due_at < now, Escalation.created_at > now + SKEW), 1), else_=0)
    unresolved = Escalation.status.in_([status.value for status in UNRESOLVED])
    query = select(Escalation.severity, func.count(), func.sum(late)).where(unresolved).group_by(Escalation.severity)
    waiting = dict.fromkeys((severity.value for severity in Severity), 0)
    overdue = dict(waiting)
    for severity, number, number_late in connection.execute(query):
        waiting[severity], overdue[severity] = number, int(number_late)
    return waiting, overdue


def _jobs(connection: Connection, now: datetime) -> tuple[dict[str, int], float]:
    unfinished = Job.status.in_([jobs.Status.QUEUED.value, jobs.Status.RUNNING.value])
    query = select(Job.status, func.count()).where(or_(unfinished, IS_UNHANDLED)).group_by(Job.status)
    wanted = (jobs.Status.QUEUED, jobs.Status.RUNNING, jobs.Status.FAILED)
    counts = dict.fromkeys((status.value for status in wanted), 0) | {row[0]: row[1] for row in connection.execute(query)}
    return counts, _age_s(connection.scalar(select(func.min(Job.created_at)).where(unfinished)), now)


def _age_s(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
