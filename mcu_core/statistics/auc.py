"""The area under the ROC curve with its interval. Higher scores mean "more like a member"."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from mcu_core.report import AucEstimate
from mcu_core.statistics.mann_whitney import LARGE_SAMPLE, mann_whitney
from mcu_core.statistics.scores import Floats

DELONG_SAMPLE = 50
"""Smallest group whose placements say how much the AUC varies. Of ten samples DeLong's interval of 95 % covers 86 to
94 %, Newcombe's 94.7 to 96.8 % (`python -m benchmarks.audit null`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaInterval:
    """Where an AUC lies."""

    low: float | None
    high: float | None
    standard_error: float | None
    """Of logit(AUC)."""
    method: str


def auc(forget: Floats, nonmembers: Floats, *, confidence: float) -> AucEstimate:
    """Return the AUC of members against non-members with interval and p-value.

    AUC = P(s_f > s_n) + ½ P(s_f = s_n)

    The interval is DeLong's on the logit scale; below `DELONG_SAMPLE` and at perfect separation Newcombe's. The p-value
    is Mann-Whitney's, two-sided, because the hypothesis is that both groups are exchangeable: normal approximation with
    corrections for ties and continuity from `LARGE_SAMPLE` on, exact below, where no interval is given.

    Args:
        forget: float64 `[n]`, at least one, finite.
        nonmembers: float64 `[m]`, at least one, finite.
        confidence: level of the interval.

    Returns:
        The estimate; `method` names interval and test.

    Source: DeLong et al. (1988), Biometrics 44; logit scale: Pepe (2003), section 5.2.6; Newcombe (2006), Statistics in
        Medicine 25:559, method 5; Mann & Whitney (1947).
    """
    value, n, m = area(forget, nonmembers), len(forget), len(nonmembers)
    variance = delong_variance(forget, nonmembers) if min(n, m) >= LARGE_SAMPLE else 0.0
    where = area_interval(value, variance, n, m, confidence=confidence)
    test = mann_whitney(forget, nonmembers)
    return AucEstimate(
        value=value,
        low=where.low,
        high=where.high,
        p_value=test.p_value,
        forget_count=n,
        nonmember_count=m,
        method=f"{where.method}; p: {test.method}",
    )


def area(forget: Floats, nonmembers: Floats) -> float:
    """Return P(s_f > s_n) + ½ P(s_f = s_n) over all pairs, by mid-ranks.

    Args:
        forget: float64 `[n]`, at least one.
        nonmembers: float64 `[m]`, at least one.
    """
    ranks = stats.rankdata(np.concatenate([forget, nonmembers]))
    count = len(forget)
    return float((ranks[:count].sum() - count * (count + 1) / 2.0) / (count * len(nonmembers)))


def area_interval(value: float, variance: float, n: int, m: int, *, confidence: float) -> AreaInterval:
    """Return logit⁻¹(logit A ± z s) with s = sqrt(var A) / (A (1 - A)), or Newcombe's interval where s says little.

    Args:
        value: A.
        variance: of A, by `delong_variance` or `clustered_variance`; not read for fewer than `LARGE_SAMPLE` units.
        n: independent units among the forget samples.
        m: independent units among the non-members.
        confidence: level of the interval.

    Returns:
        Nothing below `LARGE_SAMPLE` units in either group. Newcombe's interval below `DELONG_SAMPLE`, with a standard
        error by his variance at A, and at A = 0 and A = 1 and where all scores tie, without one.

    Source: Pepe (2003), "The Statistical Evaluation of Medical Tests", section 5.2.6; Newcombe (2006).
    """
    if min(n, m) < LARGE_SAMPLE:
        method = f"interval not estimable below {LARGE_SAMPLE} samples a group"
        return AreaInterval(low=None, high=None, standard_error=None, method=method)
    z = float(stats.norm.ppf(0.5 + confidence / 2.0))
    by_logit, few = 0.0 < value < 1.0 and variance > 0.0, min(n, m) < DELONG_SAMPLE
    error = (
        math.sqrt(newcombe_variance(value, n, m) if few else variance) / (value * (1.0 - value)) if by_logit else None
    )
    if error is None or few:
        low, high = _newcombe(value, n, m, z)
        return AreaInterval(low=low, high=high, standard_error=error, method="newcombe")
    logit = math.log(value / (1.0 - value))
    low, high = _expit(logit - z * error), _expit(logit + z * error)
    return AreaInterval(low=low, high=high, standard_error=error, method="delong-logit")


def placements(forget: Floats, nonmembers: Floats) -> tuple[Floats, Floats]:
    """Return the share of the other group that each score beats: V_i of forget, 1 - that share of non-members.

    Both have mean A.

    Args:
        forget: float64 `[n]`.
        nonmembers: float64 `[m]`.

    Returns:
        float64 `[n]` and `[m]`, ties as ½.

    Source: by mid-ranks as in Sun & Xu (2014), IEEE SPL 21.
    """
    n, m = len(forget), len(nonmembers)
    together = stats.rankdata(np.concatenate([forget, nonmembers]))
    return (together[:n] - stats.rankdata(forget)) / m, 1.0 - (together[n:] - stats.rankdata(nonmembers)) / n


def delong_variance(forget: Floats, nonmembers: Floats) -> float:
    """Return DeLong's variance of the AUC.

    var = S_10 / n + S_01 / m, the sample variances of each group's placements among the other

    Args:
        forget: float64 `[n]`, at least two.
        nonmembers: float64 `[m]`, at least two.

    Returns:
        A number ≥ 0; 0 at perfect separation.

    Source: DeLong et al. (1988), Biometrics 44.
    """
    above, below = placements(forget, nonmembers)
    return float(above.var(ddof=1) / len(forget) + below.var(ddof=1) / len(nonmembers))


def newcombe_variance(theta: float, n: int, m: int) -> float:
    """Return the variance of an AUC of θ under exponential scores, both group sizes replaced by their mean in part.

    V(θ) = θ (1 - θ) (1 + (N - 1) ((1 - θ) / (2 - θ) + θ / (1 + θ))) / (n m),  N = (n + m) / 2

    Source: Newcombe (2006), Statistics in Medicine 25:559, method 5, after Hanley & McNeil (1982), Radiology 143.
    """
    mean_size = (n + m) / 2.0
    inflation = 1.0 + (mean_size - 1.0) * ((1.0 - theta) / (2.0 - theta) + theta / (1.0 + theta))
    return theta * (1.0 - theta) * inflation / (n * m)


def _newcombe(value: float, n: int, m: int, z: float) -> tuple[float, float]:
    """Solve |θ - value| = z sqrt(V(θ)) on either side."""

    def excess(theta: float) -> float:
        return (theta - value) ** 2 - z * z * newcombe_variance(theta, n, m)

    tiny = 1e-12
    low = float(brentq(excess, tiny, value - tiny)) if value > 2 * tiny else 0.0
    high = float(brentq(excess, value + tiny, 1.0 - tiny)) if value < 1.0 - 2 * tiny else 1.0
    return low, high


def _expit(x: float) -> float:
    return float(1.0 / (1.0 + math.exp(-x))) if x >= 0.0 else float(math.exp(x) / (1.0 + math.exp(x)))
