"""Records of the service as plain values; a test changes what it is about with `dataclasses.replace`."""

import hashlib
from datetime import UTC, datetime, timedelta

from mcu_core.config import ArchitectureConfig, RetrainConfig, TrainConfig, UnlearningConfig, default_ladder
from mcu_core.report import AttemptSummary, AuditPlan, Claim, Verdict
from service.domain.deadline import Regime
from service.domain.deployment import Deployment
from service.domain.hold import Hold, HoldRelease, HoldTreatment
from service.domain.ledger import LedgerDraft, LedgerKind
from service.domain.manifest import Manifest
from service.domain.model import Model
from service.domain.release import Release
from service.domain.run import RunPhase, RunSpec, UnlearningRun, WorkOrder
from service.domain.ticket import IdSource, Ticket
from tests.evidence import a_plan
from tests.results import CANARY_PLAN, POLICY

NOW = datetime(2026, 11, 3, 12, 30, 15, 123456, tzinfo=UTC)
TENANT = "acme"
LINEAGE = "fashion-classifier"
ARCHITECTURE = ArchitectureConfig(
    name="preresnet20", classes=10, channels=1, image_size=28, mean=(0.2860,), std=(0.3530,)
)
RECIPE = RetrainConfig(train=TrainConfig(epochs=3, learning_rate=0.1))


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


MANIFEST = Manifest(digest=digest_of("manifest"), rows=30, train_rows=20, heldout_rows=10, label_max=9)

SPEC = RunSpec(
    lineage=LINEAGE,
    sequence=1,
    base_release=1,
    base_model_digest=digest_of("original"),
    architecture=ARCHITECTURE,
    baseline_train_accuracy=None,
    manifest_digest=MANIFEST.digest,
    resolution_digest=digest_of("resolution"),
    forget_count=3,
    config=UnlearningConfig(ladder=default_ladder(RECIPE)),
    policy=POLICY,
    seed=1,
)


def a_ticket(number: int = 1, *, lineage: str = LINEAGE, tenant: str = TENANT) -> Ticket:
    """Return the ticket of that number; each was received a second after the one before it."""
    received_at = NOW + timedelta(seconds=number)
    return Ticket(
        ticket_id=f"tkt-{number:04d}",
        tenant=tenant,
        lineage=lineage,
        request_id=f"request-{number}",
        payload_digest=digest_of(f"payload {number}"),
        ids_commitment=digest_of(f"ids {number}"),
        source=IdSource.INLINE,
        sample_count=3,
        regime=Regime.GDPR,
        received_at=received_at,
        due_at=received_at + timedelta(days=30),
    )


def a_hold(number: int = 1, *, lineage: str = LINEAGE, tenant: str = TENANT) -> Hold:
    """Return the hold of that number; each was placed a second after the one before it."""
    return Hold(
        hold_id=f"hld-{number:04d}",
        tenant=tenant,
        lineage=lineage,
        request_id=f"hold-{number}",
        payload_digest=digest_of(f"hold {number}"),
        ids_commitment=digest_of(f"held {number}"),
        sample_count=2,
        legal_basis="Court order 7 O 12/26",
        treatment=HoldTreatment.RESTRICT,
        placed_at=NOW + timedelta(seconds=number),
        placed_by="officer",
    )


def an_end(request_id: str = "end-1") -> HoldRelease:
    return HoldRelease(request_id=request_id, reason="Case closed", actor="officer", at=NOW + timedelta(days=1))


def a_model(lineage: str = LINEAGE) -> Model:
    return Model(
        lineage=lineage,
        tenant=TENANT,
        architecture=ARCHITECTURE,
        manifest=MANIFEST,
        weights_digest=SPEC.base_model_digest,
        recipe=RECIPE,
        baseline_train_accuracy=0.1 + 0.2,
        registered_at=NOW,
    )


def a_release(number: int = 1, *, lineage: str = LINEAGE) -> Release:
    return Release(
        lineage=lineage,
        number=number,
        weights_digest=digest_of(f"weights {number}"),
        report_digest=None if number == 1 else digest_of(f"report {number}"),
        run_id=None if number == 1 else f"run-{number}",
        ticket_ids=(),
        forget_count=0,
        created_at=NOW,
    )


def a_deployment(request_id: str = "deploy", *, lineage: str = LINEAGE) -> Deployment:
    return Deployment(
        tenant=TENANT,
        request_id=request_id,
        lineage=lineage,
        name="eu-west",
        weights_digest=digest_of("weights 1"),
        release_number=1,
        deployed_at=NOW - timedelta(minutes=1),
        acknowledged_at=NOW,
        closed_ticket_ids=("tkt-0001",),
    )


def a_run(sequence: int = 1, *, lineage: str = LINEAGE) -> UnlearningRun:
    spec = SPEC.model_copy(update={"sequence": sequence, "lineage": lineage})
    return UnlearningRun(
        run_id=spec.run_id,
        lineage=lineage,
        tenant=TENANT,
        spec=spec,
        ticket_ids=("tkt-0001",),
        phase=RunPhase.PENDING,
        created_at=NOW,
        phase_since=NOW,
    )


def an_attempt(
    epoch: int,
    *,
    rung: int = 0,
    rung_kind: str = "mcu",
    verdict: Verdict = Verdict.REJECT,
    claim: Claim = Claim.NOTHING,
) -> AttemptSummary:
    return AttemptSummary(
        attempt=epoch,
        rung=rung,
        rung_kind=rung_kind,
        verdict=verdict,
        claim=claim,
        plan_digest=digest_of(f"plan {epoch}"),
        report_digest=digest_of(f"report {epoch}"),
    )


def a_plan_for(run: UnlearningRun) -> AuditPlan:
    """Return the plan of a run's present attempt, with canaries."""
    return a_plan(forget_count=run.spec.forget_count, references=None, canaries=CANARY_PLAN).model_copy(
        update={
            "run_id": run.run_id,
            "lineage": run.lineage,
            "attempt": run.epoch,
            "rung": run.rung_index,
            "audits_before": len(run.attempts),
            "base_model": run.spec.base_model_digest,
            "manifest": run.spec.manifest_digest,
            "resolution": run.spec.resolution_digest,
            "policy": run.spec.policy.digest,
            "spec": run.spec.digest,
            "seed": run.spec.seed,
        }
    )


def an_order_for(run: UnlearningRun) -> WorkOrder:
    """Return what the job of a run's present attempt is told."""
    return WorkOrder(
        run_id=run.run_id,
        spec=run.spec,
        epoch=run.epoch,
        rung_index=run.rung_index,
        plan=a_plan_for(run),
        tickets=len(run.ticket_ids),
        planned_at=a_plan_for(run).created_at + 1,
        pathway_epoch=run.pathway_epoch,
        previous_attempts=run.attempts,
        split_key=digest_of("split key"),
    )


def a_draft(number: int = 1) -> LedgerDraft:
    return LedgerDraft(
        at=NOW + timedelta(microseconds=number),
        actor="controller",
        kind=LedgerKind.TICKET_CHANGED,
        subject=f"tkt-{number:04d}",
        payload={"event": "schedule", "number": number, "share": number / 7, "last": False, "reason": None},
    )
