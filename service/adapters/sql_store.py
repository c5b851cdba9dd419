"""The store on SQLAlchemy: SQLite (the embedded default) and PostgreSQL through one adapter."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from pydantic import TypeAdapter
from sqlalchemy.engine import Connection, Engine

from service.adapters.sql_change import save_change
from service.adapters.sql_holds import read_held_counts, read_waiting_counts, select_active_holds, select_holds
from service.adapters.sql_rows import (
    DEPLOYMENT_JSON,
    HOLD_JSON,
    MODEL_JSON,
    RELEASE_JSON,
    RUN_JSON,
    TICKET_JSON,
    entry,
    read_purges,
)
from service.adapters.sql_tickets import select_tickets
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
)
from service.adapters.sqlite import prepare_sqlite
from service.adapters.tables import (
    CANARIES,
    DEPLOYMENTS,
    FORGOTTEN,
    HELD_SAMPLES,
    HOLDS,
    LEDGER,
    MODELS,
    RELEASES,
    RUNS,
    TICKET_SAMPLES,
    TICKETS,
    UPLOADS,
)
from service.domain.canary import Canary
from service.domain.deployment import Deployment
from service.domain.hold import Hold
from service.domain.ledger import LedgerEntry, LedgerQuery, microseconds
from service.domain.model import Model
from service.domain.purge import ReleasePurge
from service.domain.release import Release
from service.domain.run import UnlearningRun
from service.domain.run_query import RunQuery
from service.domain.ticket import Ticket
from service.domain.ticket_query import TicketQuery
from service.domain.upload import Upload
from service.errors import StoreUnavailableError
from service.hold_port import HoldQuery
from service.ports import Change
from service.store_totals import StoreTotals

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
        prepare_sqlite(engine)
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
            save_change(connection, change)

    def ticket(self, ticket_id: str) -> Ticket | None:
        """Return a ticket."""
        return self._one(sa.select(TICKETS.c.document).where(TICKETS.c.ticket_id == ticket_id), TICKET_JSON)

    def ticket_by_request(self, tenant: str, request_id: str) -> Ticket | None:
        """Return the ticket that this request made."""
        where = sa.and_(TICKETS.c.tenant == tenant, TICKETS.c.request_id == request_id)
        return self._one(sa.select(TICKETS.c.document).where(where), TICKET_JSON)

    def tickets(self, query: TicketQuery) -> Sequence[Ticket]:
        """Return tickets, newest first."""
        return self._all(select_tickets(query), TICKET_JSON)

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

    def runs(self, query: RunQuery) -> Sequence[UnlearningRun]:
        """Return runs, newest first."""
        statement = sa.select(RUNS.c.document)
        if query.tenant is not None:
            statement = statement.where(RUNS.c.tenant == query.tenant)
        if query.lineage is not None:
            statement = statement.where(RUNS.c.lineage == query.lineage)
        if query.phases:
            statement = statement.where(RUNS.c.phase.in_([phase.value for phase in query.phases]))
        if query.after is not None:
            last = (microseconds(query.after[0]), query.after[1])
            statement = statement.where(sa.tuple_(RUNS.c.created_at, RUNS.c.run_id) < last)
        return self._all(
            statement.order_by(RUNS.c.created_at.desc(), RUNS.c.run_id.desc()).limit(query.limit), RUN_JSON
        )

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

    def deployments(self, lineage: str) -> Sequence[Deployment]:
        """Return what serving systems said that they run of a lineage, oldest first."""
        statement = sa.select(DEPLOYMENTS.c.document).where(DEPLOYMENTS.c.lineage == lineage)
        order = (DEPLOYMENTS.c.acknowledged_at, DEPLOYMENTS.c.request_id)
        return self._all(statement.order_by(*order), DEPLOYMENT_JSON)

    def purges(self, lineage: str) -> Sequence[ReleasePurge]:
        """Return which of a lineage's releases are to be purged or are, by number."""
        with self._reading() as connection:
            return read_purges(connection, lineage)

    def canaries(self, lineage: str) -> Sequence[Canary]:
        """Return a lineage's canaries by row, with the run that took each last."""
        columns = (CANARIES.c.row, CANARIES.c.is_included, CANARIES.c.used_by_run)
        statement = sa.select(*columns).where(CANARIES.c.lineage == lineage).order_by(CANARIES.c.row)
        with self._reading() as connection:
            found = connection.execute(statement).all()
        return [Canary(row=row, is_included=is_in, used_by_run=run_id) for row, is_in, run_id in found]

    def hold(self, hold_id: str) -> Hold | None:
        """Return a hold."""
        return self._one(sa.select(HOLDS.c.document).where(HOLDS.c.hold_id == hold_id), HOLD_JSON)

    def hold_by_request(self, tenant: str, request_id: str) -> Hold | None:
        """Return the hold that this request placed."""
        where = sa.and_(HOLDS.c.tenant == tenant, HOLDS.c.request_id == request_id)
        return self._one(sa.select(HOLDS.c.document).where(where), HOLD_JSON)

    def holds(self, query: HoldQuery) -> Sequence[Hold]:
        """Return holds, newest first."""
        return self._all(select_holds(query), HOLD_JSON)

    def active_holds(self, lineage: str) -> Sequence[Hold]:
        """Return a lineage's holds that are not released, by id."""
        return self._all(select_active_holds(lineage), HOLD_JSON)

    def held_samples(self, hold_id: str) -> Sequence[str]:
        """Return a hold's sample ids in the order of the request."""
        statement = sa.select(HELD_SAMPLES.c.sample_id).where(HELD_SAMPLES.c.hold_id == hold_id)
        with self._reading() as connection:
            return connection.execute(statement.order_by(HELD_SAMPLES.c.position)).scalars().all()

    def held_counts(self, lineage: str) -> dict[str, int]:
        """Return how many samples of each open ticket of a lineage are under an active hold."""
        with self._reading() as connection:
            return read_held_counts(connection, lineage)

    def waiting_counts(self, hold_ids: Collection[str]) -> dict[str, int]:
        """Return how many open tickets name a sample of each of these active holds."""
        with self._reading() as connection:
            return read_waiting_counts(connection, hold_ids)

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
