"""What each primary test could have seen, and where no number can say."""

import pytest

from mcu_core.judging.case import Case
from mcu_core.judging.detection import canary_power, power_of, trace_power
from mcu_core.judging.equivalence import detection_power
from mcu_core.report.evidence import Evidence, Role
from mcu_core.report.plan import AuditPlan
from tests.evidence import a_plan, an_evidence
from tests.results import CANARY_PLAN, NON_MEMBERS, POLICY, primary_tests


def a_case(plan: AuditPlan, evidence: Evidence | None = None) -> Case:
    return Case(evidence=evidence or an_evidence(plan), plan=plan, policy=POLICY)


def with_original(auc: float, n: int, *, audits_before: int = 0) -> Case:
    plan = a_plan(forget_count=n, audits_before=audits_before)
    return a_case(plan, an_evidence(plan, positive_control=primary_tests(auc, n=n, role=Role.ORIGINAL)))


def powers(case: Case) -> list[float | None]:
    return [power_of(case, result) for result in case.candidate_tests]


@pytest.mark.parametrize("audits_before", [0, 2])
def test_the_power_of_the_auc_is_that_at_the_originals_auc_and_holms_first_step(audits_before: int) -> None:
    case = with_original(0.56, 100, audits_before=audits_before)
    expected = detection_power(0.56, 100, NON_MEMBERS, alpha=0.05 * 0.5**audits_before / 3)

    assert powers(case) == [expected, None, None]
    assert trace_power(case) == expected
    assert 0.05 < expected < 0.95


def test_canaries_have_the_power_of_their_own_number_and_of_what_the_original_remembers_of_them() -> None:
    case = a_case(a_plan(forget_count=1, canaries=CANARY_PLAN))

    assert powers(case) == [None, None, None, detection_power(0.95, 60, 60, alpha=0.05 / 4)]
    assert canary_power(case) == powers(case)[-1]


@pytest.mark.parametrize(("n", "known"), [(1, False), (9, False), (10, True)])
def test_few_samples_have_no_power_that_normal_theory_knows(n: int, known: bool) -> None:
    assert (powers(with_original(0.8, n))[0] is not None) is known


def test_without_the_originals_auc_there_is_nothing_to_be_seen_again() -> None:
    plan = a_plan()
    auc, *tails = primary_tests(0.9, role=Role.ORIGINAL)
    unknown = auc.model_copy(update={"value": None, "not_estimable": "no samples"})
    for control in ((), (unknown, *tails)):
        case = a_case(plan, an_evidence(plan).model_copy(update={"positive_control": control}))
        assert powers(case) == [None, None, None]
        assert trace_power(case) == 0.0


def test_without_canaries_they_have_no_power() -> None:
    assert canary_power(a_case(a_plan())) == 0.0


def test_a_larger_trace_in_the_original_is_seen_more_often() -> None:
    seen = [powers(with_original(auc, 100))[0] for auc in (0.52, 0.55, 0.6, 0.7)]

    assert seen == sorted(seen, key=lambda power: power or 0.0)
    assert len(set(seen)) == 4
