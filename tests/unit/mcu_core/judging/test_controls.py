"""VALIDITY: an instrument that sees too much, or nothing."""

import pytest

from mcu_core.judging.case import Case, Check
from mcu_core.judging.controls import BlindToTheModel, Calibrated, OriginalRejected, UnseenNotRejected
from mcu_core.judging.decide import decide
from mcu_core.report.evidence import Evidence, Role
from mcu_core.report.judgement import Finding, ReasonCode, Stage, Verdict
from mcu_core.report.plan import AuditPlan
from tests.evidence import a_plan, an_evidence
from tests.results import CANARY_PLAN, CLEAR, POLICY, a_canary_evidence, primary_tests

PLAN = a_plan()
CONTROL = POLICY.control_alpha


def found(check: Check, evidence: Evidence, plan: AuditPlan = PLAN) -> Finding:
    (finding,) = check.check(Case(evidence=evidence, plan=plan, policy=POLICY))
    assert finding.stage is Stage.VALIDITY
    return finding


def an_original(auc: float = 0.6, *, auc_p: float = 0.5, upper_p: float = 0.5, lower_p: float = 0.5) -> Evidence:
    tests = primary_tests(auc, auc_p=auc_p, upper_p=upper_p, lower_p=lower_p, role=Role.ORIGINAL)
    return an_evidence(PLAN, positive_control=tests)


@pytest.mark.parametrize("evidence", [an_original(auc_p=CLEAR), an_original(upper_p=CLEAR)])
def test_one_significant_test_of_the_original_is_enough(evidence: Evidence) -> None:
    assert found(OriginalRejected(), evidence).passed


@pytest.mark.parametrize("evidence", [an_original(0.3, auc_p=CLEAR), an_original(0.4, auc_p=CLEAR, lower_p=CLEAR)])
def test_an_original_that_d_f_looks_less_seen_to_than_unseen_samples_shows_no_memory(evidence: Evidence) -> None:
    """Hard samples: a candidate at .5 would be one that learned them by heart."""
    finding = found(OriginalRejected(), evidence)

    assert finding.code is ReasonCode.ORIGINAL_NOT_REJECTED
    assert decide(evidence, PLAN, POLICY).verdict is Verdict.VACUOUS


def test_canaries_that_the_original_over_forgot_are_not_enough() -> None:
    plan = a_plan(canaries=CANARY_PLAN)
    canaries = a_canary_evidence(original=0.2, original_p=CLEAR)
    evidence = an_original().model_copy(update={"canaries": canaries})

    assert not found(OriginalRejected(), evidence, plan).passed


def test_an_original_that_no_test_rejects_makes_the_audit_vacuous() -> None:
    finding = found(OriginalRejected(), an_original())

    assert finding.code is ReasonCode.ORIGINAL_NOT_REJECTED
    assert finding.text == (
        "The tests do not see the deleted data even in the original model (AUC 0.600, smallest adjusted p 1), so "
        "passing them shows nothing."
    )


@pytest.mark.parametrize(("p_value", "passed"), [(0.05 / 3, True), (0.0167, False)])
def test_the_original_is_rejected_at_holms_level(p_value: float, passed: bool) -> None:
    assert found(OriginalRejected(), an_original(auc_p=p_value)).passed is passed


def test_a_later_attempt_must_see_the_original_at_its_own_level() -> None:
    later = a_plan(audits_before=1)

    assert not found(OriginalRejected(), an_original(auc_p=0.05 / 3), later).passed


def test_canaries_that_the_original_remembers_are_enough() -> None:
    plan = a_plan(canaries=CANARY_PLAN)
    evidence = an_original().model_copy(update={"canaries": a_canary_evidence(original_p=CLEAR)})

    assert found(OriginalRejected(), evidence, plan).passed


@pytest.mark.parametrize(("p_value", "passed"), [(CONTROL / 3, False), (CONTROL / 2.9, True), (0.5, True)])
def test_unseen_samples_must_not_be_rejected_at_the_controls_level(p_value: float, passed: bool) -> None:
    finding = found(UnseenNotRejected(), an_evidence(PLAN, negative_control=primary_tests(0.53, auc_p=p_value)))

    assert finding.passed is passed
    assert finding.code is (None if passed else ReasonCode.NEGATIVE_CONTROL_REJECTED)


@pytest.mark.parametrize(("p_value", "passed"), [(CONTROL, True), (CONTROL * 0.99, False), (0.0, False)])
def test_who_sees_no_model_must_not_tell_the_samples_apart(p_value: float, passed: bool) -> None:
    finding = found(BlindToTheModel(), an_evidence(PLAN, blind_p=p_value))

    assert finding.passed is passed
    assert finding.code is (None if passed else ReasonCode.BLIND_BASELINE_TELLS_APART)


@pytest.mark.parametrize(("p_value", "passed"), [(CONTROL, True), (CONTROL * 0.99, False), (0.0, False)])
def test_p_values_of_unseen_samples_must_be_uniform(p_value: float, passed: bool) -> None:
    finding = found(Calibrated(), an_evidence(PLAN, calibration_p=p_value))

    assert finding.passed is passed
    assert finding.code is (None if passed else ReasonCode.NOT_CALIBRATED)


@pytest.mark.parametrize(
    ("check", "update"),
    [
        (OriginalRejected(), {"positive_control": ()}),
        (UnseenNotRejected(), {"negative_control": ()}),
        (BlindToTheModel(), {"blind_baseline": an_evidence(PLAN).blind_baseline.model_copy(update={"p_value": None})}),
        (Calibrated(), {"calibration": an_evidence(PLAN).calibration.model_copy(update={"p_value": None})}),
    ],
)
def test_a_control_that_was_not_made_has_failed(check: Check, update: dict[str, object]) -> None:
    finding = found(check, an_evidence(PLAN).model_copy(update=update))

    assert not finding.passed
    assert finding.code is ReasonCode.MEASUREMENT_MISSING
