import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mcu_core.statistics.auc import area, delong_variance
from mcu_core.statistics.clusters import clustered_p_value, clustered_variance
from mcu_core.statistics.scores import Floats

values = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=12)
"""Few distinct numbers, so that ties are common."""


def slow_variance(forget: Floats, others: Floats, forget_subjects: list[int], other_subjects: list[int]) -> float:
    """Obuchowski's formula, subject by subject."""
    n, m = len(forget), len(others)
    above = [float(np.mean([(a > b) + 0.5 * (a == b) for b in others])) for a in forget]
    below = [float(np.mean([(a > b) + 0.5 * (a == b) for a in forget])) for b in others]
    value = sum(above) / n
    everybody = sorted(set(forget_subjects) | set(other_subjects))
    x = [sum(v - value for v, s in zip(above, forget_subjects, strict=True) if s == i) for i in everybody]
    y = [sum(v - value for v, s in zip(below, other_subjects, strict=True) if s == i) for i in everybody]
    i_10, i_01, i = len(set(forget_subjects)), len(set(other_subjects)), len(everybody)
    s_10 = i_10 / (i_10 - 1) / n * sum(a * a for a in x)
    s_01 = i_01 / (i_01 - 1) / m * sum(b * b for b in y)
    s_11 = i / (i - 1) * sum(a * b for a, b in zip(x, y, strict=True))
    return max(0.0, s_10 / n + s_01 / m + 2.0 * s_11 / (n * m))


@given(values, values)
def test_with_one_sample_a_subject_the_variance_is_delongs(forget: list[float], others: list[float]) -> None:
    first, second = np.array(forget), np.array(others)
    spread = clustered_variance(first, second, np.arange(len(first)), 100 + np.arange(len(second)))
    assert spread.variance == pytest.approx(delong_variance(first, second), abs=1e-12)


@given(values, values, st.data())
def test_the_variance_is_obuchowskis(forget: list[float], others: list[float], data: st.DataObject) -> None:
    of_forget, of_others = (
        [0, 1, *data.draw(st.lists(st.integers(0, 6), min_size=len(group) - 2, max_size=len(group) - 2))]
        for group in (forget, others)
    )
    first, second = np.array(forget), np.array(others)
    spread = clustered_variance(first, second, np.array(of_forget), np.array(of_others))
    assert spread.variance == pytest.approx(slow_variance(first, second, of_forget, of_others), abs=1e-12)


@given(st.integers(2, 5), st.integers(0, 99))
def test_copies_of_every_sample_leave_the_variance_as_it_is(copies: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    forget, others = rng.normal(0.5, 1.0, 12), rng.normal(0.0, 1.0, 30)
    first, second = np.repeat(np.arange(12), copies), 100 + np.repeat(np.arange(30), copies)
    spread = clustered_variance(np.repeat(forget, copies), np.repeat(others, copies), first, second)
    assert spread.variance == pytest.approx(delong_variance(forget, others))


def test_the_order_of_the_samples_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    forget, others = rng.normal(size=20), rng.normal(size=30)
    first, second = rng.integers(0, 6, 20), rng.integers(4, 15, 30)
    a, b = rng.permutation(20), rng.permutation(30)
    turned = clustered_variance(forget[a], others[b], first[a], second[b])
    assert turned.variance == pytest.approx(clustered_variance(forget, others, first, second).variance)


def test_the_test_is_brunner_and_munzels_with_one_sample_a_subject() -> None:
    rng = np.random.default_rng(0)
    forget, others = rng.normal(0.3, 2.0, 25), rng.normal(0.0, 1.0, 40)
    spread = clustered_variance(forget, others, np.arange(25), 100 + np.arange(40))
    for alternative in ("two-sided", "greater"):
        p_value = clustered_p_value(area(forget, others), spread, alternative=alternative)
        expected = stats.brunnermunzel(others, forget, alternative="less" if alternative == "greater" else alternative)
        assert p_value == pytest.approx(float(expected.pvalue))
