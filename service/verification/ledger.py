"""Verification of the ledger, offline: its entries are a chain, and the signed heads lie on it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from securesystemslib.signer import SSlibKey

from service.attestation import PAYLOAD_TYPE
from service.checkpoints import open_checkpoint
from service.domain.checkpoint import Checkpoint
from service.domain.ledger import LedgerEntry, verify_chain
from service.errors import LedgerBrokenError, SignatureError
from service.signing import read_envelope, verify_envelope
from service.verification.checks import CheckFailedError, CheckName, CheckResult, NotAskedError, demand, make_check


def verify_ledger(
    entries: Iterable[LedgerEntry], checkpoints: Sequence[bytes], keys: Sequence[SSlibKey]
) -> tuple[CheckResult, ...]:
    """Verify a ledger against signed heads of it.

    1. Each entry follows from the one before it, from the first on.
    2. A trusted key signed each checkpoint (not asked without keys).
    3. Each checkpoint's entry is there and has the digest that was signed.
    4. Later checkpoints cover no less than earlier ones, and none contradicts another.

    Args:
        entries: the whole ledger, in order; read once, an entry at a time.
        checkpoints: envelopes: the more of them, and the older, the less could have been rewritten.
        keys: that are trusted.

    Raises:
        SignatureError: an envelope holds no checkpoint.
    """
    heads = [open_checkpoint(envelope) for envelope in checkpoints]
    seen: dict[int, str] = {}
    wanted = {head.sequence for head in heads}
    checks: dict[CheckName, Callable[[], str]] = {
        CheckName.LEDGER_CHAIN: lambda: _chain(_remembering(entries, wanted, seen)),
        CheckName.LEDGER_SIGNATURES: lambda: _signatures(heads, keys),
        CheckName.LEDGER_CHECKPOINTS: lambda: _covered(heads, seen),
        CheckName.LEDGER_ORDER: lambda: _order(heads),
    }
    return tuple(make_check(name, 0, check) for name, check in checks.items())


def _remembering(entries: Iterable[LedgerEntry], wanted: set[int], seen: dict[int, str]) -> Iterator[LedgerEntry]:
    for entry in entries:
        if entry.sequence in wanted:
            seen[entry.sequence] = entry.digest
        yield entry


def _chain(entries: Iterable[LedgerEntry]) -> str:
    try:
        length = verify_chain(entries)
    except LedgerBrokenError as error:
        raise CheckFailedError(error.message) from error
    return f"The ledger's {length} entries are one chain from the first on."


def _signatures(heads: Sequence[Checkpoint], keys: Sequence[SSlibKey]) -> str:
    if not heads:
        raise NotAskedError("There is no checkpoint: whoever has the database could have written the chain anew.")
    if not keys:
        raise NotAskedError("No key was given: who signed the checkpoints is open.")
    for head in heads:
        try:
            verify_envelope(read_envelope(head.envelope), keys, PAYLOAD_TYPE)
        except SignatureError as error:
            raise CheckFailedError(f"checkpoint {head.number}: {error.message}") from error
    return f"{len(heads)} checkpoints are signed by a trusted key."


def _covered(heads: Sequence[Checkpoint], seen: dict[int, str]) -> str:
    if not heads:
        raise NotAskedError("There is no checkpoint to hold the chain against.")
    for head in heads:
        demand(head.sequence in seen, f"checkpoint {head.number} signed entry {head.sequence}, which is gone")
        demand(
            seen[head.sequence] == head.digest,
            f"checkpoint {head.number} signed another entry {head.sequence} than the ledger has now",
        )
    return f"The chain is the one that was signed, up to entry {max(head.sequence for head in heads)}."


def _order(heads: Sequence[Checkpoint]) -> str:
    if len(heads) < 2:
        raise NotAskedError("There are no two checkpoints to compare.")
    ordered = sorted(heads, key=lambda head: (head.number, head.sequence))
    for one, other in pairwise(ordered):
        same = (one.sequence, one.digest) == (other.sequence, other.digest)
        demand(one.number < other.number or same, f"two checkpoints of number {one.number} say different things")
        demand(
            one.sequence <= other.sequence and one.signed_at <= other.signed_at,
            f"checkpoint {other.number} covers less than the one before it, or is dated before it",
        )
    return f"{len(heads)} checkpoints follow one another."
