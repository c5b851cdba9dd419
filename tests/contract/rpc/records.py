"""Domain records with unremarkable values."""

from datetime import UTC, datetime

from mcu_core.config import ArchitectureConfig, RetrainConfig, TrainConfig, UnlearningConfig, default_ladder
from mcu_core.report import AttemptSummary, Claim, Verdict
from service.domain.manifest import Manifest
from service.domain.model import Model
from service.domain.release import Release
from service.domain.run import RunPhase, RunSpec, UnlearningRun
from tests.results import POLICY

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
TENANT = "local"
LINEAGE = "digits"
ARCHITECTURE = ArchitectureConfig(name="preresnet20", classes=10, channels=1, image_size=8, mean=(0.3,), std=(0.4,))
RECIPE = RetrainConfig(train=TrainConfig(epochs=30, learning_rate=0.1), stop_at_train_accuracy=0.99)


def digest(character: str) -> str:
    return character * 64


def a_model(lineage: str = LINEAGE, tenant: str = TENANT) -> Model:
    manifest = Manifest(digest=digest("a"), rows=1200, train_rows=1000, heldout_rows=200, label_max=9)
    return Model(
        lineage=lineage,
        tenant=tenant,
        architecture=ARCHITECTURE,
        manifest=manifest,
        weights_digest=digest("b"),
        recipe=RECIPE,
        baseline_train_accuracy=0.98,
        registered_at=NOW,
        version=1,
    )


def a_release(number: int, lineage: str = LINEAGE) -> Release:
    is_first = number == 1
    return Release(
        lineage=lineage,
        number=number,
        weights_digest=digest("b" if is_first else "c"),
        report_digest=None if is_first else digest("d"),
        run_id=None if is_first else f"run-{number}",
        ticket_ids=() if is_first else (f"tkt-{number}",),
        forget_count=0 if is_first else 5,
        created_at=NOW,
    )


def a_run(
    run_id: str = "run-1", *, phase: RunPhase = RunPhase.UNLEARNING, ticket_ids: tuple[str, ...] = ()
) -> UnlearningRun:
    spec = RunSpec(
        lineage=LINEAGE,
        sequence=1,
        base_release=1,
        base_model_digest=digest("b"),
        architecture=ARCHITECTURE,
        baseline_train_accuracy=0.98,
        manifest_digest=digest("a"),
        resolution_digest=digest("e"),
        forget_count=5,
        config=UnlearningConfig(ladder=default_ladder(RECIPE)),
        policy=POLICY,
        seed=7,
    )
    attempt = AttemptSummary(
        attempt=1,
        rung=0,
        rung_kind="mcu",
        verdict=Verdict.REJECT,
        claim=Claim.NOTHING,
        plan_digest=digest("2"),
        report_digest=digest("f"),
    )
    return UnlearningRun(
        run_id=run_id,
        lineage=LINEAGE,
        tenant=TENANT,
        spec=spec,
        ticket_ids=ticket_ids,
        phase=phase,
        created_at=NOW,
        phase_since=NOW,
        epoch=2,
        rung_index=1,
        failures=1,
        attempts=(attempt,),
        candidate_digest=digest("1"),
        report_digest=digest("f"),
        verdict=Verdict.REJECT,
        reason="AUC_ABOVE",
        closed_at=NOW if phase in {RunPhase.COMMITTED, RunPhase.FAILED} else None,
        version=3,
    )
