"""The decision: which evidence leads to which verdict, and in which order the stages decide."""

import pytest

from mcu_core.judging.decide import decide
from mcu_core.judging.equivalence import detection_power
from mcu_core.report.evidence import Evidence, Role
from mcu_core.report.judgement import Claim, Judgement, ReasonCode, Stage, Verdict
from mcu_core.report.plan import AuditPlan
from tests.evidence import a_plan, a_report, an_evidence, reason_codes, some_facts
from tests.results import CANARY_PLAN, CLEAR, POLICY, a_canary_evidence, auc_result, primary_tests

PLAN = a_plan()
SMALL = a_plan(forget_count=10, canaries=CANARY_PLAN)
NO_MEMORY = primary_tests(0.5, role=Role.ORIGINAL)


def judged(evidence: Evidence, plan: AuditPlan = PLAN) -> Judgement:
    return decide(evidence, plan, POLICY)


def stages(judgement: Judgement) -> list[Stage]:
    """Return the stages of the findings, each once, in order."""
    return list(dict.fromkeys(finding.stage for finding in judgement.findings))


# Verdicts


def test_a_clean_candidate_of_many_samples_is_accepted_by_equivalence() -> None:
    judgement = judged(an_evidence(PLAN))

    assert judgement.verdict is Verdict.ACCEPT_POWERED
    assert judgement.claim is Claim.EQUIVALENT_WITHIN
    assert judgement.claim_margin == judgement.margin == 0.05
    assert reason_codes(judgement) == [ReasonCode.EQUIVALENT]
    assert all(finding.passed for finding in judgement.findings)


@pytest.mark.parametrize("forget_count", [1, 9, 10, 20])
def test_a_clean_candidate_of_few_samples_is_accepted_by_its_canaries(forget_count: int) -> None:
    plan = a_plan(forget_count=forget_count, canaries=CANARY_PLAN)
    judgement = judged(an_evidence(plan), plan)

    assert judgement.verdict is Verdict.ACCEPT_CANARY_BACKED
    assert judgement.claim_margin is None
    assert ReasonCode.CANARY_BACKED in reason_codes(judgement)
    assert all(reason.passed for reason in judgement.reasons)


def test_a_clean_candidate_of_few_samples_without_canaries_needs_a_person() -> None:
    plan = a_plan(forget_count=10)
    judgement = judged(an_evidence(plan), plan)

    assert judgement.verdict is Verdict.NEEDS_REVIEW
    assert judgement.claim is Claim.NOTHING
    assert reason_codes(judgement) == [ReasonCode.NOT_EQUIVALENT]


def test_canaries_do_not_help_an_audit_that_could_have_shown_equivalence() -> None:
    plan = a_plan(canaries=CANARY_PLAN)
    judgement = judged(an_evidence(plan, primary=primary_tests(0.535, auc_p=0.5)), plan)

    assert judgement.verdict is Verdict.NEEDS_REVIEW
    assert reason_codes(judgement) == [ReasonCode.NOT_EQUIVALENT]


def test_few_samples_whose_canaries_are_not_shown_to_be_forgotten_need_a_person() -> None:
    judgement = judged(an_evidence(SMALL, canaries=a_canary_evidence(0.64, candidate_p=0.5)), SMALL)

    assert judgement.verdict is Verdict.NEEDS_REVIEW
    assert reason_codes(judgement) == [ReasonCode.NOT_EQUIVALENT, ReasonCode.CANARIES_REMEMBERED]


@pytest.mark.parametrize("plan", [PLAN, SMALL])
@pytest.mark.parametrize(
    ("blocked", "code"),
    [("relearned", ReasonCode.RELEARNED_QUICKLY), ("exposure", ReasonCode.RETAINED_MORE_EXPOSED),
     ("individual", ReasonCode.INDIVIDUAL_EXTREME)],
)  # fmt: skip
def test_what_asks_for_a_person_blocks_both_acceptances(plan: AuditPlan, blocked: str, code: ReasonCode) -> None:
    n = plan.forget_count
    evidence = an_evidence(
        plan,
        relearned=auc_result(0.8, role=Role.RELEARNED, n=n, p_value=CLEAR) if blocked == "relearned" else None,
        retained_exposure=(0.6, 0.8) if blocked == "exposure" else (0.6, 0.6),
        smallest_individual_p=0.001 if blocked == "individual" else 0.9,
    )
    judgement = judged(evidence, plan)

    assert judgement.verdict is Verdict.NEEDS_REVIEW
    assert code in reason_codes(judgement)


def test_the_original_submitted_as_the_candidate_is_rejected() -> None:
    judgement = judged(an_evidence(PLAN, primary=primary_tests(0.75, upper_p=CLEAR)))

    assert judgement.verdict is Verdict.REJECT
    assert reason_codes(judgement) == [ReasonCode.AUC_ABOVE, ReasonCode.UPPER_TAIL_FULL]


def test_an_over_forgotten_candidate_is_rejected() -> None:
    judgement = judged(an_evidence(PLAN, primary=primary_tests(0.34)))

    assert judgement.verdict is Verdict.REJECT
    assert reason_codes(judgement) == [ReasonCode.AUC_BELOW]


def test_an_original_without_memory_makes_the_audit_vacuous() -> None:
    judgement = judged(an_evidence(PLAN, positive_control=NO_MEMORY))

    assert judgement.verdict is Verdict.VACUOUS
    assert reason_codes(judgement) == [ReasonCode.ORIGINAL_NOT_REJECTED]


def test_an_original_of_few_samples_is_seen_by_its_canaries() -> None:
    plan = a_plan(forget_count=1, canaries=CANARY_PLAN)

    assert judged(an_evidence(plan), plan).verdict is Verdict.ACCEPT_CANARY_BACKED
    assert judged(an_evidence(a_plan(forget_count=1)), a_plan(forget_count=1)).verdict is Verdict.VACUOUS


# Order of the stages


def test_hard_failures_come_before_everything() -> None:
    evidence = an_evidence(
        PLAN, facts=some_facts(PLAN, shared_rows=3), positive_control=NO_MEMORY, primary=primary_tests(0.9)
    )
    judgement = judged(evidence)

    assert judgement.verdict is Verdict.INVALID
    assert reason_codes(judgement) == [ReasonCode.PARTS_OVERLAP]
    assert stages(judgement) == [Stage.HARD]


def test_a_broken_instrument_comes_before_a_blind_one() -> None:
    judgement = judged(an_evidence(PLAN, calibration_p=CLEAR, positive_control=NO_MEMORY))

    assert judgement.verdict is Verdict.INVALID
    assert reason_codes(judgement) == [ReasonCode.ORIGINAL_NOT_REJECTED, ReasonCode.NOT_CALIBRATED]


def test_validity_comes_before_rejection() -> None:
    judgement = judged(an_evidence(PLAN, positive_control=NO_MEMORY, primary=primary_tests(0.9)))

    assert judgement.verdict is Verdict.VACUOUS
    assert stages(judgement) == [Stage.HARD, Stage.VALIDITY]


def test_rejection_comes_before_review() -> None:
    judgement = judged(an_evidence(PLAN, primary=primary_tests(0.9), smallest_individual_p=0.0))

    assert judgement.verdict is Verdict.REJECT
    assert stages(judgement) == [Stage.HARD, Stage.VALIDITY, Stage.REJECT]


def test_an_accepted_audit_shows_the_findings_of_every_stage() -> None:
    assert stages(judged(an_evidence(PLAN))) == [
        Stage.HARD, Stage.VALIDITY, Stage.REJECT, Stage.REVIEW, Stage.ACCEPT
    ]  # fmt: skip


def test_the_reasons_are_among_the_findings() -> None:
    for evidence in (an_evidence(PLAN), an_evidence(PLAN, primary=primary_tests(0.9)), an_evidence(PLAN, blind_p=0.0)):
        judgement = judged(evidence)

        assert judgement.reasons
        assert set(judgement.reasons) <= set(judgement.findings)


def test_every_check_has_its_own_name() -> None:
    names = [finding.check for finding in judged(an_evidence(SMALL), SMALL).findings]

    assert len(set(names)) == len(names)


# Levels


def test_attempts_are_decided_at_alpha_over_two_to_the_j() -> None:
    assert [judged(an_evidence(a_plan(audits_before=j)), a_plan(audits_before=j)).alpha for j in range(3)] == [
        0.05, 0.025, 0.0125
    ]  # fmt: skip


def test_a_later_attempt_neither_rejects_nor_accepts_what_the_first_did() -> None:
    def verdict(auc: float, audits_before: int) -> Verdict:
        plan = a_plan(audits_before=audits_before)
        return judged(an_evidence(plan, primary=primary_tests(auc)), plan).verdict

    assert [verdict(0.52, j) for j in (0, 6)] == [Verdict.ACCEPT_POWERED, Verdict.NEEDS_REVIEW]
    assert [verdict(0.53, j) for j in (0, 3)] == [Verdict.REJECT, Verdict.NEEDS_REVIEW]


def test_the_power_of_the_positive_control_is_that_of_its_auc_at_holms_first_step() -> None:
    weak = primary_tests(0.55, role=Role.ORIGINAL, n=100, upper_p=CLEAR)
    plan = a_plan(forget_count=100)
    judgement = judged(an_evidence(plan, positive_control=weak), plan)

    assert judgement.positive_control_power == detection_power(weak[0], alpha=0.05 / 3)
    assert 0.1 < judgement.positive_control_power < 0.5


def test_an_audit_without_tests_of_the_original_has_no_power() -> None:
    judgement = judged(an_evidence(PLAN).model_copy(update={"positive_control": ()}))

    assert judgement.verdict is Verdict.INVALID
    assert judgement.positive_control_power == 0.0
    assert judgement.margin is None


# Determinism


def test_the_same_numbers_give_the_same_judgement() -> None:
    again = Evidence.model_validate_json(an_evidence(PLAN).model_dump_json())

    assert judged(again) == judged(an_evidence(PLAN))


def test_a_report_survives_its_own_json() -> None:
    report = a_report()

    assert type(report).model_validate_json(report.to_bytes()) == report
