"""Checkpoints of the ledger: signed heads of the chain, kept outside the database that holds it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a checkpoint says: the chain up to and with this entry can no longer be rewritten unnoticed.

    Attributes:
        number: from 1, without gaps.
        sequence: of the last entry that it covers.
        digest: of that entry.
        envelope: DSSE envelope over an in-toto Statement that says all of the above.
    """

    number: int
    sequence: int
    digest: str
    signed_at: datetime
    envelope: bytes


def checkpoint_key(number: int) -> str:
    """Return where a checkpoint lies in the object store."""
    return f"ledger/checkpoints/{number}.json"
