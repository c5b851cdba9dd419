"""Counts for the metrics, by SQL."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.adapters.sql_holds import count_active_holds
from service.adapters.sql_rows import MODEL_JSON, RELEASE_JSON, RUN_JSON
from service.adapters.tables import CANARIES, FORGOTTEN, MODELS, PURGES, RELEASES, RUNS, TICKETS
from service.adapters.totals import count_verdicts, drifts
from service.domain.drift import Drift
from service.domain.run import RunPhase, UnlearningRun
from service.domain.ticket import TicketState
from service.store_totals import StoreTotals

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_totals(connection: Connection) -> StoreTotals:
    """Count tickets and runs in one transaction, so that the numbers agree with each other."""
    still_open = TICKETS.c.is_open.is_(True)
    closed = TICKETS.c.is_open.is_(False)
    oldest = connection.execute(sa.select(sa.func.min(TICKETS.c.received_at)).where(still_open)).scalar_one()
    due = sa.select(TICKETS.c.due_at).where(still_open).order_by(TICKETS.c.due_at)
    succeeded = TICKETS.c.state == TicketState.SUCCEEDED.value
    durations = sa.select(TICKETS.c.closed_at - TICKETS.c.received_at).where(succeeded)
    open_purges = sa.select(PURGES.c.purge_at).where(PURGES.c.purged_at.is_(None)).order_by(PURGES.c.purge_at)
    return StoreTotals(
        tickets=_counts(connection, TICKETS.c.state),
        submitted=_counts_by_two(connection, TICKETS.c.regime, TICKETS.c.source, sa.true()),
        closed=_counts_by_two(connection, TICKETS.c.state, TICKETS.c.reason_code, closed),
        runs=_counts(connection, RUNS.c.phase),
        oldest_open=None if oldest is None else _time(oldest),
        open_due=tuple(_time(at) for at in connection.execute(due).scalars()),
        completion_seconds=tuple(sorted(duration / 1e6 for duration in connection.execute(durations).scalars())),
        last_success=_last_success(connection),
        verdicts=count_verdicts(_runs(connection)),
        forgotten=_counts(connection, FORGOTTEN.c.lineage),
        canaries_left=_canaries_left(connection),
        holds_active=count_active_holds(connection),
        drift=_drift(connection),
        purges_open=tuple(_time(at) for at in connection.execute(open_purges).scalars()),
    )


def _counts(connection: Connection, column: sa.Column[str]) -> tuple[tuple[str, int], ...]:
    statement = sa.select(column, sa.func.count()).group_by(column).order_by(column)
    return tuple((value, count) for value, count in connection.execute(statement))


def _counts_by_two(
    connection: Connection, first: sa.Column[str], second: sa.Column[str], where: sa.ColumnElement[bool]
) -> tuple[tuple[str, str, int], ...]:
    statement = sa.select(first, second, sa.func.count()).where(where).group_by(first, second).order_by(first, second)
    return tuple((one, other, count) for one, other, count in connection.execute(statement))


def _last_success(connection: Connection) -> tuple[tuple[str, datetime], ...]:
    statement = sa.select(RUNS.c.lineage, sa.func.max(RUNS.c.closed_at)).where(RUNS.c.phase == RunPhase.COMMITTED.value)
    rows = connection.execute(statement.group_by(RUNS.c.lineage).order_by(RUNS.c.lineage))
    return tuple((lineage, _time(at)) for lineage, at in rows)


def _runs(connection: Connection) -> Iterator[UnlearningRun]:
    documents = connection.execute(sa.select(RUNS.c.document)).scalars()
    return (RUN_JSON.validate_json(document) for document in documents)


def _drift(connection: Connection) -> tuple[tuple[str, Drift], ...]:
    models = connection.execute(sa.select(MODELS.c.document)).scalars()
    releases = connection.execute(sa.select(RELEASES.c.document)).scalars()
    key = (FORGOTTEN.c.lineage, FORGOTTEN.c.release_number)
    forgotten: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for lineage, number, count in connection.execute(sa.select(*key, sa.func.count()).group_by(*key)):
        forgotten[lineage][number] = count
    return drifts(map(MODEL_JSON.validate_json, models), map(RELEASE_JSON.validate_json, releases), forgotten)


def _canaries_left(connection: Connection) -> tuple[tuple[str, int], ...]:
    gone = sa.and_(FORGOTTEN.c.lineage == CANARIES.c.lineage, FORGOTTEN.c.row == CANARIES.c.row)
    left = sa.func.count() - sa.func.count(FORGOTTEN.c.row)
    included = sa.select(CANARIES.c.lineage, left).where(CANARIES.c.is_included.is_(True))
    statement = included.select_from(CANARIES.outerjoin(FORGOTTEN, gone)).group_by(CANARIES.c.lineage)
    return tuple((lineage, count) for lineage, count in connection.execute(statement.order_by(CANARIES.c.lineage)))


def _time(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)
