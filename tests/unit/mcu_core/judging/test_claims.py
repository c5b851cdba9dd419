"""What may be said with so many samples, and what each report must say that it does not show."""

import pytest

from mcu_core.judging.case import Case
from mcu_core.judging.claims import claim_of, limitations
from mcu_core.judging.decide import decide
from mcu_core.report.evidence import Duplicates, Role
from mcu_core.report.judgement import Claim, Verdict
from mcu_core.report.parts import ModelName
from tests.evidence import a_plan, an_evidence, some_facts
from tests.results import CANARY_PLAN, POLICY, tail_result


def a_case(forget_count: int = 1_000, *, audits_before: int = 0) -> Case:
    plan = a_plan(forget_count=forget_count, audits_before=audits_before)
    return Case(evidence=an_evidence(plan), plan=plan, policy=POLICY)


def says(case: Case, part: str) -> bool:
    return any(part in sentence for sentence in limitations(case))


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if not verdict.accepts])
def test_what_is_not_accepted_claims_nothing(verdict: Verdict) -> None:
    assert claim_of(verdict, a_case()) is Claim.NOTHING


@pytest.mark.parametrize(
    ("forget_count", "claim"),
    [
        (1, Claim.INDIVIDUAL_NOT_EXTREME),
        (9, Claim.INDIVIDUAL_NOT_EXTREME),
        (10, Claim.NO_GROSS_RETENTION_DETECTED),
        (100, Claim.NO_GROSS_RETENTION_DETECTED),
    ],
)
def test_canaries_carry_the_weaker_claims_only(forget_count: int, claim: Claim) -> None:
    assert claim_of(Verdict.ACCEPT_CANARY_BACKED, a_case(forget_count)) is claim


@pytest.mark.parametrize(
    ("forget_count", "claim", "margin"),
    [
        (1, Claim.INDIVIDUAL_NOT_EXTREME, None),
        (10, Claim.NO_GROSS_RETENTION_DETECTED, None),
        (100, Claim.EQUIVALENT_WITHIN, 0.10),
        (1_000, Claim.EQUIVALENT_WITHIN, 0.05),
    ],
)
def test_the_strongest_claim_is_what_the_designs_table_allows(
    forget_count: int, claim: Claim, margin: float | None
) -> None:
    plan = a_plan(forget_count=forget_count, canaries=CANARY_PLAN)
    judgement = decide(an_evidence(plan), plan, POLICY)

    assert judgement.claim is claim
    assert judgement.claim_margin == margin


@pytest.mark.parametrize(
    ("forget_count", "half", "provable"), [(10, "0.179", "0.301"), (100, "0.057", "0.096"), (1_000, "0.020", "0.033")]
)
def test_the_first_limitation_says_what_so_many_samples_can_show(forget_count: int, half: str, provable: str) -> None:
    assert limitations(a_case(forget_count))[0] == (
        f"{forget_count} deleted samples against 5000 unseen ones tell the AUC to within {half}; a perfect deletion "
        f"is shown within {provable} of one half in 90% of such audits."
    )


def test_the_first_limitation_of_one_sample_says_how_often_it_is_overlooked() -> None:
    assert limitations(a_case(1))[0] == (
        "Only the one deleted sample could be compared with unseen ones; nothing can be said of a group this small. A "
        "single sample that was not forgotten at all is noticed in fewer than half of all cases (43 % where measured)."
    )


def test_nothing_is_shown_against_no_unseen_samples() -> None:
    plan = a_plan(forget_count=100)
    evidence = an_evidence(plan).model_copy(update={"primary": ()})

    assert limitations(Case(evidence=evidence, plan=plan, policy=POLICY))[0] == (
        "The 100 deleted samples were compared with nothing."
    )


def test_missing_references_and_canaries_are_named() -> None:
    without = a_plan(references=None)
    case = Case(evidence=an_evidence(without), plan=without, policy=POLICY)

    assert says(case, "no reference models")
    assert says(case, "no canaries")


def test_references_and_canaries_that_are_there_are_not_called_missing() -> None:
    plan = a_plan(canaries=CANARY_PLAN)
    case = Case(evidence=an_evidence(plan), plan=plan, policy=POLICY)

    assert not says(case, "no reference models")
    assert not says(case, "no canaries")


@pytest.mark.parametrize(("included", "told"), [(1, True), (31, True), (32, False), (64, False)])
def test_fewer_than_half_of_the_canaries_that_a_run_should_have_are_told(included: int, told: bool) -> None:
    canaries = CANARY_PLAN.model_copy(update={"included": included, "wanted": 64})
    plan = a_plan(canaries=canaries)
    case = Case(evidence=an_evidence(plan), plan=plan, policy=POLICY)

    assert says(case, f"Only {included} of the 64 canaries") is told
    assert not says(case, "no canaries")


def test_an_older_plan_that_does_not_say_how_many_canaries_were_wanted_tells_of_no_shortage() -> None:
    plan = a_plan(canaries=CANARY_PLAN.model_copy(update={"included": 1}))

    assert not says(Case(evidence=an_evidence(plan), plan=plan, policy=POLICY), "canaries that a run should have")


@pytest.mark.parametrize("pooled", [0, 3])
def test_samples_of_a_class_without_unseen_ones_are_counted(pooled: int) -> None:
    plan = a_plan()
    evidence = an_evidence(plan)
    individuals = evidence.individuals.model_copy(update={"pooled": pooled})
    case = Case(evidence=evidence.model_copy(update={"individuals": individuals}), plan=plan, policy=POLICY)

    assert says(case, "3 of 1000 deleted samples are of a class that has no unseen samples") is bool(pooled)
    assert says(case, "unseen samples of all classes") is bool(pooled)


def test_copies_among_the_retained_data_are_counted() -> None:
    plan = a_plan()
    facts = some_facts(plan, duplicates=Duplicates(exact=2, near=5, searched=900, method="hash"))
    case = Case(evidence=an_evidence(plan, facts=facts), plan=plan, policy=POLICY)

    assert says(case, "2 deleted samples have an exact copy and 5 a near copy")
    assert says(case, "Only 900 of 1000 deleted samples were searched")
    assert not says(a_case(), "copy")


def test_what_was_not_estimable_is_named_once_with_its_reason() -> None:
    plan = a_plan()
    tpr = tail_result("upper").model_copy(
        update={"name": "tpr@0.001", "value": None, "not_estimable": "fewer than 10 000 unseen samples"}
    )
    evidence = an_evidence(plan).model_copy(update={"secondary": (tpr, tpr)})

    assert says(
        Case(evidence=evidence, plan=plan, policy=POLICY),
        "Not estimable: tpr@0.001 (fewer than 10 000 unseen samples).",
    )


def test_a_retrained_model_is_not_called_approximate() -> None:
    plan = a_plan()
    facts = some_facts(plan)
    names = {**facts.names, Role.CANDIDATE: ModelName.RETRAINED}
    retrained = an_evidence(plan, facts=facts.model_copy(update={"names": names}))

    assert says(a_case(), "not retraining")
    assert not says(Case(evidence=retrained, plan=plan, policy=POLICY), "not retraining")


@pytest.mark.parametrize(("forget_count", "named"), [(9, False), (10, True), (99, True), (100, False)])
def test_the_approximate_error_of_few_samples_is_named(forget_count: int, named: bool) -> None:
    assert says(a_case(forget_count), "large-sample approximation") is named


def test_a_later_attempt_names_its_number_and_level() -> None:
    assert says(a_case(audits_before=2), "candidate number 3 of the run; its level is 0.0125")
    assert not says(a_case(), "candidate number")


def test_every_report_says_that_two_versions_expose_the_difference_and_that_one_model_was_audited() -> None:
    assert says(a_case(), "learn from their difference what was deleted (AUC 0.710)")
    assert says(a_case(), "Only this model was audited")


def test_an_original_and_a_candidate_without_a_pair_are_named_without_a_number() -> None:
    plan = a_plan()
    evidence = an_evidence(plan)
    pair = evidence.version_pair.model_copy(update={"value": None, "not_estimable": "too few samples"})

    assert says(
        Case(evidence=evidence.model_copy(update={"version_pair": pair}), plan=plan, policy=POLICY),
        "what was deleted; publishing both",
    )
