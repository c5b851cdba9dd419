"""The ledger is found by subject."""

from alembic import op

revision = "r0004_ledger_and_uploads"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index; every entry gets into it."""
    op.create_index("ix_ledger_subject", "ledger", ["subject", "sequence"])
