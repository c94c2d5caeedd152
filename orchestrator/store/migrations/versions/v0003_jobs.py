"""Jobs have an owner, an order and a key: whose they are, red flags first, and one job for a client's key.

Nothing wrote jobs before this step, so their table is made anew rather than altered, which SQLite cannot.
"""

import sqlalchemy as sa
from alembic import op

from orchestrator.store.tables import Moment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new table."""
    op.drop_table("jobs")
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(64)),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("key", sa.String(255)),
        sa.Column("body_hash", sa.String(64), nullable=False),
        sa.Column("customer", sa.String(64)),
        sa.Column("sealed_message", sa.Text()),
        sa.Column("callback_url", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("run_after", Moment(), nullable=False),
        sa.Column("finished_at", Moment()),
        sa.Column("result", sa.JSON()),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("client", "key", name="uq_jobs_client"),
    )
    op.create_index("ix_jobs_waiting", "jobs", ["status", "rank", "created_at"])
    op.create_index("ix_jobs_customer", "jobs", ["customer"])


def downgrade() -> None:
    """Make the old table; jobs are lost, so let them end before."""
    op.execute("DELETE FROM data_keys WHERE request_id LIKE 'job:%'")
    op.drop_table("jobs")
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
    op.create_index("ix_jobs_due", "jobs", ["status", "run_after"])
