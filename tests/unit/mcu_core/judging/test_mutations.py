"""From accepted evidence, each deliberate wrong ends unpublished, with the code that names it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mcu_core.judging.decide import decide
from mcu_core.judging.policy import AuditPolicy
from mcu_core.report.evidence import BatchNormSource, Evidence, Group, Result, Role
from mcu_core.report.judgement import Claim, ReasonCode, Verdict
from mcu_core.report.plan import AuditPlan, Signal
from tests.evidence import CANDIDATE_DIGEST, ORIGINAL_DIGEST, PLANNED_AT, a_plan, an_evidence, reason_codes
from tests.results import CANARY_PLAN, CLEAR, POLICY, a_canary_evidence, auc_result, primary_tests


@dataclass(frozen=True)
class Audit:
    """What is handed to the gate."""

    evidence: Evidence
    plan: AuditPlan
    policy: AuditPolicy = POLICY


LARGE_PLAN = a_plan(canaries=CANARY_PLAN)
SMALL_PLAN = a_plan(forget_count=10, canaries=CANARY_PLAN)
LARGE = Audit(an_evidence(LARGE_PLAN), LARGE_PLAN)
SMALL = Audit(an_evidence(SMALL_PLAN), SMALL_PLAN)
Mutation = Callable[[Audit], Audit]


def evidence(**update: Any) -> Mutation:
    return lambda audit: replace(audit, evidence=audit.evidence.model_copy(update=update))


def facts(**update: Any) -> Mutation:
    def mutate(audit: Audit) -> Audit:
        changed = audit.evidence.facts.model_copy(update=update)
        return replace(audit, evidence=audit.evidence.model_copy(update={"facts": changed}))

    return mutate


def digest(role: Role, value: str) -> Mutation:
    return lambda audit: facts(digests={**audit.evidence.facts.digests, role: value})(audit)


def plan(**update: Any) -> Mutation:
    """Change the plan after the scores were made for it."""
    return lambda audit: replace(audit, plan=audit.plan.model_copy(update=update))


def planned_so(**update: Any) -> Mutation:
    """Change the plan and let the scores name the changed one."""

    def mutate(audit: Audit) -> Audit:
        changed = audit.plan.model_copy(update=update)
        return facts(plan=changed.digest)(replace(audit, plan=changed))

    return mutate


def policy(**update: Any) -> Mutation:
    return lambda audit: replace(audit, policy=audit.policy.model_copy(update=update))


def remade(family: str, make: Callable[[tuple[Result, ...]], tuple[Result, ...]]) -> Mutation:
    return lambda audit: evidence(**{family: make(getattr(audit.evidence, family))})(audit)


def candidate_tests(**numbers: Any) -> Mutation:
    return lambda audit: evidence(primary=primary_tests(n=audit.plan.forget_count, **numbers))(audit)


def original_tests(**numbers: Any) -> Mutation:
    return lambda audit: evidence(
        positive_control=primary_tests(n=audit.plan.forget_count, role=Role.ORIGINAL, **numbers)
    )(audit)


def every(*mutations: Mutation) -> Mutation:
    def mutate(audit: Audit) -> Audit:
        for mutation in mutations:
            audit = mutation(audit)
        return audit

    return mutate


def without_p(result: Result) -> Result:
    return result.model_copy(update={"p_value": None, "not_estimable": "somebody did not like it"})


def lost(group: Group, upper: float) -> Mutation:
    def mutate(audit: Audit) -> Audit:
        utility = audit.evidence.utility
        return evidence(utility={**utility, group: utility[group].model_copy(update={"upper": upper})})(audit)

    return mutate


INVALID: dict[str, tuple[Mutation, ReasonCode]] = {
    "no-op by digest": (digest(Role.CANDIDATE, ORIGINAL_DIGEST), ReasonCode.WEIGHTS_UNCHANGED),
    "no-op by weights": (
        lambda audit: facts(
            weight_change=audit.evidence.facts.weight_change.model_copy(update={"changed_elements": 0})
        )(audit),
        ReasonCode.WEIGHTS_UNCHANGED,
    ),
    "candidate swapped after scoring": (digest(Role.CANDIDATE, "5" * 64), ReasonCode.DIGEST_MISMATCH),
    "original swapped after scoring": (digest(Role.ORIGINAL, "5" * 64), ReasonCode.DIGEST_MISMATCH),
    "candidate without a digest": (facts(digests={Role.ORIGINAL: ORIGINAL_DIGEST}), ReasonCode.MEASUREMENT_MISSING),
    "original without a digest": (facts(digests={Role.CANDIDATE: CANDIDATE_DIGEST}), ReasonCode.MEASUREMENT_MISSING),
    "wrong base model": (planned_so(base_model="5" * 64), ReasonCode.DIGEST_MISMATCH),
    "plan changed after scoring": (plan(seed=8), ReasonCode.PLAN_MISMATCH),
    "attempt counted down": (plan(audits_before=0, attempt=2), ReasonCode.PLAN_MISMATCH),
    "scores of another plan": (facts(plan="5" * 64), ReasonCode.PLAN_MISMATCH),
    "plan later than the run": (facts(started_at=PLANNED_AT - 1), ReasonCode.PLAN_NOT_BEFORE_RUN),
    "plan made when the run began": (facts(started_at=PLANNED_AT), ReasonCode.PLAN_NOT_BEFORE_RUN),
    "policy with a wider margin": (policy(margin=0.4), ReasonCode.PLAN_MISMATCH),
    "policy with another name": (policy(version="other"), ReasonCode.PLAN_MISMATCH),
    "tails further out": (planned_so(tail_level=0.001), ReasonCode.PLAN_MISMATCH),
    "other primary signal": (planned_so(primary_signal=Signal.PHI), ReasonCode.MEASUREMENT_MISSING),
    "parts overlap": (facts(shared_rows=1), ReasonCode.PARTS_OVERLAP),
    "BatchNorm of deleted data": (facts(batchnorm=BatchNormSource.DIFFERENT), ReasonCode.BATCHNORM_NOT_FROM_RETAIN),
    "deleted sample kept": (
        lambda audit: facts(
            counts=audit.evidence.facts.counts.model_copy(update={"forget": audit.plan.forget_count - 1})
        )(audit),
        ReasonCode.FORGET_SET_MISMATCH,
    ),
    "deleted sample not scored": (
        remade("primary", lambda tests: tuple(
            test.model_copy(update={"forget_count": test.forget_count - 1}) for test in tests
        )),
        ReasonCode.FORGET_SET_MISMATCH,
    ),
    "plan of fewer samples": (planned_so(forget_count=9), ReasonCode.FORGET_SET_MISMATCH),
    "tails shuffled": (
        remade("primary", lambda tests: (tests[0], tests[2], tests[1])), ReasonCode.MEASUREMENT_MISSING
    ),
    "tail dropped": (remade("primary", lambda tests: tests[:2]), ReasonCode.MEASUREMENT_MISSING),
    "tail twice": (remade("primary", lambda tests: (*tests, tests[1])), ReasonCode.MEASUREMENT_MISSING),
    "original's tests as the candidate's": (
        lambda audit: evidence(primary=audit.evidence.positive_control)(audit), ReasonCode.MEASUREMENT_MISSING
    ),
    "candidate's tests as the original's": (
        lambda audit: evidence(positive_control=audit.evidence.primary)(audit), ReasonCode.MEASUREMENT_MISSING
    ),
    "negative control dropped": (evidence(negative_control=()), ReasonCode.MEASUREMENT_MISSING),
    "blind baseline dropped": (
        lambda audit: evidence(blind_baseline=without_p(audit.evidence.blind_baseline))(audit),
        ReasonCode.MEASUREMENT_MISSING,
    ),
    "calibration dropped": (
        lambda audit: evidence(calibration=without_p(audit.evidence.calibration))(audit),
        ReasonCode.MEASUREMENT_MISSING,
    ),
    "canaries dropped": (evidence(canaries=None), ReasonCode.MEASUREMENT_MISSING),
    "canaries not planned": (planned_so(canaries=None), ReasonCode.PLAN_MISMATCH),
    "canaries chosen afterwards": (
        evidence(canaries=a_canary_evidence(plan=CANARY_PLAN.model_copy(update={"included": 30}))),
        ReasonCode.PLAN_MISMATCH,
    ),
    "utility dropped": (evidence(utility={}), ReasonCode.MEASUREMENT_MISSING),
    "earlier deletions not looked at": (
        lambda audit: facts(
            counts=audit.evidence.facts.counts.model_copy(update={"forgotten_before": 100})
        )(audit),
        ReasonCode.MEASUREMENT_MISSING,
    ),
    "relearning dropped": (
        lambda audit: evidence(relearned=without_p(audit.evidence.relearned))(audit), ReasonCode.MEASUREMENT_MISSING
    ),
    "relearning of another model": (
        lambda audit: evidence(relearned=audit.evidence.primary[0])(audit), ReasonCode.MEASUREMENT_MISSING
    ),
    "exposure before and after turned": (
        lambda audit: evidence(retained_exposure=audit.evidence.retained_exposure[::-1])(audit),
        ReasonCode.MEASUREMENT_MISSING,
    ),
    "negative control rejected": (
        lambda audit: evidence(
            negative_control=primary_tests(0.6, auc_p=CLEAR, n=audit.plan.forget_count)
        )(audit),
        ReasonCode.NEGATIVE_CONTROL_REJECTED,
    ),
    "data tell apart without a model": (
        lambda audit: evidence(
            blind_baseline=audit.evidence.blind_baseline.model_copy(update={"p_value": CLEAR})
        )(audit),
        ReasonCode.BLIND_BASELINE_TELLS_APART,
    ),
    "p-values off": (
        lambda audit: evidence(calibration=audit.evidence.calibration.model_copy(update={"p_value": CLEAR}))(audit),
        ReasonCode.NOT_CALIBRATED,
    ),
}  # fmt: skip
REJECT: dict[str, tuple[Mutation, ReasonCode]] = {
    "deleted data remembered": (candidate_tests(auc=0.8, auc_p=CLEAR), ReasonCode.AUC_ABOVE),
    "over-forgotten": (candidate_tests(auc=0.2, auc_p=CLEAR), ReasonCode.AUC_BELOW),
    "some deleted samples remembered": (candidate_tests(upper_p=CLEAR), ReasonCode.UPPER_TAIL_FULL),
    "some deleted samples over-forgotten": (candidate_tests(lower_p=CLEAR), ReasonCode.LOWER_TAIL_FULL),
    "canaries remembered": (evidence(canaries=a_canary_evidence(0.9)), ReasonCode.CANARIES_REMEMBERED),
    "canaries over-forgotten": (evidence(canaries=a_canary_evidence(0.1)), ReasonCode.CANARIES_OVER_FORGOTTEN),
    "labels shuffled": (lost(Group.TEST, 0.8), ReasonCode.TEST_ACCURACY_LOST),
    "retained data forgotten": (lost(Group.RETAIN, 0.8), ReasonCode.RETAIN_ACCURACY_LOST),
    "earlier deletions back": (
        evidence(forgotten_before=auc_result(0.9, n=500)), ReasonCode.EARLIER_FORGOTTEN_CAME_BACK
    ),
}  # fmt: skip
REVIEW: dict[str, tuple[Mutation, ReasonCode]] = {
    "back after one epoch": (
        evidence(relearned=auc_result(0.9, role=Role.RELEARNED, p_value=CLEAR)), ReasonCode.RELEARNED_QUICKLY
    ),
    "retained people exposed": (
        evidence(retained_exposure=(auc_result(0.6, role=Role.ORIGINAL), auc_result(0.8))),
        ReasonCode.RETAINED_MORE_EXPOSED,
    ),
    "exposure without an interval": (
        evidence(retained_exposure=(auc_result(0.6, role=Role.ORIGINAL, n=5), auc_result(0.6, n=5))),
        ReasonCode.MEASUREMENT_MISSING,
    ),
    "one sample extreme": (
        lambda audit: evidence(
            individuals=audit.evidence.individuals.model_copy(update={"smallest": 0.001})
        )(audit),
        ReasonCode.INDIVIDUAL_EXTREME,
    ),
}  # fmt: skip


def judged_codes(audit: Audit) -> tuple[Verdict, Claim, list[ReasonCode | None]]:
    judgement = decide(audit.evidence, audit.plan, audit.policy)
    return judgement.verdict, judgement.claim, reason_codes(judgement)


@pytest.mark.parametrize(("audit", "verdict"), [(LARGE, Verdict.ACCEPT_POWERED), (SMALL, Verdict.ACCEPT_CANARY_BACKED)])
def test_without_a_mutation_the_audit_is_accepted(audit: Audit, verdict: Verdict) -> None:
    assert judged_codes(audit)[0] is verdict


@pytest.mark.parametrize("audit", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize(("mutate", "code"), INVALID.values(), ids=INVALID)
def test_what_does_not_belong_together_is_invalid(audit: Audit, mutate: Mutation, code: ReasonCode) -> None:
    verdict, claim, codes = judged_codes(mutate(audit))

    assert verdict is Verdict.INVALID
    assert claim is Claim.NOTHING
    assert code in codes


@pytest.mark.parametrize("audit", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize(("mutate", "code"), REJECT.values(), ids=REJECT)
def test_what_was_not_forgotten_or_broke_the_model_is_rejected(
    audit: Audit, mutate: Mutation, code: ReasonCode
) -> None:
    assert judged_codes(mutate(audit)) == (Verdict.REJECT, Claim.NOTHING, [code])


@pytest.mark.parametrize("audit", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize(("mutate", "code"), REVIEW.values(), ids=REVIEW)
def test_what_is_suspicious_needs_a_person(audit: Audit, mutate: Mutation, code: ReasonCode) -> None:
    verdict, claim, codes = judged_codes(mutate(audit))

    assert verdict is Verdict.NEEDS_REVIEW
    assert claim is Claim.NOTHING
    assert code in codes


def test_an_original_that_learned_nothing_makes_the_audit_vacuous() -> None:
    forgetful = every(original_tests(auc=0.5), evidence(canaries=a_canary_evidence(original=0.5)))

    for audit in (LARGE, SMALL):
        assert judged_codes(forgetful(audit)) == (Verdict.VACUOUS, Claim.NOTHING, [ReasonCode.ORIGINAL_NOT_REJECTED])


def test_canaries_that_only_the_candidates_guesser_finds_carry_nothing() -> None:
    guessed = evidence(canaries=a_canary_evidence(one_run_p=CLEAR))

    assert judged_codes(guessed(SMALL))[0] is Verdict.NEEDS_REVIEW


def test_an_auc_without_its_error_is_no_equivalence() -> None:
    def blur(tests: tuple[Result, ...]) -> tuple[Result, ...]:
        return (tests[0].model_copy(update={"standard_error": None}), *tests[1:])

    assert judged_codes(remade("primary", blur)(LARGE)) == (
        Verdict.NEEDS_REVIEW, Claim.NOTHING, [ReasonCode.NOT_EQUIVALENT]
    )  # fmt: skip
