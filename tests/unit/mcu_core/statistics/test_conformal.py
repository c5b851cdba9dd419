import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_core.statistics.conformal import conformal_p_values, smallest_adjusted

samples = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), min_size=1, max_size=25)
"""Score and class; few distinct scores, so that ties are common."""


@given(samples, samples)
def test_p_values_are_shares_of_the_class(asked: list[tuple[int, int]], known: list[tuple[int, int]]) -> None:
    scores, labels = (np.array(column) for column in zip(*asked, strict=True))
    calibration, classes = (np.array(column) for column in zip(*known, strict=True))
    found = conformal_p_values(scores.astype(float), labels, calibration.astype(float), classes)
    pooled = 0
    for index, (score, label) in enumerate(asked):
        peers = [other for other, of in known if of == label]
        if not peers:
            peers, pooled = [other for other, _ in known], pooled + 1
        assert found.high[index] == (1 + sum(peer >= score for peer in peers)) / (1 + len(peers))
        assert found.low[index] == (1 + sum(peer <= score for peer in peers)) / (1 + len(peers))
        assert found.two[index] == min(1.0, 2.0 * min(found.high[index], found.low[index]))
    assert found.pooled == pooled


@settings(max_examples=15)  # statsmodels takes its time
@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=40))
def test_the_smallest_is_adjusted_by_their_number(p_values: list[float]) -> None:
    assert smallest_adjusted(np.array(p_values)) == pytest.approx(min(1.0, len(p_values) * min(p_values)))


def test_one_sample_beyond_all_of_its_class_has_the_smallest_p_value() -> None:
    found = conformal_p_values(np.array([9.0]), np.array([1]), np.arange(19.0) % 5, np.ones(19, dtype=int))
    assert (found.high[0], found.low[0], found.two[0]) == (0.05, 1.0, 0.1)


@pytest.mark.parametrize("ties", [False, True])
def test_an_exchangeable_sample_is_called_extreme_no_more_often_than_the_level(ties: bool) -> None:
    rng = np.random.default_rng(0)
    rejected, runs = 0, 4000
    for _ in range(runs):
        scores = rng.normal(size=30)
        scores = scores.round() if ties else scores
        found = conformal_p_values(scores[:1], np.zeros(1, int), scores[1:], np.zeros(29, int))
        rejected += bool(found.two[0] <= 0.1)
    assert rejected / runs <= 0.1 + 4 * (0.09 / runs) ** 0.5
