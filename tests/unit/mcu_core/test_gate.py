"""The gate: which measurements lead to which verdict, and why."""

import math
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import mannwhitneyu

from mcu_core.gate import GatePolicy, auc_margin, auc_power, holm, judge, membership_tests
from mcu_core.report import AucEstimate, Judgement, Measurements, ReasonCode, Verdict
from tests.measurements import NO_TAIL, POLICY, SIDES, candidate_row, measurements, original_row

ALPHA = POLICY.alpha
SMALL = 1e-6
TailP = dict[Literal["upper", "lower"], float]


def judged(measured: Measurements, *, attempt: int = 0) -> Judgement:
    return judge(measured, POLICY, attempt=attempt)


def codes(judgement: Judgement) -> list[ReasonCode]:
    return [reason.code for reason in judgement.reasons]


# Accept


def test_a_candidate_without_a_trace_is_accepted() -> None:
    judgement = judged(measurements())

    assert judgement.verdict is Verdict.ACCEPT
    assert judgement.reasons == ()


def test_an_accepting_judgement_shows_every_test_of_the_control_and_of_the_candidate() -> None:
    tests = [test.name for test in judged(measurements()).tests]

    assert tests == [
        "positive_control.auc", "positive_control.upper_tail", "positive_control.lower_tail",
        "auc", "upper_tail", "lower_tail", "test_accuracy_loss",
    ]  # fmt: skip


@pytest.mark.parametrize("auc", [0.5, 0.6, 0.4])
def test_a_significant_auc_within_the_margin_is_accepted(auc: float) -> None:
    assert judged(measurements(original_row(), candidate_row(auc=auc, auc_p=SMALL))).verdict is Verdict.ACCEPT


@pytest.mark.parametrize("p_value", [ALPHA, 0.5, 1.0])
def test_an_auc_far_off_that_may_be_chance_is_accepted(p_value: float) -> None:
    assert judged(measurements(original_row(), candidate_row(auc=0.9, auc_p=p_value))).verdict is Verdict.ACCEPT


# Reject


@pytest.mark.parametrize(("auc", "code"), [(0.62, ReasonCode.AUC_ABOVE_MARGIN), (0.38, ReasonCode.AUC_BELOW_MARGIN)])
def test_a_significant_auc_beyond_the_margin_is_rejected_on_either_side(auc: float, code: ReasonCode) -> None:
    judgement = judged(measurements(original_row(), candidate_row(auc=auc, auc_p=SMALL)))

    assert judgement.verdict is Verdict.REJECT
    assert codes(judgement) == [code]


@pytest.mark.parametrize(
    ("side", "code"), [("upper", ReasonCode.UPPER_TAIL_FULL), ("lower", ReasonCode.LOWER_TAIL_FULL)]
)
def test_a_full_tail_is_rejected(side: Literal["upper", "lower"], code: ReasonCode) -> None:
    full = {**NO_TAIL, side: SMALL}
    judgement = judged(measurements(original_row(), candidate_row(tail_p=full)))

    assert judgement.verdict is Verdict.REJECT
    assert codes(judgement) == [code]


def test_a_single_tail_must_beat_half_of_the_level() -> None:
    just_above: TailP = {"upper": math.nextafter(ALPHA / 2, 1), "lower": 1.0}
    just_at: TailP = {"upper": ALPHA / 2, "lower": 1.0}

    assert judged(measurements(original_row(), candidate_row(tail_p=just_above))).verdict is Verdict.ACCEPT
    assert judged(measurements(original_row(), candidate_row(tail_p=just_at))).verdict is Verdict.REJECT


def test_after_one_full_tail_the_other_is_tested_at_the_whole_level() -> None:
    judgement = judged(measurements(original_row(), candidate_row(tail_p={"upper": ALPHA / 2, "lower": ALPHA})))

    assert codes(judgement) == [ReasonCode.UPPER_TAIL_FULL, ReasonCode.LOWER_TAIL_FULL]


def test_a_possible_loss_of_test_accuracy_beyond_the_margin_is_rejected() -> None:
    margin = POLICY.test_accuracy_loss_margin
    beyond = judged(measurements(loss_upper=math.nextafter(margin, 1)))

    assert judged(measurements(loss_upper=margin)).verdict is Verdict.ACCEPT
    assert beyond.verdict is Verdict.REJECT
    assert codes(beyond) == [ReasonCode.TEST_ACCURACY_LOST]


def test_every_reason_is_told_at_once() -> None:
    worst = candidate_row(auc=0.95, auc_p=SMALL, tail_p=dict.fromkeys(SIDES, SMALL))

    assert codes(judged(measurements(original_row(), worst, loss_upper=0.5))) == [
        ReasonCode.AUC_ABOVE_MARGIN, ReasonCode.UPPER_TAIL_FULL, ReasonCode.LOWER_TAIL_FULL,
        ReasonCode.TEST_ACCURACY_LOST,
    ]  # fmt: skip


def test_the_original_offered_as_it_is_would_be_rejected() -> None:
    again = candidate_row(auc=0.8, auc_p=SMALL)

    assert judged(measurements(original_row(), again)).verdict is Verdict.REJECT


@given(
    auc=st.floats(0.0, 1.0),
    auc_p=st.floats(0.0, 1.0),
    upper=st.floats(0.0, 1.0),
    lower=st.floats(0.0, 1.0),
    loss=st.floats(-0.1, 0.2),
)
def test_a_verdict_follows_from_its_tests(auc: float, auc_p: float, upper: float, lower: float, loss: float) -> None:
    row = candidate_row(auc=auc, auc_p=auc_p, tail_p={"upper": upper, "lower": lower})
    judgement = judged(measurements(original_row(), row, loss_upper=loss))
    failed = [test for test in judgement.tests if test.failed and not test.name.startswith("positive_control")]

    assert judgement.verdict is (Verdict.REJECT if failed else Verdict.ACCEPT)
    assert len(judgement.reasons) == len(failed)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_candidate_further_off_is_never_judged_better(auc: float, p_value: float, closer: float) -> None:
    nearer = 0.5 + closer * (auc - 0.5)
    verdicts = [
        judged(measurements(original_row(), candidate_row(auc=value, auc_p=p_value))).verdict for value in (nearer, auc)
    ]

    assert verdicts != [Verdict.REJECT, Verdict.ACCEPT]


# Vacuous


def test_where_the_original_passes_too_nothing_was_shown() -> None:
    judgement = judged(measurements(original_row(auc=0.55, auc_p=0.4), candidate_row()))

    assert judgement.verdict is Verdict.VACUOUS
    assert codes(judgement) == [ReasonCode.ORIGINAL_NOT_REJECTED]
    assert all(test.name.startswith("positive_control.") for test in judgement.tests)


def test_a_bad_candidate_does_not_hide_that_the_original_passes() -> None:
    bad = candidate_row(auc=0.9, auc_p=SMALL)

    assert judged(measurements(original_row(auc=0.5, auc_p=1.0), bad, loss_upper=1.0)).verdict is Verdict.VACUOUS


@pytest.mark.parametrize("side", SIDES)
def test_a_full_tail_of_the_original_is_control_enough(side: Literal["upper", "lower"]) -> None:
    original = original_row(auc=0.5, auc_p=1.0, tail_p={**NO_TAIL, side: SMALL})

    assert judged(measurements(original, candidate_row(auc=0.5, auc_p=1.0))).verdict is Verdict.ACCEPT


# Invalid


@pytest.mark.parametrize("changed", [0, 500])
def test_a_candidate_with_the_originals_weights_is_invalid(changed: int) -> None:
    original = original_row()
    candidate = candidate_row(original.digest) if changed else candidate_row()
    judgement = judged(measurements(original, candidate, changed_elements=changed))

    assert judgement.verdict is Verdict.INVALID
    assert codes(judgement) == [ReasonCode.WEIGHTS_UNCHANGED]


@pytest.mark.parametrize("tails", [{}, {"upper": 0.9}, {"lower": 0.9}], ids=["none", "upper", "lower"])
@pytest.mark.parametrize("whose", ["original", "candidate"])
def test_without_both_tails_a_report_is_invalid(whose: str, tails: TailP) -> None:
    original = original_row(tail_p=tails) if whose == "original" else original_row()
    candidate = candidate_row(tail_p=tails) if whose == "candidate" else candidate_row()
    judgement = judged(measurements(original, candidate))

    assert judgement.verdict is Verdict.INVALID
    assert codes(judgement) == [ReasonCode.MEASUREMENT_MISSING]
    assert "both tails" in judgement.reasons[0].text


def test_a_tail_named_twice_is_invalid_since_it_would_soften_holm() -> None:
    row = candidate_row(tail_p={"upper": ALPHA / 2, "lower": 1.0})
    padded = row.model_copy(update={"tails": (*row.tails, row.tails[1])})

    assert judged(measurements(original_row(), padded)).verdict is Verdict.INVALID


@pytest.mark.parametrize("whose", ["original", "candidate"])
def test_tails_of_another_level_are_invalid(whose: str) -> None:
    original = original_row(tail_level=0.05) if whose == "original" else original_row()
    candidate = candidate_row(tail_level=0.05) if whose == "candidate" else candidate_row()

    assert judged(measurements(original, candidate)).verdict is Verdict.INVALID


def test_without_a_candidate_a_report_is_invalid() -> None:
    judgement = judged(measurements(original_row()))

    assert judgement.verdict is Verdict.INVALID
    assert "lacks the candidate" in judgement.reasons[0].text


def test_measurements_of_no_model_at_all_cannot_be_written_down() -> None:
    with pytest.raises(ValidationError, match="models"):
        Measurements.model_validate({**measurements().model_dump(), "models": ()})


def test_an_invalid_report_is_not_judged_further() -> None:
    vacuous_too = measurements(original_row(auc=0.5, auc_p=1.0), candidate_row(), changed_elements=0)

    assert judged(vacuous_too).verdict is Verdict.INVALID
    assert judged(vacuous_too).tests == ()


# Thresholds


@given(st.floats(0.0, 1.0), st.floats(0.001, 0.499), st.floats(0.0, 1.0))
def test_delta_is_the_smaller_of_the_margin_and_the_share(original_auc: float, margin: float, share: float) -> None:
    policy = POLICY.model_copy(update={"auc_margin": margin, "auc_margin_share_of_original": share})
    delta = auc_margin(original_auc, policy)

    assert delta <= margin
    assert delta <= share * abs(original_auc - 0.5)
    assert delta in {margin, share * abs(original_auc - 0.5)}


def test_a_weak_original_narrows_the_margin() -> None:
    weak = original_row(auc=0.6, auc_p=SMALL)
    candidate = candidate_row(auc=0.57, auc_p=SMALL)

    assert auc_margin(0.6, POLICY) == pytest.approx(0.05)  # half of the original's own excess
    assert judged(measurements(weak, candidate)).verdict is Verdict.REJECT
    assert judged(measurements(original_row(auc=0.8), candidate)).verdict is Verdict.ACCEPT


@pytest.mark.parametrize(("attempt", "alpha"), [(0, 0.05), (1, 0.025), (2, 0.0125)])
def test_each_attempt_halves_the_level(attempt: int, alpha: float) -> None:
    judgement = judged(measurements(), attempt=attempt)

    assert judgement.alpha == POLICY.alpha_at(attempt) == alpha


def test_all_attempts_together_stay_within_twice_the_first_level() -> None:
    assert sum(POLICY.alpha_at(attempt) for attempt in range(100)) <= 2 * POLICY.alpha + 1e-12  # rounding


def test_a_p_value_between_two_levels_rejects_only_the_first_attempt() -> None:
    measured = measurements(original_row(), candidate_row(auc=0.7, auc_p=0.04))

    assert judged(measured, attempt=0).verdict is Verdict.REJECT
    assert judged(measured, attempt=1).verdict is Verdict.ACCEPT


def test_the_judgement_says_by_which_thresholds_it_judged() -> None:
    judgement = judged(measurements(), attempt=1)
    thresholds = {test.name: test.threshold for test in judgement.tests}

    assert judgement.auc_margin == thresholds["auc"] == auc_margin(0.8, POLICY)
    assert thresholds["test_accuracy_loss"] == POLICY.test_accuracy_loss_margin
    assert thresholds["upper_tail"] == judgement.alpha


OTHER_THRESHOLDS: dict[str, Any] = {
    "version": "other", "alpha": 0.04, "alpha_decay": 1.0, "auc_margin": 0.2, "auc_margin_share_of_original": 0.25,
    "tail_level": 0.02, "test_accuracy_loss_margin": 0.05,
}  # fmt: skip


def test_the_digest_binds_every_threshold() -> None:
    assert OTHER_THRESHOLDS.keys() == GatePolicy.model_fields.keys()
    others = [POLICY.model_copy(update={name: value}).digest for name, value in OTHER_THRESHOLDS.items()]

    assert len({POLICY.digest, *others}) == len(others) + 1
    assert GatePolicy.model_validate_json(POLICY.model_dump_json()).digest == POLICY.digest


@pytest.mark.parametrize(
    "change", [{"alpha": 0.0}, {"alpha": 0.5}, {"alpha_decay": 0.0}, {"alpha_decay": 1.1}, {"auc_margin": 0.0},
               {"tail_level": 0.0}, {"test_accuracy_loss_margin": 1.1}, {"version": ""}, {"surprise": 1}],
)  # fmt: skip
def test_thresholds_without_meaning_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GatePolicy.model_validate({**POLICY.model_dump(), **change})


def test_judging_survives_json() -> None:
    measured = measurements()
    again = Measurements.model_validate_json(measured.model_dump_json())

    assert judged(again) == judged(measured)


# Holm


def holm_slowly(p_values: list[float], alpha: float) -> list[bool]:
    """Reject H_i when every hypothesis with a p-value up to its own beats the level left for its rank."""
    ordered = sorted(p_values)

    def rejected(p_value: float) -> bool:
        upto = [rank for rank, other in enumerate(ordered) if other <= p_value]
        return all(ordered[rank] <= alpha / (len(p_values) - rank) for rank in upto)

    return [rejected(p_value) for p_value in p_values]


@given(st.lists(st.floats(0.0, 1.0) | st.sampled_from([0.0125, 0.025, 0.05]), max_size=6), st.floats(0.001, 0.5))
def test_holm_agrees_with_its_definition(p_values: list[float], alpha: float) -> None:
    assert holm(p_values, alpha) == holm_slowly(p_values, alpha)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6), st.floats(0.001, 0.5))
def test_holm_rejects_at_least_what_bonferroni_does_and_at_most_what_no_correction_does(
    p_values: list[float], alpha: float
) -> None:
    for p_value, rejected in zip(p_values, holm(p_values, alpha), strict=True):
        assert rejected >= (p_value <= alpha / len(p_values))
        assert rejected <= (p_value <= alpha)


@given(st.lists(st.floats(0.0, 1.0), max_size=6), st.floats(0.001, 0.5), st.data())
def test_holm_does_not_depend_on_the_order(p_values: list[float], alpha: float, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(p_values))))

    shuffled = holm([p_values[index] for index in order], alpha)
    assert shuffled == [holm(p_values, alpha)[index] for index in order]


def test_the_membership_tests_of_a_model_are_the_auc_and_both_tails() -> None:
    tests = membership_tests(original_row(), alpha=ALPHA, margin=0.1)

    assert [(test.name, test.failed) for test in tests] == [("auc", True), ("upper_tail", False), ("lower_tail", False)]


# Power of the positive control


def an_auc(value: float, *, forget: int, nonmembers: int) -> AucEstimate:
    return AucEstimate(
        value=value, low=None, high=None, p_value=1.0, forget_count=forget, nonmember_count=nonmembers, method="m"
    )


@pytest.mark.parametrize(("value", "forget", "nonmembers"), [(0.60, 60, 60), (0.55, 300, 600), (0.40, 100, 50)])
def test_power_is_how_often_the_test_sees_a_model_of_that_auc(value: float, forget: int, nonmembers: int) -> None:
    random = np.random.default_rng(0)
    # For exponential scores with rates 1 and θ, P(X > Y) = θ / (1 + θ): the family of Hanley and McNeil's variance.
    members = random.exponential(1.0, (4000, forget))
    others = random.exponential((1.0 - value) / value, (4000, nonmembers))
    tests = [mannwhitneyu(x, y, method="asymptotic") for x, y in zip(members, others, strict=True)]
    areas = np.array([test.statistic for test in tests]) / (forget * nonmembers)
    seen = np.mean([test.pvalue < 0.05 for test in tests] & (abs(areas - 0.5) > 0.02))

    power = auc_power(an_auc(value, forget=forget, nonmembers=nonmembers), alpha=0.05, margin=0.02)
    assert power == pytest.approx(seen, abs=0.03)


def test_power_rises_with_samples_from_the_level_to_one() -> None:
    powers = [auc_power(an_auc(0.6, forget=n, nonmembers=n), alpha=0.05, margin=0.0) for n in (1, 10, 100, 1000)]

    assert powers == sorted(powers)
    assert auc_power(an_auc(0.5, forget=200, nonmembers=200), alpha=0.05, margin=0.0) == pytest.approx(0.05, abs=0.005)
    assert powers[-1] > 0.999


def test_no_sample_has_no_power_and_a_perfect_separation_all_of_it() -> None:
    assert auc_power(an_auc(1.0, forget=0, nonmembers=9), alpha=0.05, margin=0.0) == 0.0
    assert auc_power(an_auc(1.0, forget=50, nonmembers=50), alpha=0.05, margin=0.0) == 1.0


def test_every_verdict_tells_the_power_of_its_control() -> None:
    accepted = judged(measurements(forget=300))
    vacuous = judged(measurements(original_row(auc=0.5, auc_p=1.0), candidate_row()))
    invalid = judged(measurements(changed_elements=0))

    assert [accepted.verdict, vacuous.verdict, invalid.verdict] == [Verdict.ACCEPT, Verdict.VACUOUS, Verdict.INVALID]
    assert 0.0 < vacuous.positive_control_power < invalid.positive_control_power < accepted.positive_control_power
