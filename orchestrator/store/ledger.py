"""The ledger: what was decided and done, durable before anybody is told. The one door to the store.

Every write holds its audit event in the same transaction. An audit event is of a kind: ``classified`` holds what was decided and on
which probabilities, ``corrected`` the label a person gave, which may be the one decided; ``claimed``, ``acknowledged``, ``resolved``,
``overdue``, ``message_read``, ``job_closed``, ``erased`` and ``expired`` say what happened since, ``release_switched`` which release
serves. Events from before there were kinds are classifications.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select

from orchestrator.errors import ConflictError, KeysError, OrchestratorError
from orchestrator.keys import KEY_FILE, Keys
from orchestrator.redact import redact
from orchestrator.rollout.plan import Plan
from orchestrator.schema import Category, Message, Outcome
from orchestrator.store import (
    audit,
    comparisons,
    erasure,
    escalations,
    feedback,
    migrate,
    outbox,
    retention,
    review,
    rollouts,
    sealing,
    tables,
)
from orchestrator.store.audit import HashOf, Head
from orchestrator.store.checkpoints import PUBLIC_KEY, Checkpoints
from orchestrator.store.comparisons import Agreement, Comparison, Pair
from orchestrator.store.database import database_url, empty_log, open_engine, reading, writing
from orchestrator.store.entry import Entry, Idempotency, in_random_sample, new_entry
from orchestrator.store.writer import Writer

__all__ = ["DEFAULT_DATA_DIR", "Idempotency", "Ledger", "default_database", "in_random_sample"]

DEFAULT_DATA_DIR = "var"
EXPIRED_AT_ONCE = 1_000  # rows a table: a transaction of well below a second, on PostgreSQL too
_log = logging.getLogger(__name__)


def default_database(environment: Mapping[str, str]) -> str:
    """Return ``DATABASE_URL``, or a SQLite file in the data directory (``DATA_DIR``, else ``var``)."""
    return environment.get("DATABASE_URL") or f"sqlite:///{environment.get('DATA_DIR') or DEFAULT_DATA_DIR}/orchestrator.db"


def utc_now() -> datetime:
    """Return the time by the system's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Ledger:
    """A database whose schema is up to date, the keys, and where the audit trail's checkpoints are."""

    engine: Engine
    environment: Mapping[str, str]
    clock: Callable[[], datetime] = utc_now

    @classmethod
    def at(cls, url: str, environment: Mapping[str, str] | None = None, *, clock: Callable[[], datetime] = utc_now) -> Ledger:
        """Open the ledger at a database URL; the schema is made or brought up to date.

        ``environment`` may hold ``DATA_DIR``, ``CHECKPOINTS_DIR`` and the keys (see ``orchestrator.keys``); with SQLite each has a
        default beside the database's file. Raises ``StoreUnavailableError`` when the database does not answer, ``OrchestratorError``
        when an SQLite file is no database.
        """
        engine = open_engine(database_url(url))
        migrate.upgrade(engine)
        return cls(engine, environment or {}, clock)

    @cached_property
    def keys(self) -> Keys:
        """The keys; with SQLite a key file is made where none are configured and nothing is stored yet. Raises ``KeysError``."""
        return Keys.of(self.environment, self.data_dir / KEY_FILE if self.engine.dialect.name == "sqlite" else None, self._is_new)

    @property
    def data_dir(self) -> Path:
        """Where files beside the database are: ``DATA_DIR``, else the folder of an SQLite file, else ``var``."""
        if given := self.environment.get("DATA_DIR"):
            return Path(given)
        file = self.engine.url.database if self.engine.dialect.name == "sqlite" else None
        return Path(file).parent if file else Path(DEFAULT_DATA_DIR)

    @property
    def checkpoints_dir(self) -> Path:
        """Where the audit trail's signed checkpoints are: ``CHECKPOINTS_DIR``, else ``audit`` in the data directory."""
        return Path(self.environment.get("CHECKPOINTS_DIR") or self.data_dir / "audit")

    # --- what the orchestrator writes

    def submit(self, message: Message, outcome: Outcome, idempotency: Idempotency | None = None) -> Future[None]:
        """Queue everything about one outcome; the future is done when it is durable, or says why nothing was written.

        It fails with ``ConflictError`` for a request id or an idempotency key that exists, with ``StoreUnavailableError`` when the
        database does not take it.
        """
        return self._writer.submit(self._entry(message, outcome, idempotency))

    def record(self, message: Message, outcome: Outcome, idempotency: Idempotency | None = None) -> None:
        """Write everything about one outcome, or nothing; return when it is durable."""
        self.submit(message, outcome, idempotency).result()

    def put(self, entry: Entry) -> Future[None]:
        """Queue what belongs to no outcome, to share a commit with outcomes; the future is as that of ``submit``."""
        return self._writer.submit(entry)

    def recorded(self, wanted: Idempotency) -> Outcome | None:
        """Return what a client's key was answered with before; None when it is new.

        Raises ``ConflictError`` when the key was used for another request.
        """
        with reading(self.engine) as connection:
            row = connection.execute(
                select(tables.IdempotencyKey.body_hash, tables.IdempotencyKey.outcome).where(
                    tables.IdempotencyKey.client == wanted.client, tables.IdempotencyKey.key == wanted.key
                )
            ).first()
        if row is None:
            return None
        if row.body_hash != wanted.body_hash:
            raise ConflictError(f"idempotency key {wanted.key!r} was used for another request: take a new key")
        return Outcome.model_validate_json(json.dumps(row.outcome))

    # --- what people do with it

    def escalations(
        self,
        statuses: Sequence[escalations.Status] = escalations.UNRESOLVED,
        limit: int = 1000,
        *,
        after: str | None = None,
        whose: Sequence[str | None] | None = None,
    ) -> list[escalations.Waiting]:
        """Return the escalation queue: the most severe first, then the one due first; on from ``after``, of these people only."""
        with reading(self.engine) as connection:
            return escalations.list_escalations(connection, self.clock(), statuses, limit, after=after, whose=whose)

    def escalation(self, request_id: str) -> review.Details | None:
        """Return all that is known of one escalation, redacted; None where there is none of that message."""
        with reading(self.engine) as connection:
            return review.read_details(connection, request_id, self.clock())

    def waiting_counts(self) -> review.Counts:
        """Return how many escalations wait, by severity, and how many of them are past their time."""
        with reading(self.engine) as connection:
            return review.count_waiting(connection, self.clock())

    def claim(self, request_id: str, by: str) -> None:
        """Give an open escalation to a person. Raises ``ConflictError`` when somebody else has it."""
        with self._audited() as (connection, events):
            events.append(escalations.claim(connection, request_id, by, self.clock()))

    def acknowledge(self, request_id: str, by: str) -> None:
        """Say that the person who claimed an escalation has begun to act."""
        with self._audited() as (connection, events):
            events.append(escalations.acknowledge(connection, request_id, by, self.clock()))

    def resolve(self, request_id: str, by: str, resolution: str, label: Category | None = None) -> None:
        """Close an escalation with what was done, stored redacted, and where given the label the message should have had."""
        with self._audited() as (connection, events):
            step = escalations.resolve(connection, request_id, by, redact(resolution), self.clock())
            events.append(step)
            if step and label is not None:  # a repetition of the step gives no second label
                given = feedback.add_feedback(connection, request_id, label, by=by, note=redact(resolution), now=self.clock())
                events.append(given[1])

    def alert_overdue(self) -> int:
        """Page every unresolved escalation past its time, once each, and return how many there were."""
        count, full = 0, True
        while full:
            with self._audited() as (connection, events):
                events.extend(escalations.alert_overdue(connection, self.clock()))
            count += len(events)
            full = len(events) >= escalations.ALERTS_AT_ONCE
        return count

    def tickets(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest tickets, newest first."""
        query = select(tables.Ticket).order_by(tables.Ticket.id.desc()).limit(limit)
        with reading(self.engine) as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    def correct(self, request_id: str, label: Category, by: str, note: str = "") -> Category:
        """Store the label that a person gave a message and return the category that was decided.

        The decided category itself is a label too: it confirms the decision. The last label of a message is the one that counts.
        The note is stored redacted. Raises ``OrchestratorError`` for an unknown message, and where nobody is named.
        """
        with self._audited() as (connection, events):
            decided, event = feedback.add_feedback(connection, request_id, label, by=by, note=redact(note), now=self.clock())
            events.append(event)
        return decided

    def labelled(self, *, corrections_only: bool = False) -> Iterator[dict[str, str]]:
        """Yield each labelled message once, redacted, with its last label: rows for ``python -m evals import``."""
        with reading(self.engine) as connection:
            yield from feedback.labelled_rows(connection, corrections_only=corrections_only)

    def read_message(self, request_id: str, by: str, reason: str) -> str:
        """Return the whole text of a message. That it was read, by whom and why, is audited before it is returned.

        Raises ``OrchestratorError`` when there is none, when it was erased, and where nobody or no reason is named.
        """
        if not by.strip() or not reason.strip():
            raise OrchestratorError("a message is read by somebody and for a reason: give both")
        with reading(self.engine) as connection:
            text = sealing.read_whole(connection, self.keys, request_id)
        with self._audited() as (_, events):
            read = {"kind": "message_read", "at": self.clock().isoformat(), "request_id": request_id, "by": by, "reason": redact(reason)}
            events.append(read)
        return text

    # --- releases beside each other

    def plan(self, champion: str) -> Plan | None:
        """Return which release serves over a packaged champion, and which is tried; None where nobody has changed anything."""
        with reading(self.engine) as connection:
            return rollouts.read_plan(connection, champion)

    def change_plan(self, start: Plan, champion: str, step: Callable[[Plan], Plan], change: rollouts.Change) -> Plan:
        """Take a step from the present plan, or from ``start`` where there is none, for all processes; return the new plan.

        Raises what ``step`` raises. The reason is stored redacted.
        """
        change = change.model_copy(update={"reason": redact(change.reason)})
        with self._audited() as (connection, events):
            plan, event = rollouts.change_plan(connection, champion, step, change, start=start, now=self.clock())
            events.append(event)
        return plan

    def compare(self, found: Sequence[Comparison]) -> int:
        """Write what two releases decided about the same messages; those of forgotten messages are left out."""
        with writing(self.engine, chain=False) as connection:
            return comparisons.add_comparisons(connection, found)

    def comparisons(self, pair: Pair, since: datetime | None = None) -> Iterator[Comparison]:
        """Yield the comparisons of two releases, in the order they were written."""
        with reading(self.engine) as connection:
            yield from comparisons.read_comparisons(connection, pair, since)

    def compared_pairs(self) -> list[Pair]:
        """Return which releases were compared, those compared last first."""
        with reading(self.engine) as connection:
            return comparisons.compared_pairs(connection)

    def agreement(self, pair: Pair) -> Agreement:
        """Return on how many messages two releases were compared, and on how many they agreed."""
        with reading(self.engine) as connection:
            return comparisons.count_agreement(connection, pair)

    # --- forgetting

    def erase(self, customer_id: str, by: str) -> int:
        """Erase everything personal about a customer and return how many messages there were; the audit chain stays whole."""
        with self._audited(slow=True) as (connection, events):
            count, event = erasure.erase(connection, self.keys.pseudonym_of(customer_id), by, self.clock())
            events.append(event)
        empty_log(self.engine)
        return count

    def expire(self, days: retention.RetentionDays) -> dict[str, int]:
        """Delete what is older than allowed and return how many rows of each table that were.

        A thousand rows a table and transaction, so that nobody waits long; where it is cut off, the next call goes on.
        """
        total: Counter[str] = Counter()
        now, more = self.clock(), True
        while more:
            with self._audited(slow=True) as (connection, events):
                gone = retention.expire(connection, days, now, limit=EXPIRED_AT_ONCE)
                if gone.pruned:
                    self._checkpoints.prune(id=gone.pruned.id, hash=gone.pruned.hash, at=now)
                if any(gone.rows.values()):
                    events.append({"kind": "expired", "at": now.isoformat(), "rows": gone.rows})
            total.update(gone.rows)
            more = gone.more
        empty_log(self.engine)
        return dict(total)

    def rewrap_keys(self) -> int:
        """Encrypt every data key with the present encryption key and return how many there were; then older ones can go.

        A page of them a transaction: where it is cut off, it is safe to repeat.
        """
        count, last = 0, ""
        while True:
            with writing(self.engine, chain=False, slow=True) as connection:
                ids = sealing.rewrap(connection, self.keys, last)
            if not ids:
                return count
            count, last = count + len(ids), ids[-1]

    # --- the audit trail

    def events(self, after_id: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the id and the content of every audit event after ``after_id``, in order, a page in memory at a time."""
        with reading(self.engine) as connection:
            for number, _, _, text in audit.read_links(connection, after_id):
                yield number, json.loads(text)

    def verify(self, folder: Path | None = None, public_key: str | None = None) -> list[str]:
        """Return what is wrong with the audit chain; nothing when it holds from end to end and to its signed checkpoints."""
        with reading(self.engine) as connection:
            signed = folder or self.checkpoints_dir
            return audit.verify(connection, signed, public_key or self._public_key(signed))

    # --- the outbox

    def take_due(self, topics: Sequence[outbox.Topic], *, limit: int, lease_s: float) -> list[outbox.Due]:
        """Take messages that are due, for this relay alone for ``lease_s`` seconds."""
        with writing(self.engine, chain=False) as connection:
            return outbox.take_due(connection, topics, self.clock(), limit=limit, lease_s=lease_s)

    def settle(self, message: outbox.Due) -> None:
        """Write down that a message was delivered."""
        with writing(self.engine, chain=False) as connection:
            outbox.settle(connection, message, delivered_at=self.clock())

    def fail(self, message: outbox.Due, error: str, retry_at: datetime | None) -> None:
        """Write down that a delivery failed: to be tried again at ``retry_at``, or given up where that is None."""
        with writing(self.engine, chain=False) as connection:
            outbox.fail(connection, message, error=error, retry_at=retry_at)

    def dead_letters(self, limit: int = 100) -> list[outbox.DeadLetter]:
        """Return messages that were given up, the oldest first, with the error of their last attempt and without their payload."""
        with reading(self.engine) as connection:
            return outbox.dead_letters(connection, limit)

    def redrive(self, ids: Sequence[int] | None = None) -> int:
        """Make dead letters due again, all or those with the given ids, and return how many there were; erased ones stay dead."""
        with writing(self.engine, chain=False) as connection:
            return outbox.redrive(connection, self.clock(), ids)

    def outbox_counts(self) -> dict[str, int]:
        """Return how many outbox messages there are of each status."""
        with reading(self.engine) as connection:
            return outbox.counts(connection)

    # --- the database

    def ping(self) -> None:
        """Raise ``StoreUnavailableError`` when the database does not answer."""
        with reading(self.engine) as connection:
            connection.execute(select(1))

    def close(self) -> None:
        """Write what was submitted, and close the connections."""
        if "_writer" in self.__dict__:
            self._writer.close()
        self.engine.dispose()

    def _is_new(self) -> bool:
        stored = select(tables.Interaction.request_id).exists() | select(tables.AuditEvent.id).exists() | select(tables.Job.id).exists()
        with reading(self.engine) as connection:
            return not connection.scalar(select(stored))

    def _public_key(self, folder: Path) -> str:
        try:
            return self.keys.public_key
        except KeysError:  # who only verifies needs no secret
            if (folder / PUBLIC_KEY).exists():
                return (folder / PUBLIC_KEY).read_text(encoding="utf-8")
            raise

    def _entry(self, message: Message, outcome: Outcome, idempotency: Idempotency | None = None) -> Entry:
        return new_entry(message, outcome, self.keys, self.clock(), idempotency)

    @cached_property
    def _writer(self) -> Writer:
        return Writer(self.engine, self._committed, self._found)

    @cached_property
    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(self.checkpoints_dir, self.keys)

    @contextmanager
    def _audited(self, *, slow: bool = False) -> Iterator[tuple[Connection, list[dict[str, Any]]]]:
        """Yield a connection and a list for the audit events; empty ones (nothing happened) are left out."""
        events: list[dict[str, Any]] = []
        with writing(self.engine, slow=slow) as connection:
            yield connection, events
            events[:] = [event for event in events if event]
            head = audit.append(connection, events, self._found)
        if events:
            self._committed(head)

    def _found(self, head: Head, hash_of: HashOf) -> None:
        try:
            if self._checkpoints.keep_if_lost(hash_of, self.clock()):
                _log.error("the audit trail up to event %d has lost its signed head: run `python -m orchestrator audit verify`", head.id)
        except Exception:  # noqa: BLE001  # whoever waits for an outcome is not to wait for this
            _log.warning("the audit trail's end could not be compared with its signed head", exc_info=True)

    def _committed(self, head: Head) -> None:
        try:
            self._checkpoints.advance(id=head.id, hash=head.hash, at=self.clock())
        except Exception:  # noqa: BLE001  # what was committed stays committed; the next checkpoint covers it too
            _log.warning("the audit trail's head at event %d could not be signed", head.id, exc_info=True)
