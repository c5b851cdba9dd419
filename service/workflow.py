"""The workflow: each call looks at what the store says and does the next thing, whatever happened before.

Every step loads through a port, decides in the domain, acts through a port, and saves with compare-and-swap together
with its ledger entry. A crash between act and save is harmless, since every act can be repeated.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, assert_never

from pydantic import BaseModel, ValidationError

from mcu_core.config import McuRung
from mcu_core.report import AttemptSummary, AuditReport, Verdict
from service.batching import Batcher, resolution_of
from service.domain.canary import batch_of
from service.domain.canonical import is_canonical
from service.domain.commitment import CommitmentKey
from service.domain.entries import judged, planned, ticket_changed
from service.domain.model import Model
from service.domain.resolution import Resolution
from service.domain.run import (
    FailureKind,
    Outcome,
    RunPhase,
    UnlearningRun,
    WorkOrder,
    attempt_prefix,
    resolution_key,
    spec_key,
)
from service.domain.ticket import Ticket, TicketEvent, TicketState, advance
from service.errors import (
    DigestMismatchError,
    HoldActiveError,
    ObjectStoreUnavailableError,
    PermanentError,
    PointerMovedError,
    StaleVersionError,
)
from service.examination import Examiner
from service.held_samples import HeldSamples, frozen_holds
from service.planning import Planner, requested_samples
from service.ports import (
    Change,
    Clock,
    JobRunner,
    JobState,
    ManifestSource,
    ObjectStore,
    RunObserver,
    Store,
)
from service.publishing import Publisher, read_report
from service.references import ReferenceRegister
from service.release_keeping import ReleaseKeeper
from service.transitions import Transitions

D = TypeVar("D", bound=BaseModel)


_UNCOUNTED = frozenset({FailureKind.TRANSIENT, FailureKind.RESOURCE, FailureKind.FENCED})
"""Failures after which an attempt is made again without being counted as audited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Moves tickets and runs forward."""

    store: Store
    objects: ObjectStore
    manifests: ManifestSource
    runner: JobRunner
    clock: Clock
    key: CommitmentKey
    batcher: Batcher
    planner: Planner
    examiner: Examiner
    publisher: Publisher
    transitions: Transitions
    references: ReferenceRegister
    held: HeldSamples
    keeper: ReleaseKeeper
    observer: RunObserver
    encode_resolution: Callable[[Resolution], bytes]
    actor: str

    def schedule_tickets(self) -> None:
        """Put every accepted ticket on the schedule."""
        for ticket in self.store.open_tickets():
            if ticket.state is TicketState.ACCEPTED:
                self._move_ticket(ticket, TicketEvent.SCHEDULE)

    def waiting(self) -> dict[str, list[Ticket]]:
        """Return the scheduled tickets of each lineage that has no active run, oldest first."""
        busy = {run.lineage for run in self.store.active_runs()}
        waiting: dict[str, list[Ticket]] = defaultdict(list)
        for ticket in self.store.open_tickets():
            if ticket.state is TicketState.SCHEDULED and ticket.lineage not in busy:
                waiting[ticket.lineage].append(ticket)
        return waiting

    def open_run(self, lineage: str, tickets: Sequence[Ticket]) -> None:
        """Open a run for a lineage's tickets, oldest first; where that can never succeed the oldest goes to a person.

        The others may be served without it: the next round tries.
        """
        try:
            self.batcher.open_run(self._model(lineage), tickets)
        except PermanentError as error:
            self.batcher.escalate(tickets[:1], type(error).__name__, error.message)

    def repair_pointers(self) -> None:
        """Point readers of each lineage to its current release, whatever has kept them from it."""
        self.keeper.restore_pointers()

    def sweep(self) -> None:
        """Purge what a crash kept a closed run from purging."""
        for run_id in {key.split("/")[1] for key in self.objects.keys("runs/")}:
            run = self.store.run(run_id)
            if run is not None and not run.is_active:
                self.transitions.purge(run)

    def advance_run(self, run: UnlearningRun) -> UnlearningRun:
        """Do the next thing for an active run and return it as it is then."""
        try:
            return self._advance(run)
        except HoldActiveError as error:
            self.publisher.discard(run)
            return self.transitions.abandon(run, "HOLD_PLACED", error.message)

    # Phases

    def _advance(self, run: UnlearningRun) -> UnlearningRun:
        match run.phase:
            case RunPhase.PENDING:
                return self.transitions.enter(run, RunPhase.RESOLVING)
            case RunPhase.RESOLVING:
                return self._resolve(run)
            case RunPhase.UNLEARNING:
                return self._unlearn(run)
            case RunPhase.AUDITING:
                return self._judge(run)
            case RunPhase.PUBLISHING:
                return self._publish(run)
            case RunPhase.COMMITTED | RunPhase.FAILED | RunPhase.ABANDONED:
                return run
            case _:
                assert_never(run.phase)

    def _resolve(self, run: UnlearningRun) -> UnlearningRun:
        model = self._model(run.lineage)
        requested = requested_samples(run, self.store, self.manifests).keys()
        forgotten = self.store.forgotten_rows(run.lineage)
        canaries = batch_of(self.store.canaries(run.lineage), run.run_id)
        held = frozen_holds(run, self.store, self.manifests)
        resolution = resolution_of(model, requested - forgotten.keys(), forgotten, canaries, held)
        if resolution.digest != run.spec.resolution_digest:
            return self.transitions.fail(
                run,
                FailureKind.INPUT,
                "RESOLUTION_MISMATCH",
                "the tickets resolve to other rows than when the batch closed",
            )
        key = resolution_key(run.run_id)
        if self.objects.head(key) is None:  # another version of the Parquet library writes other bytes of the same rows
            self.objects.create(key, self.encode_resolution(resolution))
        self.objects.create(spec_key(run.run_id), run.spec.to_bytes())
        self.held.require_free(run, at_start=True)
        return self.transitions.enter(run, RunPhase.UNLEARNING)

    def _unlearn(self, run: UnlearningRun) -> UnlearningRun:
        status = self.runner.observe(run.job_name)
        match status.state:
            case JobState.ABSENT:
                if run.retry_at is not None and run.retry_at > self.clock.now():
                    return run
                self.held.require_free(run, at_start=True)
                planned = run if run.plan_digest is not None else self._plan(run)
                self._dispatch(planned)
                return planned
            case JobState.RUNNING:
                return run
            case JobState.ENDED | JobState.LOST:
                return self._ended(run, status.exit_code)
            case _:
                assert_never(status.state)

    def _plan(self, run: UnlearningRun) -> UnlearningRun:
        """Fix and sign what this attempt's audit will do, and enter it in the ledger, before the attempt begins."""
        plan = self.planner.plan(run)
        now = self.clock.now()
        with_plan = replace(run, plan_digest=plan.digest)
        self.store.save(Change(runs=(with_plan,), entries=(planned(run, plan.digest, self.actor, now),)))
        return self.transitions.fresh(with_plan)

    def _dispatch(self, run: UnlearningRun) -> None:
        plan, planned_at = self.planner.planned(run)
        if plan.digest != run.plan_digest:
            raise DigestMismatchError("the plan of the audit is not the one in the ledger")
        order = WorkOrder(
            run_id=run.run_id,
            spec=run.spec,
            epoch=run.epoch,
            rung_index=run.rung_index,
            plan=plan,
            planned_at=planned_at,
            tickets=len(run.ticket_ids),
            pathway_epoch=run.pathway_epoch,
            previous_attempts=run.attempts,
            split_key=self.key.split_key(run.spec.manifest_digest),
        )
        key = f"{order.prefix}/order.json"
        self.objects.create(key, order.to_bytes())
        self.transitions.cancel_jobs(run, run.epoch - 1)
        self.runner.start(run.job_name, key)

    def _ended(self, run: UnlearningRun, exit_code: int | None) -> UnlearningRun:
        outcome = self._outcome(run)
        if outcome is None or outcome.failure in _UNCOUNTED:
            outcome = self.examiner.finished(run) or outcome
        if outcome is None:
            died = "killed" if exit_code is None or exit_code < 0 else f"exit code {exit_code}"
            return self.transitions.retry(run, f"the job ended without an outcome ({died})")
        if outcome.failure is None:
            found = replace(
                run,
                candidate_digest=outcome.candidate_digest,
                report_digest=outcome.report_digest,
                scores_digest=outcome.scores_digest,
                reason="",
            )
            return self.transitions.enter(found, RunPhase.AUDITING)
        match outcome.failure:
            case FailureKind.TRANSIENT | FailureKind.RESOURCE | FailureKind.FENCED:
                return self.transitions.retry(run, outcome.message)
            case FailureKind.INPUT | FailureKind.NO_EFFECT:
                return self.transitions.fail(run, outcome.failure, outcome.failure.value.upper(), outcome.message)
            case FailureKind.QUALITY:
                return self.transitions.climb(run, outcome.message)
            case _:
                assert_never(outcome.failure)

    def _outcome(self, run: UnlearningRun) -> Outcome | None:
        stored = self.objects.head(f"{attempt_prefix(run.run_id, run.epoch)}/outcome.json")
        return None if stored is None else _parsed(Outcome, self.objects.read(stored.key))

    def _judge(self, run: UnlearningRun) -> UnlearningRun:
        content = read_report(self.objects, run)
        report = _parsed(AuditReport, content)
        if not is_canonical(report, content):  # its digest stands in releases and receipts, of whoever writes it out
            raise DigestMismatchError("the attempt's report is not canonical JSON (RFC 8785)")
        refused = self.examiner.refusal(report, run)
        if refused is not None:
            return self.transitions.fail(run, FailureKind.INPUT, "DIGEST_MISMATCH", refused)
        if run.report_digest is None or run.candidate_digest is None:
            raise RuntimeError(f"{run.run_id}: audited without digests")
        self.publisher.attest_attempt(run, report)
        self.observer.candidate_audited(report)
        summary = AttemptSummary(
            attempt=run.epoch,
            rung=run.rung_index,
            rung_kind=report.rung_kind,
            verdict=report.judgement.verdict,
            claim=report.judgement.claim,
            plan_digest=report.subjects.plan,
            report_digest=run.report_digest,
        )
        entry = judged(run, summary, run.candidate_digest, self.actor, self.clock.now())
        has_pathway = isinstance(run.spec.config.ladder[run.rung_index], McuRung)
        audited = replace(
            run,
            attempts=(*run.attempts, summary),
            verdict=summary.verdict,
            pathway_epoch=run.epoch if has_pathway else run.pathway_epoch,
        )
        why = "; ".join(reason.text for reason in report.judgement.reasons)
        match summary.verdict:
            case Verdict.ACCEPT_POWERED | Verdict.ACCEPT_CANARY_BACKED:
                return self.transitions.enter(audited, RunPhase.PUBLISHING, entry)
            case Verdict.REJECT | Verdict.NEEDS_REVIEW:
                return self.transitions.climb(audited, why, entry)
            case Verdict.VACUOUS | Verdict.INVALID:
                return self.transitions.fail(audited, FailureKind.QUALITY, f"AUDIT_{summary.verdict.value}", why, entry)
            case _:
                assert_never(summary.verdict)

    def _publish(self, run: UnlearningRun) -> UnlearningRun:
        try:
            self.publisher.publish(run, self._model(run.lineage), self.actor)
        except (PointerMovedError, StaleVersionError):
            self.observer.publish_conflict()
            return self.transitions.fresh(run)  # the next round looks at how things stand then
        except PermanentError as error:
            if self.publisher.release_of(run) is None:
                raise
            self.observer.publish_conflict()
            raise ObjectStoreUnavailableError(f"released, but the pointer cannot be moved: {error.message}") from error
        self.references.taint(run.lineage)  # while the run is open, so that a crash cannot keep it from being done
        return self.transitions.commit(run, takes_effect=not self._model(run.lineage).requires_acknowledgement)

    # Small change

    def _move_ticket(self, ticket: Ticket, event: TicketEvent) -> None:
        now = self.clock.now()
        moved = advance(ticket, event, now)
        self.store.save(Change(tickets=(moved,), entries=(ticket_changed(ticket, moved, event, self.actor, now),)))

    def _model(self, lineage: str) -> Model:
        model = self.store.model(lineage)
        if model is None:
            raise PermanentError(f"lineage {lineage} is not registered")
        return model


def _parsed(document: type[D], data: bytes) -> D:
    try:
        return document.model_validate_json(data)
    except ValidationError as error:
        raise DigestMismatchError(f"the attempt wrote something that is no {document.__name__}") from error
