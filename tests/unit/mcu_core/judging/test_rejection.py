"""REJECT: a trace, a loss, or an earlier deletion that came back."""

import pytest

from mcu_core.judging.case import Case, Check, failures
from mcu_core.judging.rejection import AccuracyKept, EarlierStayForgotten, NoTraceFound
from mcu_core.report.evidence import Evidence, Group, Result
from mcu_core.report.judgement import Finding, ReasonCode, Stage
from mcu_core.report.plan import AuditPlan
from tests.evidence import a_plan, an_evidence, some_facts
from tests.results import CANARY_PLAN, CLEAR, POLICY, a_canary_evidence, auc_result, primary_tests

PLAN = a_plan()


def found(check: Check, evidence: Evidence, plan: AuditPlan = PLAN) -> tuple[Finding, ...]:
    findings = check.check(Case(evidence=evidence, plan=plan, policy=POLICY))
    assert all(finding.stage is Stage.REJECT for finding in findings)
    return findings


def codes(findings: tuple[Finding, ...]) -> list[ReasonCode | None]:
    return [finding.code for finding in failures(findings)]


@pytest.mark.parametrize(
    ("tests", "code"),
    [
        (primary_tests(0.6, auc_p=CLEAR), ReasonCode.AUC_ABOVE),
        (primary_tests(0.4, auc_p=CLEAR), ReasonCode.AUC_BELOW),
        (primary_tests(upper_p=CLEAR), ReasonCode.UPPER_TAIL_FULL),
        (primary_tests(lower_p=CLEAR), ReasonCode.LOWER_TAIL_FULL),
    ],
)
def test_each_significant_primary_test_rejects_with_its_code(tests: tuple[Result, ...], code: ReasonCode) -> None:
    assert codes(found(NoTraceFound(), an_evidence(PLAN, primary=tests))) == [code]


def test_every_primary_test_is_a_finding_with_its_adjusted_p_value() -> None:
    findings = found(NoTraceFound(), an_evidence(PLAN, primary=primary_tests(0.53, auc_p=0.02)))

    assert [finding.check for finding in findings] == ["primary.auc", "primary.tail.upper", "primary.tail.lower"]
    assert [finding.p_value for finding in findings] == pytest.approx([0.06, 1.0, 1.0])
    assert all(finding.threshold == POLICY.alpha for finding in findings)


def test_the_aucs_findings_tell_what_they_could_have_seen() -> None:
    plan = a_plan(canaries=CANARY_PLAN)
    findings = found(NoTraceFound(), an_evidence(plan, canaries=a_canary_evidence(0.5)), plan)

    assert [finding.power is None for finding in findings] == [False, True, True, False]


@pytest.mark.parametrize(
    ("candidate", "code"), [(0.9, ReasonCode.CANARIES_REMEMBERED), (0.1, ReasonCode.CANARIES_OVER_FORGOTTEN)]
)
def test_canaries_are_the_fourth_primary_test(candidate: float, code: ReasonCode) -> None:
    plan = a_plan(canaries=CANARY_PLAN)
    findings = found(NoTraceFound(), an_evidence(plan, canaries=a_canary_evidence(candidate)), plan)

    assert [finding.check for finding in findings][-1] == "primary.canary"
    assert codes(findings) == [code]


@pytest.mark.parametrize(("audits_before", "rejected"), [(0, True), (1, False)])
def test_a_later_attempt_rejects_at_half_the_level(audits_before: int, rejected: bool) -> None:
    plan = a_plan(audits_before=audits_before)
    evidence = an_evidence(plan, primary=primary_tests(0.55, auc_p=0.05 / 3))

    assert bool(codes(found(NoTraceFound(), evidence, plan))) is rejected


def test_a_candidate_whose_test_lacks_its_p_value_has_failed() -> None:
    first, *rest = primary_tests()
    evidence = an_evidence(PLAN, primary=(first.model_copy(update={"p_value": None}), *rest))

    assert codes(found(NoTraceFound(), evidence)) == [ReasonCode.MEASUREMENT_MISSING]


@pytest.mark.parametrize(
    ("group", "margin", "code"),
    [
        (Group.TEST, POLICY.test_accuracy_loss_margin, ReasonCode.TEST_ACCURACY_LOST),
        (Group.RETAIN, POLICY.retain_accuracy_loss_margin, ReasonCode.RETAIN_ACCURACY_LOST),
    ],
)
def test_accuracy_may_be_lost_up_to_its_margin_and_no_further(group: Group, margin: float, code: ReasonCode) -> None:
    at = an_evidence(PLAN, test_loss_upper=margin if group is Group.TEST else 0.0,
                     retain_loss_upper=margin if group is Group.RETAIN else 0.0)  # fmt: skip
    beyond = an_evidence(PLAN, test_loss_upper=margin + 0.001, retain_loss_upper=margin + 0.001)

    assert codes(found(AccuracyKept(group), at)) == []
    assert codes(found(AccuracyKept(group), beyond)) == [code]


def test_accuracy_that_was_not_measured_has_failed() -> None:
    evidence = an_evidence(PLAN).model_copy(update={"utility": {}})

    assert codes(found(AccuracyKept(Group.TEST), evidence)) == [ReasonCode.MEASUREMENT_MISSING]


# Earlier deletions


def earlier(result: Result | None, *, count: int = 500) -> Evidence:
    return an_evidence(PLAN, facts=some_facts(PLAN, forgotten_before=count), forgotten_before=result)


@pytest.mark.parametrize("auc", [0.4, 0.5, 0.6, 0.61])
def test_earlier_deletions_whose_interval_reaches_the_margin_stay_forgotten(auc: float) -> None:
    assert codes(found(EarlierStayForgotten(), earlier(auc_result(auc, n=500)))) == []


@pytest.mark.parametrize("auc", [0.65, 0.9])
def test_earlier_deletions_whose_interval_lies_above_the_margin_came_back(auc: float) -> None:
    assert codes(found(EarlierStayForgotten(), earlier(auc_result(auc, n=500)))) == [
        ReasonCode.EARLIER_FORGOTTEN_CAME_BACK
    ]


def test_nothing_forgotten_before_can_come_back() -> None:
    (finding,) = found(EarlierStayForgotten(), earlier(None, count=0))

    assert finding.passed


def test_too_few_earlier_deletions_for_an_interval_are_let_pass_and_named() -> None:
    (finding,) = found(EarlierStayForgotten(), earlier(auc_result(0.9, n=9), count=9))

    assert finding.passed
    assert "Too few samples (9)" in finding.text


@pytest.mark.parametrize("result", [None, auc_result(0.5, n=500).model_copy(update={"low": None})])
def test_earlier_deletions_that_were_not_measured_have_failed(result: Result | None) -> None:
    assert codes(found(EarlierStayForgotten(), earlier(result))) == [ReasonCode.MEASUREMENT_MISSING]
