"""What operators do with runs: have a failed one tried again, move one up its ladder."""

from dataclasses import dataclass, replace

from mcu_core.config import AnotherPointRung
from service.domain.entries import run_changed, run_ordered, ticket_changed
from service.domain.run import RunOrder, RunPhase, UnlearningRun, attempt_prefix, enter
from service.domain.ticket import Ticket, TicketEvent, TicketState, advance
from service.errors import (
    RequestIdReusedError,
    RunNotEscalatableError,
    RunNotRetryableError,
    StaleVersionError,
)
from service.ports import Change, Clock, ObjectStore, Store

MOVABLE_PHASES = frozenset({RunPhase.PENDING, RunPhase.RESOLVING, RunPhase.UNLEARNING})
"""In which a run can be moved up its ladder. What has been audited is judged first: no audit is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSteering:
    """Carries the orders of operators out, each once. Jobs are the reconciler's: nothing is waited for here."""

    store: Store
    objects: ObjectStore
    clock: Clock

    def retry(
        self, run: UnlearningRun, order: RunOrder, *, actor: str, expected_version: int | None = None
    ) -> UnlearningRun:
        """Schedule the tickets of a failed run again; the run that they open begins on this one's last rung.

        Raises:
            RequestIdReusedError: the request id was used for another order.
            RunNotRetryableError: the run has not failed, or none of its tickets waits for a person.
            StaleVersionError: the run is no longer as it was read.
        """
        if _is_repeated(run, order):
            return run
        _require_version(run, expected_version)
        waiting = self._waiting(run)
        if run.phase is not RunPhase.FAILED or not waiting:
            text = "none of its tickets needs attention any more" if run.phase is RunPhase.FAILED else _standing(run)
            raise RunNotRetryableError(f"only a failed run is tried again: {text}", run_id=run.run_id)
        return self._schedule(run, order, waiting, run.rung_index, actor)

    def escalate(
        self, run: UnlearningRun, order: RunOrder, *, actor: str, expected_version: int | None = None
    ) -> UnlearningRun:
        """Move a run up its ladder: at work, by a new attempt; failed, by a new run of its tickets.

        Raises:
            RequestIdReusedError: the request id was used for another order.
            RunNotEscalatableError: the rung cannot be gone to, or the run is past that.
            StaleVersionError: the run is no longer as it was read.
        """
        if _is_repeated(run, order):
            return run
        _require_version(run, expected_version)
        rung_index = self._rung(run, order)
        if run.phase is RunPhase.FAILED:
            waiting = self._waiting(run)
            if waiting:
                return self._schedule(run, order, waiting, rung_index, actor)
            text = "none of its tickets needs attention any more"
            raise RunNotEscalatableError(f"the run has failed, and {text}", run_id=run.run_id)
        if run.phase not in MOVABLE_PHASES or self._has_ended(run):
            raise RunNotEscalatableError(f"{_standing(run)}: look again when that is done", run_id=run.run_id)
        return self._climb(run, order, rung_index, actor)

    def _rung(self, run: UnlearningRun, order: RunOrder) -> int:
        ladder, rung_index = run.spec.config.ladder, order.rung_index
        if rung_index is None or not run.rung_index < rung_index < len(ladder):
            text = f"the run stands on rung {run.rung_index}, its last one is {len(ladder) - 1}: name one above it"
            raise RunNotEscalatableError(text, run_id=run.run_id)
        has_pathway = run.is_active and run.pathway_epoch is not None
        if isinstance(ladder[rung_index], AnotherPointRung) and not has_pathway:
            text = f"rung {rung_index} is another point of a pathway, and there is none: name a higher one"
            raise RunNotEscalatableError(text, run_id=run.run_id)
        return rung_index

    def _waiting(self, run: UnlearningRun) -> list[Ticket]:
        tickets = (self.store.ticket(ticket_id) for ticket_id in run.ticket_ids)
        return [
            ticket
            for ticket in tickets
            if ticket is not None and ticket.run_id == run.run_id and ticket.state is TicketState.NEEDS_ATTENTION
        ]

    def _has_ended(self, run: UnlearningRun) -> bool:
        """Return whether the present attempt was audited or has said how it ended, and only has to be looked at."""
        prefix = attempt_prefix(run.run_id, run.epoch)
        return any(self.objects.head(f"{prefix}/{name}") is not None for name in ("outcome.json", "scores.parquet"))

    def _schedule(
        self, run: UnlearningRun, order: RunOrder, waiting: list[Ticket], rung_index: int, actor: str
    ) -> UnlearningRun:
        now, event = self.clock.now(), TicketEvent.SCHEDULE
        rungs_left = len(run.spec.config.ladder) - rung_index
        scheduled = [replace(advance(ticket, event, now), rungs_left=rungs_left) for ticket in waiting]
        changes = zip(waiting, scheduled, strict=True)
        entries = [
            run_ordered(run, order, len(waiting), actor, now),
            *(ticket_changed(before, after, event, actor, now) for before, after in changes),
        ]
        ordered = replace(run, orders=(*run.orders, order))
        return self._saved(Change(runs=(ordered,), tickets=tuple(scheduled), entries=tuple(entries)))

    def _climb(self, run: UnlearningRun, order: RunOrder, rung_index: int, actor: str) -> UnlearningRun:
        now = self.clock.now()
        moved = replace(
            run,
            rung_index=rung_index,
            failures=0,
            reason=f"an operator moved it up: {order.reason}",
            retry_at=None,
            plan_digest=None,
            orders=(*run.orders, order),
        )
        if run.phase is RunPhase.UNLEARNING:  # an attempt may be at work: the next one fences it
            moved = enter(replace(moved, epoch=run.epoch + 1), RunPhase.UNLEARNING, now)
        entries = (
            run_ordered(run, order, len(run.ticket_ids), actor, now),
            run_changed(run, moved, actor, now),
        )
        return self._saved(Change(runs=(moved,), entries=entries))

    def _saved(self, change: Change) -> UnlearningRun:
        self.store.save(change)
        run_id = change.runs[0].run_id
        run = self.store.run(run_id)
        if run is None:
            raise RuntimeError(f"{run_id} was saved and is gone")
        return run


def _is_repeated(run: UnlearningRun, order: RunOrder) -> bool:
    known = next((known for known in run.orders if known.request_id == order.request_id), None)
    if known is not None and known != order:
        text = "the request id was used before for another order: take a new one"
        raise RequestIdReusedError(text, run_id=run.run_id)
    return known is not None


def _require_version(run: UnlearningRun, expected: int | None) -> None:
    if expected is not None and run.version != expected:
        raise StaleVersionError("the run changed since it was read: read it again", run_id=run.run_id)


def _standing(run: UnlearningRun) -> str:
    return f"the run is {run.phase.value}"
