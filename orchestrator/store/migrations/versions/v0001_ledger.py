"""The ledger as it was before there were migrations: databases of that time have these tables already."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables where they are missing."""
    if sa.inspect(op.get_bind()).has_table("interactions"):
        return
    op.create_table(
        "interactions",
        sa.Column("request_id", sa.String(36), primary_key=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("channel", sa.String(8), nullable=False),
        sa.Column("redacted_text", sa.String(), nullable=False),
        sa.Column("category", sa.String(24), nullable=False, index=True),
        sa.Column("release", sa.String(64), nullable=False),
        sa.Column("classification", sa.JSON(), nullable=False),
    )
    op.create_table(
        "tickets",
        sa.Column("id", sa.Integer(), primary_key=True),
        _request_id(),
        sa.Column("intent", sa.String(24), nullable=False),
        sa.Column("ticket", sa.JSON(), nullable=False),
    )
    op.create_table(
        "compliance_records",
        sa.Column("id", sa.Integer(), primary_key=True),
        _request_id(),
        sa.Column("severity", sa.String(12), nullable=False),
        sa.Column("record", sa.JSON(), nullable=False),
    )
    op.create_table(
        "escalations",
        sa.Column("id", sa.Integer(), primary_key=True),
        _request_id(),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False, index=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
    )
    op.create_table(
        "audit_events",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("previous_hash", sa.String(64), nullable=False, unique=True),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("event", sa.JSON(), nullable=False),
    )


def downgrade() -> None:
    """Drop everything."""
    for table in ("audit_events", "escalations", "compliance_records", "tickets", "interactions"):
        op.drop_table(table)


def _request_id() -> sa.Column[str]:
    return sa.Column("request_id", sa.String(36), sa.ForeignKey("interactions.request_id"), nullable=False, unique=True)
