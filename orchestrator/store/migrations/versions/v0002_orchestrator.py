"""Sealed texts, an escalation queue that is worked, tickets with a time, the outbox, idempotency, jobs, feedback.

Old tables are copied into new ones rather than altered: SQLite cannot alter most things, and so both databases take one path.
The audit chain keeps its ids and hashes; its events become the text that was hashed.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

from orchestrator.store.tables import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

DUE = {True: timedelta(hours=1), False: timedelta(days=1)}  # of old escalations, by urgency: what customers were told
COPIED = ("interactions", "tickets", "compliance_records", "escalations", "audit_events")


def upgrade() -> None:
    """Make the new tables and fill them from the old ones."""
    old = _set_aside("before_0002")
    _create_0002()
    made = {}
    for row in _rows(old["interactions"]):
        made[row["request_id"]] = row["created_at"] = _utc(row["created_at"])
        _put("interactions", row)
    for row in _rows(old["tickets"]):
        _put("tickets", row | {"created_at": made[row["request_id"]]})
    for row in _rows(old["compliance_records"]):
        _put("compliance_records", row | {"created_at": made[row["request_id"]]})
    for row in _rows(old["escalations"]):
        urgent = bool(row.pop("urgent"))
        created = _utc(row["created_at"])
        new = {"severity": "urgent" if urgent else "routine", "status": "open", "due_at": created + DUE[urgent], "created_at": created}
        _put("escalations", row | new)
    for row in _rows(old["audit_events"]):
        _put("audit_events", row | {"event": json.dumps(row["event"], sort_keys=True)})
    _drop(old)
    _restart_counters(("tickets", "compliance_records", "escalations"))


def downgrade() -> None:
    """Keep what the old tables can hold; sealed texts, the outbox, jobs and feedback are lost."""
    for table in ("feedback", "jobs", "idempotency_keys", "outbox", "data_keys"):
        op.drop_table(table)
    new = _set_aside("after_0002")
    _create_0001()
    for row in _rows(new["interactions"]):
        _put("interactions", _without(row, "customer", "sealed_values"))
    for row in _rows(new["tickets"]):
        _put("tickets", _without(row, "created_at"))
    for row in _rows(new["compliance_records"]):
        _put("compliance_records", _without(row, "created_at", "sealed_text"))
    for row in _rows(new["escalations"]):
        urgent = row["severity"] != "routine"
        _put("escalations", {name: row[name] for name in ("id", "request_id", "reason", "created_at")} | {"urgent": urgent})
    for row in _rows(new["audit_events"]):
        _put("audit_events", row | {"event": json.loads(row["event"])})
    _drop(new)
    _restart_counters(("tickets", "compliance_records", "escalations", "audit_events"))


def _create_0002() -> None:
    request_id = ("request_id", sa.String(64))
    op.create_table(
        "interactions",
        sa.Column(*request_id),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("channel", sa.String(8), nullable=False),
        sa.Column("customer", sa.String(64)),
        sa.Column("redacted_text", sa.Text(), nullable=False),
        sa.Column("sealed_values", sa.Text()),
        sa.Column("category", sa.String(24), nullable=False),
        sa.Column("release", sa.String(64), nullable=False),
        sa.Column("classification", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_interactions"),
    )
    op.create_table(
        "data_keys",
        sa.Column(*request_id),
        sa.Column("wrapped_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_data_keys"),
    )
    op.create_table(
        "tickets",
        *_of_an_interaction("tickets"),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("intent", sa.String(24), nullable=False),
        sa.Column("ticket", sa.JSON(), nullable=False),
    )
    op.create_table(
        "compliance_records",
        *_of_an_interaction("compliance_records"),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("severity", sa.String(12), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("sealed_text", sa.Text()),
    )
    op.create_table(
        "escalations",
        *_of_an_interaction("escalations"),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("severity", sa.String(12), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("due_at", Moment(), nullable=False),
        sa.Column("claimed_by", sa.String(128)),
        sa.Column("claimed_at", Moment()),
        sa.Column("acknowledged_at", Moment()),
        sa.Column("resolved_by", sa.String(128)),
        sa.Column("resolved_at", Moment()),
        sa.Column("resolution", sa.Text()),
        sa.Column("alerted_at", Moment()),
    )
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Integer(), autoincrement=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        sa.UniqueConstraint("previous_hash", name="uq_audit_events_previous_hash"),
        sa.UniqueConstraint("hash", name="uq_audit_events_hash"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer()),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("topic", sa.String(32), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", Moment(), nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("delivered_at", Moment()),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("key", name="uq_outbox_key"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("client", sa.String(64)),
        sa.Column("key", sa.String(255)),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("body_hash", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("client", "key", name="pk_idempotency_keys"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(64)),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("sealed_message", sa.Text()),
        sa.Column("callback_url", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_after", Moment(), nullable=False),
        sa.Column("finished_at", Moment()),
        sa.Column("result", sa.JSON()),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_table(
        "feedback",
        sa.Column("id", sa.Integer()),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("decided", sa.String(24), nullable=False),
        sa.Column("label", sa.String(24), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
        sa.ForeignKeyConstraint(["request_id"], ["interactions.request_id"], name="fk_feedback_request_id"),
    )
    for table, columns in (
        ("interactions", ["created_at"]),
        ("interactions", ["customer"]),
        ("interactions", ["category"]),
        ("tickets", ["created_at"]),
        ("compliance_records", ["created_at"]),
        ("escalations", ["status"]),
        ("outbox", ["request_id"]),
        ("idempotency_keys", ["created_at"]),
        ("idempotency_keys", ["request_id"]),
        ("feedback", ["request_id"]),
        ("feedback", ["created_at"]),
    ):
        op.create_index(f"ix_{table}_{columns[0]}", table, columns)
    op.create_index("ix_outbox_due", "outbox", ["status", "next_attempt_at"])
    op.create_index("ix_jobs_due", "jobs", ["status", "run_after"])


def _create_0001() -> None:
    from orchestrator.store.migrations.versions import v0001_ledger

    v0001_ledger.upgrade()


def _of_an_interaction(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("id", sa.Integer()),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.UniqueConstraint("request_id", name=f"uq_{table}_request_id"),
        sa.ForeignKeyConstraint(["request_id"], ["interactions.request_id"], name=f"fk_{table}_request_id"),
    ]


def _set_aside(suffix: str) -> dict[str, sa.Table]:
    """Copy the tables under other names and drop them, children first."""
    bind, old = op.get_bind(), {}
    for name in reversed(COPIED):
        aside = f"{name}_{suffix}"
        op.execute(f"CREATE TABLE {aside} AS SELECT * FROM {name}")  # noqa: S608  # nosec B608  # names of ours
        columns = [sa.Column(c["name"], c["type"]) for c in sa.inspect(bind).get_columns(name)]
        op.drop_table(name)
        old[name] = sa.Table(aside, sa.MetaData(), *columns)
    return old


def _rows(table: sa.Table) -> list[dict[str, Any]]:
    order = table.c["request_id"] if table.name.startswith("interactions") else table.c["id"]
    return [dict(row._mapping) for row in op.get_bind().execute(sa.select(table).order_by(order))]


def _put(name: str, row: dict[str, Any]) -> None:
    bind = op.get_bind()
    table = _TABLES.get((bind, name))
    if table is None:
        table = _TABLES[bind, name] = sa.Table(name, sa.MetaData(), autoload_with=bind)
    bind.execute(sa.insert(table).values(row))


_TABLES: dict[tuple[sa.Connection, str], sa.Table] = {}


def _drop(tables: dict[str, sa.Table]) -> None:
    _TABLES.clear()
    for table in tables.values():
        op.drop_table(table.name)


def _restart_counters(tables: tuple[str, ...]) -> None:
    """PostgreSQL counts ids apart from the rows; SQLite does not."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in tables:
        counter = f"pg_get_serial_sequence('{table}', 'id')"
        op.execute(f"SELECT setval({counter}, COALESCE(MAX(id), 1), MAX(id) IS NOT NULL) FROM {table}")  # noqa: S608  # nosec B608  # names of ours


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}
