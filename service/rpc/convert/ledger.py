"""The ledger: queries, entries and checkpoints."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC

from service.domain.canonical import canonical_bytes
from service.domain.checkpoint import Checkpoint
from service.domain.ledger import LedgerEntry, LedgerQuery
from service.errors import FieldViolation, LedgerBrokenError
from service.pb.unlearning.v1 import ledger_pb2, ledger_service_pb2
from service.rpc.convert.enums import LEDGER_KINDS
from service.rpc.convert.responses import timestamp
from service.rpc.paging import make_token, page_size, read_token
from service.rpc.validation import check_text, refuse_if_any

_MAX_SUBJECT_CHARACTERS = 128
_KINDS = {number: kind for kind, number in LEDGER_KINDS.items()}


def ledger_query(request: ledger_service_pb2.ListEntriesRequest) -> LedgerQuery:
    """Return which entries to read: one more than the page has, to know whether another page follows.

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    kinds = [_KINDS.get(number) for number in request.kinds]
    refuse_if_any(
        check_text("subject", request.subject, _MAX_SUBJECT_CHARACTERS) if request.subject else (),
        [
            FieldViolation(field=f"kinds[{position}]", description="must name a kind")
            for position, kind in enumerate(kinds)
            if kind is None
        ],
        [FieldViolation(field="after_sequence", description="must not be negative")]
        if request.after_sequence < 0
        else (),
    )
    query = LedgerQuery(
        after=request.after_sequence,
        subject=request.subject or None,
        kinds=frozenset(kind for kind in kinds if kind is not None),
        limit=page_size(request.page_size) + 1,
    )
    cursor = read_token(request.page_token, _scope(query), (int,))
    return query if cursor is None else replace(query, after=max(query.after, int(cursor[0])))


def entry_page(found: Sequence[LedgerEntry], query: LedgerQuery) -> ledger_service_pb2.ListEntriesResponse:
    """Return a page of what a query found; the query asked for one more than the page has."""
    page = found[: query.limit - 1]
    return ledger_service_pb2.ListEntriesResponse(
        entries=[entry(record) for record in page],
        next_page_token=make_token((page[-1].sequence,), _scope(query)) if len(found) > len(page) else "",
    )


def entry(record: LedgerEntry) -> ledger_pb2.LedgerEntry:
    """Return an entry of the ledger."""
    return ledger_pb2.LedgerEntry(
        sequence=record.sequence,
        event_time=timestamp(record.at),
        actor=record.actor,
        kind=LEDGER_KINDS[record.kind],
        subject=record.subject,
        payload=canonical_bytes(dict(record.payload)),
        payload_sha256=record.payload_digest,
        previous_digest=record.previous_digest,
        digest=record.digest,
    )


def record_of(message: ledger_pb2.LedgerEntry) -> LedgerEntry:
    """Return the entry that somebody was given: for verifying it.

    Raises:
        LedgerBrokenError: no entry says such a thing, or it is of a kind that this version does not know.
    """
    try:
        payload = json.loads(message.payload)
        return LedgerEntry(
            sequence=message.sequence,
            at=message.event_time.ToDatetime(UTC),
            actor=message.actor,
            kind=_KINDS[message.kind],
            subject=message.subject,
            payload={**payload},
            payload_digest=message.payload_sha256,
            previous_digest=message.previous_digest,
            digest=message.digest,
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise LedgerBrokenError(f"ledger entry {message.sequence} says something that no entry says") from error


def checkpoint(record: Checkpoint) -> ledger_pb2.LedgerCheckpoint:
    """Return a checkpoint."""
    return ledger_pb2.LedgerCheckpoint(
        checkpoint_number=record.number,
        sequence=record.sequence,
        digest=record.digest,
        sign_time=timestamp(record.signed_at),
        envelope=record.envelope,
    )


def checkpoint_number(request: ledger_service_pb2.GetCheckpointRequest) -> int:
    """Return which checkpoint is meant, 0 for the newest.

    Raises:
        InvalidRequestError: it is negative.
    """
    violation = FieldViolation(field="checkpoint_number", description="must not be negative")
    refuse_if_any([violation] if request.checkpoint_number < 0 else ())
    return request.checkpoint_number


def _scope(query: LedgerQuery) -> tuple[str, ...]:
    return ("ledger", query.subject or "", *sorted(kind.value for kind in query.kinds))
