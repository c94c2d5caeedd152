"""The escalation queue: open, claimed by a person, acknowledged, resolved; each with a time by which somebody must act.

An escalation from the future was opened before the clock was set back: how long it has waited is unknown, so it is overdue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Case, Connection, and_, case, false, insert, literal, or_, select, tuple_, update

from orchestrator.errors import ConflictError, OrchestratorError
from orchestrator.schema import Record, Severity
from orchestrator.store.outbox import Topic, new_message
from orchestrator.store.tables import Escalation, Interaction, Moment, OutboxMessage

REVIEW_MINUTES = 240  # a low confidence that is no safety message: within half a working day
SKEW = timedelta(minutes=1)  # two machines' clocks differ by less


class Status(StrEnum):
    """Where an escalation is. Claimed: a person looks at it. Acknowledged: that person has begun to act."""

    OPEN = "open"
    CLAIMED = "claimed"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


UNRESOLVED = (Status.OPEN, Status.CLAIMED, Status.ACKNOWLEDGED)
BEFORE = {
    Status.CLAIMED: (Status.OPEN,),
    Status.ACKNOWLEDGED: (Status.CLAIMED,),
    Status.RESOLVED: (Status.CLAIMED, Status.ACKNOWLEDGED),
}

MOST_SEVERE_FIRST = case({severity.value: place for place, severity in enumerate(Severity)}, value=Escalation.severity)
ALERTS_AT_ONCE = 500  # below the databases' limits of bound parameters, and other writers wait no longer than that takes


class Waiting(Record):
    """One escalation as the queue shows it."""

    request_id: str
    severity: Severity
    status: Status
    reason: str
    category: str
    redacted_text: str
    created_at: datetime
    due_at: datetime
    overdue: bool
    claimed_by: str | None
    resolved_by: str | None
    resolution: str | None


def list_escalations(
    connection: Connection,
    now: datetime,
    statuses: Sequence[Status] = UNRESOLVED,
    limit: int = 1000,
    *,
    after: str | None = None,
    whose: Sequence[str | None] | None = None,
) -> list[Waiting]:
    """Return the queue: the most severe first, then the one due first, then in the order of arrival.

    ``after`` is the message after whose escalation to go on. ``whose`` keeps what these people have; None in it stands for nobody.
    Raises ``OrchestratorError`` where there is no escalation to go on after.
    """
    order = (MOST_SEVERE_FIRST, _unless_from_the_future(now), Escalation.due_at, Escalation.id)
    query = (
        select(Escalation, Interaction.category, Interaction.redacted_text)
        .join(Interaction, Interaction.request_id == Escalation.request_id)
        .where(Escalation.status.in_([status.value for status in statuses]))
        .order_by(*order)
        .limit(limit)
    )
    if after is not None:  # its place stays known when it was resolved meanwhile
        place = connection.execute(select(*order).where(Escalation.request_id == after)).first()
        if place is None:
            raise OrchestratorError(f"there is no escalation of message {after!r} to go on after: begin at the first page")
        query = query.where(
            tuple_(*order) > tuple_(*(literal(value, Moment() if isinstance(value, datetime) else None) for value in place))
        )
    if whose is not None:
        named = [name for name in whose if name is not None]
        query = query.where(or_(Escalation.claimed_by.in_(named), Escalation.claimed_by.is_(None) if None in whose else false()))
    rows = connection.execute(query)
    return [
        Waiting(**{name: held[name] for name in Waiting.model_fields if name in held}, overdue=is_late(held, now))
        for held in rows.mappings()
    ]


def is_late(held: Mapping[Any, Any], now: datetime) -> bool:
    """Say whether an escalation's row is past its time, or from the future, and not resolved."""
    late = held["due_at"] < now or held["created_at"] > now + SKEW
    return bool(late and held["status"] != Status.RESOLVED)


def claim(connection: Connection, request_id: str, by: str, now: datetime) -> dict[str, Any]:
    """Give an open escalation to a person and return the audit event, empty when that person has it already.

    Raises ``ConflictError`` when somebody else has it, or when it is resolved.
    """
    return _step(connection, request_id, by, Status.CLAIMED, claimed_by=by, claimed_at=now)


def acknowledge(connection: Connection, request_id: str, by: str, now: datetime) -> dict[str, Any]:
    """Say that the person who claimed it has begun to act; return the audit event. Raises as ``claim`` does."""
    return _step(connection, request_id, by, Status.ACKNOWLEDGED, acknowledged_at=now)


def resolve(connection: Connection, request_id: str, by: str, resolution: str, now: datetime) -> dict[str, Any]:
    """Close an escalation with what was done, redacted by the caller; return the audit event. Raises as ``claim`` does."""
    return _step(connection, request_id, by, Status.RESOLVED, resolved_by=by, resolved_at=now, resolution=resolution)


def alert_overdue(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """Put a page into the outbox for unresolved escalations past their time, once for each; return the audit events.

    It takes the most severe first and up to ``ALERTS_AT_ONCE``: where it returns as many, there may be more.
    """
    late = and_(
        Escalation.status.in_([status.value for status in UNRESOLVED]),
        or_(Escalation.due_at < now, Escalation.created_at > now + SKEW),
        Escalation.alerted_at.is_(None),
    )
    query = select(Escalation.id, Escalation.request_id, Escalation.severity, Escalation.due_at).where(late)
    rows = connection.execute(query.order_by(MOST_SEVERE_FIRST, Escalation.due_at, Escalation.id).limit(ALERTS_AT_ONCE)).all()
    pages, events = [], []
    for row in rows:
        told = {"severity": row.severity, "due_at": row.due_at.isoformat()}
        pages.append(new_message(Topic.ESCALATION_OVERDUE, row.request_id, told, now))
        events.append({"kind": "overdue", "at": now.isoformat(), "request_id": row.request_id} | told)
    if rows:
        connection.execute(update(Escalation).where(Escalation.id.in_([row.id for row in rows])).values(alerted_at=now))
        connection.execute(insert(OutboxMessage), pages)
    return events


def _unless_from_the_future(now: datetime) -> Case[int]:
    return case((Escalation.created_at > now + SKEW, 0), else_=1)


def _step(connection: Connection, request_id: str, by: str, after: Status, **values: Any) -> dict[str, Any]:
    if not by.strip():
        raise OrchestratorError("an escalation is worked by somebody: say who")
    mine = Escalation.request_id == request_id
    held = connection.execute(select(Escalation.status, Escalation.claimed_by).where(mine).with_for_update()).first()
    if held is None:
        raise OrchestratorError(f"there is no escalation of message {request_id!r}: `python -m orchestrator escalations list` shows them")
    if held.claimed_by not in {None, by}:
        raise ConflictError(f"{held.claimed_by} has the escalation of message {request_id}")
    if held.status == after:
        return {}  # a repetition: nothing changes, and nothing is audited again
    if held.status not in BEFORE[after]:
        needed = " or ".join(status.value for status in BEFORE[after])
        raise ConflictError(f"the escalation of message {request_id} is {held.status}; to be {after.value} it must be {needed}")
    connection.execute(update(Escalation).where(mine).values(status=after.value, **values))
    at = next(value for value in values.values() if isinstance(value, datetime))
    return {"kind": after.value, "at": at.isoformat(), "request_id": request_id, "by": by}
