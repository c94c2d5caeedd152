"""The tables. Message text is stored redacted only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {dict[str, Any]: JSON}  # noqa: RUF012  # SQLAlchemy reads this class attribute


class Interaction(Base):
    """One message and how it was classified."""

    __tablename__ = "interactions"
    request_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    created_at: Mapped[datetime]
    channel: Mapped[str] = mapped_column(String(8))
    redacted_text: Mapped[str]
    category: Mapped[str] = mapped_column(String(24), index=True)
    release: Mapped[str] = mapped_column(String(64))
    classification: Mapped[dict[str, Any]]


class Ticket(Base):
    """Something a customer wants done."""

    __tablename__ = "tickets"
    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(ForeignKey("interactions.request_id"), unique=True)
    intent: Mapped[str] = mapped_column(String(24))
    ticket: Mapped[dict[str, Any]]


class ComplianceRecord(Base):
    """A safety message, for the record."""

    __tablename__ = "compliance_records"
    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(ForeignKey("interactions.request_id"), unique=True)
    severity: Mapped[str] = mapped_column(String(12))
    record: Mapped[dict[str, Any]]


class Escalation(Base):
    """Something a person must look at: every safety message and every low confidence."""

    __tablename__ = "escalations"
    id: Mapped[int] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(ForeignKey("interactions.request_id"), unique=True)
    reason: Mapped[str]
    urgent: Mapped[bool] = mapped_column(index=True)
    created_at: Mapped[datetime]


class AuditEvent(Base):
    """One link of the audit chain. A fork is impossible: ``previous_hash`` is unique."""

    __tablename__ = "audit_events"
    id: Mapped[int] = mapped_column(primary_key=True)
    previous_hash: Mapped[str] = mapped_column(String(64), unique=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    event: Mapped[dict[str, Any]]
