import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mcu_core.report.evidence import Group, Role
from mcu_core.statistics.auc import area
from mcu_core.statistics.figures import BINS, MOST_P_VALUES, MOST_POINTS, ascending, histograms_of, roc_of
from mcu_core.statistics.results import Comparison
from mcu_core.statistics.scores import Floats

scores = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=20)


def comparison(forget: Floats, others: Floats) -> Comparison:
    return Comparison(
        role=Role.ORIGINAL, signal=None, forget=forget, others=others, forget_subjects=np.arange(len(forget)),
        other_subjects=np.arange(len(others)), seed=0,
    )  # fmt: skip


@given(scores, scores)
def test_every_point_is_a_threshold(forget: list[float], others: list[float]) -> None:
    curve = roc_of(comparison(np.array(forget), np.array(others)), confidence=0.95)
    thresholds = [np.inf, *sorted({*forget, *others}, reverse=True)]
    assert curve.false_positive_rate == pytest.approx([np.mean(np.array(others) >= c) for c in thresholds])
    assert curve.true_positive_rate == pytest.approx([np.mean(np.array(forget) >= c) for c in thresholds])
    for low, rate, high in zip(curve.low, curve.true_positive_rate, curve.high, strict=True):
        interval = stats.binomtest(round(rate * len(forget)), len(forget)).proportion_ci(method="exact")
        assert (low, high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_a_thinned_curve_keeps_its_ends_its_area_and_its_small_rates() -> None:
    rng = np.random.default_rng(0)
    forget, others = rng.normal(1, 1, 5000), rng.normal(0, 1, 9000)
    curve = roc_of(comparison(forget, others), confidence=0.95)
    x, y = np.array(curve.false_positive_rate), np.array(curve.true_positive_rate)
    assert len(x) <= MOST_POINTS
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert (np.diff(x) >= 0).all()
    assert float(np.trapezoid(y, x)) == pytest.approx(area(forget, others), abs=2e-3)
    assert ((x > 0) & (x < 0.01)).sum() > 20


@given(scores, scores)
def test_every_score_is_counted_once_in_common_bins(first: list[float], second: list[float]) -> None:
    groups = {(Role.ORIGINAL, Group.FORGET): np.array(first), (Role.CANDIDATE, Group.FORGET): np.array(second)}
    drawn = histograms_of(groups)
    assert [sum(histogram.counts) for histogram in drawn] == [len(first), len(second)]
    assert drawn[0].edges == drawn[1].edges
    assert len(drawn[0].edges) == BINS + 1
    assert (np.diff(drawn[0].edges) > 0).all()


def test_outliers_are_counted_in_the_outermost_bins() -> None:
    values = np.append(np.random.default_rng(0).normal(size=5000), [-1e6, 1e6])
    (histogram,) = histograms_of({(Role.ORIGINAL, Group.FORGET): values})
    assert max(abs(histogram.edges[0]), histogram.edges[-1]) < 10
    assert sum(histogram.counts) == 5002


@given(st.lists(st.floats(0, 1), max_size=30))
def test_p_values_come_in_order(p_values: list[float]) -> None:
    assert ascending(np.array(p_values)) == tuple(sorted(p_values))


def test_many_p_values_keep_their_distribution() -> None:
    p_values = np.random.default_rng(0).random(20_000) ** 2
    kept = ascending(p_values)
    assert len(kept) == MOST_P_VALUES
    assert stats.ks_2samp(kept, p_values).statistic < 2e-3
