import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mcu_core.statistics.scores import Floats
from mcu_core.statistics.tails import exceedance_p_value, tail

values = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)
"""Few distinct numbers, so that ties are common."""


def scores(numbers: list[float]) -> Floats:
    return np.array(numbers, dtype=np.float64)


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
