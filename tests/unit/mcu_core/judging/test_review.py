"""REVIEW: what asks for a person."""

import pytest

from mcu_core.judging.case import Case, Check
from mcu_core.judging.review import NoIndividualExtreme, NotRelearnedQuickly, RetainedNotMoreExposed
from mcu_core.report.evidence import Evidence, Role
from mcu_core.report.judgement import Finding, ReasonCode, Stage
from mcu_core.report.plan import AuditPlan
from tests.evidence import a_plan, an_evidence
from tests.results import CLEAR, POLICY, auc_result

PLAN = a_plan()
CONTROL = POLICY.control_alpha


def found(check: Check, evidence: Evidence, plan: AuditPlan = PLAN) -> Finding:
    (finding,) = check.check(Case(evidence=evidence, plan=plan, policy=POLICY))
    assert finding.stage is Stage.REVIEW
    return finding


@pytest.mark.parametrize(
    ("auc", "p_value", "passed"),
    [(0.56, CLEAR, False), (0.55, CLEAR, True), (0.9, CONTROL, True), (0.3, CLEAR, True), (0.9, CLEAR, False)],
)
def test_relearning_must_be_both_significant_and_beyond_the_margin_to_fail(
    auc: float, p_value: float, passed: bool
) -> None:
    finding = found(
        NotRelearnedQuickly(), an_evidence(PLAN, relearned=auc_result(auc, role=Role.RELEARNED, p_value=p_value))
    )

    assert finding.passed is passed
    assert finding.code is (None if passed else ReasonCode.RELEARNED_QUICKLY)


@pytest.mark.parametrize(
    ("exposure", "passed"), [((0.6, 0.6), True), ((0.6, 0.5), True), ((0.6, 0.66), True), ((0.6, 0.7), False)]
)
def test_retained_people_may_be_exposed_up_to_the_margin_and_no_further(
    exposure: tuple[float, float], passed: bool
) -> None:
    finding = found(RetainedNotMoreExposed(), an_evidence(PLAN, retained_exposure=exposure))

    assert finding.passed is passed
    assert finding.code is (None if passed else ReasonCode.RETAINED_MORE_EXPOSED)


@pytest.mark.parametrize(
    ("audits_before", "smallest", "passed"), [(0, 0.05, True), (0, 0.049, False), (1, 0.049, True), (1, 0.024, False)]
)
def test_a_single_extreme_sample_fails_at_the_level_of_the_attempt(
    audits_before: int, smallest: float, passed: bool
) -> None:
    plan = a_plan(audits_before=audits_before)
    finding = found(NoIndividualExtreme(), an_evidence(plan, smallest_individual_p=smallest), plan)

    assert finding.passed is passed
    assert finding.code is (None if passed else ReasonCode.INDIVIDUAL_EXTREME)


WHOLE = an_evidence(PLAN)


@pytest.mark.parametrize(
    ("check", "update"),
    [
        (NotRelearnedQuickly(), {"relearned": WHOLE.relearned.model_copy(update={"p_value": None})}),
        (NotRelearnedQuickly(), {"relearned": WHOLE.relearned.model_copy(update={"value": None})}),
        (NotRelearnedQuickly(), {"positive_control": ()}),
        (RetainedNotMoreExposed(), {"retained_exposure": (WHOLE.relearned, auc_result(0.5, n=5))}),
        (NoIndividualExtreme(), {"individuals": WHOLE.individuals.model_copy(update={"smallest": 2.0})}),
    ],
)
def test_what_was_not_measured_has_failed(check: Check, update: dict[str, object]) -> None:
    finding = found(check, WHOLE.model_copy(update=update))

    assert not finding.passed
    assert finding.code is ReasonCode.MEASUREMENT_MISSING
