import numpy as np
import pytest
from sklearn.metrics import roc_curve

from mcu_core.report import Estimate
from mcu_core.statistics.low_fpr import NotEstimable, tpr_at_fpr


@pytest.mark.parametrize(("fpr", "others", "forget"), [(0.01, 2_000, 100), (0.001, 10_000, 1_000)])
@pytest.mark.parametrize("decimals", [1, 6])
def test_the_rate_is_the_largest_that_the_roc_curve_allows(fpr: float, others: int, forget: int, decimals: int) -> None:
    rng = np.random.default_rng(0)
    members, unseen = rng.normal(1.0, 1.0, forget).round(decimals), rng.normal(0.0, 1.0, others).round(decimals)
    estimate = tpr_at_fpr(members, unseen, fpr=fpr, confidence=0.95)
    assert isinstance(estimate, Estimate)
    x, y, _ = roc_curve(np.repeat([1, 0], [forget, others]), np.concatenate([members, unseen]), drop_intermediate=False)
    assert estimate.value == pytest.approx(y[x <= fpr].max())
    assert estimate.low <= estimate.value <= estimate.high


@pytest.mark.parametrize(
    ("fpr", "others", "forget"), [(0.01, 1_999, 100), (0.01, 2_000, 99), (0.001, 9_999, 1_000), (0.001, 10_000, 999)]
)
def test_too_few_samples_give_a_reason_and_no_number(fpr: float, others: int, forget: int) -> None:
    nothing = tpr_at_fpr(np.zeros(forget), np.zeros(others), fpr=fpr, confidence=0.95)
    assert isinstance(nothing, NotEstimable)
    assert f"there are {others} and {forget}" in nothing.reason
