import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mcu_core.statistics.auc import DELONG_SAMPLE, area_interval, auc, delong_variance, newcombe_variance
from mcu_core.statistics.scores import Floats

values = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)
"""Few distinct numbers, so that ties are common."""


def scores(numbers: list[float]) -> Floats:
    return np.array(numbers, dtype=np.float64)


def slow_auc(forget: list[float], nonmembers: list[float]) -> float:
    wins = sum((a > b) + 0.5 * (a == b) for a in forget for b in nonmembers)
    return wins / (len(forget) * len(nonmembers))


@given(values, values)
def test_the_auc_is_the_share_of_pairs_won_with_ties_as_half(forget: list[float], nonmembers: list[float]) -> None:
    estimate = auc(scores(forget), scores(nonmembers), confidence=0.95)
    assert estimate.value == pytest.approx(slow_auc(forget, nonmembers))


@given(values, values)
def test_the_auc_turns_round_with_the_groups(forget: list[float], nonmembers: list[float]) -> None:
    first = auc(scores(forget), scores(nonmembers), confidence=0.95)
    second = auc(scores(nonmembers), scores(forget), confidence=0.95)
    assert first.value == pytest.approx(1.0 - second.value)
    assert first.p_value == pytest.approx(second.p_value)
    if first.low is not None and second.high is not None:
        assert first.low == pytest.approx(1.0 - second.high)


@given(values, values)
def test_the_auc_does_not_change_with_the_scale(forget: list[float], nonmembers: list[float]) -> None:
    def stretch(numbers: list[float]) -> Floats:
        return np.exp(scores(numbers))

    first = auc(scores(forget), scores(nonmembers), confidence=0.95)
    assert auc(stretch(forget), stretch(nonmembers), confidence=0.95) == first


@given(st.lists(st.floats(-9, 9), min_size=2, max_size=15), st.lists(st.floats(-9, 9), min_size=2, max_size=15))
def test_the_variance_is_that_of_the_placements(forget: list[float], nonmembers: list[float]) -> None:
    above = [slow_auc([score], nonmembers) for score in forget]
    below = [slow_auc(forget, [score]) for score in nonmembers]
    expected = np.var(above, ddof=1) / len(forget) + np.var(below, ddof=1) / len(nonmembers)
    assert delong_variance(scores(forget), scores(nonmembers)) == pytest.approx(expected, abs=1e-12)


def test_noise_with_ties_has_an_auc_of_one_half() -> None:
    rng = np.random.default_rng(0)
    estimate = auc(rng.integers(0, 5, 4000).astype(float), rng.integers(0, 5, 4000).astype(float), confidence=0.95)
    assert estimate.value == pytest.approx(0.5, abs=0.02)
    assert estimate.p_value > 0.01


def test_equal_scores_everywhere_tell_nothing() -> None:
    estimate = auc(np.ones(50), np.ones(70), confidence=0.95)
    assert (estimate.value, estimate.p_value) == (0.5, 1.0)
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < 0.5 < estimate.high


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_perfect_separation_still_has_an_interval(sign: float) -> None:
    rng = np.random.default_rng(0)
    estimate = auc(sign * (10 + rng.random(30)), sign * rng.random(300), confidence=0.95)
    assert estimate.value == (1.0 if sign > 0 else 0.0)
    assert estimate.low is not None
    assert estimate.high is not None
    assert 0.8 < max(estimate.low, 1 - estimate.high) < 1.0
    assert estimate.p_value < 1e-6
    assert "newcombe" in estimate.method


def test_few_samples_have_a_p_value_and_no_interval() -> None:
    rng = np.random.default_rng(0)
    estimate = auc(rng.random(9), rng.random(500), confidence=0.95)
    assert (estimate.low, estimate.high) == (None, None)
    assert "not estimable below 10" in estimate.method
    assert 0.0 < estimate.p_value <= 1.0


def test_the_interval_of_few_samples_covers_as_often_as_it_says() -> None:
    rng, shift, repetitions = np.random.default_rng(0), math.sqrt(2.0) * stats.norm.ppf(0.9), 400
    covered = 0
    for _ in range(repetitions):
        found = auc(rng.normal(shift, size=10), rng.normal(size=500), confidence=0.95)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.9 <= found.high
    assert covered / repetitions > 0.93  # DeLong's: .87


def test_few_samples_have_the_standard_error_of_their_interval() -> None:
    where = area_interval(0.7, 1e-9, DELONG_SAMPLE - 1, 500, confidence=0.95)
    assert where.method == "newcombe"
    assert where.standard_error == pytest.approx(math.sqrt(newcombe_variance(0.7, DELONG_SAMPLE - 1, 500)) / 0.21)
    assert area_interval(0.7, 1e-9, DELONG_SAMPLE, 500, confidence=0.95).method == "delong-logit"
