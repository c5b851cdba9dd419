"""Plan, evidence and report of an audit, every number that the gate reads chosen by the test.

The defaults: an original that plainly remembers 1 000 samples and a candidate that forgot them, found by a powerful
audit without canaries.
"""

from collections.abc import Mapping

from mcu_core.config import UnlearningConfig, default_ladder
from mcu_core.judging.decide import decide
from mcu_core.judging.policy import AuditPolicy
from mcu_core.report.document import AttemptSummary, AuditReport, Deletion, Subjects
from mcu_core.report.evidence import (
    BatchNormSource,
    CanaryEvidence,
    ClassChange,
    Duplicates,
    Evidence,
    Facts,
    Group,
    RelearningPoint,
    Result,
    Role,
)
from mcu_core.report.judgement import Claim, Judgement, ReasonCode, Verdict
from mcu_core.report.parts import (
    Counts,
    Environment,
    ModelName,
    PathwayReport,
    References,
    UtilityLoss,
    WeightChange,
)
from mcu_core.report.plan import AuditPlan, CanaryPlan, ReferencesPlan, Signal
from tests.figures import PATHWAY, model_rows, some_figures
from tests.results import (
    CLEAR,
    CONFIDENCE,
    NON_MEMBERS,
    POLICY,
    RETAINED,
    a_canary_evidence,
    auc_result,
    p_value_result,
    primary_tests,
    some_individuals,
)

ORIGINAL_DIGEST = "0" * 63 + "1"
PRE_UNLEARNED_DIGEST = "0" * 63 + "2"
CANDIDATE_DIGEST = "0" * 63 + "3"
RELEARNED_DIGEST = "0" * 63 + "4"
PLANNED_AT = 1_780_000_000_000_000
"""Microseconds since 1970-01-01 UTC."""
REFERENCES_PLAN = ReferencesPlan(family="d" * 64, folds=5)


def a_plan(
    *,
    forget_count: int = 1_000,
    audits_before: int = 0,
    signal: Signal = Signal.CALIBRATED,
    references: ReferencesPlan | None = REFERENCES_PLAN,
    canaries: CanaryPlan | None = None,
    policy: AuditPolicy = POLICY,
) -> AuditPlan:
    """Return what the control plane fixed before the run."""
    return AuditPlan(
        run_id="run-1",
        lineage="faces",
        attempt=audits_before + 1,
        rung=min(audits_before, 2),
        audits_before=audits_before,
        base_model=ORIGINAL_DIGEST,
        manifest="a" * 64,
        resolution="b" * 64,
        policy=policy.digest,
        spec="e" * 64,
        forget_count=forget_count,
        forget_root="f" * 64,
        split_commitment="9" * 64,
        primary_signal=Signal.PHI if references is None or signal is Signal.PHI else Signal.CALIBRATED,
        references=references,
        canaries=canaries,
        seed=7,
        tail_level=policy.tail_level,
        confidence=CONFIDENCE,
        retain_images=RETAINED,
        svc_samples=2_000,
        created_at=PLANNED_AT,
    )


def some_facts(
    plan: AuditPlan,
    *,
    digests: Mapping[Role, str] | None = None,
    changed_elements: int = 120_000,
    batchnorm: BatchNormSource = BatchNormSource.REPRODUCED,
    shared_rows: int = 0,
    forgotten_before: int = 0,
    duplicates: Duplicates | None = None,
    relearned_auc: float = 0.52,
    pathway: PathwayReport | None = PATHWAY,
    started_at: int = PLANNED_AT + 1,
) -> Facts:
    """Return what SCORE knows of a run that followed the plan."""
    made = (
        {
            Role.ORIGINAL: ORIGINAL_DIGEST,
            Role.PRE_UNLEARNED: PRE_UNLEARNED_DIGEST,
            Role.CANDIDATE: CANDIDATE_DIGEST,
            Role.RELEARNED: RELEARNED_DIGEST,
        }
        if digests is None
        else dict(digests)
    )
    n = plan.forget_count
    return Facts(
        plan=plan.digest,
        digests=made,
        names={
            Role.ORIGINAL: ModelName.ORIGINAL,
            Role.PRE_UNLEARNED: ModelName.NEGGRAD_PLUS,
            Role.CANDIDATE: ModelName.MCU_BETA,
        },
        seconds={Role.ORIGINAL: 0.0, Role.PRE_UNLEARNED: 61.5, Role.CANDIDATE: 92.25, Role.RELEARNED: 30.0},
        chosen_t=None if pathway is None else pathway.chosen_t,
        weight_change=WeightChange(
            changed_elements=changed_elements, total_elements=272_474, relative_l2=0.0625 if changed_elements else 0.0
        ),
        batchnorm=batchnorm,
        shared_rows=shared_rows,
        counts=Counts(
            train=20_000 + n, forget=n, retain=20_000, forgotten_before=forgotten_before, held=0, validation=1_000,
            test=6_000, sealed=2 * NON_MEMBERS, sealed_matched=2 * NON_MEMBERS,
        ),
        references=References(train_accuracy=0.99, validation_accuracy=0.9),
        duplicates=duplicates or Duplicates(exact=0, near=0, searched=n, method="perceptual hash, distance 4 of 64"),
        relearning=tuple(
            RelearningPoint(
                epochs=share / 4,
                forget_accuracy=0.9 + share / 400,
                auc=0.5 + (relearned_auc - 0.5) * share / 4,
            )
            for share in range(5)
        ),
        pathway=pathway,
        phase_seconds={"pre_unlearning": 61.5, "pathway": 30.75, "score": 20.0, "probe": 30.0},
        started_at=started_at,
        environment=Environment(
            versions={"torch": "2.14", "unlearning-service": "0.3"},
            device="cpu", processor="x86_64 AVX2", threads=2, precision="float32",
        ),
    )  # fmt: skip


def an_evidence(
    plan: AuditPlan | None = None,
    *,
    facts: Facts | None = None,
    primary: tuple[Result, ...] | None = None,
    positive_control: tuple[Result, ...] | None = None,
    negative_control: tuple[Result, ...] | None = None,
    blind_p: float = 0.5,
    calibration_p: float = 0.5,
    canaries: CanaryEvidence | None = None,
    smallest_individual_p: float = 0.9,
    test_loss_upper: float = 0.01,
    retain_loss_upper: float = 0.008,
    relearned: Result | None = None,
    retained_exposure: tuple[float, float] = (0.62, 0.61),
    forgotten_before: Result | None = None,
    m: int = NON_MEMBERS,
) -> Evidence:
    """Return evidence that belongs to the plan; canaries are there by default where the plan has them."""
    plan = plan or a_plan()
    n, signal = plan.forget_count, plan.primary_signal
    found = facts or some_facts(plan)
    if canaries is None and plan.canaries is not None:
        canaries = a_canary_evidence(plan=plan.canaries)
    before, after = (
        auc_result(value, role=role, signal=signal, n=RETAINED, m=m)
        for value, role in zip(retained_exposure, (Role.ORIGINAL, Role.CANDIDATE), strict=True)
    )
    return Evidence(
        facts=found,
        models=model_rows(found, n),
        primary=primary or primary_tests(signal=signal, n=n, m=m),
        positive_control=positive_control
        or primary_tests(
            0.75, auc_p=None if n >= 10 else 0.2, upper_p=CLEAR if n >= 10 else 0.5, role=Role.ORIGINAL,
            signal=signal, n=n, m=m,
        ),
        negative_control=negative_control or primary_tests(0.503, signal=signal, n=n, m=m),
        blind_baseline=p_value_result("blind_baseline", blind_p, value=0.505, role=Role.NONE, n=n),
        calibration=p_value_result("calibration", calibration_p, value=0.011, role=Role.CANDIDATE, n=NON_MEMBERS),
        canaries=canaries,
        individuals=some_individuals(n, smallest=smallest_individual_p),
        utility={
            Group.TEST: UtilityLoss(value=test_loss_upper - 0.006, upper=test_loss_upper, level=0.95, method="paired"),
            Group.RETAIN: UtilityLoss(
                value=retain_loss_upper - 0.003, upper=retain_loss_upper, level=0.95, method="paired"
            ),
        },
        classes=tuple(
            ClassChange(
                label=label, change=-0.004 + label / 1_000, low=-0.024 + label / 1_000, high=0.016 + label / 1_000,
                count=600,
            )
            for label in range(10)
        ),
        secondary=tuple(
            auc_result(value, role=role, signal=each, n=n, m=m)
            for role, value in ((Role.ORIGINAL, 0.74), (Role.PRE_UNLEARNED, 0.46), (Role.CANDIDATE, 0.505))
            for each in (Signal.PHI, Signal.CONFIDENCE, Signal.LOSS, Signal.ENTROPY, Signal.MODIFIED_ENTROPY)
        ),
        relearned=relearned or auc_result(0.505, role=Role.RELEARNED, signal=signal, n=n, m=m, p_value=0.3),
        retained_exposure=(before, after),
        version_pair=auc_result(0.71, name="version_pair", signal=Signal.PHI, n=n, m=m),
        forgotten_before=forgotten_before,
        figures=some_figures(n, m),
    )  # fmt: skip


def a_report(
    plan: AuditPlan | None = None,
    evidence: Evidence | None = None,
    *,
    policy: AuditPolicy = POLICY,
    judgement: Judgement | None = None,
    previous_attempts: tuple[AttemptSummary, ...] = (),
) -> AuditReport:
    """Return the report that an honest worker makes of this evidence."""
    plan = plan or a_plan()
    evidence = evidence or an_evidence(plan)
    return AuditReport(
        subjects=Subjects(
            run_id=plan.run_id,
            lineage=plan.lineage,
            base_model=plan.base_model,
            candidate=evidence.facts.digests[Role.CANDIDATE],
            manifest=plan.manifest,
            resolution=plan.resolution,
            policy=plan.policy,
            spec=plan.spec,
            plan=plan.digest,
            scores="8" * 64,
        ),
        deletion=Deletion(tickets=3, samples=plan.forget_count, root=plan.forget_root),
        attempt=plan.attempt,
        rung=plan.rung,
        rung_kind=("mcu", "another_point", "retrain")[min(plan.rung, 2)],
        seed=plan.seed,
        config=UnlearningConfig(ladder=default_ladder(None)),
        policy_version=policy.version,
        plan=plan,
        evidence=evidence,
        judgement=judgement or decide(evidence, plan, policy),
        previous_attempts=previous_attempts,
    )


def reason_codes(judgement: Judgement) -> list[ReasonCode | None]:
    """Return the codes of the findings that decided."""
    return [reason.code for reason in judgement.reasons]


def an_attempt_before(attempt: int = 1, *, verdict: Verdict = Verdict.REJECT) -> AttemptSummary:
    """Return an earlier attempt of the same run."""
    return AttemptSummary(
        attempt=attempt,
        rung=attempt - 1,
        rung_kind="mcu",
        verdict=verdict,
        claim=Claim.NOTHING,
        plan_digest="6" * 64,
        report_digest="7" * 64,
    )
