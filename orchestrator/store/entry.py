"""What one outcome writes: ``(Message, Outcome) -> Entry``, the rows of every table and the audit event, ready for one transaction."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from orchestrator.keys import Keys
from orchestrator.redact import redact, tokenize, untokened
from orchestrator.schema import Category, Message, Outcome, Record, Severity
from orchestrator.store import tables
from orchestrator.store.escalations import REVIEW_MINUTES, Status
from orchestrator.store.outbox import Topic, new_message
from orchestrator.store.sealing import Seal

CUSTOMER_ID = "customer_id"  # the field of a message's metadata by which a customer's data is found and erased
SAMPLE_EVERY = 20  # one message in so many is drawn for labelling; never changed, or messages of the past would enter and leave the sample
Table = type[tables.Base]


class Idempotency(Record):
    """A client's promise that two requests with the same key are one; ``body_hash`` tells whether they are the same request."""

    client: str
    key: str
    body_hash: str


@dataclass(frozen=True)
class Entry:
    """Rows by table, in the order they must be written, and the audit event; ``{}`` where nothing was decided or done.

    ``change`` is made in the same transaction, after the rows; it is made again where the transaction has to be.
    """

    event: dict[str, Any]
    rows: dict[Table, list[dict[str, Any]]] = field(default_factory=dict)
    change: Callable[[Connection], object] | None = None


def new_entry(message: Message, outcome: Outcome, keys: Keys, now: datetime, idempotency: Idempotency | None = None) -> Entry:
    """Return what must be written for one outcome. Nothing of the message's text is left plain but its redaction."""
    redacted = tokenize(message.text)
    outcome = _without_quotes(outcome, redacted.values)
    request_id, details = outcome.request_id, outcome.result.details
    classification, decision = outcome.classification, outcome.classification.decision
    common = {"request_id": request_id, "created_at": now}
    rows: dict[Table, list[dict[str, Any]]] = {}
    compliance, ticket = details.get("compliance"), details.get("ticket")
    seal = Seal(keys) if compliance or redacted.values else None
    rows[tables.Interaction] = [
        common
        | {
            "channel": message.channel.value,
            "customer": _customer(message, keys),
            "redacted_text": redacted.text,
            "sealed_values": seal(json.dumps(redacted.values)) if seal and redacted.values else None,
            "category": decision.category.value,
            "release": outcome.release,
            "classification": classification.model_dump(mode="json") | {"next_step": outcome.result.next_step.model_dump(mode="json")},
        }
    ]
    told = []
    if ticket:
        rows[tables.Ticket] = [common | {"intent": ticket["intent"], "ticket": ticket}]
        told.append(new_message(Topic.TICKET_OPENED, request_id, ticket, now))
    if seal and compliance:
        record = {"severity": compliance["severity"], "record": compliance, "sealed_text": seal(message.text)}
        rows[tables.ComplianceRecord] = [common | record]
    if seal:
        rows[tables.DataKey] = [{"request_id": request_id, "wrapped_key": seal.wrapped}]
    if decision.category == Category.SAFETY_COMPLIANCE or decision.review_required:
        escalation = _escalation(outcome, now)
        rows[tables.Escalation] = [common | escalation]
        told.append(new_message(Topic.ESCALATION_OPENED, request_id, _for_the_pager(escalation), now))
    if told:
        rows[tables.OutboxMessage] = told
    if idempotency:
        answered = {"outcome": outcome.model_dump(mode="json")}
        rows[tables.IdempotencyKey] = [common | idempotency.model_dump() | answered]
    return Entry(_audited(outcome, now), rows)


def in_random_sample(request_id: str) -> bool:
    """Say whether a message is one of those drawn at random for labelling: by the hash of its id, whatever was decided about it."""
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()) % SAMPLE_EVERY == 0


def _without_quotes(outcome: Outcome, values: dict[str, str]) -> Outcome:
    """Return the outcome with the LLM's rationale redacted and of its failure the kind alone: the detail quotes replies, cut anywhere."""
    told = outcome.classification
    if told.rationale is None and told.failure is None:
        return outcome
    kept = {
        "rationale": told.rationale and _redacted_as(told.rationale, values),
        "failure": told.failure and told.failure.model_copy(update={"detail": ""}),
    }
    return outcome.model_copy(update={"classification": told.model_copy(update=kept)})


def _redacted_as(text: str, values: dict[str, str]) -> str:
    """Redact what was said about a message: also names and addresses that stand here without the words that gave them away there."""
    kinds = {value.lower(): untokened(token) for token, value in values.items()}
    for value, kind in list(kinds.items()):
        if kind in {"[NAME]", "[ADDRESS]"}:  # of these a part alone is told too: a first name, a town
            kinds |= dict.fromkeys(re.findall(r"[^\W\d_]{3,}", value), kind)
    left = redact(text)
    for known in sorted(kinds, key=len, reverse=True):
        left = re.sub(rf"(?<![\w\[]){re.escape(known)}(?!\w)", kinds[known], left, flags=re.IGNORECASE)
    return left


def _customer(message: Message, keys: Keys) -> str | None:
    customer_id = message.metadata.get(CUSTOMER_ID)
    return None if customer_id is None else keys.pseudonym_of(str(customer_id))


def _escalation(outcome: Outcome, now: datetime) -> dict[str, Any]:
    compliance = outcome.result.details.get("compliance")
    severity = compliance["severity"] if compliance else Severity.ROUTINE.value
    minutes = outcome.result.next_step.eta_minutes if compliance else None
    return {
        "reason": outcome.classification.decision.path,
        "severity": severity,
        "status": Status.OPEN.value,
        "due_at": now + timedelta(minutes=minutes or REVIEW_MINUTES),
    }


def _for_the_pager(escalation: dict[str, Any]) -> dict[str, Any]:
    return {"severity": escalation["severity"], "reason": escalation["reason"], "due_at": escalation["due_at"].isoformat()}


def _audited(outcome: Outcome, now: datetime) -> dict[str, Any]:
    classification = outcome.classification
    return {
        "kind": "classified",
        "at": now.isoformat(),
        "request_id": outcome.request_id,
        "release": outcome.release,
        "decision": classification.decision.model_dump(mode="json"),
        "probabilities": classification.probabilities.model_dump(),
        "source": classification.source.value,
        "calibrated": classification.calibrated,
        "degraded": classification.degraded,
        "random_sample": in_random_sample(outcome.request_id),
    }
