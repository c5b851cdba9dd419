import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.statistics.rmia import rmia

pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=15)
"""p and p_ref in fifths, so that ties are common."""


def ratio(confidence: float, reference: float, offset: float) -> float:
    return confidence / (((1.0 + offset) * reference + (1.0 - offset)) / 2.0)


@given(pairs, pairs, st.sampled_from([0.0, 0.3, 0.9]))
def test_the_score_is_that_of_the_double_loop(
    asked: list[tuple[int, int]], others: list[tuple[int, int]], offset: float
) -> None:
    x, z = np.array(asked) / 5.0, np.array(others) / 5.0
    found = rmia(x[:, 0], x[:, 1], z[:, 0], z[:, 1], offset=offset)
    for index, (p, p_ref) in enumerate(x):
        dominated = [ratio(p, p_ref, offset) >= ratio(q, q_ref, offset) for q, q_ref in z]
        assert found[index] == sum(dominated) / len(dominated)


def test_a_reference_that_gives_the_label_nothing_is_no_division_by_zero() -> None:
    found = rmia(np.array([0.5, 0.0]), np.zeros(2), np.array([0.5]), np.array([0.5]), offset=1.0)
    np.testing.assert_array_equal(found, [1.0, 0.0])
