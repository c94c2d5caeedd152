"""Lists for people: what of the outbox, of the labels and of a customer there is. Nothing here writes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, func, select

from orchestrator.store.outbox import ERASED, Status
from orchestrator.store.tables import DataKey, Feedback, Interaction, OutboxMessage

OUTBOX = ("id", "topic", "request_id", "status", "attempts", "created_at", "next_attempt_at", "delivered_at", "last_error")
FEEDBACK = ("id", "request_id", "created_at", "decided", "label", "by", "note")


def list_outbox(connection: Connection, *, dead: bool = False, limit: int = 100) -> list[dict[str, Any]]:
    """Return the newest outbox messages without their payload, newest first; with ``dead`` only those that were given up."""
    query = select(*[getattr(OutboxMessage, name) for name in OUTBOX]).order_by(OutboxMessage.id.desc()).limit(limit)
    if dead:
        query = query.where(OutboxMessage.status == Status.DEAD.value)
    return [dict(row._mapping) for row in connection.execute(query)]


def dead_by_topic(connection: Connection) -> dict[str, int]:
    """Return how many messages of each topic were given up; those that were erased are not: there is nothing left to tell."""
    given_up = and_(OutboxMessage.status == Status.DEAD.value, func.coalesce(OutboxMessage.last_error, "") != ERASED)
    query = select(OutboxMessage.topic, func.count()).where(given_up).group_by(OutboxMessage.topic)
    return {row[0]: row[1] for row in connection.execute(query)}


def count_late(connection: Connection, before: datetime) -> int:
    """Return how many messages have been due since before a moment and were not delivered."""
    waiting = and_(OutboxMessage.created_at < before, OutboxMessage.next_attempt_at < before)  # a new one is due at once
    late = and_(OutboxMessage.status == Status.PENDING.value, waiting)
    return connection.scalar(select(func.count()).select_from(OutboxMessage).where(late)) or 0


def list_feedback(connection: Connection, limit: int = 100) -> list[dict[str, Any]]:
    """Return the newest labels that people gave, newest first."""
    query = select(*[getattr(Feedback, name) for name in FEEDBACK]).order_by(Feedback.id.desc()).limit(limit)
    return [dict(row._mapping) for row in connection.execute(query)]


def count_messages(connection: Connection, customer: str) -> int:
    """Return how many messages of a customer (the pseudonym) there are."""
    return connection.scalar(select(func.count()).select_from(Interaction).where(Interaction.customer == customer)) or 0


def newest_wrapped_key(connection: Connection) -> str | None:
    """Return the data key that was stored last, still encrypted; None where there is none."""
    query = select(DataKey.wrapped_key).join(Interaction, Interaction.request_id == DataKey.request_id)
    return connection.scalar(query.order_by(Interaction.created_at.desc()).limit(1))
