"""HARD: what was not measured has failed."""

from typing import Any

import pytest

from mcu_core.judging.case import PRIMARY_TESTS, Case, Check, failures
from mcu_core.judging.completeness import CanariesMeasured, EveryTestMade, HarmMeasured
from mcu_core.report.evidence import CanaryEvidence, Evidence, Group, Result, Role
from mcu_core.report.judgement import ReasonCode
from mcu_core.report.plan import AuditPlan, CanaryPlan, Signal
from tests.evidence import a_plan, an_evidence, some_facts
from tests.results import CANARY_PLAN, POLICY, a_canary_evidence, auc_result

PLAN = a_plan()
WITH_CANARIES = a_plan(canaries=CANARY_PLAN)
FAMILIES = ("primary", "positive_control", "negative_control")


def failed_checks(check: Check, evidence: Evidence, plan: AuditPlan = PLAN) -> list[tuple[str, ReasonCode | None]]:
    findings = check.check(Case(evidence=evidence, plan=plan, policy=POLICY))
    assert findings
    return [(found.check, found.code) for found in failures(findings)]


def changed(result: Result, **update: Any) -> Result:
    return result.model_copy(update=update)


def with_test(family: str, position: int, **update: Any) -> Evidence:
    evidence = an_evidence(PLAN)
    tests = list(getattr(evidence, family))
    tests[position] = changed(tests[position], **update)
    return evidence.model_copy(update={family: tuple(tests)})


@pytest.mark.parametrize("check", [EveryTestMade(), CanariesMeasured(), HarmMeasured()])
@pytest.mark.parametrize("plan", [PLAN, WITH_CANARIES, a_plan(forget_count=1)])
def test_a_complete_audit_passes(check: Check, plan: AuditPlan) -> None:
    assert failed_checks(check, an_evidence(plan), plan) == []


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("position", "test"), list(enumerate(PRIMARY_TESTS)))
@pytest.mark.parametrize(
    "update",
    [
        {"p_value": None},
        {"p_value": 1.5},
        {"value": None},
        {"role": Role.PRE_UNLEARNED},
        {"signal": Signal.PHI},
        {"signal": None},
    ],
)
def test_a_primary_test_that_lacks_something_is_missing(
    family: str, position: int, test: str, update: dict[str, Any]
) -> None:
    ((check, code),) = failed_checks(EveryTestMade(), with_test(family, position, **update))

    assert check.startswith(f"measured.{family}.{test}")
    assert code is ReasonCode.MEASUREMENT_MISSING


@pytest.mark.parametrize("family", FAMILIES)
def test_tests_in_another_order_are_missing(family: str) -> None:
    evidence = an_evidence(PLAN)
    auc, upper, lower = getattr(evidence, family)
    shuffled = evidence.model_copy(update={family: (auc, lower, upper)})

    assert failed_checks(EveryTestMade(), shuffled) != []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_test_that_is_there_twice_is_one_too_many(family: str) -> None:
    evidence = an_evidence(PLAN)
    tests = getattr(evidence, family)
    more = evidence.model_copy(update={family: (*tests, tests[0])})

    assert failed_checks(EveryTestMade(), more) != []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_without_tests_is_missing(family: str) -> None:
    assert len(failed_checks(EveryTestMade(), an_evidence(PLAN).model_copy(update={family: ()}))) == 3


@pytest.mark.parametrize("name", ["blind_baseline", "calibration"])
def test_a_control_without_its_p_value_is_missing(name: str) -> None:
    evidence = an_evidence(PLAN)
    without = evidence.model_copy(update={name: changed(getattr(evidence, name), p_value=None)})

    assert failed_checks(EveryTestMade(), without) == [(f"measured.{name}", ReasonCode.MEASUREMENT_MISSING)]


@pytest.mark.parametrize(
    ("forget_count", "reason", "lacks"),
    [(9, "fewer than 10 samples", False), (9, None, True), (10, "fewer than 10 samples", True)],
)
def test_the_blind_baseline_may_be_not_estimable_below_ten_samples_with_a_reason(
    forget_count: int, reason: str | None, lacks: bool
) -> None:
    plan = a_plan(forget_count=forget_count)
    evidence = an_evidence(plan)
    blind = changed(evidence.blind_baseline, p_value=None, value=None, not_estimable=reason)

    assert bool(failed_checks(EveryTestMade(), evidence.model_copy(update={"blind_baseline": blind}), plan)) is lacks


# Canaries


def test_planned_canaries_that_were_not_measured_are_missing() -> None:
    evidence = an_evidence(WITH_CANARIES).model_copy(update={"canaries": None})

    assert failed_checks(CanariesMeasured(), evidence, WITH_CANARIES) == [
        ("measured.canaries", ReasonCode.MEASUREMENT_MISSING)
    ]


def test_canaries_that_nobody_planned_do_not_belong_there() -> None:
    evidence = an_evidence(PLAN, canaries=a_canary_evidence())

    assert failed_checks(CanariesMeasured(), evidence) == [("measured.canaries", ReasonCode.PLAN_MISMATCH)]


@pytest.mark.parametrize("plan", [CanaryPlan(included=59, excluded=60, coin_commitment="c" * 64),
                                  CanaryPlan(included=60, excluded=61, coin_commitment="c" * 64)])  # fmt: skip
def test_more_or_fewer_canaries_than_planned_do_not_belong_there(plan: CanaryPlan) -> None:
    evidence = an_evidence(WITH_CANARIES, canaries=a_canary_evidence(plan=plan))

    assert failed_checks(CanariesMeasured(), evidence, WITH_CANARIES) == [
        ("measured.canaries", ReasonCode.PLAN_MISMATCH)
    ]


@pytest.mark.parametrize("name", ["original", "candidate"])
def test_canaries_without_an_auc_are_missing(name: str) -> None:
    canaries = a_canary_evidence()
    without = canaries.model_copy(update={name: changed(getattr(canaries, name), value=None)})

    assert failed_checks(CanariesMeasured(), an_evidence(WITH_CANARIES, canaries=without), WITH_CANARIES) == [
        ("measured.canaries", ReasonCode.MEASUREMENT_MISSING)
    ]


@pytest.mark.parametrize("name", list(CanaryEvidence.model_fields))
@pytest.mark.parametrize("update", [{"p_value": None}, {"role": Role.RELEARNED}])
def test_a_test_of_canaries_that_lacks_something_is_missing(name: str, update: dict[str, Any]) -> None:
    canaries = a_canary_evidence()
    without = canaries.model_copy(update={name: changed(getattr(canaries, name), **update)})

    assert failed_checks(CanariesMeasured(), an_evidence(WITH_CANARIES, canaries=without), WITH_CANARIES) == [
        ("measured.canaries", ReasonCode.MEASUREMENT_MISSING)
    ]


# Harm


@pytest.mark.parametrize("group", [Group.TEST, Group.RETAIN])
def test_a_loss_of_accuracy_that_was_not_measured_is_missing(group: Group) -> None:
    evidence = an_evidence(PLAN)
    rest = {key: loss for key, loss in evidence.utility.items() if key is not group}

    assert failed_checks(HarmMeasured(), evidence.model_copy(update={"utility": rest})) == [
        (f"measured.utility.{group.value}", ReasonCode.MEASUREMENT_MISSING)
    ]


@pytest.mark.parametrize(("level", "lacks"), [(0.94, True), (0.95, False), (0.99, False), (1.0, True)])
def test_a_bound_of_the_loss_must_hold_at_the_gates_level(level: float, lacks: bool) -> None:
    evidence = an_evidence(PLAN)
    utility = {key: loss.model_copy(update={"level": level}) for key, loss in evidence.utility.items()}

    assert bool(failed_checks(HarmMeasured(), evidence.model_copy(update={"utility": utility}))) is lacks


def test_earlier_forgotten_samples_that_were_not_measured_are_missing() -> None:
    evidence = an_evidence(PLAN, facts=some_facts(PLAN, forgotten_before=1))

    assert failed_checks(HarmMeasured(), evidence) == [("measured.forgotten_before", ReasonCode.MEASUREMENT_MISSING)]


@pytest.mark.parametrize("update", [{"p_value": None}, {"value": None}, {"role": Role.CANDIDATE}])
def test_a_relearning_that_lacks_something_is_missing(update: dict[str, Any]) -> None:
    evidence = an_evidence(PLAN)
    without = evidence.model_copy(update={"relearned": changed(evidence.relearned, **update)})

    assert failed_checks(HarmMeasured(), without) != []


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("update", [{"value": None}, {"role": Role.RELEARNED}])
def test_an_exposure_of_retained_people_that_lacks_something_is_missing(position: int, update: dict[str, Any]) -> None:
    evidence = an_evidence(PLAN)
    exposure = list(evidence.retained_exposure)
    exposure[position] = changed(exposure[position], **update)

    assert failed_checks(HarmMeasured(), evidence.model_copy(update={"retained_exposure": tuple(exposure)})) == [
        ("measured.retained_exposure", ReasonCode.MEASUREMENT_MISSING)
    ]


def test_individuals_without_a_probability_are_missing() -> None:
    assert failed_checks(HarmMeasured(), an_evidence(PLAN, smallest_individual_p=-1.0)) == [
        ("measured.individuals", ReasonCode.MEASUREMENT_MISSING)
    ]


def test_an_auc_of_earlier_forgotten_samples_outside_its_range_is_missing() -> None:
    before = changed(auc_result(0.5), value=1.5)

    assert failed_checks(HarmMeasured(), an_evidence(PLAN, forgotten_before=before)) == [
        ("measured.forgotten_before", ReasonCode.MEASUREMENT_MISSING)
    ]
