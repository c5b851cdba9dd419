"""The workflow: each call looks at what the store says and does the next thing, whatever happened before.

Every step loads through a port, decides in the domain, acts through a port, and saves with compare-and-swap together
with its ledger entry. A crash between act and save is harmless, since every act can be repeated.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar, assert_never

from pydantic import BaseModel, ValidationError

from mcu_core.config import AnotherPointRung, McuRung
from mcu_core.report import AttemptSummary, AuditReport, Verdict
from service.batching import Batcher, current_release, resolution_of
from service.domain.canary import batch_of
from service.domain.commitment import CommitmentKey
from service.domain.entries import judged, planned, run_changed, ticket_changed
from service.domain.judging import judge_report
from service.domain.ledger import LedgerDraft
from service.domain.model import Model
from service.domain.resolution import Resolution
from service.domain.run import (
    FailureKind,
    Outcome,
    RunPhase,
    UnlearningRun,
    WorkOrder,
    attempt_prefix,
    enter,
    job_name,
    resolution_key,
    run_prefix,
    spec_key,
)
from service.domain.ticket import Ticket, TicketEvent, TicketReason, TicketState, advance, can_happen
from service.errors import (
    DigestMismatchError,
    ObjectStoreUnavailableError,
    PermanentError,
    PointerMovedError,
    StaleVersionError,
)
from service.planning import Planner
from service.ports import (
    Change,
    Clock,
    DecodedPixels,
    JobRunner,
    JobState,
    ManifestSource,
    ObjectStore,
    RunObserver,
    Store,
)
from service.publishing import Publisher, point_to, read_report
from service.references import ReferenceRegister

D = TypeVar("D", bound=BaseModel)

KEPT_AFTER_RUN = (
    "spec.json",
    "plan.json",
    "plan.dsse.json",
    "report.json",
    "report.dsse.json",
    "outcome.json",
    "progress.json",
)
"""What stays of a run. The rest (pathway, candidate, row numbers) is personal data or, as the split key, a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """Moves tickets and runs forward."""

    store: Store
    objects: ObjectStore
    manifests: ManifestSource
    runner: JobRunner
    pixels: DecodedPixels
    clock: Clock
    key: CommitmentKey
    batcher: Batcher
    planner: Planner
    publisher: Publisher
    references: ReferenceRegister
    observer: RunObserver
    encode_resolution: Callable[[Resolution], bytes]
    attempt_failures: int
    retry_seconds: float
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
        """Point readers of each lineage to its current release, should a crash have kept somebody from it."""
        for model in self.store.models():
            point_to(self.objects, current_release(self.store.releases(model.lineage), model))

    def sweep(self) -> None:
        """Purge what a crash kept a closed run from purging."""
        for run_id in {key.split("/")[1] for key in self.objects.keys("runs/")}:
            run = self.store.run(run_id)
            if run is not None and not run.is_active:
                self._purge(run)

    def advance_run(self, run: UnlearningRun) -> UnlearningRun:
        """Do the next thing for an active run and return it as it is then."""
        match run.phase:
            case RunPhase.PENDING:
                return self._enter(run, RunPhase.RESOLVING)
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

    # Phases

    def _resolve(self, run: UnlearningRun) -> UnlearningRun:
        model = self._model(run.lineage)
        requested: set[int] = set()
        for ticket_id in run.ticket_ids:
            ids = self.store.sample_ids(ticket_id)
            requested.update(self.manifests.resolve(run.spec.manifest_digest, ids).rows)
        forgotten = self.store.forgotten_rows(run.lineage)
        canaries = batch_of(self.store.canaries(run.lineage), run.run_id)
        resolution = resolution_of(model, requested - forgotten.keys(), forgotten, canaries)
        if resolution.digest != run.spec.resolution_digest:
            return self.fail(
                run,
                FailureKind.INPUT,
                "RESOLUTION_MISMATCH",
                "the tickets resolve to other rows than when the batch closed",
            )
        key = resolution_key(run.run_id)
        if self.objects.head(key) is None:  # another version of the Parquet library writes other bytes of the same rows
            self.objects.create(key, self.encode_resolution(resolution))
        self.objects.create(spec_key(run.run_id), run.spec.to_bytes())
        return self._enter(run, RunPhase.UNLEARNING)

    def _unlearn(self, run: UnlearningRun) -> UnlearningRun:
        status = self.runner.observe(run.job_name)
        match status.state:
            case JobState.ABSENT:
                if run.retry_at is not None and run.retry_at > self.clock.now():
                    return run
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
        return self._fresh(with_plan)

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
        self.runner.start(run.job_name, key)

    def _ended(self, run: UnlearningRun, exit_code: int | None) -> UnlearningRun:
        stored = self.objects.head(f"{attempt_prefix(run.run_id, run.epoch)}/outcome.json")
        if stored is None:
            died = "killed" if exit_code is None or exit_code < 0 else f"exit code {exit_code}"
            return self._retry(run, f"the job ended without an outcome ({died})")
        outcome = _parsed(Outcome, self.objects.read(stored.key))
        if outcome.failure is None:
            found = replace(
                run,
                candidate_digest=outcome.candidate_digest,
                report_digest=outcome.report_digest,
                scores_digest=outcome.scores_digest,
                reason="",
            )
            return self._enter(found, RunPhase.AUDITING)
        match outcome.failure:
            case FailureKind.TRANSIENT | FailureKind.RESOURCE:
                return self._retry(run, outcome.message)
            case FailureKind.INPUT | FailureKind.NO_EFFECT:
                return self.fail(run, outcome.failure, outcome.failure.value.upper(), outcome.message)
            case FailureKind.QUALITY:
                return self._climb(run, outcome.message)
            case FailureKind.FENCED:
                return self._retry(run, outcome.message)
            case _:
                assert_never(outcome.failure)

    def _judge(self, run: UnlearningRun) -> UnlearningRun:
        report = _parsed(AuditReport, read_report(self.objects, run))
        mismatch = judge_report(report, run)
        if mismatch:
            return self.fail(run, FailureKind.INPUT, "DIGEST_MISMATCH", mismatch)
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
                return self._enter(audited, RunPhase.PUBLISHING, entry)
            case Verdict.REJECT | Verdict.NEEDS_REVIEW:
                return self._climb(audited, why, entry)
            case Verdict.VACUOUS | Verdict.INVALID:
                return self.fail(audited, FailureKind.QUALITY, f"AUDIT_{summary.verdict.value}", why, entry)
            case _:
                assert_never(summary.verdict)

    def _publish(self, run: UnlearningRun) -> UnlearningRun:
        try:
            self.publisher.publish(run, self._model(run.lineage), self.actor)
        except (PointerMovedError, StaleVersionError):
            self.observer.publish_conflict()
            return self._fresh(run)  # the next round looks at how things stand then
        except PermanentError as error:
            if self.publisher.release_of(run) is None:
                raise
            self.observer.publish_conflict()
            raise ObjectStoreUnavailableError(f"released, but the pointer cannot be moved: {error.message}") from error
        self.references.taint(run.lineage)  # while the run is open, so that a crash cannot keep it from being done
        now = self.clock.now()
        committed = enter(run, RunPhase.COMMITTED, now)
        tickets, entries = [], [run_changed(run, committed, self.actor, now)]
        for ticket in self._tickets_of(run):
            if can_happen(ticket, TicketEvent.TAKE_EFFECT):
                closed = advance(ticket, TicketEvent.TAKE_EFFECT, now)
                tickets.append(closed)
                entries.append(ticket_changed(ticket, closed, TicketEvent.TAKE_EFFECT, self.actor, now))
        self.store.save(Change(runs=(committed,), tickets=tuple(tickets), entries=tuple(entries)))
        self._purge(committed)
        self._observe_end(run, committed, None)
        return self._fresh(committed)

    # What follows a failure

    def _retry(self, run: UnlearningRun, reason: str) -> UnlearningRun:
        if run.failures + 1 >= self.attempt_failures:
            text = f"{run.failures + 1} attempts failed, the last one: {reason}"
            return self.fail(run, FailureKind.TRANSIENT, "RETRIES_EXHAUSTED", text)
        pause = timedelta(seconds=self.retry_seconds * 2**run.failures)
        again = replace(
            run,
            epoch=run.epoch + 1,
            failures=run.failures + 1,
            reason=reason,
            retry_at=self.clock.now() + pause,
            plan_digest=None,
        )
        return self._enter(again, RunPhase.UNLEARNING)

    def _climb(self, run: UnlearningRun, reason: str, *entries: LedgerDraft) -> UnlearningRun:
        ladder = run.spec.config.ladder
        above = range(run.rung_index + 1, len(ladder))
        usable = (i for i in above if run.pathway_epoch is not None or not isinstance(ladder[i], AnotherPointRung))
        rung_index = next(usable, None)
        if rung_index is None:
            text = f"no rung was accepted; the last one: {reason}"
            code = "AUDIT_NEEDS_REVIEW" if run.verdict is Verdict.NEEDS_REVIEW else "AUDIT_REJECTED"
            return self.fail(run, FailureKind.QUALITY, code, text, *entries)
        higher = replace(
            run,
            rung_index=rung_index,
            epoch=run.epoch + 1,
            failures=0,
            reason=reason,
            retry_at=None,
            plan_digest=None,
        )
        return self._enter(higher, RunPhase.UNLEARNING, *entries)

    def fail(self, run: UnlearningRun, kind: FailureKind, code: str, text: str, *entries: LedgerDraft) -> UnlearningRun:
        """Close a run that cannot succeed by itself; its tickets go to a person, their clock runs on."""
        self.runner.cancel(run.job_name)
        now = self.clock.now()
        failed = replace(enter(run, RunPhase.FAILED, now), reason=f"{code}: {text}")
        reasons = (TicketReason(code=code, text=text),)
        tickets, drafts = [], [*entries, run_changed(run, failed, self.actor, now)]
        for ticket in self._tickets_of(run):
            if can_happen(ticket, TicketEvent.ESCALATE):
                escalated = advance(ticket, TicketEvent.ESCALATE, now, reasons=reasons)
                tickets.append(escalated)
                drafts.append(ticket_changed(ticket, escalated, TicketEvent.ESCALATE, self.actor, now))
        self.store.save(Change(runs=(failed,), tickets=tuple(tickets), entries=tuple(drafts)))
        self._purge(failed)
        self._observe_end(run, failed, kind)
        return self._fresh(failed)

    # Small change

    def _enter(self, run: UnlearningRun, phase: RunPhase, *entries: LedgerDraft) -> UnlearningRun:
        now = self.clock.now()
        entered = enter(run, phase, now)
        drafts = (*entries, run_changed(run, entered, self.actor, now))
        self.store.save(Change(runs=(entered,), entries=drafts))
        self.observer.phase_ended(run.phase, (now - run.phase_since).total_seconds())
        return self._fresh(entered)

    def _move_ticket(self, ticket: Ticket, event: TicketEvent) -> None:
        now = self.clock.now()
        moved = advance(ticket, event, now)
        self.store.save(Change(tickets=(moved,), entries=(ticket_changed(ticket, moved, event, self.actor, now),)))

    def _observe_end(self, before: UnlearningRun, closed: UnlearningRun, failure: FailureKind | None) -> None:
        self.observer.phase_ended(before.phase, (closed.phase_since - before.phase_since).total_seconds())
        self.observer.run_closed(closed.phase, failure)

    def _purge(self, run: UnlearningRun) -> None:
        for key in list(self.objects.keys(run_prefix(run.run_id) + "/")):
            if not key.endswith(KEPT_AFTER_RUN):
                self.objects.delete(key)
        if run.phase is RunPhase.COMMITTED:  # of a failed run the jobs' logs stay for whoever looks into it
            for epoch in range(1, run.epoch + 1):
                self.runner.forget(job_name(run.run_id, epoch))
            # Of a failed run they stay as well: its samples are in the model that is still published.
            self.pixels.erase(run.lineage, run.spec.manifest_digest, self.store.forgotten_rows(run.lineage).keys())

    def _tickets_of(self, run: UnlearningRun) -> list[Ticket]:
        tickets = (self.store.ticket(ticket_id) for ticket_id in run.ticket_ids)
        return [ticket for ticket in tickets if ticket is not None and ticket.run_id == run.run_id]

    def _model(self, lineage: str) -> Model:
        model = self.store.model(lineage)
        if model is None:
            raise PermanentError(f"lineage {lineage} is not registered")
        return model

    def _fresh(self, run: UnlearningRun) -> UnlearningRun:
        stored = self.store.run(run.run_id)
        if stored is None:
            raise RuntimeError(f"{run.run_id} was saved and is gone")
        return stored


def _parsed(document: type[D], data: bytes) -> D:
    try:
        return document.model_validate_json(data)
    except ValidationError as error:
        raise DigestMismatchError(f"the attempt wrote something that is no {document.__name__}") from error
