"""Worse evidence is never accepted where better was not, less evidence never at all, and the level bounds the error."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mcu_core.judging.decide import decide
from mcu_core.judging.equivalence import equivalence_power, logit, null_standard_error
from mcu_core.report.evidence import Evidence, Result, Role
from mcu_core.report.judgement import Claim, Judgement, Verdict
from mcu_core.report.plan import AuditPlan
from tests.evidence import a_plan, an_evidence, some_facts
from tests.results import CANARY_PLAN, NORMAL, POLICY, a_canary_evidence, auc_result, primary_tests

P_VALUES = st.sampled_from((0.0, 1e-6, 0.002, 0.009, 0.0125, 0.02, 0.04, 0.3, 1.0)) | st.floats(0.0, 1.0)
LARGE_P_VALUES = st.sampled_from((0.02, 0.04, 0.3, 0.6, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What the gate reads, one number each; the original's AUC on D_f sets the margin and is neither good nor bad."""

    forget_count: int
    canaries: bool
    audits_before: int
    original_auc: float
    error_factor: float
    auc_shift: float
    auc_p: float
    upper_p: float
    lower_p: float
    original_p: float
    negative_p: float
    blind_p: float
    calibration_p: float
    canary_shift: float
    canary_p: float
    canary_original_shift: float
    canary_original_p: float
    one_run_p: float
    smallest_individual_p: float
    test_loss: float
    retain_loss: float
    relearned_auc: float
    relearned_p: float
    exposure_after: float
    forgotten_before_auc: float
    shared_rows: int

    def audit(self) -> tuple[Evidence, AuditPlan]:
        n = self.forget_count
        plan = a_plan(forget_count=n, audits_before=self.audits_before, canaries=CANARY_PLAN if self.canaries else None)
        error = 4 * self.error_factor * null_standard_error(n, 5_000)
        canaries = a_canary_evidence(
            0.5 + self.canary_shift,
            0.5 + self.canary_original_shift,
            candidate_p=self.canary_p,
            original_p=self.canary_original_p,
            one_run_p=self.one_run_p,
        )
        evidence = an_evidence(
            plan,
            facts=some_facts(plan, shared_rows=self.shared_rows, forgotten_before=500),
            primary=primary_tests(
                0.5 + self.auc_shift,
                auc_p=self.auc_p,
                standard_error=error,
                upper_p=self.upper_p,
                lower_p=self.lower_p,
                n=n,
            ),
            positive_control=primary_tests(self.original_auc, auc_p=self.original_p, role=Role.ORIGINAL, n=n),
            negative_control=primary_tests(0.5, auc_p=self.negative_p, n=n),
            blind_p=self.blind_p,
            calibration_p=self.calibration_p,
            canaries=canaries if self.canaries else None,
            smallest_individual_p=self.smallest_individual_p,
            test_loss_upper=self.test_loss,
            retain_loss_upper=self.retain_loss,
            relearned=auc_result(self.relearned_auc, role=Role.RELEARNED, p_value=self.relearned_p, n=n),
            retained_exposure=(0.6, self.exposure_after),
            forgotten_before=auc_result(self.forgotten_before_auc, n=500),
        )
        return evidence, plan

    def judged(self) -> Judgement:
        evidence, plan = self.audit()
        return decide(evidence, plan, POLICY)


NUMBERS = st.builds(
    Numbers,
    forget_count=st.sampled_from((1, 9, 10, 50, 100, 1_000)),
    canaries=st.booleans(),
    audits_before=st.integers(0, 3),
    original_auc=st.sampled_from((0.3, 0.55, 0.6, 0.75)),
    error_factor=st.sampled_from((0.5, 1.0, 1.5)),
    auc_shift=st.sampled_from((0.0, 0.01, 0.03, 0.06)),
    auc_p=LARGE_P_VALUES,
    upper_p=LARGE_P_VALUES,
    lower_p=LARGE_P_VALUES,
    original_p=st.sampled_from((0.0, 1e-6, 0.01)),
    negative_p=LARGE_P_VALUES,
    blind_p=LARGE_P_VALUES,
    calibration_p=LARGE_P_VALUES,
    canary_shift=st.sampled_from((0.0, 0.05, 0.2)),
    canary_p=LARGE_P_VALUES,
    canary_original_shift=st.sampled_from((0.2, 0.45)),
    canary_original_p=st.sampled_from((0.0, 1e-6, 0.01)),
    one_run_p=LARGE_P_VALUES,
    smallest_individual_p=LARGE_P_VALUES,
    test_loss=st.sampled_from((0.0, 0.03, 0.04)),
    retain_loss=st.sampled_from((0.0, 0.02)),
    relearned_auc=st.sampled_from((0.5, 0.55, 0.7)),
    relearned_p=LARGE_P_VALUES,
    exposure_after=st.sampled_from((0.5, 0.6, 0.65)),
    forgotten_before_auc=st.sampled_from((0.4, 0.5, 0.6)),
    shared_rows=st.just(0),
)
"""Mostly near acceptance, so that one worse number matters."""

FALLING = (
    "auc_p", "upper_p", "lower_p", "negative_p", "blind_p", "calibration_p", "canary_p", "one_run_p",
    "smallest_individual_p", "relearned_p",
)  # fmt: skip
"""p-values that are worse where they are smaller."""
RISING: dict[str, float] = {
    "error_factor": 5.0, "auc_shift": 0.49, "original_p": 1.0, "canary_shift": 0.49, "canary_original_p": 1.0,
    "test_loss": 1.0, "retain_loss": 1.0, "relearned_auc": 0.99, "exposure_after": 0.99, "forgotten_before_auc": 0.99,
}  # fmt: skip
"""What is worse where it is larger, and its largest."""


@st.composite
def worse(draw: st.DrawFn) -> tuple[str, Numbers, Numbers]:
    before = draw(NUMBERS)
    name = draw(st.sampled_from((*FALLING, *RISING, "canary_original_shift", "shared_rows")))
    number = getattr(before, name)
    changed: dict[str, Any]
    if name in FALLING:
        changed = {name: min(number, draw(P_VALUES))}
    elif name in RISING:
        changed = {name: draw(st.floats(number, RISING[name]))}
    elif name == "shared_rows":
        changed = {name: draw(st.integers(1, 1_000))}
    else:
        changed = {name: draw(st.floats(0.0, number))}
    return name, before, replace(before, **changed)


@given(worse())
@settings(max_examples=400, deadline=None)
def test_one_worse_number_never_turns_a_refusal_into_an_acceptance(pair: tuple[str, Numbers, Numbers]) -> None:
    _, before, after = pair

    if not before.judged().verdict.accepts:
        assert not after.judged().verdict.accepts


@given(NUMBERS)
@settings(max_examples=150, deadline=None)
def test_what_is_accepted_is_never_rejected_by_its_mirror_image(numbers: Numbers) -> None:
    evidence, plan = numbers.audit()
    value = evidence.primary[0].value
    assert value is not None
    mirrored = evidence.primary[0].model_copy(update={"value": 1.0 - value})
    turned = evidence.model_copy(update={"primary": (mirrored, *evidence.primary[1:])})

    assert decide(turned, plan, POLICY).verdict is decide(evidence, plan, POLICY).verdict


@given(NUMBERS)
@settings(max_examples=150, deadline=None)
def test_a_judgement_claims_what_its_verdict_and_size_allow_and_no_more(numbers: Numbers) -> None:
    judgement = numbers.judged()

    assert (judgement.claim is not Claim.NOTHING) == judgement.verdict.accepts
    assert (judgement.claim is Claim.EQUIVALENT_WITHIN) == (judgement.verdict is Verdict.ACCEPT_POWERED)
    assert (judgement.claim_margin is not None) == (judgement.claim is Claim.EQUIVALENT_WITHIN)
    if judgement.verdict.accepts and numbers.forget_count < 10:
        assert judgement.claim is Claim.INDIVIDUAL_NOT_EXTREME
    if judgement.claim_margin is not None:
        assert judgement.claim_margin <= POLICY.margin


@given(NUMBERS)
@settings(max_examples=100, deadline=None)
def test_a_judgement_names_its_reasons_and_its_failures_decide(numbers: Numbers) -> None:
    judgement = numbers.judged()

    assert judgement.reasons
    assert judgement.verdict.accepts == all(reason.passed for reason in judgement.reasons)


# Nothing missing is accepted

LARGE_PLAN = a_plan(canaries=CANARY_PLAN)
SMALL_PLAN = a_plan(forget_count=10, canaries=CANARY_PLAN)
SINGLE_PLAN = a_plan(forget_count=1, canaries=CANARY_PLAN)
BOTH = ("value", "p_value")
READ: dict[tuple[str, str], tuple[str, ...]] = {
    **{(family, place): BOTH for family in ("primary", "positive_control", "negative_control") for place in "012"},
    **{("canaries", place): BOTH for place in ("original", "candidate")},
    **{("canaries", place): ("p_value",) for place in ("one_run", "one_run_original")},
    **{("retained_exposure", place): ("value", "low", "high") for place in "01"},
    ("blind_baseline", ""): ("p_value",),
    ("calibration", ""): ("p_value",),
    ("relearned", ""): BOTH,
}
"""Which numbers of which result the gate reads."""
PLACES = [(field, place, number) for (field, place), numbers in READ.items() for number in numbers]


def with_result(evidence: Evidence, field: str, place: str, make: Callable[[Result], Result]) -> Evidence:
    whole = getattr(evidence, field)
    if not place:
        return evidence.model_copy(update={field: make(whole)})
    if field == "canaries":
        changed = whole.model_copy(update={place: make(getattr(whole, place))})
        return evidence.model_copy(update={field: changed})
    kept = [make(result) if position == int(place) else result for position, result in enumerate(whole)]
    return evidence.model_copy(update={field: tuple(kept)})


@pytest.mark.parametrize("plan", [LARGE_PLAN, SMALL_PLAN, SINGLE_PLAN], ids=["1000", "10", "1"])
@pytest.mark.parametrize(("field", "place", "number"), PLACES)
def test_removing_any_measurement_is_never_accepted(plan: AuditPlan, field: str, place: str, number: str) -> None:
    def strip(result: Result) -> Result:
        return result.model_copy(update={number: None})

    evidence = an_evidence(plan)

    assert decide(evidence, plan, POLICY).verdict.accepts
    assert not decide(with_result(evidence, field, place, strip), plan, POLICY).verdict.accepts


def test_a_number_that_is_not_finite_is_no_evidence() -> None:
    for number in ("NaN", "Infinity", "-Infinity"):
        text = an_evidence().model_dump_json().replace('"changed_elements":120000', f'"changed_elements":{number}')
        with pytest.raises(ValidationError):
            Evidence.model_validate_json(text)

    with pytest.raises(ValidationError):
        Result(name="auc", role=Role.CANDIDATE, value=float("nan"), forget_count=1, other_count=1, method="by hand")


# Attempts


@pytest.mark.parametrize("attempts", [1, 3, 10])
def test_over_all_attempts_a_candidate_on_the_margin_is_accepted_with_less_than_twice_alpha(attempts: int) -> None:
    # On the margin the logit's estimate is normal around d: each attempt accepts where it falls z_(1 - alpha_j) below.
    n, m = 1_000, 5_000
    error, edge = 4 * null_standard_error(n, m), logit(0.55)
    chances = []
    for j in range(attempts):
        reach = edge - NORMAL.inv_cdf(1 - POLICY.alpha_at(j)) * error
        assert equivalence_power(n, m, margin=0.05, alpha=POLICY.alpha_at(j)) > 0.5
        chances.append(NORMAL.cdf((reach - edge) / error) - NORMAL.cdf((-reach - edge) / error))

    assert sum(chances) < 2 * POLICY.alpha
