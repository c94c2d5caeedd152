"""The outbox: messages to other systems, written in the transaction that makes them due and delivered afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, update

from orchestrator.schema import Record
from orchestrator.store.tables import OutboxMessage

AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)  # due by every clock, also by one that was set back since
# The longest pause between two attempts is an hour. Where more is to go, the clock was set back since, and nobody knows by how much.
LONGEST_WAIT = timedelta(minutes=65)


class Topic(StrEnum):
    """What a message tells."""

    TICKET_OPENED = "ticket.opened"
    ESCALATION_OPENED = "escalation.opened"
    ESCALATION_OVERDUE = "escalation.overdue"
    JOB_FINISHED = "job.finished"  # told to who asked for it, not to a receiver of the environment


class Status(StrEnum):
    """Where a message is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


ERASED = "erased"  # the last error of a message that was erased before it was delivered: nothing of it is left to deliver


class Due(Record):
    """A message a relay has taken to deliver; ``attempts`` counts this one."""

    id: int
    key: str
    topic: Topic
    request_id: str
    payload: dict[str, Any]
    created_at: datetime
    attempts: int


class DeadLetter(Record):
    """A message that was given up. Its payload is not shown: it may hold what a customer said."""

    id: int
    key: str
    topic: Topic
    request_id: str
    created_at: datetime
    attempts: int
    last_error: str


def new_message(topic: Topic, request_id: str, payload: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return the row of a message; its key is the same however often it is delivered."""
    return {
        "key": f"{topic.value}:{request_id}",
        "topic": topic.value,
        "request_id": request_id,
        "payload": payload,
        "created_at": now,
        "status": Status.PENDING.value,
        "attempts": 0,
        "next_attempt_at": AT_ONCE,
    }


def take_due(connection: Connection, topics: Sequence[Topic], now: datetime, *, limit: int, lease_s: float) -> list[Due]:
    """Take up to ``limit`` messages that are due, for ``lease_s`` seconds: a relay that dies holds them up no longer than that.

    The caller's transaction writes. Two relays never take the same message (SKIP LOCKED on PostgreSQL; SQLite has one writer).
    """
    due = and_(
        OutboxMessage.status == Status.PENDING.value,
        or_(OutboxMessage.next_attempt_at <= now, OutboxMessage.next_attempt_at > now + LONGEST_WAIT),
        OutboxMessage.topic.in_([topic.value for topic in topics]),
    )
    query = select(OutboxMessage.id).where(due).order_by(OutboxMessage.id).limit(limit).with_for_update(skip_locked=True)
    ids = list(connection.scalars(query))
    if not ids:
        return []
    mine = OutboxMessage.id.in_(ids)
    leased = {"attempts": OutboxMessage.attempts + 1, "next_attempt_at": now + timedelta(seconds=lease_s)}
    connection.execute(update(OutboxMessage).where(mine).values(leased))
    columns = [getattr(OutboxMessage, name) for name in Due.model_fields]
    return [Due(**row._mapping) for row in connection.execute(select(*columns).where(mine).order_by(OutboxMessage.id))]


def settle(connection: Connection, message: Due, *, delivered_at: datetime) -> None:
    """Write down that a message was delivered, whoever has it by now: it was."""
    values = {"status": Status.DELIVERED.value, "delivered_at": delivered_at, "last_error": None}
    connection.execute(update(OutboxMessage).where(OutboxMessage.id == message.id).values(values))


def fail(connection: Connection, message: Due, *, error: str, retry_at: datetime | None) -> None:
    """Write down that a delivery failed: to be tried again at ``retry_at``, or given up (a dead letter) where that is None.

    Nothing is written when the message was delivered, erased or taken anew meanwhile: a relay whose lease ran out has no say in it.
    """
    values: dict[str, Any] = {"last_error": error[:500]}
    values |= {"next_attempt_at": retry_at} if retry_at else {"status": Status.DEAD.value}
    mine = and_(
        OutboxMessage.id == message.id,
        OutboxMessage.status == Status.PENDING.value,
        OutboxMessage.attempts == message.attempts,
    )
    connection.execute(update(OutboxMessage).where(mine).values(values))


def dead_letters(connection: Connection, limit: int) -> list[DeadLetter]:
    """Return the messages that were given up, the oldest first, with the error of their last attempt."""
    columns = [getattr(OutboxMessage, name) for name in DeadLetter.model_fields]
    dead = OutboxMessage.status == Status.DEAD.value
    rows = connection.execute(select(*columns).where(dead).order_by(OutboxMessage.id).limit(limit))
    return [DeadLetter(**row._mapping) for row in rows]


def redrive(connection: Connection, now: datetime, ids: Sequence[int] | None = None) -> int:
    """Make dead letters due again, all or those with the given ids, and return how many there were; erased ones stay dead."""
    dead = and_(OutboxMessage.status == Status.DEAD.value, OutboxMessage.last_error != ERASED)
    if ids is not None:
        dead = and_(dead, OutboxMessage.id.in_(ids))
    values = {"status": Status.PENDING.value, "attempts": 0, "next_attempt_at": now}
    return connection.execute(update(OutboxMessage).where(dead).values(values)).rowcount


def counts(connection: Connection) -> dict[str, int]:
    """Return how many messages there are of each status."""
    rows = connection.execute(select(OutboxMessage.status, func.count()).group_by(OutboxMessage.status)).all()
    return dict.fromkeys((status.value for status in Status), 0) | {row[0]: row[1] for row in rows}
