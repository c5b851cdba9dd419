"""The store on SQLAlchemy: SQLite (the embedded default) and PostgreSQL through one adapter."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from pydantic import TypeAdapter
from sqlalchemy.engine import Connection, Engine

from service.adapters.sql_rows import (
    MODEL_JSON,
    RELEASE_JSON,
    RUN_JSON,
    TICKET_JSON,
    append,
    entry,
    insert_canaries,
    insert_forgotten,
    insert_release,
    insert_sample_ids,
    lock_head,
    save_model,
    save_run,
    save_ticket,
    take_canaries,
)
from service.adapters.sql_totals import read_totals
from service.adapters.sql_uploads import (
    UPLOAD_JSON,
    erase,
    finish,
    has_expired,
    insert_piece,
    insert_upload,
    piece_after,
    upload_of,
    use_upload,
)
from service.adapters.tables import (
    CANARIES,
    FORGOTTEN,
    LEDGER,
    MODELS,
    RELEASES,
    RUNS,
    TICKET_SAMPLES,
    TICKETS,
    UPLOADS,
)
from service.domain.canary import Canary
from service.domain.ledger import LedgerEntry, LedgerQuery, microseconds
from service.domain.model import Model
from service.domain.release import Release
from service.domain.run import UnlearningRun
from service.domain.ticket import Ticket
from service.domain.upload import Upload
from service.errors import StoreUnavailableError
from service.ports import Change, StoreTotals, TicketQuery

R = TypeVar("R")

_LEDGER_PAGE = 1000
_UNAVAILABLE = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError)


def sqlite_url(path: Path) -> sa.URL:
    """Return the URL of a database file, whatever characters its path holds."""
    return sa.URL.create("sqlite", database=str(path))


def connect_store(url: str | sa.URL) -> "SqlStore":
    """Open a database and bring its schema to the newest revision.

    Args:
        url: SQLAlchemy URL, such as `sqlite:////var/lib/unlearn/store.db` or `postgresql+psycopg://…`.

    Raises:
        StoreUnavailableError: the database cannot be reached, or there is no driver for such a URL.
    """
    try:
        engine = sa.create_engine(url)
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
        raise StoreUnavailableError("the database URL cannot be used, or its driver is not installed") from error
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    store = SqlStore(engine)
    store.migrate()
    return store


class SqlStore:
    """Tickets, runs, models, releases and the ledger in one relational database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def migrate(self) -> None:
        """Apply the revisions that the database does not have yet."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self._writing() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def save(self, change: Change) -> None:
        """Save all of a change in one transaction, its ledger entries last."""
        with self._writing() as connection:
            # The head is locked first, so that writers queue here and not halfway.
            sequence = lock_head(connection) if change.entries else 0
            for ticket in change.tickets:
                save_ticket(connection, ticket)
            for ticket_id, sample_ids in change.sample_ids:
                insert_sample_ids(connection, ticket_id, sample_ids)
            for ticket_id, upload_id in change.uploads_used:
                use_upload(connection, ticket_id, upload_id)
            for run in change.runs:
                save_run(connection, run)
            for model in change.models:
                save_model(connection, model)
            for release in change.releases:
                insert_release(connection, release)
            for lineage, number, rows in change.forgotten:
                insert_forgotten(connection, lineage, number, rows)
            for lineage, canaries in change.canaries:
                insert_canaries(connection, lineage, canaries)
            for lineage, run_id, rows in change.canaries_taken:
                take_canaries(connection, lineage, run_id, rows)
            append(connection, change.entries, sequence)

    def ticket(self, ticket_id: str) -> Ticket | None:
        """Return a ticket."""
        return self._one(sa.select(TICKETS.c.document).where(TICKETS.c.ticket_id == ticket_id), TICKET_JSON)

    def ticket_by_request(self, tenant: str, request_id: str) -> Ticket | None:
        """Return the ticket that this request made."""
        where = sa.and_(TICKETS.c.tenant == tenant, TICKETS.c.request_id == request_id)
        return self._one(sa.select(TICKETS.c.document).where(where), TICKET_JSON)

    def tickets(self, query: TicketQuery) -> Sequence[Ticket]:
        """Return tickets, newest first."""
        statement = sa.select(TICKETS.c.document)
        if query.tenant is not None:
            statement = statement.where(TICKETS.c.tenant == query.tenant)
        if query.lineage is not None:
            statement = statement.where(TICKETS.c.lineage == query.lineage)
        if query.states:
            statement = statement.where(TICKETS.c.state.in_([state.value for state in query.states]))
        if query.after is not None:
            last = (microseconds(query.after[0]), query.after[1])
            statement = statement.where(sa.tuple_(TICKETS.c.received_at, TICKETS.c.ticket_id) < last)
        statement = statement.order_by(TICKETS.c.received_at.desc(), TICKETS.c.ticket_id.desc()).limit(query.limit)
        return self._all(statement, TICKET_JSON)

    def open_tickets(self) -> Sequence[Ticket]:
        """Return every ticket that is not closed, oldest first."""
        statement = sa.select(TICKETS.c.document).where(TICKETS.c.is_open.is_(True))
        return self._all(statement.order_by(TICKETS.c.received_at, TICKETS.c.ticket_id), TICKET_JSON)

    def sample_ids(self, ticket_id: str) -> Sequence[str]:
        """Return a ticket's sample ids in the order of the request."""
        statement = sa.select(TICKET_SAMPLES.c.sample_id).where(TICKET_SAMPLES.c.ticket_id == ticket_id)
        with self._reading() as connection:
            ids = connection.execute(statement.order_by(TICKET_SAMPLES.c.position)).scalars().all()
            upload_id = None if ids else upload_of(connection, ticket_id)
        return ids if upload_id is None else [key for piece in self.uploaded_ids(upload_id) for key in piece]

    def model(self, lineage: str) -> Model | None:
        """Return a registered lineage."""
        return self._one(sa.select(MODELS.c.document).where(MODELS.c.lineage == lineage), MODEL_JSON)

    def models(self) -> Sequence[Model]:
        """Return every registered lineage, by name."""
        return self._all(sa.select(MODELS.c.document).order_by(MODELS.c.lineage), MODEL_JSON)

    def run(self, run_id: str) -> UnlearningRun | None:
        """Return a run."""
        return self._one(sa.select(RUNS.c.document).where(RUNS.c.run_id == run_id), RUN_JSON)

    def active_runs(self) -> Sequence[UnlearningRun]:
        """Return every run that still holds its lineage."""
        statement = sa.select(RUNS.c.document).where(RUNS.c.is_active.is_(True))
        return self._all(statement.order_by(RUNS.c.run_id), RUN_JSON)

    def releases(self, lineage: str) -> Sequence[Release]:
        """Return a lineage's releases, newest first."""
        statement = sa.select(RELEASES.c.document).where(RELEASES.c.lineage == lineage)
        return self._all(statement.order_by(RELEASES.c.number.desc()), RELEASE_JSON)

    def forgotten_rows(self, lineage: str) -> dict[int, int]:
        """Return the rows that a lineage has forgotten, each with its release."""
        statement = sa.select(FORGOTTEN.c.row, FORGOTTEN.c.release_number).where(FORGOTTEN.c.lineage == lineage)
        with self._reading() as connection:
            return dict(connection.execute(statement).all())

    def canaries(self, lineage: str) -> Sequence[Canary]:
        """Return a lineage's canaries by row, with the run that took each last."""
        columns = (CANARIES.c.row, CANARIES.c.is_included, CANARIES.c.used_by_run)
        statement = sa.select(*columns).where(CANARIES.c.lineage == lineage).order_by(CANARIES.c.row)
        with self._reading() as connection:
            found = connection.execute(statement).all()
        return [Canary(row=row, is_included=is_in, used_by_run=run_id) for row, is_in, run_id in found]

    def ledger(self, after: int = 0) -> Iterator[LedgerEntry]:
        """Yield the entries after a sequence number, a page at a time."""
        while True:
            statement = sa.select(LEDGER).where(LEDGER.c.sequence > after).order_by(LEDGER.c.sequence)
            with self._reading() as connection:
                rows = connection.execute(statement.limit(_LEDGER_PAGE)).mappings().all()
            if not rows:
                return
            yield from map(entry, rows)
            after = rows[-1]["sequence"]

    def ledger_page(self, query: LedgerQuery) -> Sequence[LedgerEntry]:
        """Return entries, oldest first."""
        statement = sa.select(LEDGER).where(LEDGER.c.sequence > query.after)
        if query.subject is not None:
            statement = statement.where(LEDGER.c.subject == query.subject)
        if query.kinds:
            statement = statement.where(LEDGER.c.kind.in_([kind.value for kind in query.kinds]))
        with self._reading() as connection:
            rows = connection.execute(statement.order_by(LEDGER.c.sequence).limit(query.limit)).mappings().all()
        return [entry(row) for row in rows]

    def begin_upload(self, upload: Upload) -> None:
        """Save an upload that has no ids yet."""
        with self._writing() as connection:
            insert_upload(connection, upload)

    def extend_upload(self, upload_id: str, first: int, sample_ids: Sequence[str]) -> None:
        """Save further ids."""
        with self._writing() as connection:
            insert_piece(connection, upload_id, first, sample_ids)

    def finish_upload(self, upload: Upload) -> None:
        """Save that an upload is complete."""
        with self._writing() as connection:
            finish(connection, upload)

    def drop_upload(self, upload_id: str) -> None:
        """Erase an upload that no ticket uses."""
        with self._writing() as connection:
            erase(connection, UPLOADS.c.upload_id == upload_id)

    def upload(self, upload_id: str) -> Upload | None:
        """Return an upload."""
        return self._one(sa.select(UPLOADS.c.document).where(UPLOADS.c.upload_id == upload_id), UPLOAD_JSON)

    def upload_by_request(self, tenant: str, request_id: str) -> Upload | None:
        """Return the complete upload that this request made."""
        where = sa.and_(UPLOADS.c.tenant == tenant, UPLOADS.c.request_id == request_id, UPLOADS.c.is_complete.is_(True))
        return self._one(sa.select(UPLOADS.c.document).where(where), UPLOAD_JSON)

    def uploaded_ids(self, upload_id: str) -> Iterator[Sequence[str]]:
        """Yield an upload's ids, a piece at a time."""
        position = -1
        while True:
            with self._reading() as connection:
                piece = piece_after(connection, upload_id, position)
            if piece is None:
                return
            position = piece[0]
            yield piece[1]

    def erase_uploads(self, now: datetime) -> int:
        """Erase what has expired and no ticket uses."""
        with self._writing() as connection:
            return erase(connection, has_expired(now))

    def totals(self) -> StoreTotals:
        """Return the counts that the metrics show."""
        with self._reading() as connection:
            return read_totals(connection)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with (
            self._translated(),
            self._engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            # The plain DatabaseError is SQLite's for a file that is no database, or no longer.
            if isinstance(error, _UNAVAILABLE) or type(error) is sa.exc.DatabaseError:
                raise StoreUnavailableError("the database cannot be reached or written") from error
            raise

    def _one(self, statement: sa.Select[str], adapter: TypeAdapter[R]) -> R | None:
        with self._reading() as connection:
            document = connection.execute(statement).scalar_one_or_none()
        return None if document is None else adapter.validate_json(document)

    def _all(self, statement: sa.Select[str], adapter: TypeAdapter[R]) -> Sequence[R]:
        with self._reading() as connection:
            return [adapter.validate_json(document) for document in connection.execute(statement).scalars()]


def _prepare_sqlite(engine: Engine) -> None:
    """Make SQLite durable and let readers and one writer work side by side.

    The driver's own transaction handling starts writes late, where they fail instead of waiting, so BEGIN is ours:
    https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl
    """

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")
