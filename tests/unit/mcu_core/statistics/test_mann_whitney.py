import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.statistics.mann_whitney import exact_mann_whitney, mann_whitney
from mcu_core.statistics.scores import Floats

values = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)
"""Few distinct numbers, so that ties are common."""


def scores(numbers: list[float]) -> Floats:
    return np.array(numbers, dtype=np.float64)


def slow_auc(forget: list[float], nonmembers: list[float]) -> float:
    wins = sum((a > b) + 0.5 * (a == b) for a in forget for b in nonmembers)
    return wins / (len(forget) * len(nonmembers))


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


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=9, unique=True), st.integers(1, 3))
def test_the_one_sided_p_value_is_that_of_all_permutations(numbers: list[int], count: int) -> None:
    forget, others = [float(n) for n in numbers[:count]], [float(n) for n in numbers[count:]]
    splits = [
        slow_auc([numbers[i] for i in chosen], [numbers[i] for i in range(len(numbers)) if i not in chosen])
        for chosen in itertools.combinations(range(len(numbers)), count)
    ]
    expected = np.mean([value >= slow_auc(forget, others) - 1e-9 for value in splits])
    p_value = exact_mann_whitney(scores(forget), scores(others), alternative="greater")
    assert p_value == pytest.approx(expected)


@given(values, values)
def test_one_sided_p_values_of_both_sides_leave_nothing_out(forget: list[float], others: list[float]) -> None:
    above = mann_whitney(scores(forget), scores(others), alternative="greater").p_value
    below = mann_whitney(scores(others), scores(forget), alternative="greater").p_value
    assert above + below >= 1.0 - 1e-9


def test_equal_scores_tell_nothing_on_either_side() -> None:
    for count in (3, 30):
        assert mann_whitney(np.ones(count), np.ones(50), alternative="greater").p_value == pytest.approx(1.0, abs=0.5)
        assert mann_whitney(np.ones(count), np.ones(50)).p_value == 1.0
