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
from service.domain.deployment import Deployment, DeploymentNotice
from service.domain.extension import ExtensionRequest, grant
from service.domain.hold import Hold, HoldOrder, HoldRelease, HoldStanding
from service.domain.hold import release as released
from service.domain.ledger import LedgerEntry, LedgerQuery
from service.domain.model import Model
from service.domain.release import Release
from service.domain.run import ProgressSnapshot, RunOrder, RunPhase, UnlearningRun
from service.domain.run_query import RunQuery
from service.domain.serving import ServingAnswer, may_serve, unknown_weights
from service.domain.submission import ByLabel, BySubjects, ByUpload, Registration, Submission, TicketPreview
from service.domain.ticket import Ticket, TicketEvent, TicketState, advance, can_happen
from service.domain.ticket_query import TicketQuery
from service.domain.upload import Upload, UploadHeader
from service.errors import (
    DuplicateSampleIdsError,
    ForgetSetTooLargeError,
    LineageExistsError,
    ObjectMissingError,
    RequestIdReusedError,
    ResurrectsForgottenSamplesError,
    RunNotEscalatableError,
    RunNotRetryableError,
    StaleVersionError,
    TicketNotCancellableError,
    TicketNotExtendableError,
    UnknownCheckpointError,
    UnknownHoldError,
    UnknownLineageError,
    UnknownReleaseError,
    UnknownReportError,
    UnknownRunError,
    UnknownSampleIdsError,
    UnknownSubjectIdsError,
    UnknownTicketError,
    UnknownWeightsError,
)
from service.hold_port import HoldQuery
from service.ports import Clock
from service.release_desk import ReleaseDetails
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
        self.holds: dict[str, Hold] = {}
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
            requires_acknowledgement=registration.requires_acknowledgement,
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

    def place_hold(self, order: HoldOrder, *, tenant: str, actor: str) -> HoldStanding:
        self._enter()
        payload = hashlib.sha256(repr(order).encode()).hexdigest()
        for hold in self.holds.values():
            if (hold.tenant, hold.request_id) == (tenant, order.request_id):
                if hold.payload_digest != payload:
                    raise RequestIdReusedError("used before with another payload", hold_id=hold.hold_id)
                return HoldStanding(hold=hold, waiting_tickets=1)
        self._check_ids(self._model(order.lineage, tenant), order.sample_ids)
        self.actors.append(actor)
        hold = Hold(
            hold_id=f"hld-{len(self.holds) + 1:04d}",
            tenant=tenant,
            lineage=order.lineage,
            request_id=order.request_id,
            payload_digest=payload,
            ids_commitment=hashlib.sha256("/".join(sorted(order.sample_ids)).encode()).hexdigest(),
            sample_count=len(order.sample_ids),
            legal_basis=order.legal_basis,
            treatment=order.treatment,
            placed_at=self.clock.now(),
            placed_by=actor,
            version=1,
        )
        self.holds[hold.hold_id] = hold
        return HoldStanding(hold=hold, waiting_tickets=1)

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
        hold = self.get_hold(hold_id, tenant=tenant)
        if hold.release is None:
            if expected_version not in {None, hold.version}:
                raise StaleVersionError("changed", hold_id=hold_id)
            end = HoldRelease(request_id=request_id, reason=reason, actor=actor, at=self.clock.now())
            hold = self.holds[hold_id] = replace(released(hold, end), version=hold.version + 1)
        return HoldStanding(hold=hold, waiting_tickets=0)

    def get_hold(self, hold_id: str, *, tenant: str) -> Hold:
        self._enter()
        hold = self.holds.get(hold_id)
        if hold is None or hold.tenant != tenant:
            raise UnknownHoldError("no hold has this id", hold_id=hold_id)
        return hold

    def list_holds(self, query: HoldQuery) -> Sequence[HoldStanding]:
        self._enter()
        found = [
            hold
            for hold in self.holds.values()
            if query.tenant in {None, hold.tenant}
            and query.lineage in {None, hold.lineage}
            and (not query.states or hold.state in query.states)
            and (query.after is None or (hold.placed_at, hold.hold_id) < query.after)
        ]
        found.sort(key=lambda hold: (hold.placed_at, hold.hold_id), reverse=True)
        return [HoldStanding(hold=hold, waiting_tickets=0) for hold in found[: query.limit]]

    def get_release(self, lineage: str, number: int, *, tenant: str) -> ReleaseDetails:
        model = self.get_model(lineage, tenant=tenant)
        wanted = number or model.current_release
        found = next((release for release in self.releases[lineage] if release.number == wanted), None)
        if found is None:
            raise UnknownReleaseError("no such release", lineage=lineage, release=str(wanted))
        is_current = wanted == model.current_release
        purge_at = None if is_current else found.created_at + timedelta(days=7)
        return ReleaseDetails(release=found, attestation=b"signed", is_current=is_current, purge_at=purge_at)

    def acknowledge_deployment(
        self, lineage: str, notice: DeploymentNotice, *, tenant: str, actor: str
    ) -> tuple[Release, Deployment]:
        model = self.get_model(lineage, tenant=tenant)
        release = next((each for each in self.releases[lineage] if each.weights_digest == notice.weights_digest), None)
        if release is None:
            raise UnknownWeightsError("no such release", lineage=lineage, weights=notice.weights_digest)
        if release.number != model.current_release:
            raise ResurrectsForgottenSamplesError("that knows what was forgotten", lineage=lineage)
        self.actors.append(actor)
        closed = [
            self.change(ticket, TicketEvent.TAKE_EFFECT)
            for ticket in list(self.tickets.values())
            if ticket.lineage == lineage and ticket.state is TicketState.PUBLISHED
        ]
        deployment = Deployment(
            tenant=tenant,
            request_id=notice.request_id,
            lineage=lineage,
            name=notice.name,
            weights_digest=notice.weights_digest,
            release_number=release.number,
            deployed_at=notice.deployed_at,
            acknowledged_at=self.clock.now(),
            closed_ticket_ids=tuple(ticket.ticket_id for ticket in closed),
        )
        return release, deployment

    def check_lineage(
        self, lineage: str, *, tenant: str, number: int | None = None, weights_digest: str | None = None
    ) -> tuple[Model, ServingAnswer]:
        model = self.get_model(lineage, tenant=tenant)
        for release in self.releases[lineage]:
            if number == release.number or weights_digest == release.weights_digest:
                forgotten = range(release.number + 1, model.current_release + 1)
                return model, may_serve(release, forgotten, (), current=model.current_release)
        return model, unknown_weights(model.current_release)

    def get_run(self, run_id: str, *, tenant: str) -> UnlearningRun:
        self._enter()
        run = self.runs.get(run_id)
        if run is None or run.tenant != tenant:
            raise UnknownRunError("no run has this id", run_id=run_id)
        return run

    def list_runs(self, query: RunQuery) -> Sequence[UnlearningRun]:
        self._enter()
        found = [
            run
            for run in self.runs.values()
            if query.tenant in {None, run.tenant}
            and query.lineage in {None, run.lineage}
            and (not query.phases or run.phase in query.phases)
            and (query.after is None or (run.created_at, run.run_id) < query.after)
        ]
        return sorted(found, key=lambda run: (run.created_at, run.run_id), reverse=True)[: query.limit]

    def retry_run(
        self, run_id: str, order: RunOrder, *, tenant: str, actor: str, expected_version: int | None = None
    ) -> UnlearningRun:
        run = self.get_run(run_id, tenant=tenant)
        if run.is_active and order not in run.orders:
            raise RunNotRetryableError("it is at work", run_id=run_id)
        return self._ordered(run, order, actor, expected_version)

    def escalate_run(
        self, run_id: str, order: RunOrder, *, tenant: str, actor: str, expected_version: int | None = None
    ) -> UnlearningRun:
        run = self.get_run(run_id, tenant=tenant)
        if run.phase is RunPhase.PUBLISHING:
            raise RunNotEscalatableError("it is being published", run_id=run_id)
        return self._ordered(run, order, actor, expected_version)

    def _ordered(self, run: UnlearningRun, order: RunOrder, actor: str, expected_version: int | None) -> UnlearningRun:
        known = {known.request_id: known for known in run.orders}.get(order.request_id)
        if known not in {None, order}:
            raise RequestIdReusedError("used before for another order", run_id=run.run_id)
        if known is None:
            if expected_version not in {None, run.version}:
                raise StaleVersionError("the run changed since it was read", run_id=run.run_id)
            self.actors.append(actor)
            run = replace(
                run,
                orders=(*run.orders, order),
                rung_index=run.rung_index if order.rung_index is None else order.rung_index,
                version=run.version + 1,
            )
            self.runs[run.run_id] = run
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
