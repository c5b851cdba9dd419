"""What callers ask for: tickets are taken in, and everything can be read."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mcu_core.report import AuditReport
from service.checkpoints import latest_number, read_checkpoint
from service.domain.checkpoint import Checkpoint
from service.domain.claim import strongest_claim
from service.domain.commitment import CommitmentKey
from service.domain.deadline import due_time
from service.domain.deployment import Deployment, DeploymentNotice
from service.domain.entries import ticket_changed, ticket_submitted
from service.domain.extension import ExtensionRequest
from service.domain.hold import Hold, HoldOrder, HoldStanding
from service.domain.ledger import LedgerEntry, LedgerQuery
from service.domain.model import Model
from service.domain.release import Release, report_key, weights_key
from service.domain.run import ProgressSnapshot, RunOrder, UnlearningRun
from service.domain.run_query import RunQuery
from service.domain.serving import ServingAnswer
from service.domain.submission import ByUpload, Registration, Submission, TicketPreview
from service.domain.ticket import Ticket, TicketEvent, TicketState, advance
from service.domain.ticket_query import TicketQuery
from service.domain.upload import Upload, UploadHeader
from service.errors import (
    RequestIdReusedError,
    StaleVersionError,
    TicketNotCancellableError,
    UnknownRunError,
    UnknownTicketError,
)
from service.extending import Extender
from service.hold_port import HoldQuery
from service.holding import HoldOffice
from service.ports import Change, Clock, ManifestSource, ObjectStore, Store
from service.receipts import ReceiptOffice
from service.registration import Registry
from service.release_desk import ReleaseDesk, ReleaseDetails
from service.run_files import read_progress, report_of
from service.selecting import Selector, source_of
from service.selection import forgettable_rows
from service.steering import RunSteering

CANCELLABLE_STATES = frozenset(
    {TicketState.ACCEPTED, TicketState.ON_HOLD, TicketState.SCHEDULED, TicketState.NEEDS_ATTENTION}
)
"""Before a run has started, or after it has given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Answers the callers of the service. Nothing here waits for a run: the reconciler moves what is taken in."""

    store: Store
    objects: ObjectStore
    manifests: ManifestSource
    clock: Clock
    key: CommitmentKey
    registry: Registry
    receipts: ReceiptOffice
    holding: HoldOffice
    steering: RunSteering
    desk: ReleaseDesk
    selector: Selector
    render: Callable[[AuditReport], bytes]
    """Makes a report's HTML."""

    def submit_ticket(self, submission: Submission, *, tenant: str, actor: str) -> Ticket:
        """Take in a deletion request: written to the store, ids and ledger entry included, before it is acknowledged.

        1. A repeated request gets its ticket back.
        2. The ids must be training samples of the lineage's manifest, each named once, and leave something to keep.
        3. Ticket, ids and ledger entry are saved together.

        Raises:
            RequestIdReusedError: the request id was used with another payload.
            UnknownLineageError: no such lineage for this tenant.
            EmptyForgetSetError: no ids.
            DuplicateSampleIdsError: ids named twice, by position.
            UnknownSampleIdsError: ids that are no training samples, by position.
            ForgetSetTooLargeError: no training sample would be left.
            ServiceError: the samples cannot be selected; see `Selector.sample_ids`.
        """
        payload = self.selector.request_digest(submission)
        # 1. Idempotency
        existing = self.store.ticket_by_request(tenant, submission.request_id)
        if existing is not None:
            return _same_request(existing, payload)
        # 2. Resolution
        model = self.get_model(submission.lineage, tenant=tenant)
        sample_ids = self.selector.sample_ids(submission, model)
        forgettable_rows(self.store, self.manifests, model, sample_ids)
        # 3. Write before acknowledge
        now = self.clock.now()
        ticket = Ticket(
            ticket_id=f"tkt-{uuid.uuid4().hex}",
            tenant=tenant,
            lineage=submission.lineage,
            request_id=submission.request_id,
            payload_digest=payload,
            ids_commitment=self.selector.commitment(submission, sample_ids),
            source=source_of(submission),
            sample_count=len(sample_ids),
            regime=submission.regime,
            received_at=now,
            due_at=due_time(now, submission.regime),
        )
        entry = ticket_submitted(ticket, actor)
        if isinstance(submission.selection, ByUpload):
            used = ((ticket.ticket_id, submission.selection.upload_id),)
            change = Change(tickets=(ticket,), uploads_used=used, entries=(entry,))
        else:
            change = Change(tickets=(ticket,), sample_ids=((ticket.ticket_id, sample_ids),), entries=(entry,))
        try:
            self.store.save(change)
        except RequestIdReusedError:
            # The same request, sent twice at once: the other one won.
            other = self.store.ticket_by_request(tenant, submission.request_id)
            if other is None:
                raise
            return _same_request(other, payload)
        return self.get_ticket(ticket.ticket_id, tenant=tenant)

    def preview_ticket(self, submission: Submission, *, tenant: str) -> TicketPreview:
        """Check a request as `submit_ticket` does, and tell what would come of it; nothing is saved."""
        model = self.get_model(submission.lineage, tenant=tenant)
        sample_ids = self.selector.sample_ids(submission, model)
        rows = forgettable_rows(self.store, self.manifests, model, sample_ids)
        forgotten = self.store.forgotten_rows(model.lineage)
        already = sum(row in forgotten for row in rows)
        return TicketPreview(
            sample_count=len(rows),
            already_forgotten=already,
            due_at=due_time(self.clock.now(), submission.regime),
            claim=strongest_claim(len(rows) - already - self.holding.held_among(model.lineage, sample_ids)),
        )

    def upload_sample_ids(self, header: UploadHeader, pieces: Iterable[Sequence[str]], *, tenant: str) -> Upload:
        """Store a set of ids for a later request; see `UploadOffice.receive`.

        Raises:
            UnknownLineageError: no such lineage for this tenant.
        """
        self.get_model(header.lineage, tenant=tenant)
        return self.selector.uploads.receive(header, pieces, tenant=tenant)

    def get_ticket(self, ticket_id: str, *, tenant: str) -> Ticket:
        """Return a ticket of this tenant.

        Raises:
            UnknownTicketError: there is none.
        """
        ticket = self.store.ticket(ticket_id)
        if ticket is None or ticket.tenant != tenant:
            raise UnknownTicketError("no ticket has this id", ticket_id=ticket_id)
        return ticket

    def get_receipt(self, ticket_id: str, *, tenant: str) -> bytes:
        """Return the signed receipt of a ticket of this tenant; see `ReceiptOffice.envelope`.

        Raises:
            UnknownTicketError: there is none.
        """
        return self.receipts.envelope(self.get_ticket(ticket_id, tenant=tenant))

    def list_tickets(self, query: TicketQuery) -> Sequence[Ticket]:
        """Return tickets, newest first."""
        return self.store.tickets(query)

    def cancel_ticket(self, ticket_id: str, *, tenant: str, actor: str, expected_version: int | None = None) -> Ticket:
        """Withdraw a ticket whose run has not started; cancelling twice is cancelling once.

        Raises:
            UnknownTicketError: there is none.
            TicketNotCancellableError: its run has started, or it is closed.
            StaleVersionError: it changed at the same moment; ask again.
        """
        ticket = self.get_ticket(ticket_id, tenant=tenant)
        if ticket.state is TicketState.CANCELLED:
            return ticket
        if expected_version is not None and ticket.version != expected_version:
            raise StaleVersionError("the ticket changed since it was read: read it again", ticket_id=ticket_id)
        if ticket.state not in CANCELLABLE_STATES:
            raise TicketNotCancellableError(
                f"the ticket is {ticket.state.value}: only a ticket whose run has not started can be cancelled",
                ticket_id=ticket_id,
                state=ticket.state.value,
            )
        now = self.clock.now()
        cancelled = advance(ticket, TicketEvent.CANCEL, now)
        entry = ticket_changed(ticket, cancelled, TicketEvent.CANCEL, actor, now)
        self.store.save(Change(tickets=(cancelled,), entries=(entry,)))
        return self.get_ticket(ticket_id, tenant=tenant)

    def place_hold(self, order: HoldOrder, *, tenant: str, actor: str) -> HoldStanding:
        """Put samples under a hold; see `HoldOffice.place`."""
        model = self.get_model(order.lineage, tenant=tenant)
        return self.holding.place(order, model, actor=actor)

    def release_hold(
        self,
        hold_id: str,
        *,
        request_id: str,
        reason: str,
        tenant: str,
        actor: str,
        expected_version: int | None = None,
    ) -> HoldStanding:
        """End a hold; see `HoldOffice.release`."""
        hold = self.get_hold(hold_id, tenant=tenant)
        return self.holding.release(
            hold, request_id=request_id, reason=reason, actor=actor, expected_version=expected_version
        )

    def get_hold(self, hold_id: str, *, tenant: str) -> Hold:
        """Return a hold of this tenant; see `HoldOffice.get`."""
        return self.holding.get(hold_id, tenant=tenant)

    def list_holds(self, query: HoldQuery) -> Sequence[HoldStanding]:
        """Return holds, newest first."""
        return self.holding.find(query)

    def extend_ticket(
        self,
        ticket_id: str,
        request: ExtensionRequest,
        *,
        tenant: str,
        actor: str,
        expected_version: int | None = None,
    ) -> Ticket:
        """Move a ticket's due time; see `Extender.extend`.

        Raises:
            UnknownTicketError: there is none.
        """
        extender = Extender(store=self.store, clock=self.clock)
        ticket = self.get_ticket(ticket_id, tenant=tenant)
        extender.extend(ticket, request, actor=actor, expected_version=expected_version)
        return self.get_ticket(ticket_id, tenant=tenant)

    def register_model(self, registration: Registration, *, tenant: str, actor: str) -> Model:
        """Register a lineage; see `Registry.register`."""
        return self.registry.register(registration, tenant=tenant, actor=actor)

    def get_model(self, lineage: str, *, tenant: str) -> Model:
        """Return a lineage of this tenant; see `Registry.model`."""
        return self.registry.model(lineage, tenant=tenant)

    def list_releases(self, lineage: str, *, tenant: str) -> Sequence[Release]:
        """Return a lineage's releases, newest first."""
        return self.store.releases(self.get_model(lineage, tenant=tenant).lineage)

    def get_release(self, lineage: str, number: int, *, tenant: str) -> ReleaseDetails:
        """Return a release of a lineage; see `ReleaseDesk.details`."""
        return self.desk.details(self.get_model(lineage, tenant=tenant), number)

    def acknowledge_deployment(
        self, lineage: str, notice: DeploymentNotice, *, tenant: str, actor: str
    ) -> tuple[Release, Deployment]:
        """Record what a serving system runs; see `ReleaseDesk.acknowledge`."""
        return self.desk.acknowledge(self.get_model(lineage, tenant=tenant), notice, actor=actor)

    def check_lineage(
        self, lineage: str, *, tenant: str, number: int | None = None, weights_digest: str | None = None
    ) -> tuple[Model, ServingAnswer]:
        """Return a lineage, and whether a release of it, or any weights, may serve."""
        model = self.get_model(lineage, tenant=tenant)
        return model, self.desk.check(model, number=number, weights_digest=weights_digest)

    def get_run(self, run_id: str, *, tenant: str) -> UnlearningRun:
        """Return a run of this tenant.

        Raises:
            UnknownRunError: there is none.
        """
        run = self.store.run(run_id)
        if run is None or run.tenant != tenant:
            raise UnknownRunError("no run has this id", run_id=run_id)
        return run

    def list_runs(self, query: RunQuery) -> Sequence[UnlearningRun]:
        """Return runs, newest first."""
        return self.store.runs(query)

    def retry_run(
        self, run_id: str, order: RunOrder, *, tenant: str, actor: str, expected_version: int | None = None
    ) -> UnlearningRun:
        """Have a failed run's tickets scheduled again; see `RunSteering.retry`."""
        run = self.get_run(run_id, tenant=tenant)
        return self.steering.retry(run, order, actor=actor, expected_version=expected_version)

    def escalate_run(
        self, run_id: str, order: RunOrder, *, tenant: str, actor: str, expected_version: int | None = None
    ) -> UnlearningRun:
        """Move a run up its ladder; see `RunSteering.escalate`."""
        run = self.get_run(run_id, tenant=tenant)
        return self.steering.escalate(run, order, actor=actor, expected_version=expected_version)

    def get_report(self, run_id: str, *, tenant: str, suffix: Literal["json", "html"]) -> bytes:
        """Return a run's report: the published one, or that of its newest audited attempt.

        Raises:
            UnknownRunError: there is no such run.
            UnknownReportError: nothing was audited yet.
        """
        run = self.get_run(run_id, tenant=tenant)
        return report_of(self.objects, run, suffix, self.render)

    def progress(self, run_id: str) -> ProgressSnapshot | None:
        """Return how far the active attempt of a run is, where that is known."""
        run = self.store.run(run_id)
        return None if run is None else read_progress(self.objects, run)

    def list_entries(self, query: LedgerQuery) -> Sequence[LedgerEntry]:
        """Return entries of the ledger, oldest first."""
        return self.store.ledger_page(query)

    def get_checkpoint(self, number: int) -> Checkpoint:
        """Return a checkpoint of the ledger; number 0 is the newest.

        Raises:
            UnknownCheckpointError: there is none.
        """
        return read_checkpoint(self.objects, number or latest_number(self.objects))

    def release_location(self, release: Release) -> str:
        """Return where a person finds a release's weights."""
        return self.objects.locate(weights_key(release.lineage, release.number))

    def report_location(self, run_id: str, *, suffix: Literal["json", "html"]) -> str:
        """Return where a person finds a run's published report."""
        run = self.store.run(run_id)
        if run is None:
            raise UnknownRunError("no run has this id", run_id=run_id)
        return self.objects.locate(report_key(run.lineage, run_id, suffix))


def _same_request(ticket: Ticket, payload_digest: str) -> Ticket:
    if ticket.payload_digest != payload_digest:
        raise RequestIdReusedError(
            "the request id was used before with another payload: take a new one for a new request",
            ticket_id=ticket.ticket_id,
        )
    return ticket
