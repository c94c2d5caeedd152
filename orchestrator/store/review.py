"""What a person who works the escalation queue reads: one escalation in full, and how many wait. Nothing here writes.

All of it is redacted. The whole text of a message is read elsewhere, where that is audited.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, RowMapping, case, func, or_, select

from orchestrator.next_steps import next_step
from orchestrator.schema import Category, Channel, Probabilities, Record, Severity
from orchestrator.store.escalations import SKEW, UNRESOLVED, Waiting, is_late
from orchestrator.store.tables import ComplianceRecord, Escalation, Feedback, IdempotencyKey, Interaction, Ticket


class Told(Record):
    """What the customer was told. Where that was not kept, it is what the reviewed texts tell now, and ``kept`` is false."""

    action: str
    message: str
    eta_minutes: int | None = None
    kept: bool = True


class Step(StrEnum):
    """What can happen to an escalation."""

    OPENED = "opened"
    CLAIMED = "claimed"
    ACKNOWLEDGED = "acknowledged"
    PAGED_OVERDUE = "paged_overdue"
    LABELLED = "labelled"
    RESOLVED = "resolved"


class Happened(Record):
    """One thing that happened; ``label`` is given where a person said what the message is."""

    at: datetime
    step: Step
    by: str | None = None
    label: Category | None = None


class Details(Waiting):
    """One escalation with all that led to it and came of it."""

    channel: Channel
    release: str
    probabilities: Probabilities
    confidence: float
    band: str
    source: str
    calibrated: bool
    degraded: bool
    failure: str | None  # the kind, where the LLM gave no answer
    rationale: str | None
    red_flags: tuple[str, ...]
    local_safety: float
    severity_reasons: tuple[str, ...]
    ticket: str | None  # the title of the ticket that was opened, if one was
    told: Told | None
    history: tuple[Happened, ...]  # the oldest first


class Counts(Record):
    """How many escalations wait."""

    by_severity: dict[Severity, int]
    overdue: int
    unclaimed: int


def count_waiting(connection: Connection, now: datetime) -> Counts:
    """Return how many unresolved escalations there are: by severity, past their time, with nobody."""
    late = case((or_(Escalation.due_at < now, Escalation.created_at > now + SKEW), 1), else_=0)
    free = case((Escalation.claimed_by.is_(None), 1), else_=0)
    query = select(Escalation.severity, func.count().label("all"), func.sum(late).label("late"), func.sum(free).label("free"))
    waiting = query.where(Escalation.status.in_([status.value for status in UNRESOLVED])).group_by(Escalation.severity)
    rows = {row["severity"]: row for row in connection.execute(waiting).mappings()}
    return Counts(
        by_severity={severity: rows[severity.value]["all"] if severity.value in rows else 0 for severity in Severity},
        overdue=sum(row["late"] for row in rows.values()),
        unclaimed=sum(row["free"] for row in rows.values()),
    )


def read_details(connection: Connection, request_id: str, now: datetime) -> Details | None:
    """Return one escalation in full, None where there is none of that message."""
    query = (
        select(
            Escalation,
            Interaction.category,
            Interaction.redacted_text,
            Interaction.channel,
            Interaction.release,
            Interaction.classification,
            ComplianceRecord.record,
            Ticket.ticket,
            IdempotencyKey.outcome,
        )
        .join(Interaction, Interaction.request_id == Escalation.request_id)
        .outerjoin(ComplianceRecord, ComplianceRecord.request_id == Escalation.request_id)
        .outerjoin(Ticket, Ticket.request_id == Escalation.request_id)
        .outerjoin(IdempotencyKey, IdempotencyKey.request_id == Escalation.request_id)
        .where(Escalation.request_id == request_id)
    )
    held = connection.execute(query).mappings().first()
    if held is None:
        return None
    given = select(Feedback.created_at, Feedback.by, Feedback.label).where(Feedback.request_id == request_id).order_by(Feedback.id)
    labels = [Happened(at=row.created_at, step=Step.LABELLED, by=row.by, label=row.label) for row in connection.execute(given)]
    return Details(
        **{name: held[name] for name in Waiting.model_fields if name in held},
        overdue=is_late(held, now),
        channel=held["channel"],
        release=held["release"],
        severity_reasons=(held["record"] or {}).get("reasons", ()),
        ticket=(held["ticket"] or {}).get("title"),
        told=_told(held),
        history=_history(held, labels),
        **_classified(held["classification"]),
    )


def _classified(held: dict[str, Any]) -> dict[str, Any]:
    """Pick what is shown of a stored classification; one of an older release may lack or hold more."""
    decision, failure = held["decision"], held.get("failure")
    same = ("probabilities", "source", "calibrated", "degraded", "red_flags", "local_safety")
    return {name: held[name] for name in same} | {
        "confidence": decision["confidence"],
        "band": decision["band"],
        "rationale": held.get("rationale"),
        "failure": failure and failure["kind"],
    }


def _told(held: RowMapping) -> Told | None:
    kept = held["classification"].get("next_step") or ((held["outcome"] or {}).get("result") or {}).get("next_step")
    if kept:
        return Told(**kept)
    if held["record"] and held["redacted_text"]:  # not of what was erased: its language is not known any more
        flags = tuple(held["classification"]["red_flags"])
        return Told(**next_step(held["redacted_text"], Severity(held["severity"]), flags).model_dump(), kept=False)
    return None


def _history(held: RowMapping, labels: list[Happened]) -> tuple[Happened, ...]:
    steps = (
        (Step.OPENED, held["created_at"], None),
        (Step.CLAIMED, held["claimed_at"], held["claimed_by"]),
        (Step.ACKNOWLEDGED, held["acknowledged_at"], held["claimed_by"]),  # nobody else could
        (Step.PAGED_OVERDUE, held["alerted_at"], None),
        (Step.RESOLVED, held["resolved_at"], held["resolved_by"]),
    )
    happened = [Happened(at=at, step=step, by=by) for step, at, by in steps if at is not None]
    return tuple(sorted([*happened, *labels], key=lambda one: one.at))  # stable: the label comes with the step that gave it
