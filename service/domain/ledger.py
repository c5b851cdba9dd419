"""The ledger: who did what when, hash-chained. Payloads hold commitments and counts, never ids of samples."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from service.domain.canonical import canonical_digest
from service.errors import LedgerBrokenError

GENESIS_DIGEST = "0" * 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LedgerKind(StrEnum):
    """What an entry records."""

    MODEL_REGISTERED = "model_registered"
    TICKET_SUBMITTED = "ticket_submitted"
    TICKET_CHANGED = "ticket_changed"
    TICKET_EXTENDED = "ticket_extended"
    RUN_CREATED = "run_created"
    RUN_CHANGED = "run_changed"
    RUN_ORDERED = "run_ordered"
    AUDIT_PLANNED = "audit_planned"
    VERDICT = "verdict"
    RELEASED = "released"
    HOLD_PLACED = "hold_placed"
    HOLD_RELEASED = "hold_released"
    DEPLOYED = "deployed"
    POINTER_RESTORED = "pointer_restored"
    PURGE_SCHEDULED = "purge_scheduled"
    PURGED = "purged"
    REFERENCES_REGISTERED = "references_registered"
    REFERENCES_TAINTED = "references_tainted"
    REFERENCES_PURGED = "references_purged"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerDraft:
    """An entry before the store gives it its place in the chain."""

    at: datetime
    actor: str
    kind: LedgerKind
    subject: str
    """Id of the ticket, run or lineage that it is about."""
    payload: Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One link of the chain."""

    sequence: int
    at: datetime
    actor: str
    kind: LedgerKind
    subject: str
    payload: Mapping[str, str | int | float | bool | None]
    payload_digest: str
    previous_digest: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerQuery:
    """Which entries of the ledger to read, oldest first."""

    after: int = 0
    """Sequence number of the last one already seen."""
    subject: str | None = None
    kinds: frozenset[LedgerKind] = frozenset()
    """Empty: all."""
    limit: int = 50


def microseconds(at: datetime) -> int:
    """Return the integer number of microseconds since 1970 (UTC)."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def chain(draft: LedgerDraft, previous: LedgerEntry | None) -> LedgerEntry:
    """Return the entry that follows `previous`: its digest covers every field and the digest before it."""
    sequence = 1 if previous is None else previous.sequence + 1
    previous_digest = GENESIS_DIGEST if previous is None else previous.digest
    payload_digest = canonical_digest(dict(draft.payload))
    digest = canonical_digest(
        {
            "sequence": sequence,
            "at": microseconds(draft.at),
            "actor": draft.actor,
            "kind": draft.kind.value,
            "subject": draft.subject,
            "payload": payload_digest,
            "previous": previous_digest,
        }
    )
    return LedgerEntry(
        sequence=sequence,
        at=draft.at,
        actor=draft.actor,
        kind=draft.kind,
        subject=draft.subject,
        payload=draft.payload,
        payload_digest=payload_digest,
        previous_digest=previous_digest,
        digest=digest,
    )


def verify_chain(entries: Iterable[LedgerEntry], previous: LedgerEntry | None = None) -> int:
    """Check that each entry follows from the one before it.

    Args:
        entries: in order.
        previous: the entry before the first of them, verified earlier; `None` where they begin the chain.

    Returns:
        Sequence number of the last entry that is verified now, 0 where there is none.

    Raises:
        LedgerBrokenError: an entry was changed, dropped or inserted; the message names its sequence number.
    """
    for entry in entries:
        draft = LedgerDraft(
            at=entry.at, actor=entry.actor, kind=entry.kind, subject=entry.subject, payload=entry.payload
        )
        if _chained(draft, previous) != entry:
            raise LedgerBrokenError(f"ledger entry {entry.sequence} does not follow from the one before it")
        previous = entry
    return 0 if previous is None else previous.sequence


def _chained(draft: LedgerDraft, previous: LedgerEntry | None) -> LedgerEntry | None:
    try:
        return chain(draft, previous)
    except ValueError:
        return None  # a payload that canonical JSON cannot say was never chained
