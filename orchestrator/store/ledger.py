"""Write an outcome in one transaction: the interaction, what its workflow asks for, and the audit event.

An audit event is of a kind. ``classified`` holds what was decided and on which probabilities; ``corrected`` holds the label a person
gave, which may be the one decided. Events from before there were kinds are classifications.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from orchestrator.errors import OrchestratorError
from orchestrator.redact import redact
from orchestrator.schema import Category, Message, Outcome
from orchestrator.store.tables import AuditEvent, Base, ComplianceRecord, Escalation, Interaction, Ticket

DEFAULT_DATABASE = "sqlite:///var/orchestrator.db"
GENESIS = "0" * 64
ATTEMPTS = 20  # writers that meet on the end of the chain try again; each round lets at least one through
PAGE = 1000  # audit events held in memory at once
SAMPLE_EVERY = 20  # one message in so many is drawn for labelling; never changed, or messages of the past would enter and leave the sample


class Ledger:
    """The durable record of what was decided and done."""

    def __init__(self, engine: Engine) -> None:
        """Use ``engine``; the tables are made where they are missing."""
        self._engine = engine
        Base.metadata.create_all(engine)

    @classmethod
    def at(cls, url: str) -> Ledger:
        """Open the ledger at a database URL, making the folder of an SQLite file where it is missing."""
        engine = create_engine(url)
        if engine.dialect.name == "sqlite":
            if engine.url.database:
                Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
            event.listen(engine, "connect", _sqlite_settings)
        return cls(engine)

    def record(self, message: Message, outcome: Outcome) -> None:
        """Write everything about one outcome, or nothing."""
        self._in_turn(lambda session: self._write(session, message, outcome))

    def correct(self, request_id: str, label: Category, by: str, note: str = "") -> Category:
        """Append the label that a person gave a message to the audit trail and return the category that was decided.

        The decided category itself is a label too: it confirms the decision. The last label of a message is the one that counts.
        The note is stored redacted. Raises ``OrchestratorError`` for an unknown message, and where nobody is named.
        """
        if not by.strip():
            raise OrchestratorError("a label needs a name: say who gives it")
        with Session(self._engine) as session:
            interaction = session.get(Interaction, request_id)
        if interaction is None:
            raise OrchestratorError(f"there is no message {request_id!r} here: take the request_id from the answer or the escalations")
        corrected = {
            "kind": "corrected",
            "at": datetime.now(UTC).isoformat(),
            "request_id": request_id,
            "release": interaction.release,
            "decided": interaction.category,
            "label": label.value,
            "by": by.strip(),
            "note": redact(note),
        }
        self._in_turn(lambda session: _append(session, corrected))
        return Category(interaction.category)

    def events(self, after_id: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the id and the content of every audit event after ``after_id``, in order, a page in memory at a time."""
        query = select(AuditEvent.id, AuditEvent.event).where(AuditEvent.id > after_id).order_by(AuditEvent.id)
        with Session(self._engine) as session:
            for row in session.execute(query.execution_options(yield_per=PAGE)):
                yield row.id, row.event

    def ping(self) -> None:
        """Raise when the database does not answer."""
        with Session(self._engine) as session:
            session.execute(select(1))

    def verify(self) -> list[str]:
        """Return what is wrong with the audit chain; nothing when it holds from end to end."""
        problems, previous = [], GENESIS
        with Session(self._engine) as session:
            query = select(AuditEvent).order_by(AuditEvent.id).execution_options(yield_per=PAGE)
            for link in session.scalars(query):
                if link.previous_hash != previous:
                    problems.append(f"audit event {link.id} does not follow the one before it")
                if link.hash != _chain(link.previous_hash, link.event):
                    problems.append(f"audit event {link.id} was changed after it was written")
                previous = link.hash
        return problems

    def escalations(self) -> list[dict[str, Any]]:
        """Return the escalation queue, urgent ones first, then oldest first."""
        query = select(Escalation).order_by(Escalation.urgent.desc(), Escalation.id)
        with Session(self._engine) as session:
            return [
                {"request_id": e.request_id, "urgent": e.urgent, "reason": e.reason, "created_at": e.created_at.isoformat()}
                for e in session.scalars(query)
            ]

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _in_turn(self, write: Callable[[Session], None]) -> None:
        for attempt in range(ATTEMPTS):
            try:
                with Session(self._engine) as session, session.begin():
                    write(session)
            except IntegrityError:  # another writer took the end of the chain first
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return

    def _write(self, session: Session, message: Message, outcome: Outcome) -> None:
        now = datetime.now(UTC)
        classification, details = outcome.classification, outcome.result.details
        decision = classification.decision
        session.add(
            Interaction(
                request_id=outcome.request_id,
                created_at=now,
                channel=message.channel.value,
                redacted_text=redact(message.text),
                category=decision.category.value,
                release=outcome.release,
                classification=classification.model_dump(mode="json"),
            )
        )
        session.flush()
        if ticket := details.get("ticket"):
            session.add(Ticket(request_id=outcome.request_id, intent=ticket["intent"], ticket=ticket))
        compliance = details.get("compliance")
        if compliance:
            record = ComplianceRecord(request_id=outcome.request_id, severity=compliance["severity"], record=compliance)
            session.add(record)
        if decision.category == Category.SAFETY_COMPLIANCE or decision.review_required:
            urgent = bool(compliance and compliance["urgent"])
            session.add(Escalation(request_id=outcome.request_id, reason=decision.path, urgent=urgent, created_at=now))
        audited = {
            "kind": "classified",
            "at": now.isoformat(),
            "request_id": outcome.request_id,
            "release": outcome.release,
            "decision": decision.model_dump(mode="json"),
            "probabilities": classification.probabilities.model_dump(),
            "source": classification.source.value,
            "calibrated": classification.calibrated,
            "degraded": classification.degraded,
            "random_sample": in_random_sample(outcome.request_id),
        }
        _append(session, audited)


def in_random_sample(request_id: str) -> bool:
    """Say whether a message is one of those drawn at random for labelling: by the hash of its id, whatever was decided about it."""
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()) % SAMPLE_EVERY == 0


def _append(session: Session, audited: dict[str, Any]) -> None:
    last = session.scalars(select(AuditEvent.hash).order_by(AuditEvent.id.desc()).limit(1)).first() or GENESIS
    session.add(AuditEvent(previous_hash=last, hash=_chain(last, audited), event=audited))


def _chain(previous: str, audited: dict[str, Any]) -> str:
    return hashlib.sha256((previous + json.dumps(audited, sort_keys=True)).encode()).hexdigest()


def _sqlite_settings(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()
