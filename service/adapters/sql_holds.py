"""Queries about holds, by SQL."""

import json
from collections.abc import Collection, Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.adapters.tables import HELD_SAMPLES, HOLDS, TICKET_SAMPLES, TICKET_UPLOADS, TICKETS, UPLOAD_PIECES
from service.domain.hold import HoldState
from service.domain.ledger import microseconds
from service.hold_port import HoldQuery

_IDS_A_STATEMENT = 500
"""Databases bound the parameters of a statement; SQLite's smallest bound was 999."""
_IS_ACTIVE = HOLDS.c.state == HoldState.ACTIVE.value
_NAMED_BY_BOTH = (
    TICKETS.join(TICKET_SAMPLES, TICKET_SAMPLES.c.ticket_id == TICKETS.c.ticket_id)
    .join(HELD_SAMPLES, HELD_SAMPLES.c.sample_id == TICKET_SAMPLES.c.sample_id)
    .join(HOLDS, sa.and_(HOLDS.c.hold_id == HELD_SAMPLES.c.hold_id, HOLDS.c.lineage == TICKETS.c.lineage))
)
"""A row for each sample of a ticket and each hold of the ticket's lineage that names it."""


def select_holds(query: HoldQuery) -> sa.Select[str]:
    """Return the statement that finds holds, newest first."""
    statement = sa.select(HOLDS.c.document)
    if query.tenant is not None:
        statement = statement.where(HOLDS.c.tenant == query.tenant)
    if query.lineage is not None:
        statement = statement.where(HOLDS.c.lineage == query.lineage)
    if query.states:
        statement = statement.where(HOLDS.c.state.in_([state.value for state in query.states]))
    if query.after is not None:
        last = (microseconds(query.after[0]), query.after[1])
        statement = statement.where(sa.tuple_(HOLDS.c.placed_at, HOLDS.c.hold_id) < last)
    return statement.order_by(HOLDS.c.placed_at.desc(), HOLDS.c.hold_id.desc()).limit(query.limit)


def select_active_holds(lineage: str) -> sa.Select[str]:
    """Return the statement that finds a lineage's active holds, by id."""
    return sa.select(HOLDS.c.document).where(HOLDS.c.lineage == lineage, _IS_ACTIVE).order_by(HOLDS.c.hold_id)


def count_active_holds(connection: Connection) -> int:
    """Count the active holds."""
    count: int = connection.execute(sa.select(sa.func.count()).select_from(HOLDS).where(_IS_ACTIVE)).scalar_one()
    return count


def read_held_counts(connection: Connection, lineage: str) -> dict[str, int]:
    """Count the held samples of each open ticket of a lineage."""
    is_any = sa.select(sa.exists().where(HOLDS.c.lineage == lineage, _IS_ACTIVE))
    if not connection.execute(is_any).scalar_one():
        return {}  # the usual case, and then no ticket's samples need be read
    count = sa.func.count(sa.distinct(TICKET_SAMPLES.c.position))
    statement = sa.select(TICKETS.c.ticket_id, count).select_from(_NAMED_BY_BOTH)
    statement = statement.where(TICKETS.c.lineage == lineage, TICKETS.c.is_open.is_(True), _IS_ACTIVE)
    counts: dict[str, int] = dict(connection.execute(statement.group_by(TICKETS.c.ticket_id)).all())
    held = _held_by(connection, sa.and_(HOLDS.c.lineage == lineage, _IS_ACTIVE))
    names = frozenset().union(*held.values())
    for ticket_id, found in _uploaded(connection, lineage, names):
        counts[ticket_id] = len(found)
    return counts


def read_waiting_counts(connection: Connection, hold_ids: Collection[str]) -> dict[str, int]:
    """Count the open tickets that name a sample of each of these active holds."""
    wanted = sorted(hold_ids)
    found: dict[str, int] = {}
    for start in range(0, len(wanted), _IDS_A_STATEMENT):
        some = wanted[start : start + _IDS_A_STATEMENT]
        count = sa.func.count(sa.distinct(TICKETS.c.ticket_id))
        statement = sa.select(HOLDS.c.hold_id, count).select_from(_NAMED_BY_BOTH)
        statement = statement.where(HOLDS.c.hold_id.in_(some), TICKETS.c.is_open.is_(True), _IS_ACTIVE)
        found |= dict(connection.execute(statement.group_by(HOLDS.c.hold_id)).all())
        _add_uploaded(connection, some, found)
    return found


def _add_uploaded(connection: Connection, hold_ids: Collection[str], counts: dict[str, int]) -> None:
    """Count the open tickets on uploads for each of these holds."""
    are_wanted = sa.and_(HOLDS.c.hold_id.in_(hold_ids), _IS_ACTIVE)
    lineages = connection.execute(sa.select(HOLDS.c.lineage).where(are_wanted).distinct()).scalars().all()
    for lineage in lineages:
        held = _held_by(connection, sa.and_(are_wanted, HOLDS.c.lineage == lineage))
        for _, found in _uploaded(connection, lineage, frozenset().union(*held.values())):
            for hold_id, names in held.items():
                if not names.isdisjoint(found):
                    counts[hold_id] = counts.get(hold_id, 0) + 1


def _held_by(connection: Connection, condition: sa.ColumnElement[bool]) -> dict[str, set[str]]:
    """Return the samples of each hold of a condition."""
    joined = HOLDS.join(HELD_SAMPLES, HELD_SAMPLES.c.hold_id == HOLDS.c.hold_id)
    statement = sa.select(HOLDS.c.hold_id, HELD_SAMPLES.c.sample_id).select_from(joined).where(condition)
    held: dict[str, set[str]] = {}
    for hold_id, sample_id in connection.execute(statement):
        held.setdefault(hold_id, set()).add(sample_id)
    return held


def _uploaded(connection: Connection, lineage: str, names: frozenset[str]) -> Iterator[tuple[str, set[str]]]:
    """Yield the open tickets of a lineage whose ids are an upload's, each with which of these names are among them.

    Pieces of an upload are JSON texts, whose functions every database calls otherwise: they are not read by SQL.
    """
    joined = TICKETS.join(TICKET_UPLOADS, TICKET_UPLOADS.c.ticket_id == TICKETS.c.ticket_id)
    tickets = sa.select(TICKETS.c.ticket_id, TICKET_UPLOADS.c.upload_id).select_from(joined)
    found = connection.execute(tickets.where(TICKETS.c.lineage == lineage, TICKETS.c.is_open.is_(True))).all()
    for ticket_id, upload_id in found if names else ():
        pieces = sa.select(UPLOAD_PIECES.c.sample_ids).where(UPLOAD_PIECES.c.upload_id == upload_id)
        own = {name for piece in connection.execute(pieces).scalars() for name in json.loads(piece) if name in names}
        if own:
            yield ticket_id, own
