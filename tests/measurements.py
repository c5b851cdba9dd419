"""Measurements as a worker reports them, every number that the gate reads chosen by the test."""

from collections.abc import Mapping
from typing import Literal

from mcu_core.gate import GatePolicy, judge

from mcu_core.report import (
    AlignmentGaps,
    AucEstimate,
    AuditReport,
    Counts,
    Environment,
    Estimate,
    Interval,
    Measurements,
    MembershipAttack,
    ModelMeasurements,
    ModelName,
    PathPoint,
    PathwayReport,
    References,
    Subjects,
    TailTest,
    UtilityLoss,
    WeightChange,
)
from service.domain.run import WorkOrder

POLICY = GatePolicy(
    version="test",
    alpha=0.05,
    alpha_decay=0.5,
    auc_margin=0.10,
    auc_margin_share_of_original=0.5,
    tail_level=0.01,
    test_accuracy_loss_margin=0.03,
)
ORIGINAL_DIGEST = "0" * 63 + "1"
CANDIDATE_DIGEST = "0" * 63 + "2"
SIDES: tuple[Literal["upper", "lower"], ...] = ("upper", "lower")
NO_TAIL: Mapping[Literal["upper", "lower"], float] = {"upper": 0.8, "lower": 0.9}
"""p-values of a model whose tails tell nothing."""

PATHWAY = PathwayReport(
    sweep=tuple(
        PathPoint(t=t / 4, forget_accuracy=1 - t / 8, retain_accuracy=1 - t / 40, validation_accuracy=0.9, gap=0.1)
        for t in range(5)
    ),
    evaluated=(PathPoint(t=0.81, forget_accuracy=0.8, retain_accuracy=0.97, validation_accuracy=0.9, gap=0.02),),
    region=(Interval(start=0.6, end=0.9),),
    chosen_t=0.8125,
    policy="balanced",
    mask_share=0.4375,
    mask_tensors=7,
    total_tensors=20,
    beta_counts={"0.1": 12, "0.5": 0},
)


def model_row(
    name: ModelName,
    digest: str,
    *,
    auc: float,
    auc_p: float,
    tail_p: Mapping[Literal["upper", "lower"], float] = NO_TAIL,
    tail_level: float = POLICY.tail_level,
    forget: int = 3,
    t: float | None = None,
) -> ModelMeasurements:
    """Return what was measured of one model."""
    rate = Estimate(value=0.75, low=0.5, high=0.9, count=forget, method="clopper-pearson")
    return ModelMeasurements(
        name=name,
        digest=digest,
        t=t,
        unlearning_accuracy=rate,
        retain_accuracy=rate.model_copy(update={"value": 0.8125}),
        test_accuracy=rate.model_copy(update={"value": 0.9375}),
        auc=AucEstimate(
            value=auc, low=None, high=None, p_value=auc_p, forget_count=forget, nonmember_count=10, method="delong"
        ),
        tails=tuple(
            TailTest(
                side=side,
                level=tail_level,
                threshold=3.5,
                forget_count=forget,
                beyond=1,
                share=1 / forget,
                p_value=tail_p[side],
            )
            for side in SIDES
            if side in tail_p
        ),
        membership=MembershipAttack(nonmember_share=0.625, sealed_nonmember_share=0.5, gap=0.125, training_count=10),
        gaps=AlignmentGaps(forget=0.02, retain=0.04, mean=0.03),
        seconds=12.5,
    )


def original_row(
    digest: str = ORIGINAL_DIGEST,
    *,
    auc: float = 0.8,
    auc_p: float = 1e-6,
    tail_p: Mapping[Literal["upper", "lower"], float] = NO_TAIL,
    tail_level: float = POLICY.tail_level,
    forget: int = 3,
) -> ModelMeasurements:
    """Return a model that plainly remembers."""
    return model_row(
        ModelName.ORIGINAL, digest, auc=auc, auc_p=auc_p, tail_p=tail_p, tail_level=tail_level, forget=forget
    )


def candidate_row(
    digest: str = CANDIDATE_DIGEST,
    *,
    auc: float = 0.52,
    auc_p: float = 0.6,
    tail_p: Mapping[Literal["upper", "lower"], float] = NO_TAIL,
    tail_level: float = POLICY.tail_level,
    forget: int = 3,
) -> ModelMeasurements:
    """Return a model that shows no trace."""
    return model_row(
        ModelName.MCU_BETA, digest, auc=auc, auc_p=auc_p, tail_p=tail_p, tail_level=tail_level, forget=forget, t=0.8125
    )


def measurements(
    *models: ModelMeasurements,
    loss_upper: float = 0.01,
    changed_elements: int = 500,
    forget: int = 3,
    pathway: PathwayReport | None = PATHWAY,
) -> Measurements:
    """Return the measurements of these models; without any, of an original that remembers and a clean candidate."""
    return Measurements(
        counts=Counts(
            train=20, forget=forget, retain=20 - forget, forgotten_before=0, held=0, validation=1, test=6, sealed=3,
            sealed_matched=3,
        ),
        references=References(train_accuracy=0.99, validation_accuracy=0.9),
        models=models or (original_row(forget=forget), candidate_row(forget=forget)),
        utility_loss=UtilityLoss(value=0.002, upper=loss_upper, level=0.95, method="paired"),
        weight_change=WeightChange(changed_elements=changed_elements, total_elements=1000, relative_l2=0.0625),
        pathway=pathway,
        seconds={"pathway": 10.0, "audit": 2.5},
        environment=Environment(
            versions={"torch": "2.9"}, device="cpu", processor="x86_64 AVX2", threads=2, precision="float32"
        ),
    )  # fmt: skip


def report_of(order: WorkOrder, measured: Measurements) -> AuditReport:
    """Return the report that an honest worker makes of an order and its measurements."""
    spec = order.spec
    return AuditReport(
        subjects=Subjects(
            run_id=order.run_id,
            lineage=spec.lineage,
            base_model=spec.base_model_digest,
            candidate=measured.candidate.digest,
            manifest=spec.manifest_digest,
            resolution=spec.resolution_digest,
            policy=spec.policy.digest,
            spec=spec.digest,
        ),
        attempt=order.epoch,
        rung=order.rung_index,
        rung_kind=order.rung.kind,
        seed=spec.seed,
        config=spec.config,
        measurements=measured,
        judgement=judge(measured, spec.policy, attempt=order.audits_before),
        previous_attempts=order.previous_attempts,
        limitations=("Approximate unlearning is not retraining.",),
    )
