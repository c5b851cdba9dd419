"""Distance of two distributions of scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from mcu_core.connectivity.distribution import distance

scores = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=40).map(np.array)


@given(scores, scores)
def test_the_auc_is_that_of_the_rank_test_with_ties(forget: np.ndarray, unseen: np.ndarray) -> None:
    expected = mannwhitneyu(forget, unseen, method="asymptotic").statistic / (len(forget) * len(unseen))
    assert distance(forget, unseen).auc == pytest.approx(expected)


@given(scores)
def test_equal_samples_have_no_distance(values: np.ndarray) -> None:
    assert distance(values, values).total == pytest.approx(0.0)


@given(scores, scores)
def test_the_distance_is_bounded(forget: np.ndarray, unseen: np.ndarray) -> None:
    assert 0.0 <= distance(forget, unseen).total <= 1.5


def test_a_wider_distribution_with_the_same_centre_is_far_in_its_tails() -> None:
    narrow = np.linspace(-1.0, 1.0, 1001)
    found = distance(3.0 * narrow, narrow)
    assert found.auc == pytest.approx(0.5, abs=1e-3), "but for rounding among ties"
    assert found.total == pytest.approx((0.35 - 0.05), abs=0.01), "a third of the width lies within ±.9/3"


def test_a_few_confident_members_are_seen_in_the_upper_tail() -> None:
    rng = np.random.default_rng(0)
    unseen = rng.normal(size=2000)
    forget = np.concatenate([rng.normal(size=1800), rng.normal(6.0, size=200)])
    assert distance(forget, unseen).total > distance(rng.normal(size=2000), unseen).total + 0.05
