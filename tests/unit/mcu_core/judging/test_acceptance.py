"""ACCEPT: equivalence, and canaries where there are too few samples to show it."""

import pytest

from mcu_core.judging.acceptance import CanariesForgotten, Equivalent, power
from mcu_core.judging.case import Case, Check, failures
from mcu_core.report.evidence import CanaryEvidence, Evidence, Role
from mcu_core.report.judgement import Finding, ReasonCode, Stage
from mcu_core.report.plan import AuditPlan
from tests.evidence import a_plan, an_evidence
from tests.results import CANARY_PLAN, POLICY, a_canary_evidence, primary_tests

PLAN = a_plan()
WITH_CANARIES = a_plan(forget_count=10, canaries=CANARY_PLAN)


def found(check: Check, evidence: Evidence, plan: AuditPlan = PLAN) -> tuple[Finding, ...]:
    return check.check(Case(evidence=evidence, plan=plan, policy=POLICY))


def equivalence(evidence: Evidence, plan: AuditPlan = PLAN) -> Finding:
    (finding,) = found(Equivalent(), evidence, plan)
    return finding


def backing(canaries: CanaryEvidence, plan: AuditPlan = WITH_CANARIES) -> list[ReasonCode | None]:
    return [each.code for each in failures(found(CanariesForgotten(), an_evidence(plan, canaries=canaries), plan))]


@pytest.mark.parametrize("auc", [0.48, 0.5, 0.52])
def test_an_auc_near_one_half_with_a_small_error_is_equivalent(auc: float) -> None:
    finding = equivalence(an_evidence(PLAN, primary=primary_tests(auc)))

    assert finding.passed
    assert finding.stage is Stage.ACCEPT
    assert finding.code is ReasonCode.EQUIVALENT
    assert finding.threshold == POLICY.margin_large


@pytest.mark.parametrize("auc", [0.44, 0.54, 0.7])
def test_an_auc_near_the_margin_or_beyond_is_not_equivalent(auc: float) -> None:
    finding = equivalence(an_evidence(PLAN, primary=primary_tests(auc)))

    assert not finding.passed
    assert finding.stage is Stage.REVIEW
    assert finding.code is ReasonCode.NOT_EQUIVALENT


def test_not_significant_is_not_equivalent() -> None:
    plan = a_plan(forget_count=20)
    evidence = an_evidence(plan, primary=primary_tests(0.5, auc_p=1.0, n=20))

    assert not equivalence(evidence, plan).passed


def test_a_weak_original_asks_for_more() -> None:
    weak = primary_tests(0.55, role=Role.ORIGINAL)
    candidate = primary_tests(0.51)

    assert equivalence(an_evidence(PLAN, primary=candidate)).passed
    assert not equivalence(an_evidence(PLAN, primary=candidate, positive_control=weak)).passed


def test_a_later_attempt_makes_equivalence_harder() -> None:
    primary = primary_tests(0.53)
    later = a_plan(audits_before=4)

    assert equivalence(an_evidence(PLAN, primary=primary)).passed
    assert not equivalence(an_evidence(later, primary=primary), later).passed


@pytest.mark.parametrize("error", [0.0, -1.0, None])
def test_an_auc_without_an_error_is_not_shown_to_be_equivalent(error: float | None) -> None:
    first, *rest = primary_tests()
    evidence = an_evidence(PLAN, primary=(first.model_copy(update={"standard_error": error}), *rest))

    assert equivalence(evidence).code is ReasonCode.NOT_EQUIVALENT


def test_below_ten_samples_nothing_is_equivalent_however_small_the_error() -> None:
    plan = a_plan(forget_count=9)
    finding = equivalence(an_evidence(plan, primary=primary_tests(n=9, standard_error=0.001)), plan)

    assert finding.code is ReasonCode.NOT_EQUIVALENT
    assert finding.text == "Equivalence cannot be shown with 9 deleted samples."


@pytest.mark.parametrize("update", [{"primary": ()}, {"positive_control": ()}])
def test_equivalence_without_its_aucs_has_failed(update: dict[str, object]) -> None:
    finding = equivalence(an_evidence(PLAN).model_copy(update=update))

    assert finding.code is ReasonCode.MEASUREMENT_MISSING


@pytest.mark.parametrize(("forget_count", "small"), [(1, True), (9, True), (10, True), (100, False), (1_000, False)])
def test_an_audit_is_small_below_about_a_hundred_samples(forget_count: int, small: bool) -> None:
    plan = a_plan(forget_count=forget_count)
    case = Case(evidence=an_evidence(plan), plan=plan, policy=POLICY)

    assert (power(case) < POLICY.least_power) is small


# Canaries


def test_forgotten_canaries_carry_an_acceptance() -> None:
    findings = found(CanariesForgotten(), an_evidence(WITH_CANARIES), WITH_CANARIES)

    assert [finding.check for finding in findings] == ["canaries.original", "canaries.one_run", "canaries.candidate"]
    assert all(finding.passed for finding in findings)
    assert findings[-1].code is ReasonCode.CANARY_BACKED
    assert findings[-1].stage is Stage.ACCEPT


@pytest.mark.parametrize(
    ("candidate", "code"), [(0.68, ReasonCode.CANARIES_REMEMBERED), (0.32, ReasonCode.CANARIES_OVER_FORGOTTEN)]
)
def test_canaries_whose_interval_leaves_the_margin_carry_nothing(candidate: float, code: ReasonCode) -> None:
    assert backing(a_canary_evidence(candidate, candidate_p=0.5)) == [code]


def test_canaries_that_the_original_did_not_remember_carry_nothing() -> None:
    assert ReasonCode.ORIGINAL_NOT_REJECTED in backing(a_canary_evidence(original=0.55))


def test_canaries_that_the_original_had_over_forgotten_carry_nothing() -> None:
    assert ReasonCode.ORIGINAL_NOT_REJECTED in backing(a_canary_evidence(original=0.05))


def test_planted_canaries_that_can_be_guessed_carry_nothing() -> None:
    assert backing(a_canary_evidence(one_run_p=0.001)) == [ReasonCode.CANARIES_REMEMBERED]


def test_an_original_that_remembers_less_asks_for_a_narrower_interval() -> None:
    assert backing(a_canary_evidence(original=0.95)) == []
    assert backing(a_canary_evidence(original=0.68)) == [ReasonCode.CANARIES_REMEMBERED]


def test_a_later_attempt_asks_for_a_wider_interval() -> None:
    canaries = a_canary_evidence(0.61, candidate_p=0.5)
    later = a_plan(forget_count=10, canaries=CANARY_PLAN, audits_before=5)

    assert backing(canaries) == []
    assert backing(canaries, later) == [ReasonCode.CANARIES_REMEMBERED]


@pytest.mark.parametrize(
    ("name", "update"),
    [
        ("candidate", {"low": None}),
        ("candidate", {"value": None}),
        ("one_run", {"p_value": None}),
        ("original", {"value": None}),
        ("original", {"p_value": None}),
    ],
)
def test_canaries_that_lack_a_number_carry_nothing(name: str, update: dict[str, object]) -> None:
    canaries = a_canary_evidence()
    lacking = getattr(canaries, name).model_copy(update=update)

    assert ReasonCode.MEASUREMENT_MISSING in backing(canaries.model_copy(update={name: lacking}))


def test_no_canaries_carry_nothing() -> None:
    findings = found(CanariesForgotten(), an_evidence(PLAN))

    assert [finding.code for finding in findings] == [ReasonCode.MEASUREMENT_MISSING]
