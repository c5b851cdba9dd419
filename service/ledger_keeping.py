"""Keeps the ledger honest: verifies the chain bit by bit and signs its head."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Protocol

from service.attestation import PAYLOAD_TYPE, attest, checkpoint_statement
from service.checkpoints import latest_number, read_checkpoint
from service.domain.checkpoint import Checkpoint, checkpoint_key
from service.domain.ledger import LedgerEntry, LedgerQuery, verify_chain
from service.errors import (
    DigestMismatchError,
    LedgerBrokenError,
    ObjectExistsError,
    SignatureError,
    UnknownCheckpointError,
)
from service.ports import Clock, ObjectStore, Store
from service.signing import PublicKey, Signer, load_public_key, read_envelope, verify_envelope

ENTRIES_A_ROUND = 1000
"""Verified at once: about a tenth of a second."""
PATROL_EVERY = timedelta(days=1)
"""From the beginning of one reading of the whole chain to the next: so long a change behind the head goes unseen."""


class LedgerObserver(Protocol):
    """Hears of a ledger that does not verify."""

    def ledger_verification_failed(self) -> None:
        """A verification found the ledger broken."""
        ...


class LedgerKeeper:
    """Verifies new entries, signs checkpoints over them, and reads the whole chain again once a day.

    A round does a bounded piece of each and goes on from there; a new process goes on from the newest checkpoint, where
    its own key signed that. A chain that does not verify gets no further checkpoint.
    """

    def __init__(
        self,
        *,
        store: Store,
        objects: ObjectStore,
        clock: Clock,
        signer: Signer,
        observer: LedgerObserver,
        checkpoint_entries: int,
        checkpoint_after: timedelta,
    ) -> None:
        """Sign after so many entries, or after so much time where there is any new entry."""
        self._store = store
        self._objects = objects
        self._clock = clock
        self._signer = signer
        self._observer = observer
        self._checkpoint_entries = checkpoint_entries
        self._checkpoint_after = checkpoint_after
        self._last: Checkpoint | None = None
        """The newest checkpoint."""
        self._verified: LedgerEntry | None = None
        """The last entry of which everything before it is verified."""
        self._patrol: Iterator[None] | None = None
        self._patrolled: datetime | None = None
        """When the last patrol set out."""

    def tend(self) -> None:
        """Do a round.

        1. New entries are verified.
        2. A checkpoint is signed where one is due.
        3. The patrol over the whole chain goes on.

        Raises:
            LedgerBrokenError: the chain does not verify, or a checkpoint does not fit it.
            DigestMismatchError: a checkpoint's bytes were changed.
            SignatureError: the key cannot sign, or what lies in a checkpoint's place is none.
        """
        try:
            # 1. New entries
            self._follow_checkpoints()
            self._verify_next()
            # 2. Checkpoint
            if self._verified is not None and self._is_due(self._verified):
                self._sign(self._verified)
            # 3. Patrol
            self._go_on_patrolling()
        except (LedgerBrokenError, DigestMismatchError):
            self._patrol = None
            self._observer.ledger_verification_failed()
            raise

    def _follow_checkpoints(self) -> None:
        """Learn of checkpoints that were signed elsewhere; before anything was verified here, go on from the newest."""
        known = 0 if self._last is None else self._last.number
        newest = latest_number(self._objects, known)
        if newest == known:
            return
        self._last = read_checkpoint(self._objects, newest)
        covered = _fits(self._last, self._entry(self._last.sequence))
        if self._verified is None and _signed_by(self._last, self._signer.public_key):
            self._verified = covered

    def _verify_next(self) -> None:
        entries = self._after(self._verified)
        verify_chain(entries, self._verified)
        if entries:
            self._verified = entries[-1]

    def _is_due(self, head: LedgerEntry) -> bool:
        if self._last is None:
            first = self._entry(1)
            since, covered = head.at if first is None else first.at, 0
        else:
            since, covered = self._last.signed_at, self._last.sequence
        new = head.sequence - covered
        return new >= self._checkpoint_entries or (new > 0 and self._clock.now() - since >= self._checkpoint_after)

    def _sign(self, head: LedgerEntry) -> None:
        number = 1 if self._last is None else self._last.number + 1
        statement = checkpoint_statement(
            number, sequence=head.sequence, digest=head.digest, attested_at=self._clock.now()
        )
        try:
            self._objects.create(checkpoint_key(number), attest(statement, self._signer))
        except ObjectExistsError:
            return  # somebody else signed that one: the next round reads it
        self._last = read_checkpoint(self._objects, number)

    def _go_on_patrolling(self) -> None:
        now = self._clock.now()
        if self._patrol is None:
            if self._patrolled is not None and now < self._patrolled + PATROL_EVERY:
                return
            self._patrol, self._patrolled = self._patrolling(), now
        if next(self._patrol, StopIteration) is StopIteration:
            self._patrol = None

    def _patrolling(self) -> Iterator[None]:
        """Verify the whole chain and that every checkpoint fits it, a piece at a time."""
        previous: LedgerEntry | None = None
        checkpoint = self._checkpoint(1)
        while True:
            entries = self._after(previous)
            verify_chain(entries, previous)
            previous = entries[-1] if entries else previous
            by_sequence = {entry.sequence: entry for entry in entries}
            while checkpoint is not None and previous is not None and checkpoint.sequence <= previous.sequence:
                _fits(checkpoint, by_sequence.get(checkpoint.sequence) or self._entry(checkpoint.sequence))
                checkpoint = self._checkpoint(checkpoint.number + 1)
            if not entries and (checkpoint is None or self._entry(checkpoint.sequence) is None):
                break
            yield
        if checkpoint is not None:
            _fits(checkpoint, None)

    def _checkpoint(self, number: int) -> Checkpoint | None:
        try:
            return read_checkpoint(self._objects, number)
        except UnknownCheckpointError:
            return None

    def _after(self, entry: LedgerEntry | None) -> list[LedgerEntry]:
        after = 0 if entry is None else entry.sequence
        return list(self._store.ledger_page(LedgerQuery(after=after, limit=ENTRIES_A_ROUND)))

    def _entry(self, sequence: int) -> LedgerEntry | None:
        found = self._store.ledger_page(LedgerQuery(after=sequence - 1, limit=1))
        return next((entry for entry in found if entry.sequence == sequence), None)


def _fits(checkpoint: Checkpoint, entry: LedgerEntry | None) -> LedgerEntry:
    """Return the entry that a checkpoint covers last.

    Raises:
        LedgerBrokenError: the ledger has none there, or another one.
    """
    if entry is None or entry.digest != checkpoint.digest:
        what = "has no such entry" if entry is None else "has another one"
        raise LedgerBrokenError(
            f"checkpoint {checkpoint.number} signed ledger entry {checkpoint.sequence}, and the ledger {what}"
        )
    return entry


def _signed_by(checkpoint: Checkpoint, key: PublicKey) -> bool:
    try:
        verify_envelope(read_envelope(checkpoint.envelope), [load_public_key(key.pem.encode())], PAYLOAD_TYPE)
    except SignatureError:
        return False
    return True
