"""Receipts of tickets, made from what the store knows: before a release an acknowledgement, after it with proofs."""

from collections import defaultdict
from dataclasses import dataclass

from service.attestation import attest, microseconds, receipt_statement
from service.domain.commitment import CommitmentKey
from service.domain.receipt import ForgottenSet, Inclusion, Receipt, forgotten_set, inclusion_of
from service.domain.release import Release
from service.domain.ticket import Ticket
from service.ports import Clock, ManifestSource, Store
from service.signing import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptOffice:
    """Makes receipts."""

    store: Store
    manifests: ManifestSource
    clock: Clock
    key: CommitmentKey
    signer: Signer

    def envelope(self, ticket: Ticket) -> bytes:
        """Return the signed receipt of a ticket: a DSSE envelope over an in-toto Statement.

        Raises:
            SignatureError: the signing key cannot be used.
            ManifestError: the manifest can no longer be read.
        """
        receipt = Receipt(
            ticket_id=ticket.ticket_id,
            lineage=ticket.lineage,
            request_digest=ticket.payload_digest,
            sample_count=ticket.sample_count,
            received_at=microseconds(ticket.received_at),
            due_at=microseconds(ticket.due_at),
            issued_at=microseconds(self.clock.now()),
            inclusions=self._inclusions(ticket),
        )
        return attest(receipt_statement(receipt), self.signer)

    def _inclusions(self, ticket: Ticket) -> tuple[Inclusion, ...]:
        rows = self._rows(ticket.ticket_id, ticket.lineage)
        forgotten = self.store.forgotten_rows(ticket.lineage)
        samples: defaultdict[int, dict[int, str]] = defaultdict(dict)
        for position, (sample_id, row) in enumerate(rows.items()):
            if row in forgotten:
                samples[forgotten[row]][position] = sample_id
        releases = {release.number: release for release in self.store.releases(ticket.lineage)}
        return tuple(
            inclusion_of(self.key, self._forgotten_by(releases[number], forgotten), releases[number], own)
            for number, own in sorted(samples.items())
        )

    def _forgotten_by(self, release: Release, forgotten: dict[int, int]) -> ForgottenSet:
        """Return D_f of a release's run: what its tickets named and that release was the first to forget."""
        run = self.store.run(release.run_id) if release.run_id else None
        if run is None:
            raise RuntimeError(f"release {release.number} of {release.lineage} forgot samples without a run")
        ids = {
            sample_id
            for ticket_id in run.ticket_ids
            for sample_id, row in self._rows(ticket_id, release.lineage).items()
            if forgotten.get(row) == release.number
        }
        return forgotten_set(self.key, run.run_id, ids)

    def _rows(self, ticket_id: str, lineage: str) -> dict[str, int]:
        model = self.store.model(lineage)
        if model is None:
            raise RuntimeError(f"lineage {lineage} of ticket {ticket_id} is not registered")
        ids = self.store.sample_ids(ticket_id)
        return dict(zip(ids, self.manifests.resolve(model.manifest.digest, ids).rows, strict=True))
