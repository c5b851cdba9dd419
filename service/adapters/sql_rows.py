"""Rows of the store: how each record is inserted, swapped, appended and read back."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.engine import Connection

from service.adapters.tables import (
    CANARIES,
    DEPLOYMENTS,
    FORGOTTEN,
    HELD_SAMPLES,
    HOLDS,
    LEDGER,
    LEDGER_HEAD,
    MODELS,
    PURGES,
    RELEASES,
    RUNS,
    TICKET_SAMPLES,
    TICKETS,
)
from service.adapters.totals import outcome_of
from service.domain.canary import Canary
from service.domain.deployment import Deployment
from service.domain.hold import Hold
from service.domain.ledger import LedgerDraft, LedgerEntry, LedgerKind, chain, microseconds
from service.domain.model import Model
from service.domain.purge import ReleasePurge
from service.domain.release import Release
from service.domain.run import UnlearningRun
from service.domain.ticket import Ticket
from service.errors import (
    ActiveRunError,
    LedgerBrokenError,
    LineageExistsError,
    RequestIdReusedError,
    StaleVersionError,
)

TICKET_JSON = TypeAdapter(Ticket)
RUN_JSON = TypeAdapter(UnlearningRun)
MODEL_JSON = TypeAdapter(Model)
RELEASE_JSON = TypeAdapter(Release)
HOLD_JSON = TypeAdapter(Hold)
DEPLOYMENT_JSON = TypeAdapter(Deployment)
_ROWS_A_STATEMENT = 500
"""Databases bound the parameters of a statement; SQLite's smallest bound was 999."""


def save_ticket(connection: Connection, ticket: Ticket) -> None:
    """Insert a ticket or swap it for the version that was read."""
    saved = replace(ticket, version=ticket.version + 1)
    values = {
        "tenant": saved.tenant,
        "request_id": saved.request_id,
        "lineage": saved.lineage,
        "state": saved.state.value,
        "is_open": saved.is_open,
        "regime": saved.regime.value,
        "source": saved.source.value,
        "reason_code": outcome_of(saved)[1],
        "received_at": microseconds(saved.received_at),
        "due_at": microseconds(saved.due_at),
        "closed_at": None if saved.closed_at is None else microseconds(saved.closed_at),
        "version": saved.version,
        "document": TICKET_JSON.dump_json(saved).decode(),
    }
    if ticket.version > 0:
        _swap(connection, TICKETS, TICKETS.c.ticket_id == ticket.ticket_id, ticket.version, values)
        return
    try:
        connection.execute(sa.insert(TICKETS).values(ticket_id=saved.ticket_id, **values))
    except sa.exc.IntegrityError as error:
        raise RequestIdReusedError("the request id was used before") from error


def insert_sample_ids(connection: Connection, ticket_id: str, sample_ids: Sequence[str]) -> None:
    """Insert the ids of a new ticket in the order of the request."""
    _insert_ids(connection, TICKET_SAMPLES, {"ticket_id": ticket_id}, sample_ids)


def save_run(connection: Connection, run: UnlearningRun) -> None:
    """Insert a run or swap it for the version that was read."""
    saved = replace(run, version=run.version + 1)
    values = {
        "tenant": saved.tenant,
        "lineage": saved.lineage,
        "created_at": microseconds(saved.created_at),
        "phase": saved.phase.value,
        "is_active": saved.is_active,
        "closed_at": None if saved.closed_at is None else microseconds(saved.closed_at),
        "version": saved.version,
        "document": RUN_JSON.dump_json(saved).decode(),
    }
    if run.version > 0:
        _swap(connection, RUNS, RUNS.c.run_id == run.run_id, run.version, values)
        return
    try:
        connection.execute(sa.insert(RUNS).values(run_id=saved.run_id, **values))
    except sa.exc.IntegrityError as error:
        raise ActiveRunError(f"lineage {run.lineage} has an active run") from error


def save_model(connection: Connection, model: Model) -> None:
    """Insert a lineage or swap it for the version that was read."""
    saved = replace(model, version=model.version + 1)
    values = {"version": saved.version, "document": MODEL_JSON.dump_json(saved).decode()}
    if model.version > 0:
        _swap(connection, MODELS, MODELS.c.lineage == model.lineage, model.version, values)
        return
    try:
        connection.execute(sa.insert(MODELS).values(lineage=saved.lineage, **values))
    except sa.exc.IntegrityError as error:
        raise LineageExistsError(f"lineage {model.lineage} is registered already") from error


def insert_release(connection: Connection, release: Release) -> None:
    """Insert a release; its number must be free."""
    document = RELEASE_JSON.dump_json(release).decode()
    row = {"lineage": release.lineage, "number": release.number, "document": document}
    try:
        connection.execute(sa.insert(RELEASES).values(row))
    except sa.exc.IntegrityError as error:
        raise StaleVersionError(f"release {release.number} of lineage {release.lineage} exists") from error


def insert_deployment(connection: Connection, deployment: Deployment) -> None:
    """Insert what a serving system said; its request id must be free."""
    row = {
        "tenant": deployment.tenant,
        "request_id": deployment.request_id,
        "lineage": deployment.lineage,
        "acknowledged_at": microseconds(deployment.acknowledged_at),
        "document": DEPLOYMENT_JSON.dump_json(deployment).decode(),
    }
    try:
        connection.execute(sa.insert(DEPLOYMENTS).values(row))
    except sa.exc.IntegrityError as error:
        raise RequestIdReusedError("the request id was used before") from error


def save_purge(connection: Connection, purge: ReleasePurge) -> None:
    """Insert when a release is to be purged, or note that a planned purge was carried out, once."""
    key = {"lineage": purge.lineage, "number": purge.number}
    stale = StaleVersionError(f"the purge of release {purge.number} of lineage {purge.lineage} has changed")
    if purge.purged_at is None:
        try:
            connection.execute(sa.insert(PURGES).values(**key, purge_at=microseconds(purge.purge_at)))
        except sa.exc.IntegrityError as error:
            raise stale from error
        return
    statement = sa.update(PURGES).filter_by(**key).where(PURGES.c.purged_at.is_(None))
    if connection.execute(statement.values(purged_at=microseconds(purge.purged_at))).rowcount != 1:
        raise stale


def read_purges(connection: Connection, lineage: str) -> list[ReleasePurge]:
    """Return the purges of a lineage, by number."""
    statement = sa.select(PURGES).where(PURGES.c.lineage == lineage).order_by(PURGES.c.number)
    return [
        ReleasePurge(
            lineage=row.lineage,
            number=row.number,
            purge_at=_time(row.purge_at),
            purged_at=None if row.purged_at is None else _time(row.purged_at),
        )
        for row in connection.execute(statement)
    ]


def insert_forgotten(connection: Connection, lineage: str, number: int, rows: Sequence[int]) -> None:
    """Insert the rows that a release has forgotten; no earlier one may have."""
    records = [{"lineage": lineage, "row": row, "release_number": number} for row in rows]
    if not records:
        return
    try:
        connection.execute(sa.insert(FORGOTTEN), records)
    except sa.exc.IntegrityError as error:
        raise StaleVersionError(f"lineage {lineage} has forgotten some of these rows already") from error


def insert_canaries(connection: Connection, lineage: str, canaries: Sequence[Canary]) -> None:
    """Insert the canaries of a new lineage."""
    records = [
        {"lineage": lineage, "row": canary.row, "is_included": canary.is_included, "used_by_run": canary.used_by_run}
        for canary in canaries
    ]
    if not records:
        return
    try:
        connection.execute(sa.insert(CANARIES), records)
    except sa.exc.IntegrityError:
        # Not the cause: its text quotes rows.
        raise StaleVersionError(f"lineage {lineage} has some of these canaries already") from None


def take_canaries(connection: Connection, lineage: str, run_id: str, rows: Sequence[int]) -> None:
    """Note which canaries a run takes; all of them must be there."""
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        some = rows[start : start + _ROWS_A_STATEMENT]
        taken = sa.update(CANARIES).where(CANARIES.c.lineage == lineage, CANARIES.c.row.in_(some))
        if connection.execute(taken.values(used_by_run=run_id)).rowcount != len(some):
            raise StaleVersionError(f"lineage {lineage} lacks some of the canaries that the run takes")


def save_hold(connection: Connection, hold: Hold) -> None:
    """Insert a hold or swap it for the version that was read."""
    saved = replace(hold, version=hold.version + 1)
    values = {
        "tenant": saved.tenant,
        "request_id": saved.request_id,
        "release_request_id": None if saved.release is None else saved.release.request_id,
        "lineage": saved.lineage,
        "state": saved.state.value,
        "placed_at": microseconds(saved.placed_at),
        "version": saved.version,
        "document": HOLD_JSON.dump_json(saved).decode(),
    }
    try:
        if hold.version > 0:
            _swap(connection, HOLDS, HOLDS.c.hold_id == hold.hold_id, hold.version, values)
        else:
            connection.execute(sa.insert(HOLDS).values(hold_id=saved.hold_id, **values))
    except sa.exc.IntegrityError as error:
        raise RequestIdReusedError("the request id was used before") from error


def insert_held_samples(connection: Connection, hold_id: str, sample_ids: Sequence[str]) -> None:
    """Insert the ids of a new hold in the order of the request."""
    _insert_ids(connection, HELD_SAMPLES, {"hold_id": hold_id}, sample_ids)


def _insert_ids(connection: Connection, table: sa.Table, owner: Mapping[str, str], sample_ids: Sequence[str]) -> None:
    rows = [{**owner, "position": position, "sample_id": sample_id} for position, sample_id in enumerate(sample_ids)]
    if rows:
        connection.execute(sa.insert(table), rows)


def _swap(
    connection: Connection, table: sa.Table, key: sa.ColumnElement[bool], version: int, values: Mapping[str, object]
) -> None:
    """Replace a row if it still has the version that was read."""
    result = connection.execute(sa.update(table).where(key, table.c.version == version).values(values))
    if result.rowcount != 1:
        raise StaleVersionError(f"a record in {table.name} no longer has version {version}: read it again")


def lock_head(connection: Connection) -> int:
    """Lock the coordinator row of the ledger and return the last sequence number."""
    statement = sa.select(LEDGER_HEAD.c.sequence).where(LEDGER_HEAD.c.id == 1).with_for_update()
    sequence: int = connection.execute(statement).scalar_one()
    return sequence


def append(connection: Connection, drafts: Iterable[LedgerDraft], sequence: int) -> None:
    """Append entries after `sequence`, chained to the entry that has it."""
    tail = connection.execute(sa.select(LEDGER).where(LEDGER.c.sequence == sequence)).mappings().one_or_none()
    previous = None if tail is None else entry(tail)
    rows = []
    for draft in drafts:
        previous = chain(draft, previous)
        rows.append(
            {
                "sequence": previous.sequence,
                "at": microseconds(previous.at),
                "actor": previous.actor,
                "kind": previous.kind.value,
                "subject": previous.subject,
                "payload": json.dumps(dict(previous.payload), sort_keys=True),
                "payload_digest": previous.payload_digest,
                "previous_digest": previous.previous_digest,
                "digest": previous.digest,
            }
        )
    if previous is not None and rows:
        connection.execute(sa.insert(LEDGER), rows)
        connection.execute(sa.update(LEDGER_HEAD).where(LEDGER_HEAD.c.id == 1).values(sequence=previous.sequence))


def entry(row: sa.RowMapping) -> LedgerEntry:
    """Return the ledger entry of a row.

    Raises:
        LedgerBrokenError: the row says something that no entry says.
    """
    try:
        kind, payload = LedgerKind(row["kind"]), json.loads(row["payload"])
    except ValueError as error:
        raise LedgerBrokenError(f"ledger entry {row['sequence']} is not what was appended") from error
    return LedgerEntry(
        sequence=row["sequence"],
        at=_time(row["at"]),
        actor=row["actor"],
        kind=kind,
        subject=row["subject"],
        payload=payload,
        payload_digest=row["payload_digest"],
        previous_digest=row["previous_digest"],
        digest=row["digest"],
    )


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at)
