import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mcu_core.statistics.exchangeable import exchangeability

samples = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), min_size=1, max_size=25)


def slow_statistic(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> float | None:
    shared = {label for _, label in first} & {label for _, label in second}
    if not shared:
        return None

    def ranked(group: list[tuple[int, int]]) -> list[float]:
        ranks = []
        for score, label in group:
            peers = [other for other, of in (*first, *second) if of == label]
            if label in shared:
                below, ties = sum(peer < score for peer in peers), sum(peer == score for peer in peers)
                ranks.append((below + ties / 2) / len(peers))
        return ranks

    a, b = ranked(first), ranked(second)
    return max(abs(sum(r <= x + 1e-12 for r in a) / len(a) - sum(r <= x + 1e-12 for r in b) / len(b)) for x in (*a, *b))


@given(samples, samples)
def test_the_statistic_is_the_largest_distance_of_ranks_by_class(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    (a, a_labels), (b, b_labels) = (np.array(group).T for group in (first, second))
    test = exchangeability(a.astype(float), a_labels, b.astype(float), b_labels)
    expected = slow_statistic(first, second)
    assert (None if test is None else test.statistic) == (None if expected is None else pytest.approx(expected))


def test_with_one_class_it_is_scipys_test_of_the_scores() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=60), rng.normal(0.3, 1.0, 90)
    test = exchangeability(a, np.zeros(60, int), b, np.zeros(90, int))
    expected = stats.ks_2samp(a, b, method="asymp")
    assert test is not None
    assert (test.statistic, test.p_value) == pytest.approx((expected.statistic, expected.pvalue))


def test_a_difference_within_classes_is_seen_and_another_mix_of_classes_is_not() -> None:
    rng = np.random.default_rng(0)
    many, few = np.repeat([0, 1], [600, 400]), np.repeat([0, 1], [400, 600])
    first, second = 3.0 * many + rng.normal(size=1000), 3.0 * few + rng.normal(size=1000)
    assert stats.ks_2samp(first, second).pvalue < 1e-6  # of raw scores
    easy = exchangeability(first, many, second, few)
    off = exchangeability(3.0 * many + rng.normal(0.4, 1.0, 1000), many, 3.0 * few + rng.normal(size=1000), few)
    assert easy is not None
    assert off is not None
    assert easy.p_value > 0.01
    assert off.p_value < 1e-2
