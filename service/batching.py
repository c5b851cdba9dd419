"""Batching: tickets of one lineage become one run, everything that decides its result frozen into its specification."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from mcu_core.config import RetrainRung, Rung, UnlearningConfig, default_ladder, needs_teacher
from mcu_core.judging.policy import AuditPolicy
from service.domain.canary import NO_CANARIES, Canary, CanaryBatch, draw_batch
from service.domain.deployment import newest_served
from service.domain.drift import DriftBudget, drift_of
from service.domain.entries import run_created, ticket_changed
from service.domain.hold import NO_HELD_ROWS, HeldRows
from service.domain.ladder import last_rungs
from service.domain.model import Model
from service.domain.references import ReferencePurpose
from service.domain.release import Release
from service.domain.resolution import Resolution, resolve
from service.domain.run import RunCanaries, RunPhase, RunSpec, UnlearningRun
from service.domain.ticket import Ticket, TicketEvent, TicketReason, advance
from service.errors import ActiveRunError, StaleVersionError
from service.held_samples import HeldSamples
from service.ports import Change, Clock, ManifestSource, Store
from service.references import ReferenceRegister


@dataclass(frozen=True, slots=True, kw_only=True)
class Batcher:
    """Opens runs."""

    store: Store
    manifests: ManifestSource
    clock: Clock
    policy: AuditPolicy
    references: ReferenceRegister
    held: HeldSamples
    max_forget_fraction: float
    """Of the tickets' samples alone: canaries come on top."""
    canaries_per_run: int
    """Most canaries of either kind, trained on and not."""
    drift_budget: DriftBudget
    actor: str

    def open_run(self, model: Model, tickets: Sequence[Ticket]) -> UnlearningRun | None:
        """Close a batch and open its run.

        1. Tickets whose samples are all forgotten already are closed with a pointer to that release, or wait until it
           is served where that is asked for; those that have only held samples left are put on hold.
        2. Tickets join, oldest first, until the batch forgets as much as one run may. Held samples are no part of it.
        3. Base model, rows, canaries, holds, configuration, policy, references and seed are frozen; run and tickets are
           saved together, and with them which canaries the run takes.

        Args:
            model: a lineage without an active run, read before its holds are: a hold that comes meanwhile changes it.
            tickets: its scheduled tickets, oldest first.

        Returns:
            The run; `None` when nothing was left to do or somebody else was faster.

        Raises:
            ForgetSetTooLargeError: the oldest of those tickets would leave nothing to keep.
            ManifestError: the manifest can no longer be used.
        """
        forgotten = self.store.forgotten_rows(model.lineage)
        held = self.held.active(model.lineage, model.manifest.digest)
        # 1. Forgotten already, or held
        waiting = [ticket for ticket in tickets if not self._put_aside(ticket, model, forgotten, held)]
        # 2. Batch
        batch, rows = self._batch(model, waiting, forgotten, held)
        if not batch:
            return None
        # 3. Freeze
        canaries = self._canaries(model, rows | held.rows, forgotten)
        resolution = resolution_of(model, rows, forgotten, canaries, held)
        run = self._frozen(model, batch, resolution, held, self._drift(model, forgotten))
        now = run.created_at
        entries = [run_created(run, self.actor)]
        started = []
        for ticket in batch:
            processing = replace(advance(ticket, TicketEvent.START, now), run_id=run.run_id)
            started.append(processing)
            entries.append(ticket_changed(ticket, processing, TicketEvent.START, self.actor, now))
        change = Change(
            tickets=tuple(started),
            runs=(run,),
            models=(replace(model, runs_started=model.runs_started + 1),),
            canaries_taken=((model.lineage, run.run_id, canaries.rows),) if canaries.rows else (),
            entries=tuple(entries),
        )
        try:
            self.store.save(change)
        except (ActiveRunError, StaleVersionError):
            return None  # another controller opened it, or a ticket was withdrawn: the next round looks again
        return self.store.run(run.run_id)

    def _put_aside(self, ticket: Ticket, model: Model, forgotten: dict[int, int], held: HeldRows) -> bool:
        """Close a ticket that has nothing left to forget, put one on hold that has only held samples left."""
        rows = self._rows(ticket, model)
        left = [row for row in rows if row not in forgotten]
        if not left:
            self._close_forgotten(ticket, model, max(forgotten[row] for row in rows))
        elif held.rows.issuperset(left):
            self.held.put_on_hold(ticket, held=len(left), forgotten=len(rows) - len(left))
        else:
            return False
        return True

    def _close_forgotten(self, ticket: Ticket, model: Model, release_number: int) -> None:
        now = self.clock.now()
        is_served = release_number <= newest_served(self.store.deployments(model.lineage))
        in_effect = is_served or not model.requires_acknowledgement
        event = TicketEvent.ALREADY_FORGOTTEN if in_effect else TicketEvent.PUBLISH
        reason = TicketReason(code="ALREADY_FORGOTTEN", text="Every sample was forgotten by an earlier release.")
        closed = replace(advance(ticket, event, now, reasons=(reason,)), release_number=release_number)
        entry = ticket_changed(ticket, closed, event, self.actor, now)
        self.store.save(Change(tickets=(closed,), entries=(entry,)))

    def _batch(
        self, model: Model, waiting: Sequence[Ticket], forgotten: dict[int, int], held: HeldRows
    ) -> tuple[list[Ticket], set[int]]:
        limit = self.max_forget_fraction * model.manifest.train_rows
        left = model.manifest.train_rows - len(forgotten) - len(held.restricted)
        batch: list[Ticket] = []
        rows: set[int] = set()
        for ticket in waiting:
            own = (row for row in self._rows(ticket, model) if row not in forgotten)
            joined = rows | (set(own) - held.rows)
            if batch and (len(joined) > limit or len(joined) >= left):
                continue  # it opens the next run; a smaller one behind it may still fit
            batch.append(ticket)
            rows = joined
        return batch, rows

    def _rows(self, ticket: Ticket, model: Model) -> tuple[int, ...]:
        return self.manifests.resolve(model.manifest.digest, self.store.sample_ids(ticket.ticket_id)).rows

    def _canaries(self, model: Model, rows: Collection[int], forgotten: dict[int, int]) -> CanaryBatch:
        """Choose the canaries of the next run; those that a failed run had taken were not forgotten and are free."""
        if model.canary_commitment is None:
            return NO_CANARIES
        known = self.store.canaries(model.lineage)
        sequence = model.runs_started + 1
        return draw_canaries(model, known, rows, forgotten.keys(), sequence=sequence, most=self.canaries_per_run)

    def _canary_counts(self, model: Model, resolution: Resolution) -> RunCanaries | None:
        if model.canary_commitment is None or not self.canaries_per_run:
            return None
        return RunCanaries(
            included=len(resolution.canary_included),
            excluded=len(resolution.canary_excluded),
            wanted=self.canaries_per_run,
            commitment=model.canary_commitment,
            mislabelled=model.canaries_mislabelled,
        )

    def _drift(self, model: Model, forgotten: dict[int, int]) -> str:
        """Return why the next run of a lineage must retrain; empty where it need not."""
        releases = self.store.releases(model.lineage)
        drift = drift_of(releases, Counter(forgotten.values()), model.manifest.train_rows)
        if self.drift_budget.used(drift) < 1.0:
            return ""
        if model.recipe is None:
            return (
                f"the drift budget is used up, and no recipe is registered: {drift.runs} runs have forgotten "
                f"{drift.samples} samples since the registration"
            )
        since = f"{drift.runs} runs have forgotten {drift.samples} samples since the last full training"
        return f"the drift budget is used up, so it retrains: {since}"

    def _frozen(
        self, model: Model, batch: Sequence[Ticket], resolution: Resolution, held: HeldRows, drifted: str
    ) -> UnlearningRun:
        now = self.clock.now()
        base = current_release(self.store.releases(model.lineage), model)
        teacher = self.references.choose(ReferencePurpose.TEACH, model)
        ladder = _ladder(model, batch, taught=teacher is not None, must_retrain=bool(drifted))
        config = UnlearningConfig(ladder=ladder)
        if not any(needs_teacher(rung) for rung in ladder):
            teacher = None  # of what is left of the ladder nothing is taught
        auditor = self.references.choose(ReferencePurpose.AUDIT, model, teacher=teacher)
        spec = RunSpec(
            lineage=model.lineage,
            sequence=model.runs_started + 1,
            base_release=base.number,
            base_model_digest=base.weights_digest,
            architecture=model.architecture,
            baseline_train_accuracy=model.baseline_train_accuracy if base.number == 1 else None,
            manifest_digest=model.manifest.digest,
            resolution_digest=resolution.digest,
            forget_count=len(resolution.forget),
            config=config,
            policy=self.policy,
            seed=model.runs_started + 1,
            audit_family=None if auditor is None else auditor.digest,
            teach_family=None if teacher is None else teacher.digest,
            canaries=self._canary_counts(model, resolution),
            holds=held.hold_ids,
        )
        return UnlearningRun(
            run_id=spec.run_id,
            lineage=model.lineage,
            tenant=model.tenant,
            spec=spec,
            ticket_ids=tuple(ticket.ticket_id for ticket in batch),
            phase=RunPhase.PENDING,
            created_at=now,
            phase_since=now,
            reason=drifted,
        )

    def escalate(self, tickets: Sequence[Ticket], code: str, text: str) -> None:
        """Hand tickets to a person; their clock runs on."""
        now = self.clock.now()
        reason = (TicketReason(code=code, text=text),)
        moved = [(ticket, advance(ticket, TicketEvent.ESCALATE, now, reasons=reason)) for ticket in tickets]
        entries = tuple(ticket_changed(old, new, TicketEvent.ESCALATE, self.actor, now) for old, new in moved)
        self.store.save(Change(tickets=tuple(new for _, new in moved), entries=entries))


def _ladder(model: Model, batch: Sequence[Ticket], *, taught: bool, must_retrain: bool) -> tuple[Rung, ...]:
    """Return the ladder of a run: no more than what is left of it where it must retrain or an operator has moved up."""
    ladder = default_ladder(model.recipe, taught=taught)
    limits = [ticket.rungs_left for ticket in batch if ticket.rungs_left is not None]
    if must_retrain and model.recipe is not None:
        limits.append(sum(isinstance(rung, RetrainRung) for rung in ladder))
    return last_rungs(ladder, min(limits, default=None))


def draw_canaries(
    model: Model,
    known: Iterable[Canary],
    rows: Collection[int],
    forgotten: Collection[int],
    *,
    sequence: int,
    most: int,
) -> CanaryBatch:
    """Choose the canaries of a lineage's run; equal arguments choose the same.

    Args:
        model: with canaries.
        known: all of them.
        rows: that the run's tickets name or a hold, and nothing has forgotten before.
        forgotten: rows that were forgotten before.
        sequence: number of the run.
        most: of either kind.
    """
    kept = model.manifest.train_rows - len(forgotten) - len(rows)
    return draw_batch(
        known,
        unavailable={*rows, *forgotten},
        most=min(most, kept // 2),  # D_r is never small for their sake
        seed=f"{model.canary_commitment} {sequence}",
    )


def resolution_of(
    model: Model,
    requested: Collection[int],
    forgotten: dict[int, int],
    canaries: CanaryBatch = NO_CANARIES,
    held: HeldRows = NO_HELD_ROWS,
) -> Resolution:
    """Return the parts of a lineage's training split when these rows and canaries are to be forgotten.

    Requested rows that are held stay out of D_f, those of holds with the treatment RETAIN too.
    """
    return resolve(
        manifest_digest=model.manifest.digest,
        train_rows=model.manifest.train_rows,
        requested=set(requested) - held.rows,
        forgotten_before=forgotten,
        held=held.restricted,
        canaries=canaries,
    )


def current_release(releases: Sequence[Release], model: Model) -> Release:
    """Return the release that readers of a lineage shall get."""
    return next(release for release in releases if release.number == model.current_release)
