"""Canaries: which samples of a lineage are some, how their coins fell, and which run took each last."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of canaries; lineages that are registered already have none."""
    op.create_table(
        "canaries",
        sa.Column("lineage", sa.String(63), sa.ForeignKey("models.lineage"), primary_key=True),
        sa.Column("row", sa.BigInteger, primary_key=True),
        sa.Column("is_included", sa.Boolean, nullable=False),
        sa.Column("used_by_run", sa.String(64)),
    )
