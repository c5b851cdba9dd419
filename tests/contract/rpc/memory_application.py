"""The service behind the API, in memory: it keeps its promises, and forgets nothing because it unlearns nothing."""

import hashlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Literal

from service.adapters.memory_store import MemoryStore
from service.domain.checkpoint import Checkpoint
from service.domain.commitment import CommitmentKey
from service.domain.deadline import due_time
from service.domain.extension import ExtensionRequest, grant
from service.domain.ledger import LedgerEntry, LedgerQuery
from service.domain.model import Model
from service.domain.release import Release
from service.domain.run import ProgressSnapshot, UnlearningRun
from service.domain.submission import ByLabel, BySubjects, ByUpload, Registration, Submission, TicketPreview
from service.domain.ticket import Ticket, TicketEvent, TicketState, advance, can_happen
from service.domain.upload import Upload, UploadHeader
from service.errors import (
    DuplicateSampleIdsError,
    ForgetSetTooLargeError,
    LineageExistsError,
    ObjectMissingError,
    RequestIdReusedError,
    StaleVersionError,
    TicketNotCancellableError,
    TicketNotExtendableError,
    UnknownCheckpointError,
    UnknownLineageError,
    UnknownReportError,
    UnknownRunError,
    UnknownSampleIdsError,
    UnknownSubjectIdsError,
    UnknownTicketError,
)
from service.ports import Clock, TicketQuery
from service.selecting import source_of
from service.uploads import UploadOffice
from tests.contract.rpc.records import a_release


class MemoryApplication:
    """Implements `service.rpc.application.Application`.

    Attributes:
        actors: who did each write.
        fault: raised by every method, where set.
        gate: every method waits for it.
        waiting: released once by every call that has reached the gate.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.models: dict[str, Model] = {}
        self.releases: dict[str, list[Release]] = {}
        self.tickets: dict[str, Ticket] = {}
        self.ticket_ids: dict[tuple[str, str], str] = {}
        self.runs: dict[str, UnlearningRun] = {}
        self.reports: dict[tuple[str, str], bytes] = {}
        self.snapshots: dict[str, ProgressSnapshot] = {}
        self.upload_store = MemoryStore()
        self.uploads = UploadOffice(
            store=self.upload_store,
            clock=clock,
            key=CommitmentKey(bytes(32)),
            most_ids=200_000,
            keep=timedelta(hours=24),
        )
        self.entries: list[LedgerEntry] = []
        self.checkpoints: list[Checkpoint] = []
        self.actors: list[str] = []
        self.registrations: list[Registration] = []
        self.fault: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Semaphore(0)

    def add_model(self, model: Model) -> None:
        self.models[model.lineage] = model
        self.releases[model.lineage] = [a_release(1, model.lineage)]

    def change(self, ticket: Ticket, *events: TicketEvent) -> Ticket:
        """Let something happen to a ticket, as the reconciler does."""
        for event in events:
            ticket = advance(ticket, event, self.clock.now())
        return self.save(ticket)

    def save(self, ticket: Ticket) -> Ticket:
        saved = replace(ticket, version=ticket.version + 1)
        self.tickets[ticket.ticket_id] = saved
        return saved

    def submit_ticket(self, submission: Submission, *, tenant: str, actor: str) -> Ticket:
        self._enter()
        payload = _payload_digest(submission)
        key = (tenant, submission.request_id)
        if key in self.ticket_ids:
            ticket = self.tickets[self.ticket_ids[key]]
            if ticket.payload_digest != payload:
                raise RequestIdReusedError("used before with another payload", ticket_id=ticket.ticket_id)
            return ticket
        sample_ids = self._sample_ids(submission, tenant)
        self._check_ids(self._model(submission.lineage, tenant), sample_ids)
        now = self.clock.now()
        ticket = Ticket(
            ticket_id=f"tkt-{len(self.tickets) + 1:04d}",
            tenant=tenant,
            lineage=submission.lineage,
            request_id=submission.request_id,
            payload_digest=payload,
            ids_commitment=hashlib.sha256("/".join(sorted(sample_ids)).encode()).hexdigest(),
            source=source_of(submission),
            sample_count=len(sample_ids),
            regime=submission.regime,
            received_at=now,
            due_at=due_time(now, submission.regime),
        )
        self.ticket_ids[key] = ticket.ticket_id
        self.actors.append(actor)
        return self.save(ticket)

    def preview_ticket(self, submission: Submission, *, tenant: str) -> TicketPreview:
        self._enter()
        sample_ids = self._sample_ids(submission, tenant)
        self._check_ids(self._model(submission.lineage, tenant), sample_ids)
        return TicketPreview(
            sample_count=len(sample_ids),
            already_forgotten=0,
            due_at=due_time(self.clock.now(), submission.regime),
            claim="Gross retention only.",
        )

    def upload_sample_ids(self, header: UploadHeader, pieces: Iterable[Sequence[str]], *, tenant: str) -> Upload:
        self._enter()
        self._model(header.lineage, tenant)
        return self.uploads.receive(header, pieces, tenant=tenant)

    def get_ticket(self, ticket_id: str, *, tenant: str) -> Ticket:
        self._enter()
        ticket = self.tickets.get(ticket_id)
        if ticket is None or ticket.tenant != tenant:
            raise UnknownTicketError("no ticket has this id", ticket_id=ticket_id)
        return ticket

    def get_receipt(self, ticket_id: str, *, tenant: str) -> bytes:
        return b"receipt of " + self.get_ticket(ticket_id, tenant=tenant).ticket_id.encode()

    def list_tickets(self, query: TicketQuery) -> Sequence[Ticket]:
        self._enter()
        found = [
            ticket
            for ticket in self.tickets.values()
            if query.tenant in {None, ticket.tenant}
            and query.lineage in {None, ticket.lineage}
            and (not query.states or ticket.state in query.states)
            and (query.after is None or _order(ticket) < query.after)
        ]
        return sorted(found, key=_order, reverse=True)[: query.limit]

    def cancel_ticket(self, ticket_id: str, *, tenant: str, actor: str, expected_version: int | None = None) -> Ticket:
        ticket = self.get_ticket(ticket_id, tenant=tenant)
        if ticket.state is TicketState.CANCELLED:
            return ticket
        if expected_version not in {None, ticket.version}:
            raise StaleVersionError("the ticket changed since it was read", ticket_id=ticket_id)
        if ticket.state is TicketState.PROCESSING or not can_happen(ticket, TicketEvent.CANCEL):
            raise TicketNotCancellableError("its run has started", ticket_id=ticket_id, state=ticket.state.value)
        self.actors.append(actor)
        return self.change(ticket, TicketEvent.CANCEL)

    def extend_ticket(
        self,
        ticket_id: str,
        request: ExtensionRequest,
        *,
        tenant: str,
        actor: str,
        expected_version: int | None = None,
    ) -> Ticket:
        ticket = self.get_ticket(ticket_id, tenant=tenant)
        for earlier in ticket.extensions:
            if earlier.request.request_id == request.request_id:
                if earlier.request != request:
                    raise RequestIdReusedError("used before with another payload", ticket_id=ticket_id)
                return ticket
        if expected_version not in {None, ticket.version}:
            raise StaleVersionError("changed", ticket_id=ticket_id)
        if not ticket.is_open:
            raise TicketNotExtendableError("closed", ticket_id=ticket_id)
        extension = grant(
            request,
            received_at=ticket.received_at,
            due_at=ticket.due_at,
            regime=ticket.regime,
            earlier=ticket.extensions,
            actor=actor,
            now=self.clock.now(),
        )
        self.actors.append(actor)
        return self.save(replace(ticket, due_at=extension.due_at, extensions=(*ticket.extensions, extension)))

    def register_model(self, registration: Registration, *, tenant: str, actor: str) -> Model:
        self._enter()
        if registration.weights_digest == "0" * 64:
            raise ObjectMissingError(
                "no weights have this digest", key=f"weights/{registration.weights_digest}.safetensors"
            )
        self.registrations.append(registration)
        template = next(iter(self.models.values()))
        model = replace(
            template,
            lineage=registration.lineage,
            tenant=tenant,
            architecture=registration.architecture,
            weights_digest=registration.weights_digest,
            manifest=replace(template.manifest, digest=registration.manifest_digest),
            recipe=registration.recipe,
            baseline_train_accuracy=registration.baseline_train_accuracy,
            canary_commitment=None if registration.canaries is None else registration.canaries.commitment,
        )
        existing = self.models.get(registration.lineage)
        if existing is not None and existing != model:
            raise LineageExistsError("registered with something else", lineage=registration.lineage)
        if existing is None:
            self.actors.append(actor)
            self.add_model(model)
        return model

    def get_model(self, lineage: str, *, tenant: str) -> Model:
        self._enter()
        return self._model(lineage, tenant)

    def list_releases(self, lineage: str, *, tenant: str) -> Sequence[Release]:
        self._enter()
        self._model(lineage, tenant)
        return sorted(self.releases[lineage], key=lambda release: release.number, reverse=True)

    def get_run(self, run_id: str, *, tenant: str) -> UnlearningRun:
        self._enter()
        run = self.runs.get(run_id)
        if run is None or run.tenant != tenant:
            raise UnknownRunError("no run has this id", run_id=run_id)
        return run

    def get_report(self, run_id: str, *, tenant: str, suffix: Literal["json", "html"]) -> bytes:
        self.get_run(run_id, tenant=tenant)
        if (run_id, suffix) not in self.reports:
            raise UnknownReportError("the run has no report yet", run_id=run_id)
        return self.reports[run_id, suffix]

    def progress(self, run_id: str) -> ProgressSnapshot | None:
        return self.snapshots.get(run_id)

    def list_entries(self, query: LedgerQuery) -> Sequence[LedgerEntry]:
        self._enter()
        found = [
            entry
            for entry in self.entries
            if entry.sequence > query.after
            and query.subject in {None, entry.subject}
            and (not query.kinds or entry.kind in query.kinds)
        ]
        return found[: query.limit]

    def get_checkpoint(self, number: int) -> Checkpoint:
        self._enter()
        number = number or len(self.checkpoints)
        if not 1 <= number <= len(self.checkpoints):
            raise UnknownCheckpointError("no such checkpoint", number=str(number))
        return self.checkpoints[number - 1]

    def release_location(self, release: Release) -> str:
        return f"memory://{release.lineage}/{release.number}"

    def report_location(self, run_id: str, *, suffix: Literal["json", "html"]) -> str:
        return f"memory://{run_id}/report.{suffix}"

    def _enter(self) -> None:
        if not self.gate.is_set():
            self.waiting.release()
            self.gate.wait()
        if self.fault is not None:
            raise self.fault

    def _model(self, lineage: str, tenant: str) -> Model:
        model = self.models.get(lineage)
        if model is None or model.tenant != tenant:
            raise UnknownLineageError("no model is registered under this lineage", lineage=lineage)
        return model

    def _sample_ids(self, submission: Submission, tenant: str) -> tuple[str, ...]:
        """Every person has one sample, and every label two."""
        match submission.selection:
            case None:
                return submission.sample_ids
            case BySubjects(subject_ids=named):
                known = [subject.startswith("person-") for subject in named]
                wrong = tuple(position for position, is_known in enumerate(known) if not is_known)
                if wrong:
                    raise UnknownSubjectIdsError("nobody has these ids", positions=wrong)
                return tuple(subject.replace("person", "sample") for subject in named)
            case ByLabel(label=label):
                return (f"sample-{label}", f"sample-{label + 10}")
            case ByUpload(upload_id=upload_id):
                return self.uploads.sample_ids(upload_id, tenant=tenant, lineage=submission.lineage)

    def _check_ids(self, model: Model, sample_ids: tuple[str, ...]) -> None:
        known = {f"sample-{row}" for row in range(model.manifest.train_rows)}
        first = {key: at for at, key in reversed(list(enumerate(sample_ids)))}
        repeated = tuple(at for at, key in enumerate(sample_ids) if first[key] != at)
        if repeated:
            raise DuplicateSampleIdsError("ids repeat earlier ones", positions=repeated)
        unknown = tuple(at for at, key in enumerate(sample_ids) if key not in known)
        if unknown:
            raise UnknownSampleIdsError(f"{len(unknown)} ids are unknown", positions=unknown)
        if len(sample_ids) == len(known):
            raise ForgetSetTooLargeError("nothing would be left")


def _order(ticket: Ticket) -> tuple[object, str]:
    return ticket.received_at, ticket.ticket_id


def _payload_digest(submission: Submission) -> str:
    parts = [submission.lineage, submission.regime.value, repr(submission.selection), *submission.sample_ids]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
