"""Delete what is older than ``retention_days`` allows, table by table.

An interaction whose time is up is deleted once no row that is kept longer belongs to it. Until then its own text is blanked; what belongs
to it stays whole for its own time, and the pseudonym stays so that an erasure finds it. The audit chain is cut off at its beginning only,
and where it was cut is signed, so what is left still verifies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from pydantic import Field, ValidationError
from sqlalchemy import ColumnElement, Connection, delete, exists, func, inspect, or_, select, true, tuple_

from orchestrator.errors import OrchestratorError
from orchestrator.schema import Record
from orchestrator.store import escalations, outbox
from orchestrator.store.audit import Head, read_links
from orchestrator.store.erasure import blank_own, blank_told, forget_jobs, pages
from orchestrator.store.jobs import key_id
from orchestrator.store.tables import (
    AuditEvent,
    Base,
    ComparisonRow,
    ComplianceRecord,
    DataKey,
    Escalation,
    Feedback,
    IdempotencyKey,
    Interaction,
    Job,
    OutboxMessage,
    Ticket,
)

CHILDREN: tuple[type[Base], ...] = (Ticket, ComplianceRecord, Escalation, Feedback)


class RetentionDays(Record):
    """How many days each table's rows are kept; None keeps them for ever. The defaults are a start, not legal advice."""

    interactions: int | None = Field(default=365, ge=1)
    tickets: int | None = Field(default=730, ge=1)
    compliance_records: int | None = Field(default=3650, ge=1)
    escalations: int | None = Field(default=3650, ge=1)
    feedback: int | None = Field(default=730, ge=1)
    outbox: int | None = Field(default=30, ge=1)
    idempotency_keys: int | None = Field(default=7, ge=1)
    jobs: int | None = Field(default=30, ge=1)
    comparisons: int | None = Field(default=90, ge=1)
    audit_events: int | None = Field(default=None, ge=1)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> RetentionDays:
        """Return what ``RETENTION_DAYS`` says, a JSON object of days by table; raise ``OrchestratorError`` when it is not one."""
        try:
            return cls(**json.loads(environment.get("RETENTION_DAYS") or "{}"))
        except (ValueError, TypeError, ValidationError) as error:
            what = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
            where = ".".join(map(str, what["loc"])) or "RETENTION_DAYS"
            raise OrchestratorError(
                f'RETENTION_DAYS: {where}: {what["msg"]}; write for instance {{"interactions": 365, "audit_events": null}}'
            ) from None


class Expired(NamedTuple):
    """What was deleted: rows by table, and where the audit chain now begins (None where it was not cut).

    ``more`` says that a limit was reached: there may be more to delete.
    """

    rows: dict[str, int]
    pruned: Head | None
    more: bool = False


def expire(connection: Connection, days: RetentionDays, now: datetime, limit: int | None = None) -> Expired:
    """Delete every row whose time is up; what is still open (escalations, undelivered messages, unfinished jobs) stays.

    With ``limit`` at most so many rows of each table: writers wait while this works, so a large store is cleared in several transactions.
    """
    before = {name: now - timedelta(days=kept) for name, kept in days if kept is not None}
    gone: dict[str, int] = {}
    blanked = 0
    finished: dict[type[Base], ColumnElement[bool]] = {
        Ticket: true(),
        ComplianceRecord: true(),
        Feedback: true(),
        IdempotencyKey: true(),
        ComparisonRow: true(),
        Escalation: Escalation.status == escalations.Status.RESOLVED.value,
        Job: Job.finished_at.is_not(None),
        Interaction: true(),
        OutboxMessage: OutboxMessage.status != outbox.Status.PENDING.value,  # after the interactions: with them their tickets are given up
    }
    for table, only in finished.items():
        name = table.__tablename__
        if name in before and table is Interaction:
            gone[name], blanked = _expire_interactions(connection, before[name], limit)
        elif name in before:
            born, key = table.created_at, inspect(table).primary_key  # type: ignore[attr-defined]  # all of them have it
            some = select(*key).where(born < before[name], only).order_by(born, *key).limit(limit)
            if table is ComplianceRecord:
                _delete_keys_of(connection, ComplianceRecord.id.in_(some))
            if table is Job:  # of those that failed by our fault the message is kept, with its key
                for page in pages(list(connection.scalars(some))):
                    connection.execute(delete(DataKey).where(DataKey.request_id.in_([key_id(one) for one in page])))
            gone[name] = connection.execute(delete(table).where(tuple_(*key).in_(some))).rowcount
    pruned = _prune(connection, before["audit_events"], limit) if "audit_events" in before else None
    if pruned:
        gone["audit_events"] = connection.execute(delete(AuditEvent).where(AuditEvent.id <= pruned.id)).rowcount
    return Expired(gone, pruned, more=limit in {*gone.values(), blanked})


def would_expire(connection: Connection, days: RetentionDays, now: datetime) -> dict[str, int]:
    """Return how many rows of each table ``expire`` would delete: it deletes them, and takes that back. The caller's transaction writes."""
    with connection.begin_nested() as savepoint:
        rows = expire(connection, days, now).rows
        savepoint.rollback()
    return rows


def _expire_interactions(connection: Connection, before: datetime, limit: int | None) -> tuple[int, int]:
    """Delete those nothing belongs to any more; of the others blank what is their own, but not before a person who has yet to act.

    Return how many were deleted and how many blanked, each at most ``limit``.
    """
    old = Interaction.created_at < before
    needed = [_has(child) for child in CHILDREN]
    childless = list(connection.scalars(select(Interaction.request_id).where(old, ~or_(*needed)).limit(limit)))
    for page in pages(childless):
        blank_told(connection, page)  # a ticket that was never delivered would be kept for ever, and no erasure would find it
        forget_jobs(connection, page)
        for table in (DataKey, IdempotencyKey, ComparisonRow, Interaction):
            connection.execute(delete(table).where(table.request_id.in_(page)))
    waiting = _has(Escalation, Escalation.status != escalations.Status.RESOLVED.value)
    said = select(Interaction.request_id).where(old, or_(*needed), ~waiting, Interaction.redacted_text != "").limit(limit)
    blanked = list(connection.scalars(said))
    for page in pages(blanked):
        blank_own(connection, page)
        sealed = exists().where(ComplianceRecord.request_id == DataKey.request_id)
        connection.execute(delete(DataKey).where(DataKey.request_id.in_(page), ~sealed))
    return len(childless), len(blanked)


def _delete_keys_of(connection: Connection, records: ColumnElement[bool]) -> None:
    """Delete the keys that nothing but these compliance records needs any more: the interaction's own text is gone."""
    owned = select(ComplianceRecord.request_id).join(Interaction, Interaction.request_id == ComplianceRecord.request_id)
    connection.execute(delete(DataKey).where(DataKey.request_id.in_(owned.where(records, Interaction.redacted_text == ""))))


def _has(child: type[Base], *which: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(child.request_id == Interaction.request_id, *which)  # type: ignore[attr-defined]  # all of them have it


def _prune(connection: Connection, before: datetime, limit: int | None) -> Head | None:
    """Return the last event of the expired beginning of the chain; the newest event is never deleted."""
    newest = connection.scalar(select(func.max(AuditEvent.id))) or 0
    last: Head | None = None
    with closing(read_links(connection)) as links:
        for number, _, digest, text in islice(links, limit):
            at: Any = json.loads(text).get("at")
            if number >= newest or not at or datetime.fromisoformat(at) >= before:
                break
            last = Head(number, digest)
    return last
