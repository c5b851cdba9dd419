"""Rows of uploads: how they begin, grow, are finished, used, read and erased."""

import json
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.engine import Connection

from service.adapters.tables import TICKET_UPLOADS, UPLOAD_PIECES, UPLOADS
from service.domain.ledger import microseconds
from service.domain.upload import Upload
from service.errors import RequestIdReusedError, StaleVersionError

UPLOAD_JSON = TypeAdapter(Upload)


def insert_upload(connection: Connection, upload: Upload) -> None:
    """Insert an upload that has no ids yet."""
    connection.execute(
        sa.insert(UPLOADS).values(
            upload_id=upload.upload_id,
            tenant=upload.tenant,
            request_id=upload.header.request_id,
            is_complete=upload.is_complete,
            expires_at=microseconds(upload.expires_at),
            document=UPLOAD_JSON.dump_json(upload).decode(),
        )
    )


def insert_piece(connection: Connection, upload_id: str, first: int, sample_ids: Sequence[str]) -> None:
    """Insert further ids."""
    try:
        connection.execute(
            sa.insert(UPLOAD_PIECES).values(upload_id=upload_id, first=first, sample_ids=json.dumps(list(sample_ids)))
        )
    except sa.exc.IntegrityError:
        # Not the cause: its text quotes ids.
        raise StaleVersionError("the upload was erased or changed meanwhile") from None


def finish(connection: Connection, upload: Upload) -> None:
    """Mark an upload as complete."""
    values = {"is_complete": True, "document": UPLOAD_JSON.dump_json(upload).decode()}
    statement = sa.update(UPLOADS).where(UPLOADS.c.upload_id == upload.upload_id).values(values)
    try:
        result = connection.execute(statement)
    except sa.exc.IntegrityError as error:
        raise RequestIdReusedError("the request id was used before") from error
    if result.rowcount != 1:
        raise StaleVersionError("the upload was erased meanwhile")


def use_upload(connection: Connection, ticket_id: str, upload_id: str) -> None:
    """Note that an inserted ticket's ids are those of an upload: it is kept from now on."""
    try:
        connection.execute(sa.insert(TICKET_UPLOADS).values(ticket_id=ticket_id, upload_id=upload_id))
    except sa.exc.IntegrityError as error:
        raise StaleVersionError("the upload was erased") from error


def erase(connection: Connection, condition: sa.ColumnElement[bool]) -> int:
    """Erase the uploads of a condition that no ticket uses."""
    is_used = sa.exists().where(TICKET_UPLOADS.c.upload_id == UPLOADS.c.upload_id)
    found = connection.execute(sa.select(UPLOADS.c.upload_id).where(condition, ~is_used)).scalars().all()
    for upload_id in found:
        connection.execute(sa.delete(UPLOAD_PIECES).where(UPLOAD_PIECES.c.upload_id == upload_id))
        connection.execute(sa.delete(UPLOADS).where(UPLOADS.c.upload_id == upload_id))
    return len(found)


def has_expired(now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition of what shall be erased."""
    return UPLOADS.c.expires_at <= microseconds(now)


def piece_after(connection: Connection, upload_id: str, position: int) -> tuple[int, list[str]] | None:
    """Return (position of its first id, ids) of the next piece that begins after a position."""
    statement = sa.select(UPLOAD_PIECES.c.first, UPLOAD_PIECES.c.sample_ids).where(
        UPLOAD_PIECES.c.upload_id == upload_id, UPLOAD_PIECES.c.first > position
    )
    row = connection.execute(statement.order_by(UPLOAD_PIECES.c.first).limit(1)).one_or_none()
    return None if row is None else (row[0], json.loads(row[1]))


def upload_of(connection: Connection, ticket_id: str) -> str | None:
    """Return the upload whose ids a ticket's are."""
    statement = sa.select(TICKET_UPLOADS.c.upload_id).where(TICKET_UPLOADS.c.ticket_id == ticket_id)
    return connection.execute(statement).scalar_one_or_none()
