"""Reads checkpoints of the ledger from the object store."""

from service.attestation import LEDGER_HEAD, CheckpointStatement, from_microseconds, read_statement
from service.domain.checkpoint import Checkpoint, checkpoint_key
from service.errors import LedgerBrokenError, ObjectMissingError, SignatureError, UnknownCheckpointError
from service.ports import ObjectStore
from service.signing import read_envelope


def open_checkpoint(envelope: bytes) -> Checkpoint:
    """Return what an envelope says; its signature is not verified.

    Raises:
        SignatureError: it holds no checkpoint.
    """
    statement = read_statement(CheckpointStatement, read_envelope(envelope).payload)
    digest = statement.digests.get(LEDGER_HEAD)
    if digest is None:
        raise SignatureError(f"the envelope holds no checkpoint: its subject is not {LEDGER_HEAD}")
    return Checkpoint(
        number=statement.predicate.number,
        sequence=statement.predicate.sequence,
        digest=digest,
        signed_at=from_microseconds(statement.predicate.attested_at),
        envelope=envelope,
    )


def read_checkpoint(objects: ObjectStore, number: int) -> Checkpoint:
    """Return a checkpoint.

    Raises:
        UnknownCheckpointError: there is none of this number.
        SignatureError: what lies there is no checkpoint.
        LedgerBrokenError: it is one of another number.
    """
    try:
        checkpoint = open_checkpoint(objects.read(checkpoint_key(number)))
    except ObjectMissingError as error:
        raise UnknownCheckpointError("the ledger has no checkpoint of this number", number=str(number)) from error
    if checkpoint.number != number:
        raise LedgerBrokenError(f"checkpoint {checkpoint.number} lies in the place of number {number}")
    return checkpoint


def latest_number(objects: ObjectStore, known: int = 0) -> int:
    """Return the number of the newest checkpoint, 0 without any.

    Numbers have no gaps, so that doubling steps and then bisection find the last one without listing a folder that
    grows for years.

    Args:
        objects: where they lie.
        known: a number that exists, or 0.
    """
    low, step = known, 1
    while objects.head(checkpoint_key(low + step)) is not None:
        low, step = low + step, step * 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        if objects.head(checkpoint_key(middle)) is not None:
            low = middle
        else:
            high = middle
    return low
