"""Loss of accuracy on the same images, with its upper bound."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from mcu_core.report import UtilityLoss
from mcu_core.statistics.scores import Floats, Integers


def utility_loss(
    original_right: NDArray[np.bool_],
    candidate_right: NDArray[np.bool_],
    *,
    level: float,
    subjects: Integers | None = None,
) -> UtilityLoss:
    """Return the loss of accuracy on the same images with a one-sided upper bound.

    With b images that only the original and c that only the candidate answers rightly, of n: loss = (b - c) / n. The
    bound is the δ at which Tango's score statistic (b - c - nδ) / sqrt(n (2 q + δ (1 - δ))) reaches -z, q being the
    restricted maximum-likelihood estimate of P(only the candidate is right). Where subjects have several images, b, c
    and n are divided by the design effect.

    Args:
        original_right: bool `[n]`.
        candidate_right: bool `[n]`, of the same images.
        level: of the bound, such as .95.
        subjects: int64 `[n]`, whose images they are; `None` takes every image for independent.

    Returns:
        Value and bound, both in [-1, 1].

    Source: Tango (1998), Statistics in Medicine 17:891. A score bound covers also where b + c is small, unlike Wald's.
        Design effect: Rao & Scott (1992), Biometrics 48:577.
    """
    loss = original_right.astype(np.float64) - candidate_right
    effect = 1.0 if subjects is None else design_effect(loss, subjects)
    n = len(loss) / effect
    only_original, only_candidate = float((loss > 0).sum()) / effect, float((loss < 0).sum()) / effect
    z = float(stats.norm.ppf(level))
    value = float(loss.mean())

    def excess(delta: float) -> float:
        return _tango(delta, only_original, only_candidate, n) + z

    nearly_one = 1.0 - 1e-12
    upper = 1.0 if excess(nearly_one) > 0.0 else float(brentq(excess, min(value, nearly_one), nearly_one))
    method = "tango-score" if effect == 1.0 else f"tango-score, design effect {effect:.2f}"
    return UtilityLoss(value=value, upper=upper, level=level, method=method)


def design_effect(values: Floats, subjects: Integers) -> float:
    """Return by how much the variance of a mean grows because one subject's values are alike, at least 1.

    D = [I / (I - 1)] Σ_i (Σ_j (v_ij - v̄))² / [n / (n - 1)] Σ_ij (v_ij - v̄)², over I subjects and n values

    Args:
        values: float64 `[n]`.
        subjects: int64 `[n]`.

    Returns:
        1 with one value a subject, and where all values are equal; n where all are one subject's.

    Source: Rao & Scott (1992), Biometrics 48:577. Deviation: never below 1, which is conservative.
    """
    n = len(values)
    _, codes = np.unique(subjects, return_inverse=True)
    count = int(codes.max()) + 1
    residuals = values - values.mean()
    independent = n / max(n - 1, 1) * float((residuals * residuals).sum())
    if count == n or independent <= 0.0:
        return 1.0
    if count == 1:
        return float(n)
    sums = np.bincount(codes, residuals)
    return max(1.0, float(count / (count - 1) * (sums * sums).sum()) / independent)


def _tango(delta: float, only_original: float, only_candidate: float, n: float) -> float:
    linear = -only_original - only_candidate + (2.0 * n - only_original + only_candidate) * delta
    constant = -only_candidate * delta * (1.0 - delta)
    restricted = (math.sqrt(max(0.0, linear * linear - 8.0 * n * constant)) - linear) / (4.0 * n)
    variance = n * (2.0 * restricted + delta * (1.0 - delta))
    difference = only_original - only_candidate - n * delta
    if variance > 0.0:
        return difference / math.sqrt(variance)
    return math.copysign(math.inf, difference) if difference else 0.0
