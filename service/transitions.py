"""What every change of a run is made of: saved with its ledger entry, told to the observer, cleaned up behind.

The workflow decides what happens next; here it happens. Each act can be repeated after a crash.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from mcu_core.config import AnotherPointRung
from mcu_core.report import Verdict
from service.domain.entries import run_changed, ticket_changed
from service.domain.ledger import LedgerDraft
from service.domain.run import FailureKind, RunPhase, UnlearningRun, enter, job_name, run_prefix
from service.domain.ticket import Ticket, TicketEvent, TicketReason, advance, can_happen
from service.ports import Change, Clock, DecodedPixels, JobRunner, JobState, ObjectStore, RunObserver, Store

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
class Transitions:
    """Enters phases, tries again, climbs the ladder, closes runs."""

    store: Store
    objects: ObjectStore
    runner: JobRunner
    pixels: DecodedPixels
    clock: Clock
    observer: RunObserver
    attempt_failures: int
    """Attempts that may end without a verdict, in a row, before a person is asked."""
    retry_seconds: float
    """Pause after the first of them; each further one doubles it."""
    actor: str

    def enter(self, run: UnlearningRun, phase: RunPhase, *entries: LedgerDraft) -> UnlearningRun:
        """Save a run in a phase and return it as it is then."""
        now = self.clock.now()
        entered = enter(run, phase, now)
        drafts = (*entries, run_changed(run, entered, self.actor, now))
        self.store.save(Change(runs=(entered,), entries=drafts))
        self.observer.phase_ended(run.phase, (now - run.phase_since).total_seconds())
        return self.fresh(entered)

    def retry(self, run: UnlearningRun, reason: str) -> UnlearningRun:
        """Try the same rung again after a pause, unless that was done often enough."""
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
        return self.enter(again, RunPhase.UNLEARNING)

    def climb(self, run: UnlearningRun, reason: str, *entries: LedgerDraft) -> UnlearningRun:
        """Go on with the next rung that can be used; after the last one a person is asked."""
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
        return self.enter(higher, RunPhase.UNLEARNING, *entries)

    def fail(self, run: UnlearningRun, kind: FailureKind, code: str, text: str, *entries: LedgerDraft) -> UnlearningRun:
        """Close a run that cannot succeed by itself; its tickets go to a person, their clock runs on."""
        self.cancel_jobs(run, run.epoch)
        failed = replace(enter(run, RunPhase.FAILED, self.clock.now()), reason=f"{code}: {text}")
        reasons = (TicketReason(code=code, text=text),)
        return self._close(run, failed, TicketEvent.ESCALATE, entries, failure=kind, reasons=reasons)

    def abandon(self, run: UnlearningRun, code: str, text: str) -> UnlearningRun:
        """Close a run that something forbids to go on; its tickets are batched anew, and nobody has failed.

        Where an operator had moved it up its ladder, the next run of its tickets begins there.
        """
        self.cancel_jobs(run, run.epoch)
        abandoned = replace(enter(run, RunPhase.ABANDONED, self.clock.now()), reason=f"{code}: {text}")
        reasons = (TicketReason(code=code, text=text),)
        return self._close(run, abandoned, TicketEvent.RUN_FAILED, reasons=reasons)

    def commit(self, run: UnlearningRun, *, takes_effect: bool) -> UnlearningRun:
        """Close a run whose candidate is published.

        Args:
            run: in its last phase.
            takes_effect: by being published; otherwise its tickets wait for who serves it.
        """
        event = TicketEvent.TAKE_EFFECT if takes_effect else None
        return self._close(run, enter(run, RunPhase.COMMITTED, self.clock.now()), event)

    def purge(self, run: UnlearningRun) -> None:
        """Delete what a closed run must not leave behind."""
        for key in list(self.objects.keys(run_prefix(run.run_id) + "/")):
            if not key.endswith(KEPT_AFTER_RUN):
                self.objects.delete(key)
        if run.phase is RunPhase.COMMITTED:  # of a failed run the jobs' logs stay for whoever looks into it
            for epoch in range(1, run.epoch + 1):
                self.runner.forget(job_name(run.run_id, epoch))
            # Of a failed run they stay as well: its samples are in the model that is still published.
            self.pixels.erase(run.lineage, run.spec.manifest_digest, self.store.forgotten_rows(run.lineage).keys())

    def cancel_jobs(self, run: UnlearningRun, last_epoch: int) -> None:
        """End what still works at a run's attempts up to this one; an operator may have moved on from the last ones."""
        for epoch in range(1, last_epoch + 1):
            name = job_name(run.run_id, epoch)
            if self.runner.observe(name).state is JobState.RUNNING:
                self.runner.cancel(name)

    def fresh(self, run: UnlearningRun) -> UnlearningRun:
        """Return a saved run as it is stored now."""
        stored = self.store.run(run.run_id)
        if stored is None:
            raise RuntimeError(f"{run.run_id} was saved and is gone")
        return stored

    def _close(
        self,
        run: UnlearningRun,
        closed: UnlearningRun,
        event: TicketEvent | None,
        entries: Iterable[LedgerDraft] = (),
        *,
        failure: FailureKind | None = None,
        reasons: Sequence[TicketReason] = (),
    ) -> UnlearningRun:
        """Save a closed run with its tickets and what the ledger says of them."""
        now = closed.phase_since
        tickets, drafts = [], [*entries, run_changed(run, closed, self.actor, now)]
        for ticket in self._tickets_of(run):
            if event is not None and can_happen(ticket, event):
                moved = advance(ticket, event, now, reasons=tuple(reasons))
                if closed.phase is RunPhase.ABANDONED and run.ordered_rungs is not None:
                    moved = replace(moved, rungs_left=run.ordered_rungs)
                tickets.append(moved)
                drafts.append(ticket_changed(ticket, moved, event, self.actor, now))
        self.store.save(Change(runs=(closed,), tickets=tuple(tickets), entries=tuple(drafts)))
        self.purge(closed)
        self.observer.phase_ended(run.phase, (now - run.phase_since).total_seconds())
        self.observer.run_closed(closed.phase, failure)
        return self.fresh(closed)

    def _tickets_of(self, run: UnlearningRun) -> list[Ticket]:
        tickets = (self.store.ticket(ticket_id) for ticket_id in run.ticket_ids)
        return [ticket for ticket in tickets if ticket is not None and ticket.run_id == run.run_id]
