"""Two one-sided tests, their power, and intervals at another level."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, norm

from mcu_core.judging.equivalence import (
    detection_power,
    equivalence_p,
    equivalence_power,
    half_width,
    increase_lower_bound,
    interval_at,
    logit,
    null_standard_error,
    provable_margin,
)
from mcu_core.report.evidence import Result
from tests.results import CONFIDENCE, auc_result

AUCS = st.floats(0.01, 0.99)
MARGINS = st.floats(0.0, 0.45)
ERRORS = st.floats(0.01, 2.0)
SIZES = st.integers(1, 10_000)


@given(AUCS, ERRORS, MARGINS)
def test_p_is_the_larger_of_two_one_sided_p_values(auc: float, error: float, margin: float) -> None:
    above = norm.cdf((logit(auc) - logit(0.5 + margin)) / error)
    below = norm.sf((logit(auc) - logit(0.5 - margin)) / error)

    assert equivalence_p(auc, error, margin) == pytest.approx(max(above, below), abs=1e-8)


@given(AUCS, ERRORS, MARGINS, st.floats(0.001, 0.4))
def test_equivalence_is_shown_exactly_where_the_interval_lies_inside(
    auc: float, error: float, margin: float, alpha: float
) -> None:
    reach = abs(logit(auc)) + norm.isf(alpha) * error
    p_value = equivalence_p(auc, error, margin)

    if abs(p_value - alpha) > 1e-7:
        assert (p_value < alpha) == (reach < logit(0.5 + margin))


@pytest.mark.parametrize("auc", [0.0, 1.0])
def test_complete_separation_is_never_equivalent(auc: float) -> None:
    assert equivalence_p(auc, 0.1, 0.4) == 1.0


@given(AUCS, ERRORS)
def test_nothing_is_equivalent_within_a_margin_of_zero(auc: float, error: float) -> None:
    assert equivalence_p(auc, error, 0.0) >= 0.5


@given(AUCS, ERRORS, MARGINS, st.floats(1.0, 3.0))
def test_a_larger_error_never_turns_no_proof_into_a_proof(
    auc: float, error: float, margin: float, factor: float
) -> None:
    if equivalence_p(auc, error, margin) >= 0.05:
        assert equivalence_p(auc, error * factor, margin) >= 0.05


def test_the_null_error_is_that_of_the_rank_sum() -> None:
    # mannwhitneyu's normal p without continuity correction is that of (U / nm - .5) / s.
    few, many = [3.5, 4.5, 9.5], [float(value) for value in range(12)]
    found = mannwhitneyu(few, many, method="asymptotic", use_continuity=False)
    z = (found.statistic / 36 - 0.5) / null_standard_error(3, 12)

    assert 2 * norm.sf(abs(z)) == pytest.approx(found.pvalue)


@given(SIZES, SIZES, MARGINS, st.floats(0.001, 0.4))
def test_power_is_the_chance_that_an_estimate_around_one_half_passes(
    n: int, m: int, margin: float, alpha: float
) -> None:
    error = 4 * null_standard_error(n, m)
    reach = logit(0.5 + margin) - norm.isf(alpha) * error
    expected = norm.cdf(reach / error) - norm.cdf(-reach / error) if reach > 0 else 0.0

    assert equivalence_power(n, m, margin=margin, alpha=alpha) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("n", "m"), [(0, 100), (100, 0)])
def test_there_is_no_power_without_samples(n: int, m: int) -> None:
    assert equivalence_power(n, m, margin=0.1, alpha=0.05) == 0.0
    assert detection_power(0.9, n, m, alpha=0.05) == 0.0


@pytest.mark.parametrize(("n", "half", "provable"), [(10, 0.18, 0.30), (100, 0.057, 0.10), (1_000, 0.020, 0.033)])
def test_sizes_show_what_the_design_says_they_show(n: int, half: float, provable: float) -> None:
    assert half_width(n, 5_000, confidence=0.95) == pytest.approx(half, abs=0.001)
    assert provable_margin(n, 5_000, alpha=0.05, power=0.9) == pytest.approx(provable, abs=0.005)


@given(st.integers(10, 10_000), st.integers(100, 10_000))
def test_a_margin_that_is_called_provable_has_the_power(n: int, m: int) -> None:
    margin = provable_margin(n, m, alpha=0.05, power=0.9)

    if margin < 0.49:
        assert equivalence_power(n, m, margin=margin, alpha=0.05) >= 0.9


# Detection


@pytest.mark.parametrize(("n", "m"), [(10, 100), (100, 1_000), (1_000, 5_000)])
def test_power_on_an_auc_of_one_half_is_near_the_level(n: int, m: int) -> None:
    # Hanley and McNeil's variance at .5 is the null's up to terms of 1 / nm.
    assert detection_power(0.5, n, m, alpha=0.05) == pytest.approx(0.05, abs=0.003)


@given(st.floats(0.5, 0.98), st.floats(0.0, 0.019), SIZES, SIZES)
def test_a_larger_trace_of_a_large_audit_is_seen_more_often(auc: float, more: float, n: int, m: int) -> None:
    n, m = n + 50, m + 50
    seen = detection_power(auc, n, m, alpha=0.05)

    # Hanley and McNeil's variance is not symmetric about .5: just above it the power dips, at n >> m = 51 by 8.4e-5.
    assert detection_power(auc + more, n, m, alpha=0.05) >= seen - 1e-4


def test_nothing_is_seen_where_nothing_was_estimated() -> None:
    assert detection_power(None, 1_000, 5_000, alpha=0.05) == 0.0


def test_complete_separation_of_a_large_set_is_always_seen() -> None:
    assert detection_power(1.0, 1_000, 5_000, alpha=0.05) == 1.0


# Intervals


@given(AUCS, st.integers(10, 2_000), st.floats(0.5, 0.999))
def test_an_interval_at_another_level_is_that_of_the_same_error(auc: float, n: int, level: float) -> None:
    result = auc_result(auc, n=n)
    interval = interval_at(result, level)

    assert result.standard_error is not None
    assert interval is not None
    half = norm.isf((1 - level) / 2) * result.standard_error
    assert interval == pytest.approx([1 / (1 + math.exp(-(logit(auc) + shift))) for shift in (-half, half)], abs=1e-7)


def test_an_interval_at_its_own_level_stays() -> None:
    result = auc_result(0.6)

    assert interval_at(result, CONFIDENCE) == pytest.approx((result.low, result.high))


def test_an_end_at_one_stays_there() -> None:
    result = auc_result(0.9).model_copy(update={"high": 1.0})
    interval = interval_at(result, 0.5)

    assert interval is not None
    assert interval[1] == 1.0


@pytest.mark.parametrize(
    "update",
    [{"low": None}, {"high": None}, {"level": None}, {"level": 1.0}, {"low": 0.7}, {"high": 0.5}, {"high": 1.2}],
)
def test_what_is_no_interval_around_the_value_is_none(update: dict[str, float | None]) -> None:
    assert interval_at(auc_result(0.6).model_copy(update=update), 0.9) is None


@given(AUCS, AUCS)
def test_the_lower_bound_of_an_increase_lies_below_it_and_above_the_intervals_own_difference(
    before: float, after: float
) -> None:
    earlier, later = auc_result(before), auc_result(after)
    bound = increase_lower_bound(earlier, later, CONFIDENCE)

    assert bound is not None
    assert _number(later.low) - _number(earlier.high) - 1e-8 <= bound <= after - before


def test_an_increase_without_intervals_has_no_bound() -> None:
    assert increase_lower_bound(auc_result(0.5), auc_result(0.5, n=5), 0.9) is None


def _number(value: float | None) -> float:
    assert value is not None
    return value


def test_a_result_at_the_edge_has_its_interval_unmoved() -> None:
    edge: Result = auc_result(0.6).model_copy(update={"value": 1.0, "high": 1.0})

    assert interval_at(edge, 0.5) == (edge.low, 1.0)
