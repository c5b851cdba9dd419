"""The ledger is found by subject; sets of ids can be uploaded before the request that uses them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index, into which every entry gets, and the tables of uploads."""
    op.create_index("ix_ledger_subject", "ledger", ["subject", "sequence"])
    op.create_table(
        "uploads",
        sa.Column("upload_id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("is_complete", sa.Boolean, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index(
        "uq_uploads_request",
        "uploads",
        ["tenant", "request_id"],
        unique=True,
        sqlite_where=sa.text("is_complete IS 1"),
        postgresql_where=sa.text("is_complete IS true"),
    )
    op.create_index("ix_uploads_expiry", "uploads", ["expires_at"])
    op.create_table(
        "upload_pieces",
        sa.Column("upload_id", sa.String(64), sa.ForeignKey("uploads.upload_id"), primary_key=True),
        sa.Column("first", sa.BigInteger, primary_key=True),
        sa.Column("sample_ids", sa.Text, nullable=False),
    )
    op.create_table(
        "ticket_uploads",
        sa.Column("ticket_id", sa.String(64), sa.ForeignKey("tickets.ticket_id"), primary_key=True),
        sa.Column("upload_id", sa.String(64), sa.ForeignKey("uploads.upload_id"), nullable=False, index=True),
    )
