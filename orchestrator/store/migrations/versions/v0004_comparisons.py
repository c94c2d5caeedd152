"""What two releases decided about the same message, and the changes of which release serves."""

import sqlalchemy as sa
from alembic import op

from orchestrator.store.tables import Moment

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "comparisons",
        sa.Column("id", sa.Integer()),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("mode", sa.String(8), nullable=False),
        sa.Column("champion_release", sa.String(64), nullable=False),
        sa.Column("challenger_release", sa.String(64), nullable=False),
        sa.Column("agree", sa.Boolean(), nullable=False),
        sa.Column("champion", sa.JSON(), nullable=False),
        sa.Column("challenger", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_comparisons"),
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Integer()),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("champion", sa.String(64), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollouts"),
    )
    op.create_index("ix_comparisons_request_id", "comparisons", ["request_id"])
    op.create_index("ix_comparisons_created_at", "comparisons", ["created_at"])
    op.create_index("ix_comparisons_pair", "comparisons", ["champion_release", "challenger_release"])
    op.create_index("ix_rollouts_champion", "rollouts", ["champion"])


def downgrade() -> None:
    """Drop both: which release serves is then what is packaged."""
    op.drop_table("rollouts")
    op.drop_table("comparisons")
