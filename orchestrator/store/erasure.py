"""Forget a customer: the data keys go (crypto-shredding), redacted texts and what was derived from them are blanked.

What remains is that a message was classified, when and how: the audit chain holds no personal data, so it stays whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from orchestrator.store import outbox
from orchestrator.store.jobs import key_id
from orchestrator.store.tables import (
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

TOLD_TEXT = (outbox.Topic.TICKET_OPENED.value, outbox.Topic.JOB_FINISHED.value)  # messages that hold something of what was said
GONE: dict[str, Any] = {"erased": True}
PAGE = 500  # below SQLite's limit of bound parameters


def erase(connection: Connection, customer: str, by: str, now: datetime) -> tuple[int, dict[str, Any]]:
    """Erase the messages of a customer (the pseudonym), also those that wait; return how many there were and the audit event."""
    ids = set(connection.scalars(select(Interaction.request_id).where(Interaction.customer == customer)))
    jobs = connection.execute(select(Job.id, Job.finished_at).where(Job.customer == customer)).all()
    for page in pages(sorted(ids | {job.id for job in jobs})):
        _blank(connection, page)
    count = len(ids | {job.id for job in jobs if job.finished_at is None})
    return count, {"kind": "erased", "at": now.isoformat(), "customer": customer, "messages": count, "by": by}


def pages(request_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the ids, as many at a time as one statement takes."""
    for at in range(0, len(request_ids), PAGE):
        yield request_ids[at : at + PAGE]


def blank_own(connection: Connection, page: Sequence[str]) -> None:
    """Take what was said out of some interactions' own rows and answers, also what the LLM said of it; the rows' children stay."""
    mine = Interaction.request_id.in_(page)
    held = connection.execute(select(Interaction.request_id, Interaction.classification).where(mine)).all()
    unsaid = [{"of": row.request_id, "unsaid": _unsaid(row.classification)} for row in held]
    if unsaid:
        one = update(Interaction).where(Interaction.request_id == bindparam("of"))
        connection.execute(one.values(classification=bindparam("unsaid"), redacted_text="", sealed_values=None), unsaid)
    for answers in (IdempotencyKey, ComparisonRow):
        connection.execute(delete(answers).where(answers.request_id.in_(page)))
    forget_jobs(connection, page)


def forget_jobs(connection: Connection, page: Sequence[str]) -> None:
    """Delete the jobs of some interactions with their answers; one that waits is never done, the answer of one under way is not kept."""
    connection.execute(delete(Job).where(Job.id.in_(page)))
    connection.execute(delete(DataKey).where(DataKey.request_id.in_([key_id(one) for one in page])))


def blank_told(connection: Connection, page: Sequence[str]) -> None:
    """Take the tickets and answers of some interactions out of the outbox; what was not delivered never will be."""
    told = OutboxMessage.request_id.in_(page) & OutboxMessage.topic.in_(TOLD_TEXT)
    connection.execute(update(OutboxMessage).where(told).values(payload=GONE))
    undelivered = told & (OutboxMessage.status != outbox.Status.DELIVERED.value)
    connection.execute(update(OutboxMessage).where(undelivered).values(status=outbox.Status.DEAD.value, last_error=outbox.ERASED))


def _blank(connection: Connection, page: Sequence[str]) -> None:
    """Take everything personal out of some interactions and of the rows that belong to them; severity, intent and times stay."""
    connection.execute(delete(DataKey).where(DataKey.request_id.in_(page)))
    blank_own(connection, page)
    connection.execute(update(Interaction).where(Interaction.request_id.in_(page)).values(customer=None))
    connection.execute(update(Ticket).where(Ticket.request_id.in_(page)).values(ticket=GONE))
    connection.execute(update(ComplianceRecord).where(ComplianceRecord.request_id.in_(page)).values(record=GONE, sealed_text=None))
    connection.execute(update(Escalation).where(Escalation.request_id.in_(page)).values(resolution=None))
    connection.execute(update(Feedback).where(Feedback.request_id.in_(page)).values(note=""))
    blank_told(connection, page)


def _unsaid(classification: dict[str, Any]) -> dict[str, Any]:
    failure = classification.get("failure")
    kept = {name: value for name, value in classification.items() if name != "next_step"}  # what was told tells what was said
    return kept | {"rationale": None, "failure": failure and failure | {"detail": ""}}
