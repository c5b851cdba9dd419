"""Holds: orders that some samples must not be deleted, and the samples that each names."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of holds and of their samples."""
    op.create_table(
        "holds",
        sa.Column("hold_id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("release_request_id", sa.String(128)),
        sa.Column("lineage", sa.String(63), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("placed_at", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.UniqueConstraint("tenant", "request_id", name="uq_holds_request"),
        sa.UniqueConstraint("tenant", "release_request_id", name="uq_holds_release_request"),
    )
    op.create_index("ix_holds_newest", "holds", [sa.text("placed_at DESC"), sa.text("hold_id DESC")])
    op.create_index("ix_holds_lineage", "holds", ["lineage", "state"])
    op.create_table(
        "held_samples",
        sa.Column("hold_id", sa.String(64), sa.ForeignKey("holds.hold_id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("sample_id", sa.Text, nullable=False),
    )
    op.create_index("ix_held_samples_sample", "held_samples", ["sample_id"])
