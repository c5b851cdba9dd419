"""What checks are given, and how they are put together: what was not checked has failed."""

from dataclasses import dataclass

import pytest

from mcu_core.judging.case import AllOf, Case, failures, finding, p_of, share_of, shown
from mcu_core.report.evidence import Role
from mcu_core.report.judgement import Finding, ReasonCode, Stage
from tests.evidence import a_plan, an_evidence
from tests.results import POLICY, a_canary_evidence, auc_result, primary_tests

PASSED = finding("a", Stage.REVIEW, None, "Fine.")
FAILED = finding("b", Stage.REVIEW, ReasonCode.NOT_EQUIVALENT, "Not fine.")


@dataclass(frozen=True)
class Finds:
    findings: tuple[Finding, ...]

    def check(self, case: Case) -> tuple[Finding, ...]:  # noqa: ARG002 - it finds the same in every case
        return self.findings


def a_case(*, forget_count: int = 1_000, audits_before: int = 0, original_auc: float = 0.75) -> Case:
    plan = a_plan(forget_count=forget_count, audits_before=audits_before)
    control = primary_tests(original_auc, role=Role.ORIGINAL, n=forget_count)
    return Case(evidence=an_evidence(plan, positive_control=control), plan=plan, policy=POLICY)


def test_an_empty_all_of_fails() -> None:
    (found,) = AllOf(Stage.REVIEW, ()).check(a_case())

    assert not found.passed
    assert found.code is ReasonCode.MEASUREMENT_MISSING


def test_a_check_that_finds_nothing_fails() -> None:
    findings = AllOf(Stage.REVIEW, (Finds((PASSED,)), Finds(()))).check(a_case())

    assert [found.passed for found in findings] == [True, False]
    assert findings[1].code is ReasonCode.MEASUREMENT_MISSING


def test_all_of_returns_the_findings_of_all_checks_in_their_order() -> None:
    findings = AllOf(Stage.REVIEW, (Finds((PASSED, FAILED)), Finds((PASSED,)))).check(a_case())

    assert findings == (PASSED, FAILED, PASSED)
    assert failures(findings) == (FAILED,)


@pytest.mark.parametrize(("audits_before", "alpha"), [(0, 0.05), (1, 0.025), (2, 0.0125)])
def test_the_level_halves_with_each_attempt(audits_before: int, alpha: float) -> None:
    assert a_case(audits_before=audits_before).alpha == alpha


@pytest.mark.parametrize(
    ("forget_count", "original_auc", "margin"),
    [
        (399, 0.9, POLICY.margin),
        (400, 0.9, POLICY.margin_large),
        (399, 0.58, 0.04),
        (399, 0.42, 0.0),
        (400, 0.52, 0.01),
    ],
)
def test_the_smallest_of_three_margins_is_in_effect(forget_count: int, original_auc: float, margin: float) -> None:
    assert a_case(forget_count=forget_count, original_auc=original_auc).margin == pytest.approx(margin)


def test_there_is_no_margin_where_the_original_was_not_measured() -> None:
    case = a_case()
    without = case.evidence.model_copy(update={"positive_control": case.evidence.positive_control[1:]})

    assert Case(evidence=without, plan=case.plan, policy=POLICY).margin is None


def test_the_canaries_are_the_last_primary_test_of_both_models() -> None:
    case, canaries = a_case(), a_canary_evidence()
    evidence = case.evidence.model_copy(update={"canaries": canaries})
    case = Case(evidence=evidence, plan=case.plan, policy=POLICY)

    assert case.original_tests == (*evidence.positive_control, canaries.original)
    assert case.candidate_tests == (*evidence.primary, canaries.candidate)


@pytest.mark.parametrize("number", [None, -0.1, 1.1])
def test_what_is_no_probability_is_no_measurement(number: float | None) -> None:
    result = auc_result(0.5).model_copy(update={"p_value": number, "value": number})

    assert p_of(result) is None
    assert share_of(result) is None


@pytest.mark.parametrize(
    ("p_value", "text"), [(0.0, "p < 0.000001"), (1e-9, "p < 0.000001"), (0.0123, "p 0.012"), (1.0, "p 1")]
)
def test_a_p_value_is_shown_with_two_digits_and_never_as_zero(p_value: float, text: str) -> None:
    assert shown(p_value) == text
