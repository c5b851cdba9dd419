"""What the ledger is told: one function per kind of entry, so that no entry can carry an id of a sample."""

from datetime import datetime

from mcu_core.report import AttemptSummary
from service.domain.deployment import Deployment
from service.domain.extension import Extension
from service.domain.hold import Hold, HoldRelease
from service.domain.ledger import LedgerDraft, LedgerKind
from service.domain.model import Model
from service.domain.purge import ReleasePurge
from service.domain.references import ReferencePlan, ReferenceRecord, ReferenceTaint
from service.domain.release import Release
from service.domain.run import RunOrder, UnlearningRun
from service.domain.ticket import Ticket, TicketEvent


def ticket_submitted(ticket: Ticket, actor: str) -> LedgerDraft:
    """A request was taken in."""
    return LedgerDraft(
        at=ticket.received_at,
        actor=actor,
        kind=LedgerKind.TICKET_SUBMITTED,
        subject=ticket.ticket_id,
        payload={
            "lineage": ticket.lineage,
            "samples": ticket.sample_count,
            "ids_commitment": ticket.ids_commitment,
            "regime": ticket.regime.value,
            "due_at": ticket.due_at.isoformat(),
        },
    )


def ticket_changed(before: Ticket, after: Ticket, event: TicketEvent, actor: str, now: datetime) -> LedgerDraft:
    """A ticket went from one state to another."""
    return LedgerDraft(
        at=now,
        actor=actor,
        kind=LedgerKind.TICKET_CHANGED,
        subject=after.ticket_id,
        payload={
            "event": event.value,
            "from": before.state.value,
            "to": after.state.value,
            "run": after.run_id,
            "reason": after.reasons[0].code if after.reasons else None,
        },
    )


def ticket_extended(ticket: Ticket, extension: Extension) -> LedgerDraft:
    """A due time moved."""
    pause = extension.request.pause
    return LedgerDraft(
        at=extension.at,
        actor=extension.actor,
        kind=LedgerKind.TICKET_EXTENDED,
        subject=ticket.ticket_id,
        payload={
            "kind": extension.kind.value,
            "due_before": extension.due_before.isoformat(),
            "due_at": extension.due_at.isoformat(),
            "reason": extension.request.reason,
            **({} if pause is None else {"paused_at": pause.start.isoformat(), "resumed_at": pause.end.isoformat()}),
        },
    )


def model_registered(model: Model, actor: str) -> LedgerDraft:
    """A lineage was registered."""
    return LedgerDraft(
        at=model.registered_at,
        actor=actor,
        kind=LedgerKind.MODEL_REGISTERED,
        subject=model.lineage,
        payload={
            "weights": model.weights_digest,
            "manifest": model.manifest.digest,
            "train_rows": model.manifest.train_rows,
            **({"canaries": model.canary_commitment} if model.canary_commitment else {}),
        },
    )


def run_created(run: UnlearningRun, actor: str) -> LedgerDraft:
    """A batch was closed and its run frozen."""
    return LedgerDraft(
        at=run.created_at,
        actor=actor,
        kind=LedgerKind.RUN_CREATED,
        subject=run.run_id,
        payload={
            "lineage": run.lineage,
            "spec": run.spec.digest,
            "resolution": run.spec.resolution_digest,
            "policy": run.spec.policy.digest,
            "base_model": run.spec.base_model_digest,
            "forget": run.spec.forget_count,
            "tickets": len(run.ticket_ids),
            **({"canaries": run.spec.canaries.included} if run.spec.canaries else {}),
            **({"reason": run.reason} if run.reason else {}),
        },
    )


def run_changed(before: UnlearningRun, after: UnlearningRun, actor: str, now: datetime) -> LedgerDraft:
    """A run went to another phase, rung or attempt."""
    return LedgerDraft(
        at=now,
        actor=actor,
        kind=LedgerKind.RUN_CHANGED,
        subject=after.run_id,
        payload={
            "from": before.phase.value,
            "to": after.phase.value,
            "epoch": after.epoch,
            "rung": after.rung_index,
            "reason": after.reason or None,
        },
    )


def run_ordered(run: UnlearningRun, order: RunOrder, tickets: int, actor: str, now: datetime) -> LedgerDraft:
    """An operator had a run tried again or moved up its ladder."""
    return LedgerDraft(
        at=now,
        actor=actor,
        kind=LedgerKind.RUN_ORDERED,
        subject=run.run_id,
        payload={
            "action": order.action.value,
            "request": order.request_id,
            "reason": order.reason,
            "rung": order.rung_index,
            "tickets": tickets,
        },
    )


def planned(run: UnlearningRun, plan_digest: str, actor: str, now: datetime) -> LedgerDraft:
    """An attempt's audit was planned, before the attempt began."""
    return LedgerDraft(
        at=now,
        actor=actor,
        kind=LedgerKind.AUDIT_PLANNED,
        subject=run.run_id,
        payload={"attempt": run.epoch, "rung": run.rung_index, "plan": plan_digest},
    )


def judged(
    run: UnlearningRun, attempt: AttemptSummary, candidate_digest: str, actor: str, now: datetime
) -> LedgerDraft:
    """The gate judged a candidate."""
    return LedgerDraft(
        at=now,
        actor=actor,
        kind=LedgerKind.VERDICT,
        subject=run.run_id,
        payload={
            "attempt": attempt.attempt,
            "rung": attempt.rung,
            "verdict": attempt.verdict.value,
            "claim": attempt.claim.value,
            "plan": attempt.plan_digest,
            "report": attempt.report_digest,
            "candidate": candidate_digest,
        },
    )


def released(release: Release, actor: str) -> LedgerDraft:
    """A model version was published."""
    return LedgerDraft(
        at=release.created_at,
        actor=actor,
        kind=LedgerKind.RELEASED,
        subject=release.lineage,
        payload={
            "release": release.number,
            "weights": release.weights_digest,
            "report": release.report_digest,
            "run": release.run_id,
            "forgotten": release.forget_count,
        },
    )


def hold_placed(hold: Hold) -> LedgerDraft:
    """Samples were put under a hold."""
    return LedgerDraft(
        at=hold.placed_at,
        actor=hold.placed_by,
        kind=LedgerKind.HOLD_PLACED,
        subject=hold.hold_id,
        payload={
            "lineage": hold.lineage,
            "samples": hold.sample_count,
            "ids_commitment": hold.ids_commitment,
            "treatment": hold.treatment.value,
            "legal_basis": hold.legal_basis,
        },
    )


def hold_released(hold: Hold, end: HoldRelease) -> LedgerDraft:
    """A hold ended."""
    return LedgerDraft(
        at=end.at,
        actor=end.actor,
        kind=LedgerKind.HOLD_RELEASED,
        subject=hold.hold_id,
        payload={"lineage": hold.lineage, "samples": hold.sample_count, "reason": end.reason},
    )


def deployed(deployment: Deployment, tickets: int, actor: str) -> LedgerDraft:
    """A serving system said which weights it runs."""
    return LedgerDraft(
        at=deployment.acknowledged_at,
        actor=actor,
        kind=LedgerKind.DEPLOYED,
        subject=deployment.lineage,
        payload={
            "deployment": deployment.name,
            "release": deployment.release_number,
            "weights": deployment.weights_digest,
            "since": deployment.deployed_at.isoformat(),
            "request": deployment.request_id,
            "tickets": tickets,
        },
    )


def pointer_restored(release: Release, found: int, resurrected: int, actor: str, now: datetime) -> LedgerDraft:
    """Readers had been pointed to another release than the current one."""
    return LedgerDraft(
        at=now,
        actor=actor,
        kind=LedgerKind.POINTER_RESTORED,
        subject=release.lineage,
        payload={"release": release.number, "found": found or None, "resurrected": resurrected},
    )


def purge_scheduled(purge: ReleasePurge, actor: str, now: datetime) -> LedgerDraft:
    """A release was superseded, and the time set at which its weights go."""
    return LedgerDraft(
        at=now,
        actor=actor,
        kind=LedgerKind.PURGE_SCHEDULED,
        subject=purge.lineage,
        payload={"release": purge.number, "purge_at": purge.purge_at.isoformat()},
    )


def purged(release: Release, actor: str, now: datetime) -> LedgerDraft:
    """The weights of a superseded release are gone, all versions of them."""
    return LedgerDraft(
        at=now,
        actor=actor,
        kind=LedgerKind.PURGED,
        subject=release.lineage,
        payload={"release": release.number, "weights": release.weights_digest},
    )


def references_registered(record: ReferenceRecord, actor: str) -> LedgerDraft:
    """A family of leave-out models is there."""
    plan = record.plan
    return LedgerDraft(
        at=record.built_at,
        actor=actor,
        kind=LedgerKind.REFERENCES_REGISTERED,
        subject=plan.lineage,
        payload={
            "plan": plan.digest,
            "family": record.digest,
            "purpose": plan.purpose.value,
            "manifest": plan.manifest_digest,
            "folds": plan.config.folds,
            "seed": plan.config.seed,
            "samples": plan.samples,
            "left_out": plan.left_out,
        },
    )


def references_tainted(plan: ReferencePlan, taint: ReferenceTaint, actor: str, now: datetime) -> LedgerDraft:
    """A release has forgotten samples that a family, finished or not, was trained on."""
    return LedgerDraft(
        at=now,
        actor=actor,
        kind=LedgerKind.REFERENCES_TAINTED,
        subject=plan.lineage,
        payload={"plan": plan.digest, "release": taint.release, "purge_by": taint.purge_by.isoformat()},
    )


def references_purged(lineage: str, plan_digest: str, reason: str, actor: str, now: datetime) -> LedgerDraft:
    """The weights of a family are gone."""
    return LedgerDraft(
        at=now,
        actor=actor,
        kind=LedgerKind.REFERENCES_PURGED,
        subject=lineage,
        payload={"plan": plan_digest, "reason": reason},
    )
