"""The tables of the store. Times are integer microseconds since 1970 (UTC); documents are the records as JSON."""

import sqlalchemy as sa

METADATA = sa.MetaData()

TICKETS = sa.Table(
    "tickets",
    METADATA,
    sa.Column("ticket_id", sa.String(64), primary_key=True),
    sa.Column("tenant", sa.String(64), nullable=False),
    sa.Column("request_id", sa.String(128), nullable=False),
    sa.Column("lineage", sa.String(63), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("is_open", sa.Boolean, nullable=False),
    sa.Column("regime", sa.String(32), nullable=False),
    sa.Column("source", sa.String(32), nullable=False),
    sa.Column("reason_code", sa.String(64), nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False),
    sa.Column("closed_at", sa.BigInteger),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.UniqueConstraint("tenant", "request_id", name="uq_tickets_request"),
)
sa.Index("ix_tickets_newest", TICKETS.c.received_at.desc(), TICKETS.c.ticket_id.desc())
sa.Index(
    "ix_tickets_open",
    TICKETS.c.received_at,
    sqlite_where=TICKETS.c.is_open.is_(True),
    postgresql_where=TICKETS.c.is_open.is_(True),
)

TICKET_SAMPLES = sa.Table(
    "ticket_samples",
    METADATA,
    sa.Column("ticket_id", sa.String(64), sa.ForeignKey("tickets.ticket_id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("sample_id", sa.Text, nullable=False),
)

UPLOADS = sa.Table(
    "uploads",
    METADATA,
    sa.Column("upload_id", sa.String(64), primary_key=True),
    sa.Column("tenant", sa.String(64), nullable=False),
    sa.Column("request_id", sa.String(128), nullable=False),
    sa.Column("is_complete", sa.Boolean, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)
# Each stream of a request writes an upload of its own; one of them is the request's.
sa.Index(
    "uq_uploads_request",
    UPLOADS.c.tenant,
    UPLOADS.c.request_id,
    unique=True,
    sqlite_where=UPLOADS.c.is_complete.is_(True),
    postgresql_where=UPLOADS.c.is_complete.is_(True),
)
sa.Index("ix_uploads_expiry", UPLOADS.c.expires_at)

UPLOAD_PIECES = sa.Table(
    "upload_pieces",
    METADATA,
    sa.Column("upload_id", sa.String(64), sa.ForeignKey("uploads.upload_id"), primary_key=True),
    sa.Column("first", sa.BigInteger, primary_key=True),
    sa.Column("sample_ids", sa.Text, nullable=False),  # a JSON list: a row an id would cost a hundred times as much
)

TICKET_UPLOADS = sa.Table(
    "ticket_uploads",
    METADATA,
    sa.Column("ticket_id", sa.String(64), sa.ForeignKey("tickets.ticket_id"), primary_key=True),
    sa.Column("upload_id", sa.String(64), sa.ForeignKey("uploads.upload_id"), nullable=False, index=True),
)

RUNS = sa.Table(
    "runs",
    METADATA,
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
sa.Index("ix_runs_newest", RUNS.c.created_at.desc(), RUNS.c.run_id.desc())
# One active run per lineage is the database's promise, never a check before an insert.
sa.Index(
    "uq_runs_active_lineage",
    RUNS.c.lineage,
    unique=True,
    sqlite_where=RUNS.c.is_active.is_(True),
    postgresql_where=RUNS.c.is_active.is_(True),
)

MODELS = sa.Table(
    "models",
    METADATA,
    sa.Column("lineage", sa.String(63), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

RELEASES = sa.Table(
    "releases",
    METADATA,
    sa.Column("lineage", sa.String(63), sa.ForeignKey("models.lineage"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
)

FORGOTTEN = sa.Table(
    "forgotten",
    METADATA,
    sa.Column("lineage", sa.String(63), sa.ForeignKey("models.lineage"), primary_key=True),
    sa.Column("row", sa.BigInteger, primary_key=True),
    sa.Column("release_number", sa.Integer, nullable=False),
)

DEPLOYMENTS = sa.Table(
    "deployments",
    METADATA,
    sa.Column("tenant", sa.String(64), primary_key=True),
    sa.Column("request_id", sa.String(128), primary_key=True),
    sa.Column("lineage", sa.String(63), nullable=False),
    sa.Column("acknowledged_at", sa.BigInteger, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

PURGES = sa.Table(
    "purges",
    METADATA,
    sa.Column("lineage", sa.String(63), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("purge_at", sa.BigInteger, nullable=False),
    sa.Column("purged_at", sa.BigInteger),
)

CANARIES = sa.Table(
    "canaries",
    METADATA,
    sa.Column("lineage", sa.String(63), sa.ForeignKey("models.lineage"), primary_key=True),
    sa.Column("row", sa.BigInteger, primary_key=True),
    sa.Column("is_included", sa.Boolean, nullable=False),
    sa.Column("used_by_run", sa.String(64)),
)

HOLDS = sa.Table(
    "holds",
    METADATA,
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
sa.Index("ix_holds_newest", HOLDS.c.placed_at.desc(), HOLDS.c.hold_id.desc())
sa.Index("ix_holds_lineage", HOLDS.c.lineage, HOLDS.c.state)

HELD_SAMPLES = sa.Table(
    "held_samples",
    METADATA,
    sa.Column("hold_id", sa.String(64), sa.ForeignKey("holds.hold_id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("sample_id", sa.Text, nullable=False),
)
# From a ticket's sample to the holds that name it; the other way would need an index over all tickets' samples.
sa.Index("ix_held_samples_sample", HELD_SAMPLES.c.sample_id)

LEDGER = sa.Table(
    "ledger",
    METADATA,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("subject", sa.String(128), nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("payload_digest", sa.String(64), nullable=False),
    sa.Column("previous_digest", sa.String(64), nullable=False, unique=True),
    sa.Column("digest", sa.String(64), nullable=False),
)

# What happened to one ticket, run or lineage is found without reading what happened to the others.
sa.Index("ix_ledger_subject", LEDGER.c.subject, LEDGER.c.sequence)

# Appends lock this one row: locking the tail of the chain instead lets two writers fork it.
LEDGER_HEAD = sa.Table(
    "ledger_head",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
)
