"""Runs can be listed; what is served, and which superseded releases are to be purged, is kept."""

import json
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT = ("run_id", "lineage", "phase", "is_active", "closed_at", "version", "document")


def upgrade() -> None:
    """Make the table of runs anew and move every run over: SQLite cannot add a column that is never null."""
    _create_release_tables()
    op.drop_index("uq_runs_active_lineage", table_name="runs")
    op.rename_table("runs", "runs_before_0005")
    runs = _create_runs()
    before = sa.table("runs_before_0005", *(sa.column(name) for name in _KEPT))
    connection = op.get_bind()
    rows = [dict(row) for row in connection.execute(sa.select(before)).mappings()]
    for row in rows:
        row["is_active"] = bool(row["is_active"])  # SQLite gives integers to who does not know the type
        document = json.loads(row["document"])
        row["tenant"], row["created_at"] = document["tenant"], _microseconds(document["created_at"])
    if rows:
        connection.execute(sa.insert(runs), rows)
    op.drop_table("runs_before_0005")


def _create_release_tables() -> None:
    op.create_table(
        "deployments",
        sa.Column("tenant", sa.String(64), primary_key=True),
        sa.Column("request_id", sa.String(128), primary_key=True),
        sa.Column("lineage", sa.String(63), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "purges",
        sa.Column("lineage", sa.String(63), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("purge_at", sa.BigInteger, nullable=False),
        sa.Column("purged_at", sa.BigInteger),
    )


def _create_runs() -> sa.Table:
    runs = op.create_table(
        "runs",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("lineage", sa.String(63), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("phase", sa.String(32), nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("closed_at", sa.BigInteger),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("ix_runs_newest", "runs", [sa.text("created_at DESC"), sa.text("run_id DESC")])
    op.create_index(
        "uq_runs_active_lineage",
        "runs",
        ["lineage"],
        unique=True,
        sqlite_where=sa.text("is_active IS 1"),
        postgresql_where=sa.text("is_active IS true"),
    )
    return runs


def _microseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
