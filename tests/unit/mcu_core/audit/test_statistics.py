import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from mcu_core.audit.statistics import (
    auc,
    delong_variance,
    exact_mann_whitney,
    exceedance_p_value,
    rate,
    tail,
    utility_loss,
)

Scores = NDArray[np.float64]
values = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)
"""Few distinct numbers, so that ties are common."""


def scores(numbers: list[float]) -> Scores:
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
    def stretch(numbers: list[float]) -> Scores:
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


def slow_exact_p(forget: list[float], nonmembers: list[float]) -> float:
    """Enumerate which of the scores, all distinct, could have been D_f's."""
    everything, count = [*forget, *nonmembers], len(forget)
    center = count * len(nonmembers) / 2
    observed = abs(slow_auc(forget, nonmembers) * 2 * center - center)
    extreme, total = 0, 0
    for chosen in itertools.combinations(range(len(everything)), count):
        first = [everything[i] for i in chosen]
        rest = [everything[i] for i in range(len(everything)) if i not in chosen]
        extreme += abs(slow_auc(first, rest) * 2 * center - center) >= observed - 1e-9
        total += 1
    return extreme / total


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=9, unique=True), st.integers(1, 3))
def test_the_exact_p_value_is_that_of_all_permutations(numbers: list[int], count: int) -> None:
    forget, nonmembers = [float(n) for n in numbers[:count]], [float(n) for n in numbers[count:]]
    p_value = exact_mann_whitney(scores(forget), scores(nonmembers))
    assert p_value == pytest.approx(slow_exact_p(forget, nonmembers))


@given(values, values)
def test_ties_never_make_an_exact_p_value_smaller(forget: list[float], nonmembers: list[float]) -> None:
    tied = exact_mann_whitney(scores(forget), scores(nonmembers))
    noise = np.random.default_rng(0).permutation(len(forget) + len(nonmembers)) * 1e-6
    broken = exact_mann_whitney(scores(forget) + noise[: len(forget)], scores(nonmembers) + noise[len(forget) :])
    assert tied >= broken - 1e-12


@given(st.integers(1, 30), st.integers(1, 60), st.data())
def test_exceedances_are_negative_hypergeometric(n: int, m: int, data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, m))
    beyond = data.draw(st.integers(0, n))
    expected = stats.nhypergeom(n + m, n, rank).sf(beyond - 1)
    assert exceedance_p_value(beyond, n, m, rank) == pytest.approx(expected, abs=1e-9)


@given(values, values, st.floats(0.01, 0.4))
def test_both_tails_are_mirror_images(forget: list[float], nonmembers: list[float], level: float) -> None:
    upper = tail(scores(forget), scores(nonmembers), side="upper", level=level)
    lower = tail(-scores(forget), -scores(nonmembers), side="lower", level=level)
    assert (upper.threshold, upper.beyond, upper.p_value) == (-lower.threshold, lower.beyond, lower.p_value)


@given(values, values, st.floats(0.01, 0.4))
def test_the_threshold_is_an_extreme_non_member(forget: list[float], nonmembers: list[float], level: float) -> None:
    test = tail(scores(forget), scores(nonmembers), side="upper", level=level)
    rank = max(1, math.ceil(level * len(nonmembers) - 1e-9))
    assert test.threshold == sorted(nonmembers, reverse=True)[rank - 1]
    assert test.beyond == sum(score > test.threshold for score in forget)
    assert test.share == test.beyond / len(forget)


def test_one_per_cent_of_a_thousand_is_ten() -> None:
    nonmembers = np.arange(1000.0)
    assert tail(np.array([5.0]), nonmembers, side="upper", level=0.01).threshold == 990.0
    assert tail(np.array([5.0]), nonmembers, side="lower", level=0.01).threshold == 9.0


def test_a_score_at_the_threshold_is_not_beyond() -> None:
    test = tail(np.array([9.0]), np.arange(10.0), side="upper", level=0.1)
    assert (test.beyond, test.p_value) == (0, 1.0)


def test_members_that_stayed_fill_the_upper_tail() -> None:
    rng = np.random.default_rng(0)
    test = tail(rng.normal(2.0, 1.0, 300), rng.normal(0.0, 1.0, 3000), side="upper", level=0.01)
    assert test.p_value < 1e-20
    assert tail(rng.normal(0.0, 1.0, 300), rng.normal(0.0, 1.0, 3000), side="upper", level=0.01).p_value > 0.01


@given(st.integers(0, 20), st.integers(1, 20), st.floats(0.6, 0.99))
def test_a_rate_lies_in_its_interval(successes: int, count: int, confidence: float) -> None:
    estimate = rate(min(successes, count), count, confidence=confidence)
    assert 0.0 <= estimate.low <= estimate.value <= estimate.high <= 1.0


def test_the_interval_of_a_rate_is_the_textbooks() -> None:
    estimate = rate(0, 10, confidence=0.95)
    assert (estimate.low, estimate.high) == pytest.approx((0.0, 1 - 0.025**0.1))


def right(*flags: int) -> NDArray[np.bool_]:
    return np.array(flags, dtype=bool)


def test_a_loss_is_the_difference_of_the_accuracies() -> None:
    loss = utility_loss(right(1, 1, 1, 0), right(1, 0, 0, 1), level=0.95)
    assert loss.value == pytest.approx(0.25)
    assert loss.upper > loss.value


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 100))
def test_the_bound_solves_the_score_equation(lost: int, gained: int, same: int) -> None:
    n = lost + gained + same
    if n == 0:
        return
    original = np.array([True] * lost + [False] * gained + [True] * same)
    candidate = np.array([False] * lost + [True] * gained + [True] * same)
    loss = utility_loss(original, candidate, level=0.95)
    assert loss.value <= loss.upper <= 1.0
    if loss.upper < 1.0 - 1e-9:
        # The restricted maximum of the likelihood by brute force, at p_lost - p_gained = the bound
        q = np.linspace(0.0, (1.0 - loss.upper) / 2.0 if loss.upper > 0 else (1.0 + loss.upper) / 2.0, 200_001)[1:-1]
        q = q if loss.upper > 0 else q - loss.upper
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihood = (
                stats.binom.logpmf(0, 0, 0.5)
                + (lost * np.log(q + loss.upper) if lost else 0.0)
                + (gained * np.log(q) if gained else 0.0)
                + (same * np.log(1.0 - 2.0 * q - loss.upper) if same else 0.0)
            )
        best = q[int(np.nanargmax(likelihood))] if lost + gained + same else 0.0
        variance = n * (2.0 * best + loss.upper - loss.upper**2)
        z = (lost - gained - n * loss.upper) / math.sqrt(variance)
        assert z == pytest.approx(-stats.norm.ppf(0.95), abs=5e-2)


def test_more_images_bring_the_bound_nearer() -> None:
    bounds = []
    for n in (100, 1000, 10_000):
        original = np.ones(n, dtype=bool)
        candidate = original.copy()
        candidate[: n // 50] = False
        bounds.append(utility_loss(original, candidate, level=0.95).upper)
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(0.02, abs=0.003)


def test_no_change_at_all_still_has_a_bound_above_nothing() -> None:
    same = np.ones(1000, dtype=bool)
    loss = utility_loss(same, same, level=0.95)
    assert loss.value == 0.0
    assert 0.0 < loss.upper < 0.005
