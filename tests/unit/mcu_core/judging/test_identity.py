"""HARD: measurements that are not of this candidate, this plan or this policy."""

from collections.abc import Mapping
from typing import Any

import pytest

from mcu_core.judging.case import Case, Check, failures
from mcu_core.judging.identity import (
    BatchNormFromRetained,
    ForgetSetComplete,
    ModelsNamed,
    OriginalAsBefore,
    PartsDisjoint,
    PlanBeforeRun,
    PlanFollowed,
    PolicyFollowed,
    WeightsChanged,
)
from mcu_core.judging.policy import AuditPolicy
from mcu_core.report.evidence import BatchNormSource, Evidence, Facts, Role
from mcu_core.report.judgement import ReasonCode, Stage
from mcu_core.report.plan import AuditPlan
from tests.evidence import CANDIDATE_DIGEST, ORIGINAL_DIGEST, PLANNED_AT, a_plan, an_evidence, some_facts
from tests.results import POLICY, primary_tests

PLAN = a_plan()
EVERY_CHECK: tuple[Check, ...] = (
    PlanFollowed(), PolicyFollowed(), PlanBeforeRun(), ModelsNamed(), OriginalAsBefore(),
    WeightsChanged(), ForgetSetComplete(), PartsDisjoint(), BatchNormFromRetained(),
)  # fmt: skip


def code_of(check: Check, evidence: Evidence, *, plan: AuditPlan = PLAN, policy: AuditPolicy = POLICY) -> str | None:
    """Return the code of the first failure."""
    failed = failures(check.check(Case(evidence=evidence, plan=plan, policy=policy)))
    return failed[0].code if failed else None


def with_facts(facts: Facts, **update: Any) -> Evidence:
    return an_evidence(PLAN).model_copy(update={"facts": facts.model_copy(update=update)})


@pytest.mark.parametrize("check", EVERY_CHECK)
def test_an_honest_audit_passes_each_check(check: Check) -> None:
    findings = check.check(Case(evidence=an_evidence(PLAN), plan=PLAN, policy=POLICY))

    assert findings
    assert all(found.passed and found.stage is Stage.HARD and found.code is None for found in findings)


def test_scores_of_another_plan_fail() -> None:
    other = a_plan(forget_count=999)

    assert code_of(PlanFollowed(), with_facts(some_facts(PLAN), plan=other.digest)) == ReasonCode.PLAN_MISMATCH


@pytest.mark.parametrize("name", list(AuditPolicy.model_fields))
def test_a_policy_that_differs_in_any_threshold_fails(name: str) -> None:
    moved = {"version": "other", "margin_large_from": 401}.get(name, 0.011)

    policy = POLICY.model_copy(update={name: moved})

    assert code_of(PolicyFollowed(), an_evidence(PLAN), policy=policy) == ReasonCode.PLAN_MISMATCH


def test_a_plan_with_another_tail_level_than_its_policys_fails() -> None:
    plan = PLAN.model_copy(update={"tail_level": 0.05})

    assert code_of(PolicyFollowed(), an_evidence(plan), plan=plan) == ReasonCode.PLAN_MISMATCH


@pytest.mark.parametrize("started_at", [PLANNED_AT, PLANNED_AT - 1, 0])
def test_a_run_that_is_not_younger_than_its_plan_fails(started_at: int) -> None:
    evidence = an_evidence(PLAN, facts=some_facts(PLAN, started_at=started_at))

    assert code_of(PlanBeforeRun(), evidence) == ReasonCode.PLAN_NOT_BEFORE_RUN


def test_another_original_than_the_plans_fails() -> None:
    plan = PLAN.model_copy(update={"base_model": "5" * 64})

    assert code_of(ModelsNamed(), an_evidence(plan), plan=plan) == ReasonCode.DIGEST_MISMATCH


@pytest.mark.parametrize("position", [0, -1])
def test_a_row_of_another_model_than_the_scores_fails(position: int) -> None:
    evidence = an_evidence(PLAN)
    rows = list(evidence.models)
    rows[position] = rows[position].model_copy(update={"digest": "5" * 64})

    assert code_of(ModelsNamed(), evidence.model_copy(update={"models": tuple(rows)})) == ReasonCode.DIGEST_MISMATCH


def test_rows_in_another_order_fail() -> None:
    evidence = an_evidence(PLAN)
    turned = evidence.model_copy(update={"models": evidence.models[::-1]})

    assert code_of(ModelsNamed(), turned) == ReasonCode.DIGEST_MISMATCH


@pytest.mark.parametrize("role", [Role.ORIGINAL, Role.CANDIDATE])
def test_a_model_without_its_digest_fails(role: Role) -> None:
    digests = {Role.ORIGINAL: ORIGINAL_DIGEST, Role.CANDIDATE: CANDIDATE_DIGEST}
    del digests[role]

    assert code_of(ModelsNamed(), with_facts(some_facts(PLAN), digests=digests)) == ReasonCode.MEASUREMENT_MISSING


@pytest.mark.parametrize("digests", [{Role.ORIGINAL: ORIGINAL_DIGEST, Role.CANDIDATE: ORIGINAL_DIGEST}, {}])
def test_a_candidate_with_the_originals_digest_or_none_is_unchanged(digests: Mapping[Role, str]) -> None:
    assert code_of(WeightsChanged(), with_facts(some_facts(PLAN), digests=digests)) == ReasonCode.WEIGHTS_UNCHANGED


def test_other_bytes_with_the_same_weights_are_unchanged() -> None:
    evidence = an_evidence(PLAN, facts=some_facts(PLAN, changed_elements=0))

    assert code_of(WeightsChanged(), evidence) == ReasonCode.WEIGHTS_UNCHANGED


def test_fewer_samples_in_the_run_than_in_the_requests_fail() -> None:
    facts = some_facts(PLAN)
    counts = facts.counts.model_copy(update={"forget": 999})

    assert code_of(ForgetSetComplete(), with_facts(facts, counts=counts)) == ReasonCode.FORGET_SET_MISMATCH


@pytest.mark.parametrize("tests", ["primary", "positive_control"])
def test_fewer_samples_in_a_test_than_in_the_requests_fail(tests: str) -> None:
    evidence = an_evidence(PLAN).model_copy(update={tests: primary_tests(n=999)})

    assert code_of(ForgetSetComplete(), evidence) == ReasonCode.FORGET_SET_MISMATCH


def test_a_deleted_sample_without_its_own_p_value_fails() -> None:
    evidence = an_evidence(PLAN)
    fewer = evidence.individuals.model_copy(update={"p_two": evidence.individuals.p_two[1:]})

    assert code_of(ForgetSetComplete(), evidence.model_copy(update={"individuals": fewer})) == (
        ReasonCode.FORGET_SET_MISMATCH
    )


def original_right_on(forget: float, retain: float, *, count: int) -> Evidence:
    evidence = an_evidence(PLAN)
    row = evidence.models[0]
    changed = row.model_copy(
        update={
            "unlearning_accuracy": row.unlearning_accuracy.model_copy(update={"value": 1.0 - forget}),
            "retain_accuracy": row.retain_accuracy.model_copy(update={"value": retain, "count": count}),
        }
    )
    return evidence.model_copy(update={"models": (changed, *evidence.models[1:])})


@pytest.mark.parametrize(
    ("forget", "retain", "count", "code"),
    [
        (0.99, 0.99, 2048, None),
        (0.99, 0.981, 2048, None),  # 4 deviations of a sample of D_r
        (0.99, 0.95, 30, None),  # a small sample proves little
        (0.99, 0.93, 2048, ReasonCode.ORIGINAL_ANSWERS_DIFFER),
        (0.1, 0.1, 2048, ReasonCode.ORIGINAL_ANSWERS_DIFFER),  # shuffled labels
        (0.99, 0.1, 100, ReasonCode.ORIGINAL_ANSWERS_DIFFER),
        (0.99, 0.99, 0, ReasonCode.MEASUREMENT_MISSING),
    ],
)
def test_the_original_must_answer_as_it_did_before_the_run(
    forget: float, retain: float, count: int, code: ReasonCode | None
) -> None:
    assert code_of(OriginalAsBefore(), original_right_on(forget, retain, count=count)) == code


@pytest.mark.parametrize("shared", [1, 500])
def test_a_sample_in_two_parts_of_the_data_fails(shared: int) -> None:
    evidence = an_evidence(PLAN, facts=some_facts(PLAN, shared_rows=shared))

    assert code_of(PartsDisjoint(), evidence) == ReasonCode.PARTS_OVERLAP


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (BatchNormSource.NOT_PRESENT, None),
        (BatchNormSource.REPRODUCED, None),
        (BatchNormSource.TRAINED, None),
        (BatchNormSource.DIFFERENT, ReasonCode.BATCHNORM_NOT_FROM_RETAIN),
    ],
)
def test_running_statistics_must_come_from_the_retained_data(source: BatchNormSource, code: ReasonCode | None) -> None:
    evidence = an_evidence(PLAN, facts=some_facts(PLAN, batchnorm=source))

    assert code_of(BatchNormFromRetained(), evidence) == code
