"""The data of the report's figures: ROC curves with their band, histograms, p-values of the calibration."""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.metrics import roc_curve
from statsmodels.stats.proportion import proportion_confint

from mcu_core.report.evidence import Group, Histogram, RocCurve, Role
from mcu_core.statistics.results import Comparison
from mcu_core.statistics.scores import Floats, Integers

MOST_POINTS = 200
"""Of one ROC curve: more than a screen shows."""
MOST_P_VALUES = 1000
BINS = 40
OUTSIDE = 0.001
"""Share of all scores on either side that are counted in the outermost bin."""


def roc_of(comparison: Comparison, *, confidence: float) -> RocCurve:
    """Return the ROC curve, thinned so that it keeps its shape on linear and logarithmic axes.

    TPR(c) = #{s_f ≥ c} / n against FPR(c) = #{s_n ≥ c} / m, c falling, with Clopper and Pearson's interval of each TPR.
    """
    truth = np.repeat([1, 0], [len(comparison.forget), len(comparison.others)])
    scores = np.concatenate([comparison.forget, comparison.others])
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    kept = _thinned(fpr, len(comparison.others))
    fpr, tpr, n = fpr[kept], tpr[kept], len(comparison.forget)
    low, high = proportion_confint(np.round(tpr * n), n, alpha=1.0 - confidence, method="beta")
    return RocCurve(
        role=comparison.role,
        false_positive_rate=_tuple(fpr),
        true_positive_rate=_tuple(tpr),
        low=_tuple(low),
        high=_tuple(high),
    )


def _thinned(fpr: Floats, others: int) -> Integers:
    """Return positions of both ends, of half the points evenly by rank and half by the logarithm of FPR."""
    if len(fpr) <= MOST_POINTS:
        return np.arange(len(fpr))
    half = MOST_POINTS // 2 - 1
    evenly = np.round(np.linspace(0, len(fpr) - 1, half)).astype(np.int64)
    small = np.searchsorted(fpr, np.geomspace(1.0 / others, 1.0, half) * (1.0 + 1e-9), side="right") - 1
    return np.unique(np.concatenate([evenly, small, [0, len(fpr) - 1]]))


def histograms_of(scores: Mapping[tuple[Role, Group], Floats]) -> tuple[Histogram, ...]:
    """Return counts of each group's scores in `BINS` bins common to all.

    Args:
        scores: float64 `[n]` of each model and group, not empty.
    """
    together = np.concatenate(list(scores.values()))
    low, high = (float(edge) for edge in np.quantile(together, [OUTSIDE, 1.0 - OUTSIDE]))
    if high <= low:
        low, high = low - 0.5, low + 0.5
    edges = np.linspace(low, high, BINS + 1)
    return tuple(
        Histogram(role=role, group=group, edges=_tuple(edges), counts=_counts(values, edges))
        for (role, group), values in scores.items()
    )


def _counts(values: Floats, edges: Floats) -> tuple[int, ...]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    return tuple(int(count) for count in counts)


def ascending(p_values: Floats) -> tuple[float, ...]:
    """Return the p-values in order, evenly thinned to `MOST_P_VALUES`: their distribution function stays the same."""
    ordered = np.sort(p_values)
    if len(ordered) > MOST_P_VALUES:
        ordered = ordered[np.round(np.linspace(0, len(ordered) - 1, MOST_P_VALUES)).astype(np.int64)]
    return _tuple(ordered)


def _tuple(values: Floats | Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
