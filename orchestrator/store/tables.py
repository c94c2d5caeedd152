"""The tables: one schema for SQLite and PostgreSQL. Message text is redacted or sealed, never plain.

``sealed_*`` columns are encrypted with the data key of their interaction (``data_keys``): where that row is gone, so is what
it sealed, in every backup made of the other tables too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, ForeignKey, Index, MetaData, String, Text, TypeDecorator, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Moment(TypeDecorator[datetime]):
    """A point in time, always with UTC: SQLite keeps no time zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        """Return the moment in UTC; a naive one would be a bug of ours."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        """Return the moment with its time zone."""
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(
        naming_convention={  # alembic can only drop what has a name
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, datetime: Moment}  # noqa: RUF012  # SQLAlchemy reads this class attribute


class Interaction(Base):
    """One message and how it was classified. The text is blank once it was erased or has expired."""

    __tablename__ = "interactions"
    request_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(index=True)
    channel: Mapped[str] = mapped_column(String(8))
    customer: Mapped[str | None] = mapped_column(String(64), index=True)  # a keyed hash of the customer's id
    redacted_text: Mapped[str] = mapped_column(Text)
    sealed_values: Mapped[str | None] = mapped_column(Text)  # what the redaction took out, by token
    category: Mapped[str] = mapped_column(String(24), index=True)
    release: Mapped[str] = mapped_column(String(64))
    classification: Mapped[dict[str, Any]]


class DataKey(Base):
    """The key that seals one interaction's personal data, itself encrypted with the master key. Erasure deletes this row."""

    __tablename__ = "data_keys"
    request_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    wrapped_key: Mapped[str] = mapped_column(Text)


class Ticket(Base):
    """Something a customer wants done."""

    __tablename__ = "tickets"
    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(ForeignKey("interactions.request_id"), unique=True)
    created_at: Mapped[datetime] = mapped_column(index=True)
    intent: Mapped[str] = mapped_column(String(24))
    ticket: Mapped[dict[str, Any]]


class ComplianceRecord(Base):
    """A safety message, for the record: redacted in ``record``, whole but sealed in ``sealed_text``."""

    __tablename__ = "compliance_records"
    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(ForeignKey("interactions.request_id"), unique=True)
    created_at: Mapped[datetime] = mapped_column(index=True)
    severity: Mapped[str] = mapped_column(String(12))
    record: Mapped[dict[str, Any]]
    sealed_text: Mapped[str | None] = mapped_column(Text)


class Escalation(Base):
    """Something a person must look at, by when, and who does: every safety message and every low confidence."""

    __tablename__ = "escalations"
    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(ForeignKey("interactions.request_id"), unique=True)
    created_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text)
    severity: Mapped[str] = mapped_column(String(12))  # of schema.Severity; a review of a low confidence is routine
    status: Mapped[str] = mapped_column(String(12), index=True)  # of escalations.Status
    due_at: Mapped[datetime]
    claimed_by: Mapped[str | None] = mapped_column(String(128))
    claimed_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None] = mapped_column(String(128))
    resolved_at: Mapped[datetime | None]
    resolution: Mapped[str | None] = mapped_column(Text)  # redacted
    alerted_at: Mapped[datetime | None]  # when its being overdue was paged


class AuditEvent(Base):
    """One link of the audit chain. ``event`` is the very text that was hashed; a fork is impossible: ``previous_hash`` is unique."""

    __tablename__ = "audit_events"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    previous_hash: Mapped[str] = mapped_column(String(64), unique=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    event: Mapped[str] = mapped_column(Text)


class OutboxMessage(Base):
    """Something another system must be told, at least once. ``key`` lets it see a repetition."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_due", "status", "next_attempt_at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(128), unique=True)
    topic: Mapped[str] = mapped_column(String(32))  # of outbox.Topic
    request_id: Mapped[str] = mapped_column(String(64), index=True)
    payload: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    status: Mapped[str] = mapped_column(String(12))  # of outbox.Status
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]  # also until when a relay that took it has it to itself
    last_error: Mapped[str | None] = mapped_column(Text)
    delivered_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """What a client's key was answered with, so that a retry is answered the same and done once."""

    __tablename__ = "idempotency_keys"
    client: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(index=True)
    body_hash: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(64), index=True)
    outcome: Mapped[dict[str, Any]]


class Job(Base):
    """A message to be classified later, and what came of it. Its data key has the id ``job:`` and the job's: it goes when the job ends."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_waiting", "status", "rank", "created_at"), UniqueConstraint("client", "key"))
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    created_at: Mapped[datetime]
    status: Mapped[str] = mapped_column(String(12))  # of jobs.Status
    rank: Mapped[int]  # 0 with a red flag, 1 without: in this order they are taken
    client: Mapped[str] = mapped_column(String(64))  # who may see it
    key: Mapped[str | None] = mapped_column(String(255))  # the client's idempotency key
    body_hash: Mapped[str] = mapped_column(String(64))
    customer: Mapped[str | None] = mapped_column(String(64), index=True)  # a keyed hash of the customer's id
    sealed_message: Mapped[str | None] = mapped_column(Text)
    callback_url: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(default=0)
    run_after: Mapped[datetime]  # also until when a worker that took it has it to itself
    finished_at: Mapped[datetime | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None] = mapped_column(Text)  # of jobs.Error: a kind, never a text


class Feedback(Base):
    """The label a person gave a message, to become a labelled row. The note is redacted."""

    __tablename__ = "feedback"
    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(ForeignKey("interactions.request_id"), index=True)
    created_at: Mapped[datetime] = mapped_column(index=True)
    decided: Mapped[str] = mapped_column(String(24))
    label: Mapped[str] = mapped_column(String(24))
    by: Mapped[str] = mapped_column(String(128))
    note: Mapped[str] = mapped_column(Text, default="")


class ComparisonRow(Base):
    """One message as two releases decided it, without a word of it; it goes when the message is forgotten."""

    __tablename__ = "comparisons"
    __table_args__ = (Index("ix_comparisons_pair", "champion_release", "challenger_release"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(String(64), index=True)
    created_at: Mapped[datetime] = mapped_column(index=True)
    mode: Mapped[str] = mapped_column(String(8))  # of rollout.plan.Mode
    champion_release: Mapped[str] = mapped_column(String(64))
    challenger_release: Mapped[str] = mapped_column(String(64))
    agree: Mapped[bool]
    champion: Mapped[dict[str, Any]]
    challenger: Mapped[dict[str, Any]]


class RolloutRow(Base):
    """A change of which release serves, over the packaged champion it was made on; the newest one holds."""

    __tablename__ = "rollouts"
    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    champion: Mapped[str] = mapped_column(String(64), index=True)
    action: Mapped[str] = mapped_column(String(16))
    by: Mapped[str] = mapped_column(String(128))
    reason: Mapped[str] = mapped_column(Text)
    plan: Mapped[dict[str, Any]]
