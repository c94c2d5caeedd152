"""Forget a customer: the data keys go (crypto-shredding), redacted texts and what was derived from them are blanked.

What remains is that a message was classified, when and how: the audit chain holds no personal data, so it stays whole.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from orchestrator.store import outbox
from orchestrator.store.tables import ComplianceRecord, DataKey, Escalation, Feedback, IdempotencyKey, Interaction, OutboxMessage, Ticket

GONE: dict[str, Any] = {"erased": True}


def erase(connection: Connection, customer: str, by: str, now: datetime) -> tuple[int, dict[str, Any]]:
    """Erase the messages of a customer (the pseudonym); return how many there were and the audit event."""
    ids = list(connection.scalars(select(Interaction.request_id).where(Interaction.customer == customer)))
    blank(connection, ids)
    return len(ids), {"kind": "erased", "at": now.isoformat(), "customer": customer, "messages": len(ids), "by": by}


def blank(connection: Connection, request_ids: list[str]) -> None:
    """Take everything personal out of some interactions and of the rows that belong to them; severity, intent and times stay."""
    for at in range(0, len(request_ids), 500):  # below SQLite's limit of bound parameters
        some = request_ids[at : at + 500]
        connection.execute(delete(DataKey).where(DataKey.request_id.in_(some)))
        connection.execute(delete(IdempotencyKey).where(IdempotencyKey.request_id.in_(some)))
        blanked: dict[str, Any] = {"redacted_text": "", "sealed_values": None, "customer": None}
        connection.execute(update(Interaction).where(Interaction.request_id.in_(some)).values(blanked))
        connection.execute(update(Ticket).where(Ticket.request_id.in_(some)).values(ticket=GONE))
        connection.execute(update(ComplianceRecord).where(ComplianceRecord.request_id.in_(some)).values(record=GONE, sealed_text=None))
        connection.execute(update(Escalation).where(Escalation.request_id.in_(some)).values(resolution=None))
        connection.execute(update(Feedback).where(Feedback.request_id.in_(some)).values(note=""))
        tickets = OutboxMessage.request_id.in_(some) & (OutboxMessage.topic == outbox.Topic.TICKET_OPENED.value)
        connection.execute(update(OutboxMessage).where(tickets).values(payload=GONE))
        undelivered = tickets & (OutboxMessage.status != outbox.Status.DELIVERED.value)
        connection.execute(update(OutboxMessage).where(undelivered).values(status=outbox.Status.DEAD.value, last_error=outbox.ERASED))
